package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Pair is a certificate in files that is read again when they change. A bad new
// file leaves the old certificate in force and is reported.
type Pair struct {
	certFile, keyFile string
	current           atomic.Pointer[loaded]
}

type loaded struct {
	cert  *tls.Certificate
	stamp [2]time.Time
}

// OpenPair loads the files, or says what is wrong with them and what to do.
func OpenPair(certFile, keyFile string, now time.Time) (*Pair, error) {
	p := &Pair{certFile: certFile, keyFile: keyFile}
	first, err := p.load(now)
	if err != nil {
		return nil, err
	}
	p.current.Store(first)
	return p, nil
}

// Certificate returns the certificate in force. Safe for concurrent use.
func (p *Pair) Certificate() *tls.Certificate { return p.current.Load().cert }

// Reload reads the files again if they changed. On an error the old certificate
// stays in force. It is not safe for concurrent use with itself.
func (p *Pair) Reload(now time.Time) (changed bool, err error) {
	stamp, err := p.stamps()
	if err != nil {
		return false, err
	}
	if stamp == p.current.Load().stamp {
		return false, nil
	}
	next, err := p.load(now)
	if err != nil {
		return false, err
	}
	p.current.Store(next)
	return true, nil
}

func (p *Pair) load(now time.Time) (*loaded, error) {
	stamp, err := p.stamps()
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w; the first needs the chain in PEM, leaf first, the second the leaf's private key", p.certFile, p.keyFile, err)
	}
	if now.After(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("certificate %s expired at %s; renew it", p.certFile, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &loaded{cert: &cert, stamp: stamp}, nil
}

func (p *Pair) stamps() (stamp [2]time.Time, err error) {
	for i, name := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, fmt.Errorf("certificate file: %w; check the path, it is relative to the configuration file", err)
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// ReadPool returns the CAs of a PEM bundle.
func ReadPool(name string) (*x509.CertPool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("CA bundle %s holds no certificate in PEM", name)
	}
	return pool, nil
}
