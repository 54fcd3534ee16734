// Package workload gives a Go program a certificate of a Pavise authority that renews
// itself, and the TLS settings by which it proves who it is and verifies who the others are.
//
//	cert, err := workload.Open(ctx, workload.Options{
//		Server: "https://pki.example.com", Chain: "/var/lib/orders/orders.pem",
//		Token: func() (string, error) { text, err := os.ReadFile("/run/token"); return string(text), err },
//		Warn:  func(err error) { slog.Warn("certificate", "error", err) },
//	})
//	…
//	defer cert.Close()
//	server := &http.Server{Handler: mux, TLSConfig: cert.ServerConfig()}
//	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cert.ClientConfig(), ForceAttemptHTTP2: true}}
//
// # Where the certificate comes from
//
// The first one is got with an enrolment token, which `pavise cert token CLIENT` makes and
// which is good for one certificate. From then on the certificate in force is what the next
// one is asked with, when two thirds of its life are over. Chain, key and the authority's
// roots are kept in files, so that a restart needs neither a token nor the authority. The
// key is made here and leaves this machine never.
//
// Without a Server somebody else renews the files, `pavise cert agent` or what else there is:
// they are watched, and read again when they have changed.
//
// # What is verified
//
// [Certificate.ClientConfig] and [Certificate.ServerConfig] verify the other end of every
// connection, resumed ones too, at the moment of its handshake: against the roots that the
// authority has then (roots are replaced in the life of a program), for the use that its
// certificate has to be meant for, and, where names are given, for one of exactly these.
//
// # What it does not do
//
// A connection goes on when a certificate ends or is revoked: bound the life of connections
// (http.Server.IdleTimeout, http.Transport.IdleConnTimeout), or use the gateway, which asks for
// every request. Whether a certificate was revoked is asked where [Options.Revocation]
// says so, at each handshake.
package workload

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/renewed"
	"pavise.dev/pavise/internal/revocation"
)

// Options say where a certificate comes from and where it is kept. Chain is required, and
// Server or files that are there.
type Options struct {
	// Server is where the authority answers, such as https://pki.example.com (EST, RFC 7030).
	// Empty: somebody else renews the files.
	Server string

	// Files, in PEM. Key may be the same as Chain; empty: for web.pem web-key.pem beside it.
	// Roots has the authority's roots, by which others are verified; empty: web-roots.pem.
	// What is written here has mode 0600 where a key is in it; a key that others can read
	// is refused.
	Chain, Key, Roots string

	// Token returns an enrolment token. It is asked when there is no certificate that could
	// be renewed: before the first one, and when the last one has ended. Nil: there is none.
	Token func() (string, error)

	// ServerRoots are what the Server's certificate may chain to, beside the authority's own
	// root. Nil: nothing else.
	ServerRoots *x509.CertPool

	// Revocation says how the authority is asked whether the other end's certificates were
	// revoked. Nil: it is not asked.
	Revocation *Revocation

	// Check may refuse a peer that was verified. It is asked in every handshake, also of resumed connections;
	// VerifiedChains holds the chains that were found. Nil: nothing is asked.
	Check func(tls.ConnectionState) error

	// Warn learns what went wrong behind the program's back, such as a renewal that will be
	// tried again. It may be called by several goroutines at once. Nil: nobody is told.
	Warn func(error)

	Now func() time.Time // nil: time.Now

	tick <-chan time.Time // nil: each second
}

// Certificate is a certificate that is kept fresh until [Certificate.Close]. It is safe for
// concurrent use.
type Certificate struct {
	options Options
	kept    *certfile.Kept
	roots   atomic.Pointer[roots]
	keep    func(context.Context) // what is done each second
	revoked *revocation.Checker   // nil: nobody is asked

	life   context.Context
	stop   context.CancelFunc
	mu     sync.Mutex
	closed bool // nothing begins any more; guarded by mu
	owned  sync.WaitGroup
}

// roots are what others are verified against.
type roots struct {
	list []*x509.Certificate
	pool *x509.CertPool
}

// Open reads the certificate, or gets the first one, and keeps it fresh from then on. It
// returns when there is one in force; ctx bounds this and nothing later.
func Open(ctx context.Context, o Options) (*Certificate, error) {
	if o.Chain == "" {
		return nil, errors.New("workload: Options.Chain is empty: name the file for the certificate")
	}
	o.complete()
	c := &Certificate{options: o}
	c.life, c.stop = context.WithCancel(context.Background())
	if err := c.askAbout(o.Revocation); err != nil {
		return nil, err
	}
	begin := c.watch
	if o.Server != "" {
		begin = c.renew
	}
	if err := begin(ctx); err != nil {
		c.stop()
		return nil, fmt.Errorf("workload: %w", err)
	}
	c.start()
	return c, nil
}

// complete fills in what was left out.
func (o *Options) complete() {
	base := strings.TrimSuffix(o.Chain, filepath.Ext(o.Chain))
	if o.Key == "" {
		o.Key = base + "-key.pem"
	}
	if o.Roots == "" {
		o.Roots = base + "-roots.pem"
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// files are the certificate's.
func (o *Options) files(source renewed.Source) *certfile.Kept {
	return certfile.NewKept(certfile.Files{Chain: o.Chain, Key: o.Key}, renewed.Options{Source: source, Now: o.Now, Jitter: rand.Float64()})
}

// every is how often it is asked whether something is due, or has changed.
const every = time.Second

// start runs the one goroutine.
func (c *Certificate) start() {
	tick, stop := c.options.tick, func() {}
	if tick == nil {
		ticker := time.NewTicker(every)
		tick, stop = ticker.C, ticker.Stop
	}
	c.owned.Go(func() {
		defer stop()
		for {
			select {
			case <-c.life.Done():
				return
			case <-tick:
				c.keep(c.life)
			}
		}
	})
}

// Close ends the renewal and waits for it. The certificate goes on being shown, for as long
// as it is in force. The error is always nil.
func (c *Certificate) Close() error {
	c.stop()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.owned.Wait()
	return nil
}

// Current returns the certificate in force; an error if the last one has ended.
func (c *Certificate) Current() (*tls.Certificate, error) { return c.kept.Get() }

// Roots returns those that the authority has now, for programs that make a tls.Config for
// each connection.
func (c *Certificate) Roots() *x509.CertPool { return c.roots.Load().pool.Clone() }

// warn tells of something that went wrong, unless it is because of the end.
func (c *Certificate) warn(ctx context.Context, err error) {
	if ctx.Err() == nil {
		c.options.Warn(fmt.Errorf("workload: %s: %w", c.options.Chain, err))
	}
}

// trust puts roots in force.
func (c *Certificate) trust(list []*x509.Certificate) {
	next := &roots{list: list, pool: x509.NewCertPool()}
	for _, root := range list {
		next.pool.AddCert(root)
	}
	c.roots.Store(next)
}
