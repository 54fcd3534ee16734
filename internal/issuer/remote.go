package issuer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/shield"
)

// Bounds of one fetch on behalf of requests.
const (
	fetchTime  = 15 * time.Second // discovery and keys together, whatever the Fetcher's own patience
	maxWaiters = 256              // requests that wait for one fetch; the next is answered 503 at once
	retryAfter = time.Second      // after the first failure; doubled up to the cool-down
)

// remote keeps the keys of an issuer that are fetched from an address.
//
// One goroutine refreshes them before they are old. A request whose kid is
// unknown may cause a fetch out of turn, at most one per cool-down, however many
// ask; while it lasts they wait for it together.
type remote struct {
	settings Settings
	fetch    shield.Fetcher
	now      func() time.Time
	warn     func(issuer, text string)

	state  atomic.Pointer[state]
	wake   chan struct{}
	ctx    context.Context // ends with Close; every fetch is made under it, none under a request's
	cancel context.CancelFunc
	own    sync.WaitGroup

	mu       sync.Mutex
	flight   *flight   // the fetch under way
	waiting  int       // requests that wait for it
	address  string    // of the keys, as discovered
	demanded time.Time // when a request last caused a fetch
	retry    time.Time // no refresh before
	failures int
	failed   error // of the last fetch
	warned   string
}

// state is what the last good fetch brought.
type state struct {
	keys    *keySet
	count   int
	fetched time.Time
	due     time.Time // of the next refresh
}

type flight struct {
	done chan struct{}
	err  error
}

func newRemote(s Settings, env Env) *remote {
	ctx, cancel := context.WithCancel(context.Background())
	r := &remote{settings: s, fetch: s.Fetch, now: env.Now, warn: env.Warn, wake: make(chan struct{}, 1), ctx: ctx, cancel: cancel}
	if r.fetch == nil {
		r.fetch = env.Fetch
	}
	return r
}

// adopt takes over what other knows, if it is about the same keys.
func (r *remote) adopt(other *remote) {
	if r.settings.sameKeys(other.settings) {
		other.mu.Lock()
		defer other.mu.Unlock()
		r.state.Store(other.state.Load())
		r.address, r.demanded = other.address, other.demanded
	}
}

// start fetches the keys, unless they were adopted, and keeps them fresh.
func (r *remote) start() {
	r.mu.Lock()
	if s := r.state.Load(); s == nil || !r.now().Before(s.due) {
		r.begin(true)
	}
	r.mu.Unlock()
	r.own.Go(r.keepFresh)
}

// stop lets no further fetch begin; wait for r.own after it.
func (r *remote) stop() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
}

// Key implements [shield.KeySource].
func (r *remote) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	key, outcome, current := r.find(kid, alg)
	if current && outcome != unknown {
		return answer(key, outcome)
	}
	if len(kid) > MaxKeyID {
		return nil, shield.Refuse(shield.InvalidCredential, "the token's kid has more than %d bytes", MaxKeyID)
	}
	if err := r.fetchNow(ctx); err != nil {
		return nil, fmt.Errorf("keys of issuer %s: %w", r.settings.Name, err)
	}
	key, outcome, current = r.find(kid, alg)
	if !current {
		return nil, fmt.Errorf("keys of issuer %s are older than %s and could not be fetched", r.settings.Name, r.settings.KeysMaxAge)
	}
	return answer(key, outcome)
}

func answer(key crypto.PublicKey, outcome outcome) (crypto.PublicKey, error) {
	if outcome != found {
		return nil, outcome.refusal()
	}
	return key, nil
}

// find looks into the keys at hand; current is false if there are none, or only
// ones that are too old to be trusted.
func (r *remote) find(kid, alg string) (key crypto.PublicKey, o outcome, current bool) {
	s, now := r.state.Load(), r.now()
	if s == nil {
		return nil, unknown, false
	}
	if !now.Before(s.due) {
		select {
		case r.wake <- struct{}{}:
		default: // already woken
		}
	}
	if age := now.Sub(s.fetched); age > r.settings.KeysMaxAge {
		return nil, unknown, false
	}
	key, o = s.keys.find(kid, alg)
	return key, o, true
}

// errBusy says that too many requests wait for the same fetch.
var errBusy = errors.New("too many requests wait for the keys to be fetched")

// fetchNow makes sure that the keys were fetched within the cool-down. Nil means
// that they are as new as they may be, though perhaps without the kid in question.
func (r *remote) fetchNow(ctx context.Context) error {
	f, err := r.join()
	if f == nil {
		return err
	}
	defer func() {
		r.mu.Lock()
		r.waiting--
		r.mu.Unlock()
	}()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// join returns the fetch to wait for: the one under way, or a new one. In the
// cool-down there is none, and the error is that of the last.
func (r *remote) join() (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil {
		now := r.now()
		since := now.Sub(r.demanded)
		if since >= 0 && since < r.settings.CoolDown { // negative: the clock was put back
			return nil, r.failed
		}
		r.demanded = now
		r.begin(false)
	}
	if r.waiting >= maxWaiters {
		return nil, errBusy
	}
	r.waiting++
	return r.flight, nil
}

// begin starts a fetch; the caller holds mu, and none is under way. A discovery
// document that was read before is read again only if rediscover.
func (r *remote) begin(rediscover bool) *flight {
	f := &flight{done: make(chan struct{})}
	if r.ctx.Err() != nil {
		f.err = errors.New("the issuer was closed")
		close(f.done)
		return f
	}
	r.flight = f
	r.own.Go(func() { r.run(f, rediscover) })
	return f
}

func (r *remote) run(f *flight, rediscover bool) {
	ctx, cancel := context.WithTimeout(r.ctx, fetchTime)
	defer cancel()
	asked := r.now()
	keys, warnings, err := r.load(ctx, rediscover)

	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.keep(keys, asked)
	}
	r.note(err, warnings)
	f.err = err
	r.flight = nil
	close(f.done)
}

func (r *remote) keep(keys []Key, asked time.Time) error {
	set, err := newKeySet(keys)
	if err != nil {
		return err
	}
	early := time.Duration(rand.Int64N(int64(r.settings.CacheFor)/10 + 1)) // so that a fleet does not ask at once
	r.state.Store(&state{keys: set, count: len(keys), fetched: asked, due: asked.Add(r.settings.CacheFor - early)})
	return nil
}

// note remembers how a fetch went, and warns once of what is new.
func (r *remote) note(err error, warnings []string) {
	r.failed = err
	if err == nil {
		r.failures, r.retry = 0, time.Time{}
	} else {
		wait := min(retryAfter<<min(r.failures, 10), max(r.settings.CoolDown, retryAfter))
		r.failures++
		r.retry = r.now().Add(wait)
		warnings = append(warnings, "fetch its keys: "+err.Error())
	}
	text := strings.Join(warnings, "; ")
	if text != r.warned && text != "" && r.ctx.Err() == nil {
		r.warn(r.settings.Name, text)
	}
	r.warned = text
}

// load asks for the keys, after the discovery document where that is the way.
func (r *remote) load(ctx context.Context, rediscover bool) ([]Key, []string, error) {
	address := r.settings.JWKS
	if address == "" {
		r.mu.Lock()
		address = r.address
		r.mu.Unlock()
		if address == "" || rediscover {
			var err error
			if address, err = discover(ctx, r.fetch, r.settings.URL, keysMember); err != nil {
				return nil, nil, err
			}
			r.mu.Lock()
			r.address = address
			r.mu.Unlock()
		}
	}
	document, _, err := r.fetch.Get(ctx, address, MaxDocument)
	if err != nil {
		return nil, nil, err
	}
	return ParseKeys(document, r.settings.Algorithms)
}

// keepFresh refreshes the keys when they are due, until Close.
func (r *remote) keepFresh() {
	for {
		timer := time.NewTimer(r.untilDue())
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-r.wake:
			timer.Stop()
		}
		r.refreshIfDue()
	}
}

// untilDue is at least a second, so that a clock that stands still is not asked
// in a loop.
func (r *remote) untilDue() time.Duration {
	r.mu.Lock()
	retry := r.retry
	r.mu.Unlock()
	next := retry
	if s := r.state.Load(); s != nil && s.due.After(next) {
		next = s.due
	}
	return min(max(next.Sub(r.now()), time.Second), r.settings.CacheFor)
}

func (r *remote) refreshIfDue() {
	now := r.now()
	if s := r.state.Load(); s != nil && now.Before(s.due) {
		return
	}
	r.mu.Lock()
	if now.Before(r.retry) {
		r.mu.Unlock()
		return
	}
	f := r.flight
	if f == nil {
		f = r.begin(true)
	}
	r.mu.Unlock()
	<-f.done
}

// refresh fetches the keys now, for whoever wants to know at once whether it works.
func (r *remote) refresh(ctx context.Context) error {
	r.mu.Lock()
	f := r.flight
	if f == nil {
		f = r.begin(true)
	}
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *remote) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	status := Status{Name: r.settings.Name, Err: r.failed}
	if s := r.state.Load(); s != nil {
		status.Keys, status.Fetched = s.count, s.fetched
	}
	return status
}
