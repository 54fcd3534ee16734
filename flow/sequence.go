package flow

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/journal"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Sequence is an order in which endpoints may be called.
type Sequence struct {
	Name   string
	Steps  int           // 2 to 32
	Within time.Duration // from the end of one step to the begin of the next, at most
	Pace   time.Duration // the same, at least; 0: as fast as one likes
	Per    limit.Subject // whose it is: client, user or address
	Once   bool          // each step once; after the last one it is used up
	Open   int           // sequences with different keys that one may have open
	Limits []limit.Limit // how often it may be begun; each has a name
}

// Step is an endpoint's place in a sequence.
type Step struct {
	Of    *Sequence
	Index int   // from 0
	Key   Place // tells several sequences of one caller apart; zero: there is one
}

// Places of keys.
const (
	InPath   = "path"
	InHeader = "header"
	InBody   = "body"   // a JSON pointer
	InAnswer = "answer" // a JSON pointer; of the first step only, whose service makes the key
)

// Place is where a request holds the key of its sequence.
type Place struct {
	In   string // empty: nowhere
	Name string // of a path's parameter or a header, or a JSON pointer
}

// maxSteps bounds a sequence.
const maxSteps = 32

// maxKeyAnswer is the longest answer in which a key is looked for, in bytes.
const maxKeyAnswer = 64 << 10

func (s *Step) check(limiter limit.Limiter) error {
	of := s.Of
	switch {
	case of.Steps < 2 || of.Steps > maxSteps || s.Index < 0 || s.Index >= of.Steps:
		return fmt.Errorf("flow %s: step %d of %d: a flow has 2 to %d steps", of.Name, s.Index+1, of.Steps, maxSteps)
	case of.Within <= 0 || of.Pace < 0 || of.Pace >= of.Within:
		return fmt.Errorf("flow %s: the next step would have to come after %s and within %s", of.Name, of.Pace, of.Within)
	case of.Per != limit.PerClient && of.Per != limit.PerUser && of.Per != limit.PerAddress:
		return fmt.Errorf("flow %s: it belongs to a client, a user or an address, not to %q", of.Name, of.Per)
	case s.Key.In == InAnswer && s.Index > 0:
		return fmt.Errorf("flow %s: only the answer of the first step can hold its key", of.Name)
	case of.Open < 1:
		return fmt.Errorf("flow %s: nobody may have one open", of.Name)
	case len(of.Limits) > 0 && limiter == nil:
		return fmt.Errorf("flow %s: it has limits, and nobody counts", of.Name)
	}
	return nil
}

// stepping is a step that was let pass. A nil stepping is none.
type stepping struct {
	store *Store
	step  *Step
	run   runName
	known bool // what run it is: the first step's answer may have to tell
	api   string
	who   string
	made  journal.At
}

// beginStep lets a request pass whose turn it is.
func (e *Endpoint) beginStep(r *http.Request, id *shield.Identity) (*stepping, error) {
	if e.Step == nil {
		return nil, nil
	}
	of := e.Step.Of
	who := subjectOf(r, id, of.Per)
	s := &stepping{store: e.store, step: e.Step, api: e.API, who: who, known: e.Step.Key.In != InAnswer}
	key := ""
	if s.known {
		var err error
		if key, err = e.Step.Key.of(r); err != nil {
			return nil, err
		}
	}
	s.run = s.named(key)
	if e.Step.Index > 0 {
		made, err := e.store.beginStep(s.run, e.Step)
		s.made = made
		return s, err
	}
	if err := e.store.mayOpen(s.run, of); err != nil {
		return nil, err
	}
	return s, e.countRun(r, id)
}

// named is the run of a sequence that a key belongs to.
func (s *stepping) named(key string) runName {
	of := s.step.Of
	return runName{
		id:    s.store.name("run", s.api, of.Name, s.who, key),
		owner: s.store.name("runs", s.api, of.Name, s.who),
	}
}

// countRun counts that a sequence is begun.
func (e *Endpoint) countRun(r *http.Request, id *shield.Identity) error {
	for _, l := range e.Step.Of.Limits {
		who := e.Step.Of.Name
		if l.Per != limit.PerEndpoint {
			who = subjectOf(r, id, l.Per)
		}
		state, err := e.Limiter.Take(e.API+"\x00"+l.Name+"\x00"+string(l.Per)+"\x00"+who, l.Rate, cmp.Or(l.Cost, 1))
		if err != nil {
			return fmt.Errorf("count %s: %w", l.Name, err)
		}
		if !state.Allowed {
			return later(shield.RateLimited, state.Retry, "%s: flow %s is begun more than %d times in %s", l.Name, e.Step.Of.Name, l.Rate.Count, l.Rate.Per)
		}
	}
	return nil
}

// subjectOf names whom a sequence belongs to, as limits do: where there is no user the client,
// where there is no client the subject that an issuer vouches for, and where there is nobody
// the address.
func subjectOf(r *http.Request, id *shield.Identity, per limit.Subject) string {
	user := ""
	id.All(func(one *shield.Identity) {
		if user == "" && one.User != "" {
			user = "user\x00" + one.Issuer + "\x00" + one.User
		}
	})
	switch known := per == limit.PerUser || per == limit.PerClient; {
	case per == limit.PerUser && user != "":
		return user
	case known && id.Client != "":
		return "client\x00" + id.Client
	case known && id.Subject != "":
		return "subject\x00" + id.Issuer + "\x00" + id.Subject
	}
	from, _ := netip.ParseAddrPort(r.RemoteAddr) // of none, all count together
	return "address\x00" + limit.AddressKey(from.Addr().Unmap())
}

func (s *stepping) mark() journal.At {
	if s == nil {
		return journal.At{}
	}
	return s.made
}

func (s *stepping) keep() int64 {
	if s == nil || s.known {
		return 0
	}
	return maxKeyAnswer
}

// end moves the sequence on if the service took the step, and leaves it as it was if it did
// not. If nobody knows, the sequence is over: it has to be begun anew.
func (s *stepping) end(ended pavise.Ended) error {
	if s == nil {
		return nil
	}
	taken := ended.Status >= 200 && ended.Status < 300
	if s.step.Index > 0 {
		return s.store.endStep(s.run, s.step, taken, ended.Unsent || ended.Status != 0)
	}
	if !taken {
		return nil
	}
	if !s.known {
		if ended.Answer == nil {
			return errors.New("the answer that would hold the key of the flow is too long or incomplete")
		}
		key, err := keyIn(ended.Answer.Body, s.step.Key.Name)
		if err != nil {
			return fmt.Errorf("the answer holds no key of the flow: %w", err)
		}
		s.run = s.named(key)
	}
	return s.store.open(s.run, s.step.Of)
}

// later is a refusal that says when to come again.
func later(code shield.Code, wait time.Duration, format string, args ...any) *shield.Refusal {
	refusal := shield.Refuse(code, format, args...)
	refusal.Header = http.Header{"Retry-After": {limit.RetryAfter(wait)}}
	return refusal
}
