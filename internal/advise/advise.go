// Package advise says which shield an endpoint should carry, and why: from who calls it, whose
// data it is about, and what harm a wrong call does.
//
//	answer.go     the three questions, and what is known besides
//	file.go       the file of answers
//	document.go   what an OpenAPI document tells; words.go names that tell what they hold
//	guess.go      answers that nobody gave, guessed from what the document tells
//	guarantee.go  what a shield guarantees: the order of shields
//	demand.go     the rules: which guarantees an answer demands
//	candidate.go  which shields a caller can use, the cheapest first, and which it cannot, and why
//	layer.go      what stands around the shield
//	judge.go      the advice: the first shield that gives what is demanded
//	risk.go       what remains, and what it costs
//	write.go      the advice as a configuration; markdown.go as a record of the decision
//	against.go    where a configuration is weaker than the advice
//
// Knowledge is in tables: each row has a name and a source. The code only looks for rows.
//
// What it does not do: it sees what it is told. Whether an operation asks whose object it is,
// neither a document nor a shield says; the advice tells where that has to be asked.
package advise

import (
	"slices"
	"strings"
)

// Endpoint is one operation with what is known of it.
type Endpoint struct {
	Pattern string // "GET /v1/orders/{id}", as the configuration writes it
	Facts   Facts  // what the document tells of it
	Answers Answers
	Guessed []Guess // which of the answers nobody gave

	// InForce is what callers have to show already: never is less advised.
	InForce Guarantees

	// Settings are lines of the configuration that somebody knows already, such as max_body: 1MiB.
	Settings []string
}

// Method is the first word of the pattern.
func (e *Endpoint) Method() string {
	method, _, _ := strings.Cut(e.Pattern, " ")
	return method
}

// Path is the rest of the pattern.
func (e *Endpoint) Path() string {
	_, path, _ := strings.Cut(e.Pattern, " ")
	return path
}

// Advice is what one endpoint should carry.
type Advice struct {
	Endpoint
	Shield  Shield
	Demand  Guarantees // what the answers demand, of any caller
	Because []Reason   // the rules that demand it
	Refused []Refused  // the other shields, and why not
	Layers  []Layer    // what stands around the shield
	Risks   []Risk     // what remains
	Costs   []string   // what it takes to run
	Scopes  []string   // that a caller needs; none: the endpoint is public
	Limit   string     // "60/minute per user"
}

// Reason is a rule that holds for an endpoint.
type Reason struct {
	Rule   string `json:"rule"`
	Why    string `json:"why"`
	Source string `json:"source"`
}

// Refused is a shield that is not advised.
type Refused struct {
	Shield string `json:"shield"`
	Rule   string `json:"rule"`
	Why    string `json:"why"`
	Source string `json:"source,omitempty"`
}

// Plan is the advice for an API.
type Plan struct {
	API    API
	Advice []Advice // in the order of the endpoints
	Left   []Left   // what nothing could be advised for
	Notes  []string // what is open for all of them
	Served string   // the document to which requests are held; empty: there is none

	Candidate, Until string // a document that is only tried, and until which day; empty: there is none
}

// Left is an operation that a configuration cannot have, and why.
type Left struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Advise judges every endpoint.
func Advise(api API, endpoints []Endpoint) *Plan {
	p := &Plan{API: api}
	for _, e := range endpoints {
		p.Advice = append(p.Advice, Judge(api, e))
	}
	p.Notes = notes(p)
	return p
}

// Public reports whether anybody may call.
func (a *Advice) Public() bool { return a.Shield.Kind == Public }

// Has reports whether a layer is advised.
func (a *Advice) Has(name string) bool {
	return slices.ContainsFunc(a.Layers, func(l Layer) bool { return l.Name == name })
}

// Layer is the advised layer of a name; the zero value: it is not advised.
func (a *Advice) Layer(name string) Layer {
	for _, l := range a.Layers {
		if l.Name == name {
			return l
		}
	}
	return Layer{}
}
