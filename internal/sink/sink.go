// Package sink brings events elsewhere: to a SIEM, a collector, a file of another form.
//
// The event log is the spool. A [Feed] reads it behind a number that it remembers in a file of
// its own, gives pieces of it to a [Destination], and moves the number when the destination has
// them: each event arrives at least once, in order, after a crash too; one that arrives twice
// has the same id. What retention takes out of the log before it was delivered is counted as
// lost, and told.
//
//	feed.go     the loop: read, send, remember; wait and try again
//	teller.go   what the operator is told of it, and how often
//	cursor.go   the number, kept safe
//	form/       how an event is written: OCSF, ECS, CEF, or as it was recorded
//	syslog/ …   one folder for each kind of destination
//	sinktest/   what every destination promises
//
// The request's path never waits for a destination.
package sink

import (
	"context"
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
)

// Destination is where events are sent. One goroutine uses it.
type Destination interface {
	// Send delivers events, in their order. nil means that the destination has them all, as
	// far as its protocol tells; after an error any number of them may have arrived, and
	// they are sent again. A [*Rejection] says that it will never take them.
	Send(ctx context.Context, events []audit.Found) error
	// Close ends connections.
	Close() error
}

// Rejection is a destination's final word on what was sent: sending it again is of no use.
type Rejection struct{ Why string }

// Error says why.
func (r *Rejection) Error() string { return "the destination rejects it: " + r.Why }

// Reject makes a rejection.
func Reject(format string, args ...any) error { return &Rejection{fmt.Sprintf(format, args...)} }

// Later is an error with which a destination says when to try again.
type Later struct {
	Err   error
	After time.Duration
}

// Error says what went wrong.
func (l *Later) Error() string { return l.Err.Error() }

// Unwrap returns it.
func (l *Later) Unwrap() error { return l.Err }

// Settler is a [Destination] whose protocol tells late that something did not arrive.
type Settler interface {
	// Settle sends again what must be taken for lost. It is called while nothing is new.
	Settle(ctx context.Context) error
}

// Status is how far a feed is.
type Status struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Delivered uint64 `json:"delivered"` // number of the last event that the destination has
	Lag       uint64 `json:"lag"`       // events that are not yet there
	Lost      uint64 `json:"lost"`      // that retention took before
	Rejected  uint64 `json:"rejected"`  // that the destination refused for good
	Failing   string `json:"failing"`   // why nothing is delivered at present; "": all is well
	Overrun   bool   `json:"overrun"`   // retention takes events that are not yet delivered
	Spool     uint64 `json:"spool"`     // so many events may wait until APIs with audit: required refuse
	Full      bool   `json:"full"`      // they do
}
