// Package gateway takes accepted requests to the services behind Pavise, and
// their answers back.
//
// An [Upstream] is a set of addresses that serve the same API. It is an
// http.Handler whose requests have passed the guard:
//
//	u, err := gateway.New(gateway.Settings{Name: "orders", Addresses: []string{"http://127.0.0.1:9000"}, …})
//	…
//	guard.Wrap(u)
//	…
//	u.Close()
//
// What was checked is what is sent: path and query are the bytes that were
// matched, and no field that tells a service who called, from where, or what he
// meant comes from outside (headers.go lists them). The gateway adds X-Forwarded-For,
// -Proto and -Host, Forwarded, X-Request-Id, a signed Pavise-Identity, and, if asked,
// plain identity headers, Client-Cert and Via; nothing else. Hop-by-hop fields end
// here in both directions.
//
// Bodies stream both ways. An answer that breaks off breaks the caller's connection:
// half an answer never looks whole. Streams and upgraded connections end when the
// credential does.
//
// Requests go to the healthy address with the fewest under way. An address that
// fails in a row is left alone for a while. A request is sent a second time only
// if nothing of it can have been acted upon, or acting twice does no harm.
//
// HTTP/1.1 is spoken by a client of our own (http1.go), HTTP/2 by net/http
// (http2.go). The choices are explained in docs/decisions/0070-proxying.md. What
// this package does not do: it decides nothing about the caller, caches nothing,
// rewrites no path, follows no redirect and decompresses nothing.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// Upstream serves requests from its addresses. It is safe for concurrent use.
type Upstream struct {
	s         Settings
	rules     *headerRules
	plain     []plainHeader
	addresses []*address
	turn      atomic.Uint64
	tokens    *tokens
	budget    *budget
	watcher   watcher
	buffers   buffers // for copying
	bodies    buffers // for short bodies

	stop       context.CancelFunc
	stopHealth context.CancelFunc
	owned      sync.WaitGroup
	closed     atomic.Bool
}

// New checks the settings and starts the upstream's goroutines; [Upstream.Close]
// stops them. It connects to nothing yet.
func New(s Settings) (*Upstream, error) {
	s.withDefaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	u := &Upstream{s: s, rules: newHeaderRules(&s), plain: plainHeaders(s.PlainHeaders), budget: newBudget(s.Retry.Budget)}
	u.buffers.size, u.bodies.size = 32<<10, inlineMax
	u.watcher.open = map[*watched]struct{}{}
	if s.Signer != nil {
		u.tokens = newTokens(s.Signer, s.Name)
	}
	seen := map[string]bool{}
	for _, raw := range s.Addresses {
		a, err := u.newAddress(raw)
		if err != nil {
			return nil, err
		}
		if seen[a.name] {
			return nil, fmt.Errorf("upstream address %s stands twice", a.name)
		}
		seen[a.name] = true
		u.addresses = append(u.addresses, a)
	}
	u.start()
	return u, nil
}

func (u *Upstream) start() {
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	u.owned.Go(func() { u.keep(ctx) })
	health, cancelHealth := context.WithCancel(ctx)
	u.stopHealth = cancelHealth
	if u.s.Health.Path != "" {
		for _, a := range u.addresses {
			u.owned.Go(func() { a.watchHealth(health) })
		}
	}
}

// keep ends streams and old connections.
func (u *Upstream) keep(ctx context.Context) {
	ticks, stop := u.s.Tick(watchEvery)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			u.watcher.tick(u.s.Now(), u.s.Held)
			for _, a := range u.addresses {
				a.h1.prune(time.Now())
			}
		}
	}
}

// Retire stops the health checks and nothing else: an upstream whose configuration
// was replaced serves what is still under way, and is closed when that has ended.
func (u *Upstream) Retire() { u.stopHealth() }

// Close ends open streams, closes kept connections and waits for the upstream's
// goroutines. Requests under way may finish; new ones get 503.
func (u *Upstream) Close() {
	if u.closed.Swap(true) {
		return
	}
	u.stop()
	u.owned.Wait()
	u.watcher.endAll("shutdown")
	for _, a := range u.addresses {
		a.h1.close()
		a.h2.close()
	}
}

// ServeHTTP sends the request to an address and its answer to the caller. It
// panics with http.ErrAbortHandler if an answer that has begun cannot be completed.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.serve(w, r, u.s.Timeouts.ResponseHeader)
}

// Within is the same upstream, with the same connections and the same opinion of
// its addresses, for requests whose answer must begin within another time than
// [Timeouts].ResponseHeader; 0 means that one.
func (u *Upstream) Within(wait time.Duration) http.Handler {
	if wait <= 0 {
		return u
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.serve(w, r, wait) })
}

func (u *Upstream) serve(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	x, refusal := u.newExchange(w, r, wait)
	if refusal != nil {
		u.s.Report(r, Result{Unsent: true})
		u.s.Fail(w, r, refusal)
		return
	}
	defer x.leave()
	f := x.readInline()
	var rep reply
	if f == nil {
		rep, f = x.send()
	}
	if f != nil {
		x.timed(0)
		x.failed(f)
		return
	}
	x.respond(rep)
}

// leave ends what the exchange owns.
func (x *exchange) leave() {
	if x.watched != nil {
		x.u.watcher.remove(x.watched)
	}
	if x.at != nil {
		x.at.release()
	}
	if x.body.pooled != nil {
		x.u.bodies.put(x.body.pooled)
	}
}

// send tries addresses until one answers, or trying again would not be safe.
func (x *exchange) send() (reply, *fault) {
	u := x.u
	if u.closed.Load() {
		return nil, x.nobody(nil)
	}
	u.budget.earn()
	var last *fault
	fresh := false
	for try := 0; ; try++ {
		avoid := x.at
		if last != nil && last.stale {
			avoid = nil // its kept connection was old; the address itself has not failed
		}
		next := u.pick(avoid)
		if x.at != nil {
			x.at.release()
		}
		x.at = next
		if next == nil {
			return nil, x.nobody(last)
		}
		x.result.Addr = next.name
		rep, f := x.attempt(next, fresh)
		if f == nil {
			return rep, nil
		}
		again := x.repeatable(f)
		if f.stale && !fresh && again {
			last, fresh = f, true
			try-- // a kept connection was old: no failure of the address, and no try
			continue
		}
		last, fresh = f, true
		if !again || try >= u.s.Retry.Max || !u.budget.spend() {
			return nil, f
		}
	}
}

// attempt sends the request to one address and tells its breaker.
func (x *exchange) attempt(a *address, fresh bool) (reply, *fault) {
	via, f := a.transport(x)
	var rep reply
	if f == nil {
		rep, f = via.send(x, fresh)
	}
	x.reached = x.reached || f == nil || f.stage != unsent
	switch {
	case f == nil:
		x.timed(rep.head().status)
		if x.u.countsAsFailure(x.result.Status) {
			a.breaker.failure(x.u.s.Now())
		} else {
			a.breaker.succeeded()
		}
		x.u.s.Report(x.r, x.result)
	case f.stage == atFault, f.stale:
		a.breaker.undecided()
	default:
		a.breaker.failure(x.u.s.Now())
		if f.stage == unsent {
			a.forgetProtocol()
		}
	}
	return rep, f
}

// repeatable reports whether sending the request again can do no harm: nothing
// of it was sent, or its method is idempotent; and its body is still there.
func (x *exchange) repeatable(f *fault) bool {
	if f.stage == atFault || x.hinted || x.r.Context().Err() != nil || !x.body.repeatable() {
		return false
	}
	if f.stage == unsent {
		return f.stale || len(x.u.addresses) > 1
	}
	return isIdempotent(x.r.Method) && (f.stale || isEnd(f.err))
}

// nobody is the fault of a request that no address can take.
func (x *exchange) nobody(last *fault) *fault {
	if last != nil {
		return last
	}
	refusal := shield.Refuse(shield.UpstreamDown, "upstream %s: every one of its %d addresses is ill, ejected or full", x.u.s.Name, len(x.u.addresses))
	seconds := int((x.u.retryAfter() + time.Second - 1) / time.Second)
	refusal.Header = http.Header{"Retry-After": {strconv.Itoa(seconds)}}
	return &fault{err: errors.New("no healthy address"), refusal: refusal}
}

// failed answers for an exchange without an answer.
func (x *exchange) failed(f *fault) {
	x.result.Unsent = !x.reached
	if f.stage == atFault && f.refusal == nil || x.ended.Load() != nil {
		x.result.Note = x.note()
		x.u.s.Report(x.r, x.result)
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	if f.stage == atFault {
		closesAfter(x.w.Header(), x.r) // nothing can follow such a body
	}
	x.u.s.Report(x.r, x.result)
	x.u.s.Fail(x.w, x.r, x.refusalFor(f))
}
