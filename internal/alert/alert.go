// Package alert watches the event log and says when something is wrong.
//
// A [Detection] looks at events one by one, in the order of the log, and raises an [Alert] about
// somebody or something: a network, a credential, an endpoint. The [Engine] makes incidents of
// them: the first alert opens one and is told, those that follow belong to it, and when nothing
// was raised for a while it ends, which is told too. A [Watch] reads the log beside the gateway
// and remembers how far it is together with what the detections have learned, so that a restart
// forgets nothing and sees nothing twice.
//
// Time is the events' own. So what a detection would have done can be seen by running it over an
// old log ([Replay]), and what it did can be repeated.
//
//	engine.go   detections, incidents, silence
//	watch.go    the loop, and what it remembers
//	rule.go     detections that only count: most of ours, and all that operators write
//	subject.go  for whom is counted
//	table.go    what is kept of many callers, in bounded memory
//	list.go     all that there are; each has a file of its own
//
// Each event costs less than a microsecond for all detections together, and allocates nothing
// unless something is raised. So a detection keys its tables by hashes of names, and says with
// [Kind].Codes which events it wants to see.
package alert

import (
	"time"

	"pavise.dev/pavise/audit"
)

// Severity says how soon somebody should look.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// Subject is whom or what an alert is about.
type Subject struct {
	Kind string `json:"kind"` // "network", "credential", "client", "user", "endpoint", "api", "certificate", "sink", "system", "actor", "target"
	Name string `json:"name"`
}

// String writes "network 192.0.2.0/24".
func (s Subject) String() string { return s.Kind + " " + s.Name }

// Alert is something that a detection found.
type Alert struct {
	Subject Subject
	What    string // a sentence for the operator: numbers and names, never a secret
	Event   string // id of the event with which it was noticed
	Time    time.Time
}

// Detection looks at events and raises alerts. One goroutine uses it. What it keeps is bounded.
type Detection interface {
	// See looks at an event. It may raise any number of alerts.
	See(e *audit.Event, raise func(Alert))
	// State is what the detection has learned, to be kept over a restart: a pointer to a
	// value for encoding/gob. It may be nil.
	State() any
}

// Kind describes a detection.
type Kind struct {
	Name     string // "guessing"
	Severity Severity
	Means    string        // what it means, for people
	Do       string        // what to do about it
	Quiet    time.Duration // an incident ends when nothing was raised for so long
	New      func() Detection

	About     []string // kinds of subjects that it finds something about
	Codes     []string // it looks only at events with one of these codes, or actions; nil: at all
	Most      int      // its threshold; 0: it has none that could be set
	Different bool     // it counts different things, of which only some can be told apart
	Counts    string   // what the threshold counts: "wrong credentials of one network within 5 minutes"

	class    audit.Class // of the events that it looks at; empty: of any
	unproved bool        // it looks at requests alone that prove nothing
}
