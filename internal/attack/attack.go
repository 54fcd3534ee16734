// Package attack is a penetration test from outside: it sends requests and says what the
// answers give away.
//
// A [Plan] is a list of [Case]s. Each tries one thing with a [Session], which sends requests
// to the target and nowhere else, and reports with [Session.Found] what should not have come
// back. Where the cases come from is not this package's business:
//
//	own/        against Pavise: the policy says which answer every attack must get
//	foreign/    against any API: an OpenAPI document and the credentials of one or two users
//	vulnerable/ an API with faults, to attack
//
// Here is what all of them share:
//
//	attack.go   cases and what they demand
//	scope.go    where requests may go
//	prober.go   sends them, within bounds: a target may be hostile
//	listener.go an address of ours that a target may be given to call
//	session.go  what a case uses: requests, answers, findings
//	paste.go    requests as commands to paste
//	rule.go     rules that cases ask
//	run.go      runs a plan: order, permissions, progress
//	only.go     some cases of a plan: to look again at what was found
//	journal.go  what was done, so that a run that was broken off goes on
//
// Nothing is followed: no redirect, no reference, no name in an answer.
package attack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"pavise.dev/pavise/internal/finding"
)

// Demand is what a case may do to the target. The user allows each by itself.
type Demand uint8

// The demands. A case without any only reads.
const (
	Writes   Demand = 1 << iota // makes or changes things
	Destroys                    // removes things
	Smuggles                    // sends what may confuse a proxy before the target, and with it others' requests
	Floods                      // sends many requests at once, or very large ones
	Delays                      // has the target wait, some seconds for each request
)

// Words name demands as flags do.
func (d Demand) Words() (words []string) {
	for i, word := range DemandWords() {
		if d&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return words
}

// DemandWords are the words of all demands, in their order.
func DemandWords() []string { return []string{"writes", "destroys", "smuggles", "floods", "delays"} }

// ParseDemand reads the word of a demand.
func ParseDemand(word string) (Demand, error) {
	if i := slices.Index(DemandWords(), word); i >= 0 {
		return 1 << i, nil
	}
	return 0, fmt.Errorf("%.40q is nothing that can be allowed", word)
}

// Case is one thing that is tried.
type Case struct {
	ID      string // the same in every run against the same target: "no-credential GET /v1/orders"
	Rule    *finding.Rule
	Row     int // of docs/attacks.md; 0: none
	Demands Demand
	Prober  *Prober // that it sends with; nil: that of the run
	Last    bool    // it looks at what the cases before it left, whichever those are

	// Try sends requests and reports what is wrong. An error says that the case could not be
	// carried out, which is neither good nor bad.
	Try func(ctx context.Context, s *Session) error
}

// ErrNotHere is the error of a case for which there is nothing to try at this target, which is
// told by another case.
var ErrNotHere = errors.New("there is nothing to try here")

// ErrUntried is the error of a case that cannot be tried here, which is told by another case. Unlike
// with [ErrNotHere] something may be wrong all the same.
var ErrUntried = errors.New("it cannot be tried here")

// ErrRefused is the error of a case for which the target asks for a longer pause than a run
// gives: what it answers meanwhile says nothing of what is tried.
var ErrRefused = errors.New("the target refuses such requests for now, and asks for a longer pause than a run gives")

// ErrBlocked is the error of a case at a target that refuses everything for now: the run ends
// with it.
var ErrBlocked = errors.New("the target refuses everything for now")

// ErrGone is the error of a case at a target that does not answer any more: the run ends with it, as it
// does with [ErrEnough].
var ErrGone = errors.New("the target does not answer any more")

// ends reports whether an error of a case ends the run.
func ends(err error) bool {
	return errors.Is(err, ErrBlocked) || errors.Is(err, ErrGone) || errors.Is(err, ErrEnough)
}

// Plan is what is tried, in order.
type Plan struct {
	Cases []Case
	Notes []string // what could not be planned, and why

	Partial string // why much is not tried at all; empty: it is

	// Doubt says, after all cases, why what held says little; nil or empty: nothing does.
	Doubt func() string
}

// Rules are those that the plan asks, each once.
func (p *Plan) Rules() (rules []finding.Rule) {
	seen := map[string]bool{}
	for i := range p.Cases {
		if r := p.Cases[i].Rule; !seen[r.ID] {
			seen[r.ID] = true
			rules = append(rules, *r)
		}
	}
	return rules
}

// User is somebody as whom requests are sent.
type User struct {
	Name string
	Sign func(*http.Request) error // adds the credential; nil: there is none

	// Certificate is shown to a target that asks for one; nil: that of the prober is, if it
	// has one.
	Certificate *tls.Certificate
}

// Nobody sends no credential.
func Nobody() *User { return &User{Name: "nobody"} }
