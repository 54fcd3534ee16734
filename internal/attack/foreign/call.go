package foreign

import (
	"cmp"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/attack"
)

// call is an address of the tester's listener that the target was given somewhere. Who fetches it later
// than the answer came is found at the end of the run.
type call struct {
	address     string
	id          string // of the case that gave it
	rule, place string
	what        string // where it was named
	a           *attack.Answer
	told        bool
}

// maxCalls bounds what is waited for until the end.
const maxCalls = 10_000

// given has an address of the listener named in a request that send sends, and reports whether it was
// fetched by the time that was answered; it may be later. rule is what that shows.
func (t *try) given(o *operation, rule, what, media string, content []byte, send func(address string) (*attack.Answer, error)) (found bool, a *attack.Answer, err error) {
	address := t.w.listener.Hold(media, content)
	if a, err = send(address); err != nil {
		return false, nil, err
	}
	c := &call{address: address, id: t.s.ID(), rule: cmp.Or(rule, t.rule), place: o.String(), what: what, a: a}
	if found = t.called(c); !found && len(t.w.calls) < maxCalls {
		t.w.calls = append(t.w.calls, c)
	}
	return found, a, nil
}

// called tells of an address that was fetched, once.
func (t *try) called(c *call) bool {
	from := t.w.listener.Called(c.address)
	if from == "" || c.told {
		return false
	}
	c.told = true
	t.s.For(c.id, func(s *attack.Session) {
		s.Under(ruleOf(c.rule), func(s *attack.Session) {
			s.Found(c.place, c.a, "it answers %d, and %s fetched the address of ours that %s named", c.a.Status, from, c.what)
		})
	})
	return true
}

// late is how long calls are waited for that come after the answers.
const late = 5 * time.Second

// lateCalls looks at the end of the run for calls that came later than their answers.
func (p *planner) lateCalls() {
	if p.w.listener == nil {
		return
	}
	p.add("ssrf", "calls that come later", 0, func(t *try) error {
		if len(t.w.calls) == 0 {
			return attack.ErrNotHere
		}
		if err := t.s.Prober().Pause(t.ctx, late); err != nil {
			return fmt.Errorf("wait for calls of the target: %w", err)
		}
		for _, c := range t.w.calls {
			t.called(c)
		}
		return nil
	})
	p.cases[len(p.cases)-1].Last = true
}

// connectsTo names addresses, and looks for who tries to reach them: an address of the listener that is
// fetched, or what is said of one where nobody listens and not of none, which is no address.
func (t *try) connectsTo(o *operation, rule, what, none string, send func(address string) (*attack.Answer, error)) (bool, error) {
	forms := t.w.forms.connection
	a, err := send(nobodyListens)
	if err != nil {
		return false, err
	}
	if forms.Match(beginning(a)) {
		control, err := send(none)
		if err != nil || forms.Match(beginning(control)) {
			return false, err
		}
		t.under(rule, func(s *attack.Session) {
			s.Found(o.String(), a, "it answers %d that nobody listens at %s, which %s names: it tried", a.Status, nobodyListens, what)
		})
		return true, nil
	}
	if t.w.listener == nil {
		return false, nil
	}
	found, _, err := t.given(o, rule, what, "text/plain", []byte("pavise"), send)
	return found, err
}

// nobodyListens is an address of every machine at which nothing listens.
const nobodyListens = "http://127.0.0.1:1/"

// under reports by a rule; empty: that of the case.
func (t *try) under(rule string, f func(*attack.Session)) {
	if rule == "" {
		f(t.s)
		return
	}
	t.s.Under(ruleOf(rule), f)
}
