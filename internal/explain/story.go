// Package explain tells why: of a request that was refused, step by step, out of its event and
// the configuration; and, of the requests of a log, which a change of the configuration would
// newly refuse or newly let pass.
//
// It only reads. A [Story] is made of one event ([Tell]); a [Diff] is fed with the events of a
// log, and asks two guards about each.
package explain

import (
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// Outcome is what became of a step.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Refused Outcome = "refused"
	Skipped Outcome = "not reached" // something before it refused
	None    Outcome = "nothing to do"
	Unknown Outcome = "not recorded"
)

// Mark is the sign of an outcome in a drawing.
func (o Outcome) Mark() string {
	switch o {
	case Passed:
		return "✓"
	case Refused:
		return "✗"
	}
	return "·"
}

// Step is a step of the path.
type Step struct {
	Name    string  `json:"step"`
	Outcome Outcome `json:"outcome"`
	What    string  `json:"what,omitempty"` // that it judged
	Why     string  `json:"why,omitempty"`  // of a refusal
	Part    string  `json:"part,omitempty"` // of the path, whose time is recorded as one
	Took    float64 `json:"took_us,omitempty"`
}

// Fact is a line about something.
type Fact struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// Change is one of the configuration since the event.
type Change struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// Story is what happened to a request, or to a connection.
type Story struct {
	Path   []Step   `json:"path,omitempty"`
	Shield *Proof   `json:"shield,omitempty"` // of the endpoint, as the configuration has it now
	Who    []Fact   `json:"who,omitempty"`
	Policy []Fact   `json:"policy,omitempty"` // of the endpoint, as the configuration has it now
	Since  []Change `json:"changed_since,omitempty"`
	Next   []string `json:"next,omitempty"` // commands
	Notes  []string `json:"notes,omitempty"`
}

// Known is what is known beside the event.
type Known struct {
	File    *config.File  // in force now; nil: none can be read
	Changes []Change      // of the configuration since the event
	Scopes  shield.Scopes // of the client, as the registry has them
}

// Tell tells the story of an event.
func Tell(e *audit.Event, k Known) Story {
	s := Story{Since: k.Changes, Who: who(e)}
	if e.Class == audit.Connection {
		s.Path = connectionPath(e)
		s.Next = connectionNext(e)
		return s
	}
	if e.Class != audit.Request {
		return s
	}
	r := find(k.File, e)
	s.Path = path(e, k.File, r)
	if r != nil {
		s.Policy = Policy(k.File, r)
		s.Shield = proof(*r.Shield, e)
	} else if e.Endpoint != "" {
		s.Notes = append(s.Notes, "the configuration that is in force has no endpoint "+e.Endpoint+" of API "+e.API+" any more")
	}
	s.Next = next(e, k, r)
	return s
}

// find is the endpoint of an event; nil if there is none, or none any more.
func find(f *config.File, e *audit.Event) *config.Resolved {
	if f == nil || e.Endpoint == "" {
		return nil
	}
	all, err := f.Resolve()
	if err != nil {
		return nil
	}
	for i := range all {
		if all[i].API == e.API && all[i].Pattern == e.Endpoint {
			return &all[i]
		}
	}
	return nil
}

// who says who called, from where, and what of it was proved.
func who(e *audit.Event) []Fact {
	var facts []Fact
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, Fact{name, text})
		}
	}
	switch {
	case e.Client != "" && e.Proved:
		add("client", e.Client+" (proved)")
	case e.Client != "":
		add("client", e.Client+" (claimed, not proved)")
	case e.Class == audit.Request && !e.Proved:
		add("client", "nobody proved who he is")
	}
	add("user", e.User)
	add("tenant", e.Tenant)
	credential := strings.TrimSpace(e.Shield + " " + e.CredentialID)
	if e.With != "" {
		credential += " with " + strings.ReplaceAll(e.With, ":", " ")
	}
	add("credential", credential)
	add("issuer", e.Issuer)
	if e.Subject != e.Client {
		add("subject", e.Subject)
	}
	if e.Remote.IsValid() {
		from := e.Remote.Addr().String()
		if e.Peer.IsValid() && e.Peer.Addr() != e.Remote.Addr() {
			from += ", behind the proxy " + e.Peer.Addr().String()
		}
		add("address", from)
	}
	add("program", e.UserAgent)
	add("trace", e.Trace)
	if e.Exposed {
		add("exposed", "others could read the credential: take it for leaked")
	}
	add("warning", e.Warning)
	if e.Count > 1 {
		add("stands for", plural(e.Count, "equal refusal"))
	}
	return facts
}
