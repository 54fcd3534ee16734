package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
)

// maxReferred bounds files that the configuration names, in bytes.
const maxReferred = 16 << 20

// checkFile refuses a file that cannot be read, or in whose text look finds a
// fault. It looks at nothing if the configuration came from memory.
func (l *loader) checkFile(path, name string, look func(text []byte) string) {
	if l.file.Dir == "" {
		return
	}
	text, ok := l.readReferred(path, name)
	if !ok || look == nil {
		return
	}
	if message := look(text); message != "" {
		l.at(path, "see openssl x509 -in "+name+" -noout -text", "%s %s", name, message)
	}
}

func (l *loader) readReferred(path, name string) ([]byte, bool) {
	text, err := readFile(l.file.Abs(name), maxReferred)
	switch {
	case err == nil:
		return text, true
	case os.IsNotExist(err):
		l.at(path, "paths are relative to the main configuration file", "there is no file %s", name)
	case os.IsPermission(err):
		l.at(path, "let the user that runs Pavise read it", "the file %s may not be read", name)
	default:
		l.at(path, "name a file that can be read", "the file %s cannot be read: %s", name, reason(err))
	}
	return nil, false
}

// checkPair refuses a certificate that no caller would accept for the host.
// Whether it has expired is not asked: a gateway must start with what it has.
func (l *loader) checkPair(path, host string, c Certificate) {
	for _, f := range []struct{ setting, name string }{{"cert", c.Cert}, {"key", c.Key}} {
		if f.name == "" {
			l.at(path, "write acme, local, or {cert: chain.pem, key: key.pem}", "%s is missing", f.setting)
			return
		}
	}
	if l.file.Dir == "" {
		return
	}
	chain, ok := l.readReferred(path+".cert", c.Cert)
	key, also := l.readReferred(path+".key", c.Key)
	if !ok || !also {
		return
	}
	if message := authorities(chain); message != "" {
		l.at(path+".cert", "name a PEM file with the chain, the host's certificate first", "%s %s", c.Cert, message)
		return
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		l.at(path+".key", "name the PEM file with the private key of the first certificate in "+c.Cert, "%s does not fit: %s", c.Key, strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if err := pair.Leaf.VerifyHostname(host); err != nil {
		names := slices.Clone(pair.Leaf.DNSNames)
		for _, addr := range pair.Leaf.IPAddresses {
			names = append(names, addr.String())
		}
		l.at(path+".cert", "use a certificate with this name", "%s is not for %s but for %s", c.Cert, host, orNobody(names))
	}
}

func orNobody(names []string) string {
	if len(names) == 0 {
		return "no name"
	}
	if len(names) > 8 {
		names = append(slices.Clone(names[:8]), "…")
	}
	return strings.Join(names, ", ")
}

// authorities says why a text holds no certificates; empty if it does.
func authorities(text []byte) string {
	found := 0
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Sprintf("holds a certificate that cannot be read: %s", strings.TrimPrefix(err.Error(), "x509: "))
		}
		found++
	}
	switch {
	case found > 0:
		return ""
	case !bytes.Contains(text, []byte("-----BEGIN ")):
		return "is no PEM file"
	}
	return "holds no certificate"
}

// keyPair says why a text does not hold a certificate with its key.
func keyPair(text []byte) string {
	if _, err := tls.X509KeyPair(text, text); err != nil {
		return "does not hold a certificate with its key: " + strings.TrimPrefix(err.Error(), "tls: ")
	}
	return ""
}
