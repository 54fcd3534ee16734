package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// address is one of an upstream's addresses, with its state.
type address struct {
	u        *Upstream
	url      *url.URL
	name     string // for events: the address as configured
	hostport string
	tls      *tls.Config // nil: plain

	h1 *http1
	h2 *http2

	spokeH2  atomic.Bool // a TLS handshake chose HTTP/2
	spokeH1  atomic.Bool // a TLS handshake chose HTTP/1.1
	inFlight atomic.Int64
	sick     atomic.Bool // the health check says so
	breaker  breaker
}

func (u *Upstream) newAddress(raw string) (*address, error) {
	parsed, err := parseAddress(raw, u.s.Protocol)
	if err != nil {
		return nil, err
	}
	a := &address{u: u, url: parsed, name: parsed.String()}
	port := parsed.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[parsed.Scheme]
	}
	a.hostport = net.JoinHostPort(parsed.Hostname(), port)
	if parsed.Scheme == "https" {
		a.tls = u.s.TLS.config(parsed.Hostname())
	}
	a.breaker = breaker{s: u.s.Breaker}
	a.h1 = &http1{u: u, at: a}
	a.h2 = newHTTP2(u, a)
	return a, nil
}

// config makes the TLS configuration for an address (ASVS 12.3).
func (t *TLS) config(host string) *tls.Config {
	if t.Config != nil {
		config := t.Config.Clone()
		if config.ServerName == "" {
			config.ServerName = host
		}
		return config
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: t.Roots, ServerName: host,
		InsecureSkipVerify: t.InsecureSkipVerify != "", //nolint:gosec // has a reason, and `check` lists it
	}
	if t.ServerName != "" {
		config.ServerName = t.ServerName
	}
	if t.Certificate == nil {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	if own := t.Certificate; own != nil { // no resumption: a resumed session goes on under the certificate that it began with
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert := own(); cert != nil {
				return cert, nil
			}
			return new(tls.Certificate), nil // none: the upstream decides
		}
	}
	return config
}

// dialError marks the errors before a connection stood: nothing was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return "connect: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dial connects within the connect timeout, and says by TLS which of the
// protocols we would speak.
func (a *address) dial(ctx context.Context, protocols []string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, a.u.s.Timeouts.Connect)
	defer cancel()
	nc, err := a.u.s.Dial(ctx, "tcp", a.hostport)
	if err != nil {
		return nil, &dialError{err}
	}
	if a.tls == nil {
		return nc, nil
	}
	config := a.tls.Clone()
	config.NextProtos = protocols
	secure, err := handshake(ctx, nc, config)
	if err != nil {
		return nil, &dialError{err}
	}
	return secure, nil
}

// transport chooses the protocol. An https:// address is asked once, by a
// handshake that offers both.
func (a *address) transport(x *exchange) (transport, *fault) {
	switch {
	case a.u.s.Protocol == "h2c":
		return a.h2, nil
	case a.tls == nil, x.upgrade != "", a.spokeH1.Load():
		return a.h1, nil
	case a.spokeH2.Load():
		return a.h2, nil
	}
	nc, err := a.dial(x.r.Context(), []string{"h2", "http/1.1"})
	if err != nil {
		return nil, x.dialFault(err)
	}
	if secure, ok := nc.(*tls.Conn); ok && secure.ConnectionState().NegotiatedProtocol == "h2" {
		_ = nc.Close() // its only purpose was to ask; once in the life of an address
		a.spokeH2.Store(true)
		return a.h2, nil
	}
	a.spokeH1.Store(true)
	c := a.h1.adopt(nc)
	c.last = time.Now()
	if !a.h1.put(c) {
		_ = nc.Close() // the upstream was closed meanwhile
	}
	return a.h1, nil
}

// forgetProtocol has the next request ask again: the peer may have been replaced.
func (a *address) forgetProtocol() {
	a.spokeH1.Store(false)
	a.spokeH2.Store(false)
}

// pick takes the address with the fewest requests under way among those that are
// healthy, without the one that just failed if there is another. Ties go round.
// The caller gives the place back with release.
func (u *Upstream) pick(not *address) *address {
	now := u.s.Now()
	start := 0
	if len(u.addresses) > 1 {
		start = int(u.turn.Add(1) % uint64(len(u.addresses)))
	}
	var tried [8]*address
	skip := tried[:0]
	if not != nil && len(u.addresses) > 1 {
		skip = append(skip, not)
	}
	for {
		best := u.best(start, skip, now)
		if best == nil {
			return nil
		}
		if best.take(now) {
			return best
		}
		skip = append(skip, best)
	}
}

func (u *Upstream) best(start int, skip []*address, now time.Time) *address {
	var best *address
	var least int64
	for i := range u.addresses {
		a := u.addresses[(start+i)%len(u.addresses)]
		load := a.inFlight.Load()
		if best != nil && load >= least || load >= int64(u.s.MaxConns) || a.sick.Load() || !a.breaker.allows(now) || slices.Contains(skip, a) {
			continue
		}
		best, least = a, load
	}
	return best
}

// take reserves a place; false if another request was faster.
func (a *address) take(now time.Time) bool {
	if a.inFlight.Add(1) > int64(a.u.s.MaxConns) || !a.breaker.enter(now) {
		a.inFlight.Add(-1)
		return false
	}
	return true
}

func (a *address) release() { a.inFlight.Add(-1) }

// retryAfter is how long until an address may be tried again.
func (u *Upstream) retryAfter() time.Duration {
	now := u.s.Now()
	least := u.s.Health.Interval
	for _, a := range u.addresses {
		if wait := a.breaker.wait(now); wait > 0 {
			least = min(least, wait)
		}
	}
	return max(least, time.Second)
}

// breaker counts failures in a row. Closed: requests pass. Open: none does until
// a moment. After it: one may try, and decides.
type breaker struct {
	s Breaker

	tripped atomic.Bool // open or half-open: the quick answer for the usual case
	failed  atomic.Int64

	mu      sync.Mutex
	until   time.Time
	pause   time.Duration
	probing bool
}

// allows reports whether a request may pass now; it reserves nothing.
func (b *breaker) allows(now time.Time) bool {
	if !b.tripped.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !now.Before(b.until) && !b.probing
}

// enter lets a request pass; through an open breaker only one whose turn it is.
func (b *breaker) enter(now time.Time) bool {
	if !b.tripped.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.tripped.Load() {
		return true
	}
	if now.Before(b.until) || b.probing {
		return false
	}
	b.probing = true
	return true
}

func (b *breaker) wait(now time.Time) time.Duration {
	if !b.tripped.Load() {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until.Sub(now)
}

// succeeded closes the breaker.
func (b *breaker) succeeded() {
	if b.failed.Load() != 0 {
		b.failed.Store(0)
	}
	if !b.tripped.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tripped.Store(false)
	b.probing, b.pause = false, 0
}

// failure opens the breaker after enough of them in a row, each time for longer.
func (b *breaker) failure(now time.Time) {
	failures := b.failed.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tripped.Load() && !b.probing || !b.tripped.Load() && failures < int64(b.s.Failures) {
		return
	}
	b.pause = min(max(2*b.pause, b.s.Open), b.s.MaxOpen)
	b.until = now.Add(b.pause)
	b.probing = false
	b.tripped.Store(true)
}

// undecided gives a probe back that ended for the caller's own reasons.
func (b *breaker) undecided() {
	if !b.tripped.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// budget bounds tries to a share of the requests, so that a failing upstream is
// not finished off by them.
type budget struct {
	perCent int64
	cents   atomic.Int64 // hundredths of a try
}

const budgetMax = 1000 // ten tries

func newBudget(perCent int) *budget {
	b := &budget{perCent: int64(perCent)}
	b.cents.Store(budgetMax)
	return b
}

func (b *budget) earn() {
	if b.cents.Load() < budgetMax {
		b.cents.Add(b.perCent)
	}
}

func (b *budget) spend() bool {
	if b.cents.Add(-100) >= 0 {
		return true
	}
	b.cents.Add(100)
	return false
}

// countsAsFailure reports whether a status says that the address itself is ill.
func (u *Upstream) countsAsFailure(status int) bool {
	return status >= http.StatusInternalServerError && slices.Contains(u.s.Breaker.Statuses, status)
}
