package workload

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/renewed"
)

// enrolled gets certificates from the authority, and learns its roots by the way. It
// belongs to the goroutine that renews.
type enrolled struct {
	c       *Certificate
	learned time.Time     // when the roots were last asked for; zero: they are those of the file
	jitter  time.Duration // until they are asked for again, beside rootsEvery
	tries   renewed.Pause
}

// rootsEvery is how often the authority's roots are asked for, at least.
const rootsEvery = time.Hour

// renew gets a certificate in force, from the files or by a token.
func (c *Certificate) renew(ctx context.Context) error {
	source := &enrolled{c: c, jitter: rand.N(rootsEvery / 6)}
	c.kept, c.keep = c.options.files(source), source.keep
	if err := c.readRoots(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if c.kept.Files.Exist() {
		if err := c.kept.Files.Recover(); err != nil {
			return err
		}
		if err := c.kept.Load(); err != nil {
			return err
		}
	}
	if _, err := c.kept.Get(); err != nil {
		return source.enroll(ctx, err)
	}
	if c.roots.Load() == nil {
		return source.askRoots(ctx)
	}
	return nil
}

// enroll gets the first certificate. The files are tried before: a token is good for one.
func (e *enrolled) enroll(ctx context.Context, why error) error {
	if e.c.options.Token == nil {
		return fmt.Errorf("%s: %w, and no token to get one: make one with `pavise cert token` and return it from Options.Token", e.c.options.Chain, why)
	}
	if err := e.c.kept.Files.Writable(); err != nil {
		return err
	}
	return e.c.kept.Renew(ctx)
}

// keep renews what is due.
func (e *enrolled) keep(ctx context.Context) {
	if _, err := e.c.kept.Keep(ctx); err != nil {
		e.c.warn(ctx, err)
	}
	now := e.c.options.Now()
	fresh := !now.Before(e.learned) && now.Before(e.learned.Add(rootsEvery+e.jitter)) // neither old nor of a time to come
	if fresh || !e.tries.IsOver(now) {
		return
	}
	if err := e.askRoots(ctx); err != nil {
		e.c.warn(ctx, fmt.Errorf("%w; it is tried again in %s", err, e.tries.Failed(now)))
	}
}

// askRoots asks for the authority's roots.
func (e *enrolled) askRoots(ctx context.Context) error {
	current, err := e.c.kept.Get()
	if err != nil {
		return err
	}
	client, err := e.dial(ctx, "", current)
	if err != nil {
		return err
	}
	return e.learn(client.Roots())
}

func (e *enrolled) dial(ctx context.Context, token string, known *tls.Certificate) (*est.Client, error) {
	o := e.c.options
	return est.NewClient(ctx, est.ClientOptions{Server: o.Server, Token: token, Roots: o.ServerRoots, Known: known, Now: o.Now})
}

// Obtain implements renewed.Source.
func (e *enrolled) Obtain(ctx context.Context, key crypto.Signer, current *tls.Certificate) ([]*x509.Certificate, error) {
	token, known := "", current
	if current == nil || !e.c.options.Now().Before(current.Leaf.NotAfter) {
		var err error
		if token, err = e.token(current); err != nil {
			return nil, err
		}
		current = nil
	}
	client, err := e.dial(ctx, token, known)
	if err != nil {
		return nil, err
	}
	if err := e.learn(client.Roots()); err != nil {
		return nil, err
	}
	return client.Obtain(ctx, key, current)
}

// token is the right to a certificate that does not follow one in force.
func (e *enrolled) token(ended *tls.Certificate) (string, error) {
	if e.c.options.Token == nil {
		return "", fmt.Errorf("it ended at %s and cannot be renewed any more, and there is no token: make one with `pavise cert token`", ended.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	token, err := e.c.options.Token()
	if err != nil {
		return "", fmt.Errorf("get an enrolment token: %w", err)
	}
	return token, nil
}

// learn takes the roots that the authority has now. They are kept before they count, so
// that a restart knows no older ones.
func (e *enrolled) learn(list []*x509.Certificate) error {
	if err := certfile.SaveRoots(e.c.options.Roots, list); err != nil {
		return err
	}
	e.c.trust(list)
	e.learned, e.tries = e.c.options.Now(), renewed.Pause{}
	return nil
}

// readRoots takes the roots that were kept.
func (c *Certificate) readRoots() error {
	text, err := os.ReadFile(c.options.Roots)
	if err != nil {
		return fmt.Errorf("read the authority's roots: %w", err)
	}
	list, err := certfile.ParseChain(text)
	if err != nil {
		return fmt.Errorf("read the authority's roots %s: %w", c.options.Roots, err)
	}
	c.trust(list)
	return nil
}
