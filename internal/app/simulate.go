package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/check/against"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// Against compares two configurations by what they decide.
func Against(older, newer *config.File, now time.Time) (_ *against.Result, err error) {
	var opened []*Simulation
	defer func() {
		for _, s := range opened {
			err = errors.Join(err, s.Close())
		}
	}()
	return against.Compare(older, newer, func(f *config.File, o against.Others) (against.Guard, error) {
		s, err := Simulate(f, &o)
		if err != nil {
			return nil, err
		}
		opened = append(opened, s)
		return s, nil
	}, now)
}

// Simulation is the guard of a configuration over others who can issue everything, so that it can
// be asked about any caller there could be: the one that would serve, with all its steps, but for
// what is behind it. It is for one goroutine.
type Simulation struct {
	handler http.Handler
	policy  pavise.Policy
	sink    *lastEvent
	flows   string // a folder to remove
	store   *flow.Store

	meanwhile func() // what is done while a request is under way
}

// Simulate makes the guard of a configuration over others.
func Simulate(f *config.File, o *against.Others) (_ *Simulation, err error) {
	moment := o.Now.Add(-startedBefore)
	s := &Simulation{sink: &lastEvent{}}
	now := func() time.Time { return moment }
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	a := &App{now: now, rand: rand.Reader, library: true, sink: s.sink, lookup: o.Credentials, revoked: nobody{}, once: nobody{}, others: o, installed: f}
	if err := a.openLimits(f); err != nil {
		return nil, err
	}
	o.Tries(a.tries)
	if a.tried, err = s.openFlows(f, a.now); err != nil {
		return nil, err
	}
	g := &generation{file: f, files: &files{dir: f.Dir}, trusts: issuersOf{o, f}, now: a.now}
	if s.policy, err = a.policy(f, g); err != nil {
		return nil, err
	}
	s.policy.Limiter, s.policy.Quotas, s.policy.Blocks, s.policy.Load = o.Limiter, o.Quotas, nil, nil
	guard, err := pavise.New(s.policy)
	if err != nil {
		return nil, err
	}
	s.handler = guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.meanwhile()
		s.sink.handed = true
		w.WriteHeader(http.StatusNoContent)
	}))
	moment = o.Now
	return s, nil
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

// Decide implements [against.Guard].
func (s *Simulation) Decide(r *http.Request) (against.Decision, error) {
	return s.Hold(r, func() {})
}

// Hold implements [against.Guard]. Requests that are held are within each other.
func (s *Simulation) Hold(r *http.Request, meanwhile func()) (against.Decision, error) {
	outer, before := *s.sink, s.meanwhile
	defer func() { *s.sink, s.meanwhile = outer, before }()
	*s.sink, s.meanwhile = lastEvent{}, meanwhile
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	d := against.Decision{Passed: s.sink.handed, Status: w.Code, Step: s.sink.step, Code: s.sink.code, Endpoint: s.sink.endpoint, API: s.sink.api}
	if r.Method == http.MethodOptions && w.Code == http.StatusNoContent && w.Header().Get("Access-Control-Allow-Methods") != "" {
		d.Passed = true
	}
	return d, nil
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

// issuersOf are the issuers of a configuration, with the keys of others.
type issuersOf struct {
	others *against.Others
	file   *config.File
}

// Issuer implements shield.Issuers.
func (i issuersOf) Issuer(name string) (*shield.Issuer, error) { return i.others.Issuer(i.file, name) }

// simulatedEnv is what the shields of a simulation may use.
func (a *App) simulatedEnv(g *generation) shield.Env {
	return shield.Env{
		Now: a.now, Rand: a.rand, Credentials: a.lookup, Revoked: a.revoked, Issuers: g.trusts, Files: twins{g.files, a.others},
		Authority: stead{a.others}, Go: func(func(context.Context)) {}, Key: func(string) ([]byte, error) { return make([]byte, 32), nil },
	}
}

// twins reads bundles in which each authority is replaced by one of which the others have the key.
type twins struct {
	*files

	others *against.Others
}

// Read implements shield.Files.
func (t twins) Read(name string) ([]byte, error) {
	text, err := t.files.Read(name)
	if err != nil {
		return nil, err
	}
	return t.others.Bundle(text), nil
}

// stead is the others' authority in the place of the installation's.
type stead struct{ others *against.Others }

// Issuers implements shield.Authority.
func (s stead) Issuers() ([]byte, error) { return s.others.Own(), nil }

// Pins implements shield.Authority.
func (s stead) Pins() []string { return nil }

// Watch implements shield.Authority.
func (s stead) Watch(func()) {}
