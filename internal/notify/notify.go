// Package notify tells people and their systems of alerts: what began, and what has ended.
//
// An alert is an event of the class detection in the log. A sink.Feed brings these events to a
// [Desk], which makes a [Notice] of them and gives it to a [Notifier]. So alerts survive
// restarts, and receivers that are away: the feed tries again until they have been told.
//
//	desk.go         from events to notices: once each, those silenced not, an end only of what was told
//	pace.go         what comes together goes together, and a storm is few messages
//	word.go         how a notice reads
//	slack/ …        one folder for each kind of receiver
//	notifytest/     what every notifier promises
//
// Everything that an alert says may have been chosen by an attacker: a path, a user agent, a
// name. Each notifier escapes it for its medium, and bounds it.
package notify

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"pavise.dev/pavise/internal/alert"
)

// Notifier tells one receiver. One goroutine uses it.
type Notifier interface {
	// Tell delivers a notice. Errors are as those of sink.Destination: a *sink.Rejection
	// says that the receiver will never take it.
	Tell(ctx context.Context, n *Notice) error
	// Close ends connections.
	Close() error
}

// Keeper is a [Notifier] whose receiver forgets what it is not reminded of.
type Keeper interface {
	// Every is how often it is to be reminded.
	Every() time.Duration
	// Keep reminds it of all that is open and was told, the oldest first.
	Keep(ctx context.Context, open []Item) error
}

// Item is an incident in a notice.
type Item struct {
	alert.Incident

	ID    string `json:"id"`    // of its event, for pavise log search --id
	Means string `json:"means"` // what the detection's finding means
	Do    string `json:"do"`    // what to do about it
}

// Notice is one message.
type Notice struct {
	Node string    // whose alerts they are
	Time time.Time // now

	// Began are incidents that began, the most severe first. One that has Ended did so before
	// anybody could be told.
	Began []Item
	// Ended are incidents that were told before, and have ended.
	Ended []Item
	// Open is how many were told and go on, with those that began.
	Open int
	// Test is the sentence of a test; then there is nothing else.
	Test string
}

// Severity is the greatest of what the notice tells.
func (n *Notice) Severity() alert.Severity {
	worst := alert.Info
	for _, items := range [][]Item{n.Began, n.Ended} {
		for i := range items {
			if s := items[i].Severity; s.AtLeast(worst) {
				worst = s
			}
		}
	}
	return worst
}

// brief is the notice without a word that anybody may have chosen.
func (n *Notice) brief() *Notice {
	b := *n
	b.Began, b.Ended = numbers(n.Began), numbers(n.Ended)
	if n.Test != "" {
		b.Test = "a test"
	}
	return &b
}

func numbers(items []Item) []Item {
	all := make([]Item, 0, len(items))
	for _, i := range items {
		i.What, i.Subject.Name, i.Means, i.Do = "see pavise log alerts", "(not shown)", "", ""
		all = append(all, i)
	}
	return all
}

// sortItems puts first what is most severe, and of that the oldest.
func sortItems(items []Item) {
	slices.SortStableFunc(items, func(a, b Item) int {
		if a.Severity != b.Severity {
			if a.Severity.AtLeast(b.Severity) {
				return -1
			}
			return 1
		}
		return a.Last.Compare(b.Last)
	})
}

// Count is how many incidents of a detection there are.
type Count struct {
	Detection string `json:"detection"`
	Incidents int    `json:"incidents"`
}

// Counts counts by detection, the most first.
func Counts(items []Item) []Count {
	by := map[string]int{}
	for i := range items {
		by[items[i].Detection]++
	}
	all := make([]Count, 0, len(by))
	for _, name := range slices.Sorted(maps.Keys(by)) {
		all = append(all, Count{name, by[name]})
	}
	slices.SortStableFunc(all, func(a, b Count) int { return cmp.Compare(b.Incidents, a.Incidents) })
	return all
}
