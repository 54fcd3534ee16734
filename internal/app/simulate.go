package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// World stands in the place of what a policy knows of others: whose credentials there are, the
// keys of issuers, the authorities in bundles. With one that can issue everything, a policy can
// be asked about any caller there could be.
type World struct {
	Now         time.Time
	Credentials shield.Lookup
	Issuer      func(f *config.File, name string) (*shield.Issuer, error)
	Bundle      func(text []byte) []byte // what a shield reads instead of a file with authorities
	Own         func() []byte            // the installation's own authority, PEM
}

// Simulation is the guard of a configuration over a [World]: the one that would serve, with all
// its steps, but for what is behind it. What one request counts does not touch the next, if their
// callers and addresses differ. It is for one
// goroutine.
type Simulation struct {
	handler http.Handler
	policy  pavise.Policy
	limiter *fresh
	sink    *lastEvent
	flows   string // a folder to remove
	store   *flow.Store
	shared  bool // callers share counters
	decided int
}

// Decision is what became of a request.
type Decision struct {
	Passed   bool   // it reached the service, or is a preflight that was granted
	Status   int    // of the answer
	Step     string // where it was refused
	Code     string
	Endpoint string // the pattern; empty: none
	API      string
}

// Simulate makes the guard of a configuration over a world.
func Simulate(f *config.File, w *World) (_ *Simulation, err error) {
	moment := w.Now.Add(-startedBefore)
	s := &Simulation{sink: &lastEvent{}, limiter: &fresh{now: func() time.Time { return moment }}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	a := &App{now: s.limiter.now, rand: rand.Reader, library: true, sink: s.sink, lookup: w.Credentials, revoked: nobody{}, once: nobody{}, world: w, installed: f}
	if err := a.openLimits(f); err != nil {
		return nil, err
	}
	if a.tried, err = s.openFlows(f, a.now); err != nil {
		return nil, err
	}
	g := &generation{file: f, files: &files{dir: f.Dir}, trusts: issuersOf{w, f}, now: a.now}
	if s.policy, err = a.policy(f, g); err != nil {
		return nil, err
	}
	s.policy.Limiter, s.policy.Tries, s.policy.Blocks, s.policy.Load = s.limiter, nil, nil, nil
	s.policy.Quotas = &s.limiter.quotas
	guard, err := pavise.New(s.policy)
	if err != nil {
		return nil, err
	}
	s.handler = guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.sink.handed = true
		w.WriteHeader(http.StatusNoContent)
	}))
	moment = w.Now
	return s, s.limiter.reset()
}

// startedBefore is how long ago a simulation was started: after a start, what was signed before
// it is refused for a while.
const startedBefore = time.Hour

// openFlows opens a store for what must not be done twice, where an endpoint needs one.
func (s *Simulation) openFlows(f *config.File, now clock) (*flow.Store, error) {
	resolved, err := f.Resolve()
	if err != nil {
		return nil, err
	}
	for _, e := range resolved {
		s.shared = s.shared || slices.ContainsFunc(e.Limits, func(l limit.Limit) bool { return l.Per == limit.PerEndpoint }) ||
			slices.ContainsFunc(e.Quotas, func(q limit.Quota) bool { return q.Per == limit.PerEndpoint })
	}
	for _, e := range resolved {
		if e.Idempotency == nil && e.Step == nil {
			continue
		}
		if s.flows, err = os.MkdirTemp("", "pavise-check-"); err != nil {
			return nil, fmt.Errorf("make a folder for keys that are tried: %w", err)
		}
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		s.store, err = flow.Open(flow.Options{Dir: s.flows, Key: key, Now: now, Warn: func(error) {}, MaxKeys: 4096, MaxBytes: 1 << 20, Scratch: true})
		return s.store, err
	}
	return nil, nil
}

// Close removes what the simulation kept.
func (s *Simulation) Close() (err error) {
	if s.store != nil {
		err = s.store.Close()
	}
	if s.flows != "" {
		err = errors.Join(err, os.RemoveAll(s.flows))
	}
	return err
}

// Decide has the guard decide about a request.
func (s *Simulation) Decide(r *http.Request) (Decision, error) {
	// Where each caller has counters of his own, those of strangers need not be forgotten.
	if s.decided++; s.shared || s.decided%4096 == 0 {
		if err := s.limiter.reset(); err != nil {
			return Decision{}, err
		}
	}
	return s.decide(r), nil
}

// Repeat has the guard decide about the same caller's requests one after the other, until one
// does not pass, and says how many did, at most so many.
func (s *Simulation) Repeat(next func() (*http.Request, error), most int) (passed int, err error) {
	if err := s.limiter.reset(); err != nil {
		return 0, err
	}
	for passed < most {
		r, err := next()
		if err != nil {
			return passed, err
		}
		if !s.decide(r).Passed {
			break
		}
		passed++
	}
	return passed, nil
}

func (s *Simulation) decide(r *http.Request) Decision {
	*s.sink = lastEvent{}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	d := Decision{Passed: s.sink.handed, Status: w.Code, Step: s.sink.step, Code: s.sink.code, Endpoint: s.sink.endpoint, API: s.sink.api}
	if r.Method == http.MethodOptions && w.Code == http.StatusNoContent && w.Header().Get("Access-Control-Allow-Methods") != "" {
		d.Passed = true
	}
	return d
}

// lastEvent keeps what an event says of a decision.
type lastEvent struct {
	handed                    bool
	step, code, endpoint, api string
}

// Begin implements audit.Sink.
func (l *lastEvent) Begin(e *audit.Event) error {
	l.step, l.code, l.endpoint, l.api = e.Step, e.Code, e.Endpoint, e.API
	return nil
}

// Complete implements audit.Sink.
func (l *lastEvent) Complete(*audit.Event) {}

// fresh is a limiter, and beside it the quotas, which can be begun anew.
type fresh struct {
	limit.Limiter

	now    clock
	quotas freshQuotas
}

type freshQuotas struct{ limit.Quotas }

// reset begins anew, where something was counted.
func (f *fresh) reset() (err error) {
	if f.Limiter, err = limit.NewMemory(limit.MemoryOptions{Now: f.now}); err != nil {
		return err
	}
	f.quotas.Quotas, err = limit.NewMemoryQuotas(0, f.now)
	return err
}

// issuersOf are the issuers of a configuration, with the keys of a world.
type issuersOf struct {
	world *World
	file  *config.File
}

// Issuer implements shield.Issuers.
func (i issuersOf) Issuer(name string) (*shield.Issuer, error) { return i.world.Issuer(i.file, name) }

// env is what the shields of a simulation may use.
func (w *World) env(a *App, g *generation) shield.Env {
	return shield.Env{
		Now: a.now, Rand: a.rand, Credentials: a.lookup, Revoked: a.revoked, Issuers: g.trusts, Files: twins{g.files, w},
		Authority: stead{w}, Go: func(func(context.Context)) {}, Key: func(string) ([]byte, error) { return make([]byte, 32), nil },
	}
}

// twins reads bundles in which each authority is replaced by one that the world has the key of.
type twins struct {
	*files

	world *World
}

// Read implements shield.Files.
func (t twins) Read(name string) ([]byte, error) {
	text, err := t.files.Read(name)
	if err != nil {
		return nil, err
	}
	return t.world.Bundle(text), nil
}

// stead is the world's authority in the place of the installation's.
type stead struct{ world *World }

// Issuers implements shield.Authority.
func (s stead) Issuers() ([]byte, error) { return s.world.Own(), nil }

// Pins implements shield.Authority.
func (s stead) Pins() []string { return nil }

// Watch implements shield.Authority.
func (s stead) Watch(func()) {}
