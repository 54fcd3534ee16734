package foreign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/shell"
)

// transport looks at TLS, before anything secret is sent.
func (p *planner) transport() {
	p.add("tls-certificate", "handshake", 0, (*try).certificate)
	p.add("tls-version", "handshake", 0, (*try).oldVersions)
	p.add("tls-suite", "handshake", 0, (*try).weakSuites)
	p.add("plain-http", "connection", 0, (*try).plain)
}

// OnlyTransport are the cases that send nothing over TLS, for a target whose certificate cannot be
// verified: no credential goes there.
func OnlyTransport() *attack.Plan {
	p := &planner{w: &world{reader: &reader{}, forms: newForms()}}
	p.transport()
	return &attack.Plan{Cases: p.cases}
}

func (t *try) isTLS() bool { return t.s.Prober().Scope().Base().Scheme == "https" }

// address is the target's, for commands to paste.
func (t *try) address() (name, host string) {
	base := t.s.Prober().Scope().Base()
	port := base.Port()
	if port == "" {
		port = "443"
	}
	return base.Hostname(), net.JoinHostPort(base.Hostname(), port)
}

// look shakes hands whatever the certificate is: nothing is sent afterwards.
func (t *try) handshake(change func(c *tls.Config)) (tls.ConnectionState, error) {
	name, _ := t.address()
	c := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // it is what is looked for, and nothing is sent
	change(c)
	return t.s.Prober().Handshake(t.ctx, c)
}

// soon is how early a certificate should have been renewed.
const soon = 14 * 24 * time.Hour

func (t *try) certificate() error {
	if !t.isTLS() {
		return attack.ErrNotHere
	}
	state, err := t.handshake(func(*tls.Config) {})
	if err != nil {
		return err
	}
	name, host := t.address()
	proof := attack.OpenSSL(host, name, "") + " | openssl x509 -noout -text"
	leaf := state.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: t.s.Prober().Roots(), Intermediates: between}); err != nil {
		t.s.FoundBy("TLS "+host, proof, "%s", reasonOf(err))
		return nil
	}
	t.s.Under(ruleOf("tls-certificate-ends"), func(s *attack.Session) {
		lasts, left := leaf.NotAfter.Sub(leaf.NotBefore), time.Until(leaf.NotAfter)
		if left < soon && left < lasts/3 {
			s.FoundBy("TLS "+host, proof, "the certificate ends at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		if weak := weakKey(leaf); weak != "" {
			s.FoundBy("TLS "+host, proof, "the certificate's %s", weak)
		}
	})
	return nil
}

// reasonOf says why a certificate cannot be verified, without its whole chain.
func reasonOf(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is of an authority that is not known (--ca names one)"
	}
	return "the certificate: " + err.Error()
}

func weakKey(c *x509.Certificate) string {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return fmt.Sprintf("key has %d bits", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return fmt.Sprintf("curve has %d bits", key.Curve.Params().BitSize)
		}
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return "signature is " + c.SignatureAlgorithm.String()
	}
	return ""
}

func (t *try) oldVersions() error {
	if !t.isTLS() {
		return attack.ErrNotHere
	}
	name, host := t.address()
	for version, flag := range map[uint16]string{tls.VersionTLS10: "-tls1", tls.VersionTLS11: "-tls1_1"} {
		state, err := t.handshake(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.CipherSuites = version, version, attack.EverySuite()
		})
		if err == nil && state.Version == version {
			t.s.FoundBy("TLS "+host, attack.OpenSSL(host, name, flag+" -cipher 'ALL:@SECLEVEL=0'"), "it speaks %s", tls.VersionName(version))
		}
	}
	return t.ctx.Err()
}

func (t *try) weakSuites() error {
	if !t.isTLS() {
		return attack.ErrNotHere
	}
	var weak []uint16
	for _, s := range tls.InsecureCipherSuites() {
		if strings.HasPrefix(s.Name, "TLS_RSA_") || strings.Contains(s.Name, "RC4") || strings.Contains(s.Name, "3DES") {
			weak = append(weak, s.ID) // CBC with forward secrecy is out of fashion, and patched
		}
	}
	name, host := t.address()
	state, err := t.handshake(func(c *tls.Config) {
		c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS12, tls.VersionTLS12, weak
	})
	if err != nil {
		return t.ctx.Err() // it has none of them
	}
	t.s.FoundBy("TLS "+host, attack.OpenSSL(host, name, "-tls1_2 -cipher 'kRSA:3DES:RC4:@SECLEVEL=0'"), "it accepts %s", tls.CipherSuiteName(state.CipherSuite))
	return nil
}

// plain asks without TLS. A redirect to https, and a refusal, are right.
func (t *try) plain() error {
	base := t.s.Prober().Scope().Base()
	if !t.isTLS() {
		return t.plainTarget()
	}
	answer, port, err := t.s.Prober().Plain(t.ctx, []byte("GET / HTTP/1.1\r\nHost: "+base.Hostname()+"\r\nConnection: close\r\n\r\n"))
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.")) || len(answer) < 12 {
		return nil // nobody answers there
	}
	status := string(answer[9:12])
	if status[0] != '2' && status[0] != '5' {
		return nil
	}
	t.s.FoundBy("http://"+net.JoinHostPort(base.Hostname(), port)+"/", "curl -i "+shell.Quoted("http://"+net.JoinHostPort(base.Hostname(), port)+"/"), "it answers %s without TLS", status)
	return nil
}

// plainTarget is about a target that was named as http://. On this machine nobody is on the way.
func (t *try) plainTarget() error {
	base := t.s.Prober().Scope().Base()
	if addr, err := netip.ParseAddr(base.Hostname()); base.Hostname() == "localhost" || err == nil && addr.IsLoopback() {
		return nil
	}
	a, err := t.get(nil, "/")
	if err != nil {
		return err
	}
	if a.Status < 300 || a.Status > 399 {
		t.s.Found(base.String(), a, "it answers %d without TLS", a.Status)
	}
	return nil
}
