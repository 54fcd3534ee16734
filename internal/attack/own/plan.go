package own

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
)

// planner gathers the cases.
type planner struct {
	r     *Run
	cases []attack.Case
	ids   map[string]int
}

// planned are all cases: what only reads first, what floods late, and what ends credentials last.
func (r *Run) planned() *attack.Plan {
	p := &planner{r: r, ids: map[string]int{}}
	p.good()
	p.strangers()
	p.shields()
	p.rights()
	p.undeclared()
	p.doors()
	p.framing()
	p.streams()
	p.transport()
	p.origins()
	p.contracts()
	p.injections()
	p.graphQL()
	p.upstreams()
	p.floods()
	p.ended()
	return &attack.Plan{Cases: p.cases, Notes: r.notes()}
}

// through is what a case demands at an endpoint of which something may come through as whoever the
// policy lets in: the gateway itself answers what is accepted of the test's own clients, and a service
// whatever else is.
func (p *planner) through(at *place) attack.Demand {
	if p.r.g.Through || hasPublic(at) {
		return at.changes()
	}
	return 0
}

// add plans a case at an endpoint.
func (p *planner) add(at *place, rule, id string, row int, demands attack.Demand, f func(t *try) error) {
	name := at.Pattern
	if len(p.r.hosts) > 1 {
		name = at.Method + " " + at.host.name + at.Path
	}
	p.addAt(at.host, rule, name+", "+id, row, demands, f)
}

// addAt plans a case at a host.
func (p *planner) addAt(h *host, rule, id string, row int, demands attack.Demand, f func(t *try) error) {
	id = rule + " " + id
	if p.ids[id]++; p.ids[id] > 1 {
		id += " (" + strconv.Itoa(p.ids[id]) + ")"
	}
	p.cases = append(p.cases, attack.Case{
		ID: id, Rule: ruleOf(rule), Row: row, Demands: demands, Prober: h.prober,
		Try: func(ctx context.Context, s *attack.Session) error {
			if err := p.r.turn.keep(ctx); err != nil {
				return err
			}
			err := f(&try{ctx, s, p.r})
			if admin.IsUnderAttack(err) {
				err = p.r.turn.lose(err)
			}
			if isKept(err) {
				p.r.kept++
			}
			if errors.Is(err, errElsewhere) {
				return attack.ErrUntried // the good request says so
			}
			return err
		},
	})
}

// summary says how many cases there are of which family, and of which rows.
func (r *Run) summary() []string {
	byKind, byRule, rows := map[string]int{}, map[string]int{}, map[int]bool{}
	for i := range r.plan.Cases {
		c := &r.plan.Cases[i]
		byRule[c.Rule.ID]++
		rows[c.Row] = true
	}
	for _, at := range r.places {
		for _, w := range at.ways {
			for _, one := range w.parts {
				byKind[one.kind.Name] += len(one.kind.Attacks)
			}
		}
	}
	delete(rows, 0)
	return []string{
		"cases by what they try: " + counts(byRule),
		"attacks of the shields: " + counts(byKind),
		"rows of docs/attacks.md that are tried: " + ranges(slices.Sorted(maps.Keys(rows))),
	}
}

func counts(of map[string]int) string {
	words := make([]string, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if of[name] > 0 {
			words = append(words, fmt.Sprintf("%s %d", name, of[name]))
		}
	}
	return strings.Join(words, ", ")
}

// ranges writes numbers as 1–4, 6.
func ranges(numbers []int) string {
	var words []string
	for i := 0; i < len(numbers); {
		end := i
		for end+1 < len(numbers) && numbers[end+1] == numbers[end]+1 {
			end++
		}
		word := strconv.Itoa(numbers[i])
		if end > i {
			word += "–" + strconv.Itoa(numbers[end])
		}
		words = append(words, word)
		i = end + 1
	}
	return strings.Join(words, ", ")
}
