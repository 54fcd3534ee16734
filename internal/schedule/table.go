package schedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/finding"
)

// Finding is something wrong, over the time for which it was known.
type Finding struct {
	finding.Finding

	ID     string    `json:"id"`   // of the rule at its place; the same when it comes back
	Task   string    `json:"task"` // that found it
	First  time.Time `json:"first_seen"`
	Opened time.Time `json:"opened"`    // this time
	Seen   time.Time `json:"last_seen"` // by the last run that found it
	Times  int       `json:"times"`     // how often it began
	Ended  time.Time `json:"ended,omitzero"`
	Reason string    `json:"ended_because,omitempty"` // mended, or waived
	Told   bool      `json:"told,omitempty"`          // its beginning was told, and its end was not
}

// Reasons why a finding has ended.
const (
	Mended = "mended"
	Waived = "waived"
)

// until is when it was there at last: what is waived is there still.
func (f *Finding) until() time.Time {
	if f.Reason == Waived {
		return f.Seen
	}
	return f.Ended
}

// IsOpen reports whether it is still there.
func (f *Finding) IsOpen() bool { return f.Ended.IsZero() }

// Bounds of what is kept.
const (
	maxFindings = 10_000
	maxTold     = 500  // findings that one run tells of one by one
	maxWhat     = 1000 // bytes of what was seen
	maxProof    = 3000 // bytes of the command that shows it; a longer one stands in the report alone
)

// lay lays a report over what is known: r counts what that changes.
func (b *book) lay(task string, report *finding.Report, now time.Time, least finding.Severity, r *Run) {
	all := identified(task, report.Findings)
	found, known := map[string]bool{}, map[string]*Finding{}
	for _, f := range all {
		found[f.ID] = true
	}
	for _, f := range b.Findings {
		known[f.ID] = f
	}
	var began []*Finding
	for _, next := range all {
		f := known[next.ID]
		if next.Waived != nil {
			r.Waived++
		}
		if f == nil && len(b.Findings) >= maxFindings && !b.makeRoom(found) {
			r.LeftOut++
			continue
		}
		if f, is := b.see(f, next, now, r); is {
			began = append(began, f)
		}
	}
	settled := report.Settles() // else nobody knows whether what is missing is mended
	for _, f := range b.of(task) {
		if f.IsOpen() && !found[f.ID] && settled(&f.Finding) {
			b.end(f, Mended, now, r)
		}
	}
	b.tellBegan(task, began, now, least)
	r.Open = map[string]int{}
	for _, f := range b.of(task) {
		if f.IsOpen() {
			r.Open[f.Severity.String()]++
		}
	}
}

// of are the findings of a task.
func (b *book) of(task string) (all []*Finding) {
	for _, f := range b.Findings {
		if f.Task == task {
			all = append(all, f)
		}
	}
	return all
}

// see notes that something was found; f is what was known of it, nil if nothing. It reports
// whether it begins now: for the first time, again, or as something worse.
func (b *book) see(f, next *Finding, now time.Time, r *Run) (_ *Finding, began bool) {
	switch {
	case f == nil && next.Waived != nil: // it was accepted before it was known
		next.First, next.Opened, next.Seen, next.Ended, next.Reason = now, now, now, now, Waived
		b.Findings = append(b.Findings, next)
		return next, false
	case f == nil:
		next.First, next.Opened, next.Seen, next.Times = now, now, now, 1
		b.Findings = append(b.Findings, next)
		r.New++
		return next, true
	case next.Waived != nil:
		if f.IsOpen() {
			b.end(f, Waived, now, r)
		} else if f.Reason != Waived { // it was mended, is back, and is accepted
			f.Ended, f.Reason = now, Waived
		}
		f.Waived, f.Seen = next.Waived, now
		return f, false
	}
	worse := f.IsOpen() && next.Severity > f.Severity
	if worse && f.Told {
		b.tellEnd(f, now)
	}
	began = worse || !f.IsOpen()
	f.Finding, f.Seen = next.Finding, now
	if began {
		f.Opened, f.Ended, f.Reason = now, time.Time{}, ""
		f.Times++
		r.New++
	}
	return f, began
}

// end ends a finding.
func (b *book) end(f *Finding, reason string, now time.Time, r *Run) {
	f.Ended, f.Reason = now, reason
	r.Mended++
	if f.Told {
		b.tellEnd(f, now)
	}
}

// tellBegan tells of what has begun, the worst first. Of more than anybody reads it is told how
// many there are.
func (b *book) tellBegan(task string, began []*Finding, now time.Time, least finding.Severity) {
	fresh := slices.DeleteFunc(began, func(f *Finding) bool { return f.Severity < least })
	slices.SortStableFunc(fresh, func(x, y *Finding) int { return cmp.Compare(y.Severity, x.Severity) })
	for i, f := range fresh {
		if i == maxTold {
			b.note("schedule_findings", task, now, fmt.Sprintf("%d more findings are new: pavise findings --open", len(fresh)-maxTold))
			return
		}
		f.Told = true
		incident := f.incident()
		b.Waiting = append(b.Waiting, asWaiting(&incident))
	}
}

func (b *book) tellEnd(f *Finding, now time.Time) {
	incident := f.incident()
	incident.Last, incident.Ended = now, true
	f.Told = false
	b.Waiting = append(b.Waiting, asWaiting(&incident))
}

// incident is a finding as alerts know it: the rule, what it is about, and since when.
func (f *Finding) incident() alert.Incident {
	return alert.Incident{
		Detection: f.Rule, Severity: alert.Severity(f.Severity.String()), Subject: alert.Subject{Kind: f.Task, Name: f.target()},
		Began: f.Opened, Last: f.Opened, Count: 1, What: printable(f.What), Event: fmt.Sprintf("%s.%d", f.ID, f.Times),
	}
}

// target names where something is, without lines, which move.
func (f *Finding) target() string {
	name := cmp.Or(f.Where.Path, f.Where.File, "everything")
	return printable(shorten(name, maxTarget))
}

const maxTarget = 200 // bytes

// identified gives the findings of a report their ids: of the rule, the file and what is named
// there, of the case that found it, and of the how manyth it is where there are several of all that.
func identified(task string, all []finding.Finding) []*Finding {
	seen := map[string]int{}
	list := make([]*Finding, 0, len(all))
	for _, f := range all {
		key := strings.Join([]string{task, f.Rule, f.Where.File, f.Where.Path}, "\x00")
		if f.Case != "" {
			key += "\x00" + f.Case
		}
		seen[key]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, seen[key]))
		if f.What = shorten(f.What, maxWhat); len(f.Proof) > maxProof {
			f.Proof = ""
		}
		list = append(list, &Finding{Finding: f, Task: task, ID: base32.HexEncoding.EncodeToString(sum[:10])})
	}
	return list
}

// makeRoom forgets the finding that has ended for longest, but for those that a report tells of.
func (b *book) makeRoom(but map[string]bool) bool {
	oldest := -1
	for i, f := range b.Findings {
		if !f.IsOpen() && !but[f.ID] && (oldest < 0 || f.Ended.Before(b.Findings[oldest].Ended)) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	b.Findings = slices.Delete(b.Findings, oldest, oldest+1)
	return true
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// printable keeps what others wrote on one line.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '\uFFFD'
	}, text)
}
