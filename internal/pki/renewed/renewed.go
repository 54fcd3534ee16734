// Package renewed holds certificates that renew themselves.
//
// A [Certificate] gets the next one when two thirds of the life of the one in force are
// over, from whatever [Source] it has: the authority of the same process, or one elsewhere.
// A failure leaves the one in force; it is tried again, at growing intervals, until that
// one ends, and then no certificate is shown.
package renewed

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Source gets a certificate for a key: the next one of current, nil: the first. The chain
// begins with the certificate.
type Source interface {
	Obtain(ctx context.Context, key crypto.Signer, current *tls.Certificate) ([]*x509.Certificate, error)
}

// Options are what a [Certificate] needs.
type Options struct {
	Source Source
	Now    func() time.Time
	// Jitter is a number from 0 up to 1, different for each: so that a thousand programs
	// that started together do not renew together.
	Jitter float64
}

// Certificate is one that renews itself when [Certificate.Keep] is called. It is safe for
// concurrent use.
type Certificate struct {
	options Options
	current atomic.Pointer[tls.Certificate]

	renewing sync.Mutex
	tries    Pause // guarded by renewing
}

// New returns a certificate that has none yet: call [Certificate.Keep], or Use one that was
// kept.
func New(o Options) *Certificate { return &Certificate{options: o} }

// Use takes a certificate that is there already.
func (c *Certificate) Use(kept *tls.Certificate) { c.current.Store(kept) }

// ErrNone says that there is no certificate in force.
var ErrNone = errors.New("there is no certificate in force")

// Get returns the certificate in force, or [ErrNone].
func (c *Certificate) Get() (*tls.Certificate, error) {
	cert := c.current.Load()
	if cert == nil {
		return nil, ErrNone
	}
	if !c.options.Now().Before(cert.Leaf.NotAfter) {
		return nil, fmt.Errorf("%w: it ended at %s", ErrNone, cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return cert, nil
}

// Due returns when the certificate is to be renewed: at two thirds of its life, and up to
// a tenth of it later.
func (c *Certificate) Due() time.Time {
	cert := c.current.Load()
	if cert == nil {
		return time.Time{}
	}
	life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
	return cert.Leaf.NotBefore.Add(life*2/3 + time.Duration(c.options.Jitter*float64(life/10)))
}

// Keep renews the certificate if it is due, and reports whether there is a new one. After a
// failure it does nothing until the next try is due, nor after one that succeeded.
func (c *Certificate) Keep(ctx context.Context) (changed bool, err error) {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	now := c.options.Now()
	if now.Before(c.Due()) && !c.isAhead(now) || !c.tries.IsOver(now) {
		return false, nil
	}
	if err := c.renew(ctx); err != nil {
		return false, fmt.Errorf("renew the certificate: %w; it is tried again in %s", err, c.tries.Failed(now))
	}
	if c.isAhead(now) { // then it is this clock that is behind: asking again soon would not help
		c.tries.Failed(now)
	} else {
		c.tries = Pause{}
	}
	return true, nil
}

// isAhead reports whether the certificate begins later: a clock that was ahead, here or at
// the authority, has got it, and nobody takes it now.
func (c *Certificate) isAhead(now time.Time) bool {
	cert := c.current.Load()
	return cert != nil && now.Before(cert.Leaf.NotBefore)
}

// Renew renews the certificate at once, due or not.
func (c *Certificate) Renew(ctx context.Context) error {
	c.renewing.Lock()
	defer c.renewing.Unlock()
	return c.renew(ctx)
}

// renew gets the next certificate, for a new key.
func (c *Certificate) renew(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	chain, err := c.options.Source.Obtain(ctx, key, c.current.Load())
	if err != nil {
		return err
	}
	made, err := Pair(chain, key)
	if err != nil {
		return err
	}
	if now := c.options.Now(); !now.Before(made.Leaf.NotAfter) {
		return fmt.Errorf("the new certificate ended at %s already: is this clock, or that of the authority, wrong?", made.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.current.Store(made)
	return nil
}

// Pair joins a chain with its key.
func Pair(chain []*x509.Certificate, key crypto.Signer) (*tls.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("the chain is empty")
	}
	public, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the certificate is not for this key")
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	return pair, nil
}
