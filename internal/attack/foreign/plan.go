package foreign

import (
	"context"
	"errors"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// planner gathers the cases.
type planner struct {
	w     *world
	cases []attack.Case
}

// all plans every family: what only reads first, what floods last, and before that what changes who
// users are.
func (p *planner) all() {
	p.transport()
	p.reached()
	p.headers()
	p.inventory()
	p.authentication()
	p.around()
	p.tokens()
	p.objects()
	p.functions()
	p.injection()
	p.reaching()
	p.entities()
	p.graphQL()
	p.verbose()
	p.content()
	p.objectsWritten()
	p.properties()
	p.delays()
	p.floods()
	p.lateCalls()
}

// add plans a case of a rule.
func (p *planner) add(rule, id string, demands attack.Demand, f func(t *try) error) {
	p.cases = append(p.cases, attack.Case{
		ID: rule + " " + id, Rule: ruleOf(rule), Demands: demands,
		Try: func(ctx context.Context, s *attack.Session) error {
			t := &try{ctx: ctx, s: s, w: p.w, rule: rule}
			if err := t.hide(); err != nil {
				return err
			}
			err := f(t)
			switch gone := t.gone(); { // whatever became of it: what was not answered says nothing
			case t.refused != nil:
				return t.refused
			case t.over != nil:
				return t.over
			case gone != nil:
				return gone
			}
			return err
		},
	})
}

// named plans cases of an operation whose IDs tell them from others of the same rule.
func (p *planner) named(word string, plan func()) {
	begins := len(p.cases)
	plan()
	for i := begins; i < len(p.cases); i++ {
		c := &p.cases[i]
		c.ID = c.Rule.ID + " " + word + strings.TrimPrefix(c.ID, c.Rule.ID)
	}
}

// each plans a case for each operation that a condition holds for.
func (p *planner) each(rule string, when func(o *operation) bool, f func(t *try, o *operation) error) {
	for _, o := range p.w.ops {
		if when(o) {
			p.add(rule, o.String(), demand(o), func(t *try) error { return f(t, o) })
		}
	}
}

// withGood plans a case for each operation of which a good request is known; where there is none,
// reached says so.
func (p *planner) withGood(rule string, when func(o *operation) bool, f func(t *try, o *operation, g *good) error) {
	p.each(rule, when, func(t *try, o *operation) error {
		g, err := t.good(o, t.w.caller())
		if err != nil {
			return t.orUntried(err)
		}
		return f(t, o, g)
	})
}

func anything(*operation) bool { return true }

// reached asks each operation for something that it must grant: where it does not, most other
// cases have nothing to compare with, and this one says so.
func (p *planner) reached() {
	begins := len(p.cases)
	p.each("server-error", func(o *operation) bool { return o.method != "DELETE" && !(o.isAdministrative() && p.w.admin == nil) }, func(t *try, o *operation) error {
		u := t.w.caller()
		if o.isAdministrative() {
			u = t.w.admin
		}
		g, err := t.good(o, u)
		if g != nil && g.a != nil && g.a.Status >= 500 && g.a.Status != 503 && g.a.Status != 501 {
			return t.crashed(o, u, g.d, "a request as the document describes it")
		}
		if o.protected && len(t.w.users) == 0 && t.w.admin == nil && g != nil && g.a != nil && (g.a.Status == 401 || g.a.Status == 403) {
			return nil // it asks for a credential, and there is none
		}
		if errors.Is(err, errNoGood) && g != nil && g.a != nil {
			if t.w.vain == nil {
				t.w.vain = map[*operation]int{}
			}
			t.w.vain[o] = g.a.Status
		}
		return err
	})
	for i := begins; i < len(p.cases); i++ {
		p.cases[i].ID = "good request " + strings.TrimPrefix(p.cases[i].ID, "server-error ")
	}
}

// found reports something at an operation.
func (t *try) found(o *operation, a *attack.Answer, format string, args ...any) {
	t.s.Found(o.String(), a, format, args...)
}
