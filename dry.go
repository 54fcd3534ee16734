package pavise

import (
	"net/http"
	"slices"

	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

// Verdict is what the guard decides about a request by who sends it, in the words of an
// operator.
type Verdict struct {
	API, Endpoint string // empty: the request reaches none

	// Refusal is the answer; nil: shield and scopes let the request pass. Step is where
	// it was refused.
	Refusal *shield.Refusal
	Step    string

	// Identity is who the caller proved to be, also if he was refused for something else
	// then; nil: nobody. Missing are the endpoint's scopes that he lacks.
	Identity *shield.Identity
	Missing  shield.Scopes

	// Lacks says, where parts of an All are proved and others are not there, which those
	// are: each as the way to it from the endpoint's shield, by index.
	Lacks [][]int
}

// Dry judges a request that is not made: it asks the shield and the scopes of the endpoint
// that the request would reach, with the same code as for one that is. Nothing is counted,
// used up, recorded or answered, and the body is taken to be empty. What stands before and
// behind (the door, limits, layers, claims that may be used once) is not judged.
func (g *Guard) Dry(r *http.Request) Verdict {
	x := &exchange{guard: g, request: r.Clone(r.Context()), path: r.URL.EscapedPath()}
	if err := x.knownHost(); err != nil {
		return Verdict{Refusal: problem.Classify(err), Step: "door"}
	}
	e, err := x.host.table.Match(x.request)
	if err != nil {
		return Verdict{Refusal: shield.Refuse(shield.UnknownEndpoint, "%v", err), Step: "route"}
	}
	x.endpoint = e
	x.request.Body = http.NoBody
	if e.body > 0 {
		x.request.Body = shield.NewBody(http.NoBody, e.body)
	}
	v := Verdict{API: e.api.Name, Endpoint: e.name}
	x.dryShield(&v)
	return v
}

// dryShield asks who is calling, and what they may.
func (x *exchange) dryShield(v *Verdict) {
	id, err := x.endpoint.Shield.Verify(x.request)
	if err != nil {
		v.Refusal, v.Step = problem.Classify(err), "shield"
		if shield.Passes(err) {
			x.dryParts(v)
		}
		return
	}
	x.identity, v.Identity, v.Missing = id, id, x.lacking(id)
	if err := x.matchBindings(id); err != nil {
		v.Refusal, v.Step = problem.Classify(err), "shield"
		return
	}
	if err := x.access(); err != nil {
		v.Refusal, v.Step = problem.Classify(err), "access"
	}
}

// lacking are the endpoint's scopes that an identity lacks. One that carries no scopes at
// all may still have them from another part of an All.
func (x *exchange) lacking(id *shield.Identity) shield.Scopes {
	if x.endpoint.AnyScope {
		return nil
	}
	return id.Scopes.Missing(x.endpoint.Scopes)
}

// dryParts finds what is missing where a shield was satisfied in part.
func (x *exchange) dryParts(v *Verdict) {
	proved, lacks := x.partly(x.endpoint.Shield)
	if len(proved) == 0 {
		return
	}
	v.Identity, v.Lacks = proved[0], lacks
	for _, id := range proved {
		if id.Scopes == nil {
			continue
		}
		for _, scope := range x.lacking(id) {
			if !v.Missing.Has(scope) {
				v.Missing = append(v.Missing, scope)
			}
		}
	}
}

// partly returns what the parts of a shield prove, and the ways to those that are not there.
func (x *exchange) partly(s shield.Shield) (proved []*shield.Identity, lacks [][]int) {
	parts, all := shield.PartsOf(s)
	if parts == nil {
		id, err := s.Verify(x.request)
		if err != nil {
			return nil, [][]int{{}}
		}
		return []*shield.Identity{id}, nil
	}
	for i, part := range parts {
		inner, missing := x.partly(part.Shield)
		for _, way := range missing {
			lacks = append(lacks, slices.Insert(slices.Clone(way), 0, i))
		}
		proved = append(proved, inner...)
		if !all && len(inner) > 0 {
			return inner, slices.DeleteFunc(lacks, func(way []int) bool { return way[0] != i })
		}
	}
	if len(proved) == 0 {
		return nil, [][]int{{}} // the whole of it is missing
	}
	return proved, lacks
}
