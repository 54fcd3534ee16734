// Package tlsconf finds the certificates that listeners present: from a small
// CA of this installation's own, from files that are read again when they change,
// or by ACME.
package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Lives of local certificates.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// skew is how far a certificate's life begins in the past, for clocks that
	// differ.
	skew = time.Hour
)

// Local is a small CA for development and for installations without another
// one. It is safe for concurrent use.
type Local struct {
	now  func() time.Time
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// Files of the local CA, in its folder.
const (
	caFile  = "ca.pem"
	keyFile = "ca-key.pem"
)

// OpenLocal loads the CA in dir, or makes one there: an ECDSA P-256 key with mode
// 0600 and a certificate that may sign leaves only.
func OpenLocal(dir string, now func() time.Time) (*Local, error) {
	l := &Local{now: now, leaves: map[string]*tls.Certificate{}}
	err := l.load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = l.create(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("local CA in %s: %w", dir, err)
	}
	return l, nil
}

func (l *Local) load(dir string) error {
	certPEM, certErr := os.ReadFile(filepath.Join(dir, caFile))
	keyPEM, keyErr := os.ReadFile(filepath.Join(dir, keyFile))
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		return fs.ErrNotExist
	case certErr != nil || keyErr != nil:
		return fmt.Errorf("certificate and key belong together: %v; restore the missing file, or move the other one away to make a new CA", errors.Join(certErr, keyErr))
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err == nil && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %o); run chmod 600 on it", keyFile, info.Mode().Perm())
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return fmt.Errorf("%s is not a CA with an ECDSA key", caFile)
	}
	if l.now().After(pair.Leaf.NotAfter) {
		return fmt.Errorf("%s expired at %s; move it and %s away to make a new CA, and give that to the clients", caFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339), keyFile)
	}
	l.cert, l.key, l.pem = pair.Leaf, key, certPEM
	return nil
}

func (l *Local) create(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := l.now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Pavise local CA " + now.UTC().Format("2006-01-02")},
		NotBefore: now.Add(-skew), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return fmt.Errorf("make the certificate: %w", err)
	}
	if l.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	l.key = key
	l.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), keyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, caFile), l.pem, 0o644)
}

// PEM returns the CA's certificate, for clients that are to trust it.
func (l *Local) PEM() []byte { return l.pem }

// Pool returns a pool that holds this CA alone.
func (l *Local) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(l.cert)
	return pool
}

// Server returns a certificate for a DNS name or an address, made when it is
// first asked for and again when less than a third of its life is left.
func (l *Local) Server(name string) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := l.leaves[name]; kept != nil && l.now().Before(kept.Leaf.NotAfter.Add(-leafLife/3)) {
		return kept, nil
	}
	template := l.leaf(name, x509.ExtKeyUsageServerAuth)
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	made, err := l.issue(template)
	if err != nil {
		return nil, err
	}
	l.leaves[name] = made
	return made, nil
}

// Own returns the certificate by which the gateway itself proves who it is to
// upstreams: for the name, and a SPIFFE ID under it. It is made when it is first asked
// for, and again when less than a third of its life is left.
func (l *Local) Own(name string) (*tls.Certificate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	place := "own " + name // no name of a host has a space
	if kept := l.leaves[place]; kept != nil && l.now().Before(kept.Leaf.NotAfter.Add(-leafLife/3)) {
		return kept, nil
	}
	made, err := l.Client(name, "spiffe://"+name+"/gateway")
	if err != nil {
		return nil, err
	}
	l.leaves[place] = made
	return made, nil
}

// Client returns a new client certificate with a URI name (SPIFFE, for example).
func (l *Local) Client(commonName, uri string) (*tls.Certificate, error) {
	template := l.leaf(commonName, x509.ExtKeyUsageClientAuth)
	if uri != "" {
		parsed, err := url.Parse(uri)
		if err != nil {
			return nil, fmt.Errorf("name of the client: %w", err)
		}
		template.URIs = []*url.URL{parsed}
	}
	return l.issue(template)
}

func (l *Local) leaf(commonName string, usage x509.ExtKeyUsage) *x509.Certificate {
	now := l.now()
	return &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: commonName},
		NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		BasicConstraintsValid: true,
	}
}

func (l *Local) issue(template *x509.Certificate) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, l.cert, &key.PublicKey, l.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", template.Subject.CommonName, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, l.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// EncodePEM returns chain and key of a certificate, as files hold them.
func EncodePEM(c *tls.Certificate) (chain, key []byte, err error) {
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key, err = encodeKey(c.PrivateKey)
	return chain, key, err
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// serial returns 127 random bits (RFC 5280 §4.1.2.2 wants at most 20 octets, positive).
func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}
