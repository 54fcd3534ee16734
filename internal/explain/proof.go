package explain

import (
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// Proof is a shield, or one part of a combination, and what became of it.
type Proof struct {
	Combine string  `json:"combine,omitempty"` // any or all; empty: it is of one kind
	Kind    string  `json:"kind,omitempty"`
	Actor   bool    `json:"actor,omitempty"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`
	Parts   []Proof `json:"parts,omitempty"`
}

// proved is a credential that an event names.
type proved struct{ kind, id string }

// proofs are the credentials that were proved.
func proofs(e *audit.Event) []proved {
	var all []proved
	if e.Shield != "" {
		all = append(all, proved{e.Shield, e.CredentialID})
	}
	for with := range strings.FieldsSeq(e.With) {
		kind, id, _ := strings.Cut(with, ":")
		all = append(all, proved{kind, id})
	}
	return all
}

// proof says of each part of an endpoint's shield what became of it. The event's detail names the
// parts of a combination that refused; of one that let somebody in, the event names the proofs.
func proof(s config.Shield, e *audit.Event) *Proof {
	t := &tree{event: e, held: proofs(e), attempts: map[string]string{}}
	switch at := stepIndex(e.Step); {
	case at < stepIndex("shield"):
		t.unasked = true
	case e.Step == "shield" && e.Decision != audit.Accepted:
		t.refused = len(t.held) == 0 || e.Code == string(shield.MixedIdentities)
		for _, a := range shield.Attempts(e.Detail) {
			t.attempts[key(a.Way)] = a.What
		}
	}
	p := t.of(s, nil)
	return &p
}

// tree is how an endpoint's shield judged.
type tree struct {
	event    *audit.Event
	held     []proved
	attempts map[string]string // by the way to the part
	unasked  bool              // the request did not come so far
	refused  bool              // by the shield, before anybody was proved
}

func key(way []int) string {
	b := make([]byte, 0, len(way))
	for _, i := range way {
		b = append(b, byte(i))
	}
	return string(b)
}

func (t *tree) of(s config.Shield, way []int) Proof {
	switch {
	case len(s.Any) > 0:
		p := Proof{Combine: "any"}
		for i, part := range s.Any {
			p.Parts = append(p.Parts, t.of(part, append(slices.Clone(way), i)))
		}
		return t.any(p)
	case len(s.All) > 0:
		p := Proof{Combine: "all"}
		for i, part := range s.All {
			one := t.of(part.Shield, append(slices.Clone(way), i))
			one.Actor = part.Actor
			p.Parts = append(p.Parts, one)
		}
		return all(p)
	}
	return t.leaf(s.Kind, way)
}

// leaf is what became of a shield of one kind.
func (t *tree) leaf(kind string, way []int) Proof {
	p := Proof{Kind: kind, Outcome: Skipped}
	what, told := t.attempts[key(way)]
	switch {
	case t.unasked:
	case told && strings.HasPrefix(what, "proved"):
		p.Outcome = Passed
	case told:
		p.Outcome, p.Why = Refused, inWords(what)
	case t.refused && len(t.attempts) == 0 && len(way) == 0:
		p.Outcome, p.Why = Refused, because(t.event, nil)
	case t.refused && len(t.attempts) == 0:
		p.Outcome, p.Why = Unknown, "the event does not say which part refused"
	case t.refused:
		p.Why = "not asked: the search ended at another part"
	default:
		at := slices.IndexFunc(t.held, func(h proved) bool { return h.kind == kind })
		if at < 0 {
			p.Outcome, p.Why = None, "nothing of its kind was taken"
			break
		}
		p.Outcome, p.Why = Passed, t.held[at].id
	}
	return p
}

// Why is an event's detail for people: it names the parts of a combined shield by their place, which
// says nothing without the configuration; here each has the name of its kind.
func Why(e *audit.Event, f *config.File) string { return why(e, find(f, e)) }

func why(e *audit.Event, r *config.Resolved) string {
	if r == nil || e.Step != "shield" || e.Decision == audit.Accepted {
		return e.Detail
	}
	var texts []string
	for _, a := range shield.Attempts(e.Detail) {
		kind := kindAt(*r.Shield, a.Way)
		if kind == "" {
			return e.Detail // the shield was another one then
		}
		texts = append(texts, strings.TrimSuffix(kind+": "+a.What, ": "))
	}
	if texts == nil {
		return e.Detail
	}
	return strings.Join(texts, "; ")
}

// kindAt is the kind of the part at the end of a way; empty: there is no part.
func kindAt(s config.Shield, way []int) string {
	switch {
	case len(way) == 0:
		return s.Kind
	case way[0] < len(s.Any):
		return kindAt(s.Any[way[0]], way[1:])
	case way[0] < len(s.All):
		return kindAt(s.All[way[0]].Shield, way[1:])
	}
	return ""
}

// Kinds are those of a shield's parts, each once.
func (p *Proof) Kinds() []string {
	if p == nil {
		return nil
	}
	var all []string
	if p.Kind != "" {
		all = append(all, p.Kind)
	}
	for i := range p.Parts {
		for _, kind := range p.Parts[i].Kinds() {
			if !slices.Contains(all, kind) {
				all = append(all, kind)
			}
		}
	}
	return all
}

// inWords says what a part let others try for.
func inWords(what string) string {
	for word, text := range map[string]string{"absent": "nothing of its kind was sent", "foreign": "what was sent is not its own"} {
		if rest, ok := strings.CutPrefix(what, word); ok && (rest == "" || strings.HasPrefix(rest, ", ")) {
			return text + strings.Replace(rest, ", ", ": ", 1)
		}
	}
	return what
}

// any is proved by the first part that is.
func (t *tree) any(p Proof) Proof {
	p.Outcome = Skipped
	for i := range p.Parts {
		switch part := &p.Parts[i]; {
		case part.Outcome == Passed && p.Outcome == Passed:
			part.Outcome, part.Why = None, "not asked: another was enough"
		case part.Outcome == Passed:
			p.Outcome = Passed
		case part.Outcome == Refused && p.Outcome != Passed:
			p.Outcome = Refused
		}
	}
	return p
}

// all is proved by every part.
func all(p Proof) Proof {
	p.Outcome = Passed
	for _, part := range p.Parts {
		if part.Outcome == Refused {
			p.Outcome = Refused
			return p
		}
		if part.Outcome != Passed {
			p.Outcome = part.Outcome
		}
	}
	return p
}
