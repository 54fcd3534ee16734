// Package certfile keeps a certificate with its key in files, as servers and clients of
// all kinds read them: PEM, the chain leaf first, the key as PKCS #8 with mode 0600.
//
// A file is replaced in one step, so that whoever reads it finds the old one or the new one
// whole. Two files cannot be replaced in one step: the key comes first, and a reader between
// the two finds a pair that does not fit and has to read again. Who cannot do that uses one
// file for both.
package certfile

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"pavise.dev/pavise/internal/pki/renewed"
)

// Files are where a certificate and its key lie; both may be the same file.
type Files struct{ Chain, Key string }

// Exist reports whether one of the files is there.
func (f Files) Exist() bool {
	for _, name := range []string{f.Chain, f.Key} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return false
}

// Load reads certificate and key. A key that others can read is refused.
func (f Files) Load() (*tls.Certificate, error) {
	info, err := os.Stat(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key %s can be read or written by others (mode %04o): run chmod 600 on it; if they are strangers, get a new certificate and revoke this one", f.Key, info.Mode().Perm())
	}
	pair, err := tls.LoadX509KeyPair(f.Chain, f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s with its key %s: %w", f.Chain, f.Key, err)
	}
	return &pair, nil
}

// Save replaces the files: the key first. Each is written whole beside its place, and put
// there in one step; what cannot be written leaves the file as it was.
func (f Files) Save(chain []*x509.Certificate, key crypto.Signer) error {
	if _, err := renewed.Pair(chain, key); err != nil {
		return fmt.Errorf("save a certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	certificates := EncodeChain(chain)
	if f.Chain == f.Key {
		return Replace(f.Key, append(certificates, text...), 0o600)
	}
	if err := Replace(f.Key, text, 0o600); err != nil {
		return err
	}
	return Replace(f.Chain, certificates, 0o644)
}

// Replace writes a file in one step that survives the loss of power. A link is followed, so
// that it goes on pointing to where it does.
func Replace(name string, text []byte, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	folder := filepath.Dir(name)
	temporary, err := os.CreateTemp(folder, "."+filepath.Base(name)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		_ = os.Remove(temporary.Name()) // nobody knows of it
		return fmt.Errorf("write %s: %w", name, err)
	}
	dir, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// SaveRoots writes an authority's roots, unless the file has just these already.
func SaveRoots(name string, roots []*x509.Certificate) error {
	text := EncodeChain(roots)
	if before, err := os.ReadFile(name); err == nil && bytes.Equal(before, text) {
		return nil
	}
	if err := Replace(name, text, 0o644); err != nil {
		return fmt.Errorf("keep the authority's roots: %w", err)
	}
	return nil
}

// ParseChain reads certificates in PEM, the first of which is the one that counts.
func ParseChain(text []byte) (chain []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return chain, nil
}

// EncodeChain writes certificates in PEM.
func EncodeChain(chain []*x509.Certificate) (text []byte) {
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}
