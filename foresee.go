package pavise

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// Imagined is what is taken for true of a request that is not made.
type Imagined struct {
	// Shield says who calls, in the place of the shield of an endpoint. It must use nothing
	// up. nil: the endpoint's own is asked.
	Shield func(api, endpoint string) shield.Shield
	// Body is what would be sent; the request's own is not read.
	Body []byte
	// Unknown is what of the request is not known: whoever looks at it is not asked, and
	// [Foreseen.Steps] says so.
	Unknown Reads
}

// Reads are parts of a request that a layer looks at. A [Layer] that has a method Reads() Reads can be asked of a
// request of which the rest is not known; of one that does not say, all is taken to be needed.
type Reads = shield.Reads

// Unknowable is the error of an imagined shield that cannot say, from what is known, whether
// the caller would be let in. The request is then neither refused nor let pass.
type Unknowable struct{ What string }

func (u *Unknowable) Error() string { return u.What }

// StepOutcome is what became of a step.
type StepOutcome string

// The outcomes.
const (
	Passed   StepOutcome = "passed"
	Refused  StepOutcome = "refused"
	Unjudged StepOutcome = "not judged" // something that it looks at is not known, or it would use something up
	Told     StepOutcome = "told"       // what it counts at this moment; nothing was counted
)

// ForeseenStep is what a step of the path would do.
type ForeseenStep struct {
	Name    string
	Outcome StepOutcome
	Why     string // of a refusal, of what is not judged, and the state that is told
}

// Foreseen is what the guard would do with a request.
type Foreseen struct {
	Verdict

	Steps   []ForeseenStep // that there are, in order, to the one that refuses
	Open    []string       // why it cannot be said; then neither Refusal nor its absence means anything
	Would   string         // what rules on trial would refuse
	Changed string         // what would be cleaned out of the input
	Once    int            // claims that would be used up
}

// Foresee takes a request that is not made along the whole path, on a copy of it, with the code
// that judges those that are. Nothing is counted, used up, recorded, answered or changed:
// of rates, quotas and places the present state is told, claims and flows are named.
func (g *Guard) Foresee(r *http.Request, given Imagined) (f Foreseen) {
	x, ok := g.exchanges.Get().(*exchange)
	if !ok {
		x = new(exchange)
	}
	x.guard, x.request, x.path, x.passage, x.started = g, r.Clone(r.Context()), r.URL.EscapedPath(), &passage{}, g.now()
	x.event.Time, x.event.Peer = x.started, addrPort(r.RemoteAddr)
	x.event.Remote = x.event.Peer
	x.request.Body = http.NoBody
	x.request.ContentLength = int64(len(given.Body))
	s := &foresight{exchange: x, given: given, f: &f}
	f.Steps = make([]ForeseenStep, 0, 12)
	defer func() {
		if fault := recover(); fault != nil {
			s.refuse(s.step, &shield.Refusal{Code: shield.Internal, Detail: fmt.Sprintf("panic (%T) at %s", fault, panicSite())})
		}
		f.Would, f.Changed = x.event.Would, x.event.Changed
		*x = exchange{release: x.release[:0]} // as end leaves it
		g.exchanges.Put(x)
	}()
	s.run()
	return f
}

// foresight is a request on its imagined path.
type foresight struct {
	*exchange

	given Imagined
	f     *Foreseen
	step  string
}

// run follows decide, step by step.
func (s *foresight) run() {
	for _, step := range [...]struct {
		name string
		run  func(*foresight) (told string, err error)
	}{
		{"door", func(s *foresight) (string, error) { return "", s.door() }},
		{"limit", (*foresight).cheap},
		{"route", (*foresight).find},
		{"load", (*foresight).places},
		{"cors", func(s *foresight) (string, error) { return "", s.cors() }},
		{"shield", (*foresight).who},
		{"access", func(s *foresight) (string, error) { return "", s.access() }},
		{"admit", (*foresight).rates},
		{"sanitise", (*foresight).clean},
		{"validate", func(s *foresight) (string, error) { return "", s.ask(s.endpoint.Validate) }},
		{"policy", func(s *foresight) (string, error) { return "", s.ask(s.endpoint.Policy) }},
		{"consume", (*foresight).claimed},
		{"harm", func(s *foresight) (string, error) { return "", s.ask(s.endpoint.Harm) }},
		{"candidate", (*foresight).tried},
		{"flow", (*foresight).sequence},
	} {
		s.step = step.name
		told, err := step.run(s)
		if !s.note(step.name, told, err) {
			return
		}
	}
}

// note writes down what a step did, and reports whether the request goes on.
func (s *foresight) note(name, told string, err error) bool {
	open, isOpen := errors.AsType[*Unknowable](err)
	switch {
	case errors.Is(err, errNotThere):
		return true
	case isOpen && name == "shield":
		s.f.Open = append(s.f.Open, open.What)
		s.f.Steps = append(s.f.Steps, ForeseenStep{name, Unjudged, open.What})
		return false // nothing can be said of a caller who is not known
	case isOpen:
		s.f.Steps = append(s.f.Steps, ForeseenStep{name, Unjudged, open.What})
	case err != nil:
		s.refuse(name, problem.Classify(err))
		return false
	case told != "":
		s.f.Steps = append(s.f.Steps, ForeseenStep{name, Told, told})
	default:
		s.f.Steps = append(s.f.Steps, ForeseenStep{Name: name, Outcome: Passed})
	}
	return true
}

func (s *foresight) refuse(step string, refusal *shield.Refusal) {
	s.f.Refusal, s.f.Step = refusal, step
	s.f.Steps = append(s.f.Steps, ForeseenStep{step, Refused, refusal.Detail})
}

// errNotThere is the answer of a step that the endpoint does not have.
var errNotThere = errors.New("the endpoint does not have it")

// cheap looks whether the address is kept out, and tells what is left of its rate.
func (s *foresight) cheap() (string, error) {
	g, addr := s.guard, s.event.Remote.Addr()
	if !addr.IsValid() {
		return "", &Unknowable{"the caller's address is not known"}
	}
	if g.blocks != nil {
		if until, blocked := g.blocks.Blocked(addr); blocked {
			return "", shield.Refuse(shield.BlockedNetwork, "an operator keeps the network out until %s", until.UTC().Format(timeOfDay))
		}
	}
	if g.tries != nil {
		if wait := g.tries.Blocked("", addr); wait > 0 {
			return "", lockedOut(wait, "too many wrong credentials from this network")
		}
	}
	if g.perAddress == nil {
		return "", nil
	}
	return s.peek("address\x00"+limit.AddressKey(addr), *g.perAddress), nil
}

const timeOfDay = "2006-01-02T15:04:05Z07:00"

// find is route, without answering preflights, and without noting honeypots.
func (s *foresight) find() (string, error) {
	e, err := s.host.table.Match(s.request)
	if method, ok := errors.AsType[*route.MethodError](err); ok {
		if s.isPreflight() {
			return "", shield.Refuse(shield.MethodNotAllowed, "OPTIONS is answered by the rule for other origins (cors) alone; %v", method)
		}
		return "", shield.Refuse(shield.MethodNotAllowed, "%s; %v", s.request.Method, method)
	}
	if err != nil {
		if s.guard.traps[s.path] {
			return "", shield.Refuse(shield.UnknownEndpoint, "%v; it is a honeypot, and the caller's network could be kept out", err)
		}
		return "", shield.Refuse(shield.UnknownEndpoint, "%v", err)
	}
	s.endpoint = e
	s.f.API, s.f.Endpoint = e.api.Name, e.name
	if !e.pattern.isSpelled(s.path) {
		return "", shield.Refuse(shield.BadPath, "the path spells %s with needless or lower-case escapes", e.name)
	}
	if s.host.lenient != e.api.Lenient {
		if err := s.checkLenient(e.api.Lenient); err != nil {
			return "", err
		}
	}
	if n := int64(len(s.given.Body)); n > e.MaxBody {
		return "", shield.Refuse(shield.TooLarge, "Content-Length %d is over the endpoint's %d bytes", n, e.MaxBody)
	}
	if len(s.given.Body) > 0 {
		s.request.Body = io.NopCloser(bytes.NewReader(s.given.Body))
	}
	if e.body > 0 {
		s.request.Body = shield.NewBody(s.request.Body, min(e.body, e.MaxBody))
	}
	return "", nil
}

// places tells how full the gateway is.
func (s *foresight) places() (string, error) {
	if s.guard.load == nil {
		return "", errNotThere
	}
	taken, places := s.guard.load.Taken()
	return fmt.Sprintf("%d of %d requests under way", taken, places), nil
}

// who asks the shield, the bindings and what is demanded beside.
func (s *foresight) who() (string, error) {
	if s.given.Shield == nil {
		s.dryShield(&s.f.Verdict)
		if s.f.Refusal != nil && s.f.Step == "shield" {
			return "", s.f.Refusal
		}
		s.f.Refusal, s.f.Step = nil, "" // scopes are the next step's
	} else {
		id, err := s.given.Shield(s.f.API, s.f.Endpoint).Verify(s.request)
		if err != nil {
			return "", err
		}
		s.identity, s.f.Identity, s.f.Missing = id, id, s.lacking(id)
	}
	id := s.identity
	if s.guard.holds != nil {
		if err := s.guard.holds.Held(id); err != nil {
			return "", err
		}
	}
	if addr := s.event.Remote.Addr(); s.guard.tries != nil && id.CredentialID != "" && addr.IsValid() {
		if wait := s.guard.tries.Blocked(id.CredentialID, addr); wait > 0 {
			return "", lockedOut(wait, "too many wrong tries with this credential from this network")
		}
	}
	return "", nil
}

// rates tells what is left of limits, quotas and places.
func (s *foresight) rates() (string, error) {
	e := s.endpoint
	var told []string
	for i, l := range e.Limits {
		told = append(told, s.peek(e.limitKey[i]+s.subject(l.Per), l))
	}
	for i, q := range e.Quotas {
		told = append(told, s.peekQuota(s.quotaKey(i), q))
	}
	for _, places := range e.Concurrency {
		told = append(told, fmt.Sprintf("%d requests under way at once now", places.InUse()))
	}
	if told == nil {
		return "", errNotThere
	}
	return strings.Join(told, "; "), nil
}

func (s *foresight) peek(key string, l limit.Limit) string {
	peeker, ok := s.guard.limiter.(limit.Peeker)
	if !ok {
		return l.Name + ": what is left is not known"
	}
	state, err := peeker.Peek(key, l.Rate, max(l.Cost, 1))
	return left(l.Name, l.Rate.Count, fmt.Sprint(l.Rate.Per), max(l.Cost, 1), state, err)
}

func (s *foresight) peekQuota(key string, q limit.Quota) string {
	peeker, ok := s.guard.quotas.(limit.QuotaPeeker)
	if !ok {
		return q.Name + ": what is left is not known"
	}
	state, err := peeker.Peek(key, q, max(q.Cost, 1))
	return left(q.Name, q.Count, string(q.Period), max(q.Cost, 1), state, err)
}

// left says in words what is left at this moment.
func left(name string, count int, per string, cost int, state limit.State, err error) string {
	switch {
	case err != nil:
		return name + ": " + err.Error()
	case !state.Allowed:
		return fmt.Sprintf("%s: used up, the next passes in %s", name, state.Retry.Round(1e9))
	}
	return fmt.Sprintf("%s: %d of %d in %s left", name, state.Remaining+cost, count, per)
}

// clean is sanitise, of what is known.
func (s *foresight) clean() (string, error) {
	if s.endpoint.Sanitise == nil {
		return "", errNotThere
	}
	if unknown := s.given.Unknown & shield.ReadsInput; unknown != 0 {
		return "", &Unknowable{unknown.String() + " would have to be known"}
	}
	return "", s.sanitise()
}

// ask asks a layer that looks at nothing that is not known.
func (s *foresight) ask(l Layer) error {
	if l == nil {
		return errNotThere
	}
	if all, ok := l.(Layers); ok {
		var open error
		for _, one := range all {
			if err := s.ask(one); err != nil && !isOpen(err) {
				return err
			} else if err != nil {
				open = err
			}
		}
		return open
	}
	if unknown := readsOf(l) & s.given.Unknown; unknown != 0 {
		return &Unknowable{unknown.String() + " would have to be known"}
	}
	if body, ok := s.request.Body.(*shield.Body); ok {
		body.Rewind()
	}
	return s.layer(l)
}

func isOpen(err error) bool {
	_, ok := errors.AsType[*Unknowable](err)
	return ok
}

// readsOf says what a layer looks at; one on trial looks at what it tries.
func readsOf(l Layer) Reads {
	if trial, ok := l.(*Trial); ok {
		l = trial.Layer
	}
	if reader, ok := l.(interface{ Reads() Reads }); ok {
		return reader.Reads()
	}
	return shield.ReadsAll
}

// claimed names what would be used up.
func (s *foresight) claimed() (string, error) {
	s.identity.All(func(proof *shield.Identity) { s.f.Once += len(proof.Once) })
	if s.f.Once == 0 {
		return "", errNotThere
	}
	return fmt.Sprintf("%d claims would be used up; that they were not used before is not judged", s.f.Once), nil
}

// tried asks what is tried beside.
func (s *foresight) tried() (string, error) {
	if len(s.endpoint.Candidates) == 0 {
		return "", errNotThere
	}
	for _, c := range s.endpoint.Candidates {
		if err := s.ask(c); err != nil {
			return "", err
		}
	}
	return s.event.Would, nil
}

// sequence names what only a request that is made can claim.
func (s *foresight) sequence() (string, error) {
	if s.endpoint.Flow == nil {
		return "", errNotThere
	}
	return "", &Unknowable{"whether it is a retry, or a step whose turn it is, shows when it is made"}
}
