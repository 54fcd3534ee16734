package alert

import (
	"context"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// Silenced is the note of an event whose incident somebody has silenced: it is recorded, and
// nobody is told.
const Silenced = "silenced"

// Severities lists them, the least first.
func Severities() []Severity { return []Severity{Info, Low, Medium, High, Critical} }

// AtLeast reports whether s is as severe as another. What is no severity is less than all.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(Severities(), s) >= slices.Index(Severities(), other)
}

// Actions of events of the class detection.
const (
	Began = "began"
	Ended = "ended"
)

// Key names an incident: the beginning and the end of one have the same.
type Key struct {
	Detection string
	Subject   Subject
	Event     string
}

// Key names the incident.
func (i *Incident) Key() Key { return Key{i.Detection, i.Subject, i.Event} }

// RecordedKey names the incident as those are named that [History] returns: what was too long for
// an event is cut off.
func (i *Incident) RecordedKey() Key {
	e := i.AsEvent()
	short, err := audit.ParseJSON(audit.AppendJSON(nil, &e))
	if err != nil {
		return i.Key()
	}
	recorded, _ := FromEvent(&short)
	return recorded.Key()
}

// FromEvent is the incident that an event tells of, as far as the event says; ok is false if
// it tells of none. When an incident that has ended began, its event does not say.
func FromEvent(e *audit.Event) (i Incident, ok bool) {
	if e.Class != audit.Detection || e.Action != Began && e.Action != Ended {
		return i, false
	}
	kind, name, _ := strings.Cut(e.Target, " ")
	i = Incident{
		Detection: e.Code, Severity: Severity(e.Warning), Subject: Subject{kind, name}, Last: e.Time, Count: max(e.Count, 1), What: e.Detail,
		Event: e.Change, Ended: e.Action == Ended,
	}
	if !i.Ended {
		i.Began = e.Time
	}
	return i, true
}

// Recorded is an incident as the log tells of it.
type Recorded struct {
	Incident

	ID       string `json:"id"` // of the event with which it began
	Silenced bool   `json:"silenced,omitempty"`
}

// maxRecorded bounds how many incidents are kept in memory; the oldest that have ended go first.
const maxRecorded = 50_000

// History returns the incidents that a log holds since a time, oldest first. Those that have
// not ended are open, or were when detections were last on. A log that was damaged is read all
// the same: the error then says what could not be.
func History(ctx context.Context, log string, since time.Time) ([]Recorded, error) {
	var all []*Recorded
	known := map[Key]*Recorded{}
	err := audit.Each(ctx, log, audit.Query{Class: audit.Detection, Since: since}, func(f audit.Found) error {
		i, ok := FromEvent(&f.Event)
		if !ok {
			return nil
		}
		if i.Ended {
			if began := known[i.Key()]; began != nil {
				began.Last, began.Count, began.Ended = i.Last, i.Count, true
			}
			return nil
		}
		if len(all) >= maxRecorded {
			all = forget(all, known)
		}
		r := &Recorded{Incident: i, ID: f.Event.ID, Silenced: f.Event.Note == Silenced}
		known[i.Key()] = r
		all = append(all, r)
		return nil
	})
	found := make([]Recorded, 0, len(all))
	for _, r := range all {
		found = append(found, *r)
	}
	return found, err
}

// forget makes room: for the older half of what has ended, or of everything.
func forget(all []*Recorded, known map[Key]*Recorded) []*Recorded {
	half := len(all) / 2
	kept := slices.DeleteFunc(slices.Clone(all[:half]), func(r *Recorded) bool { return r.Ended })
	if len(kept) == half {
		kept = nil
	}
	kept = append(kept, all[half:]...)
	clear(known)
	for _, r := range kept {
		known[r.Key()] = r
	}
	return kept
}
