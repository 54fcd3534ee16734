package schedule

import (
	"cmp"
	"slices"
	"time"

	"pavise.dev/pavise/internal/finding"
)

// Day is how many findings there were at the end of a day, of all tasks together.
type Day struct {
	Date   string         `json:"date"`
	Open   map[string]int `json:"open"` // by severity
	New    int            `json:"new"`
	Mended int            `json:"mended"`
}

// count notes how many findings are open, on the day of a run.
func (b *book) count(now time.Time, r *Run) {
	day := Day{Date: now.Format(time.DateOnly)}
	at, known := slices.BinarySearchFunc(b.Days, day.Date, func(d Day, date string) int { return cmp.Compare(d.Date, date) })
	if known {
		day = b.Days[at]
	} else {
		b.Days = slices.Insert(b.Days, at, day)
	}
	day.Open = map[string]int{}
	for _, f := range b.Findings {
		if f.IsOpen() {
			day.Open[f.Severity.String()]++
		}
	}
	day.New += r.New
	day.Mended += r.Mended
	b.Days[at] = day
}

// Trend are the findings of a time, and how many there were day by day.
type Trend struct {
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	Days     []Day      `json:"days"`
	Findings []*Finding `json:"findings"` // the worst first
	Runs     []Run      `json:"runs"`     // the last of each task
}

// Query chooses findings.
type Query struct {
	Since  time.Time // what has ended before is left out
	Open   bool      // only what is open
	Mended bool      // only what has ended
	Task   string    // only of this one; the days are of all
}

// Trend tells what was found over time.
func (k *Scheduler) Trend(q Query) Trend {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.s.Now()
	t := Trend{Since: q.Since.UTC(), Until: now.UTC(), Findings: []*Finding{}, Runs: []Run{}}
	for _, f := range k.book.Findings {
		switch {
		case q.Open && !f.IsOpen(), q.Mended && f.IsOpen(), q.Task != "" && f.Task != q.Task, !f.IsOpen() && f.until().Before(q.Since):
			continue
		}
		c := *f
		t.Findings = append(t.Findings, &c)
	}
	slices.SortStableFunc(t.Findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.target(), b.target()), cmp.Compare(a.ID, b.ID))
	})
	for _, each := range k.plan.Tasks {
		if m := k.book.Tasks[each.Name]; m != nil && len(m.Runs) > 0 {
			t.Runs = append(t.Runs, m.Runs[len(m.Runs)-1])
		}
	}
	t.Days = k.book.days(q.Since.In(k.plan.Zone), now.In(k.plan.Zone))
	return t
}

// days are the days of a time, with those on which nothing ran: what was open stayed so.
func (b *book) days(since, until time.Time) []Day {
	first, last := since.Format(time.DateOnly), until.Format(time.DateOnly)
	all, open, begun, at := []Day{}, map[string]int{}, false, 0
	for ; at < len(b.Days) && b.Days[at].Date < first; at++ {
		open, begun = b.Days[at].Open, true
	}
	date, err := time.Parse(time.DateOnly, first)
	for err == nil && date.Format(time.DateOnly) <= last && len(all) < maxDays {
		day := Day{Date: date.Format(time.DateOnly), Open: open}
		if at < len(b.Days) && b.Days[at].Date == day.Date {
			day, begun = b.Days[at], true
			open = day.Open
			at++
		}
		if begun { // before the first run nothing is known
			all = append(all, day)
		}
		date = date.AddDate(0, 0, 1)
	}
	return all
}

// Severities are the words for severities, the worst first.
func Severities() (all []string) {
	for s := finding.Critical; s >= finding.Info; s-- {
		all = append(all, s.String())
	}
	return all
}

// Status is what is planned, and what ran.
type Status struct {
	Zone  string       `json:"zone"`
	Time  time.Time    `json:"time"`
	Tasks []TaskStatus `json:"tasks"`
}

// TaskStatus is how a task is.
type TaskStatus struct {
	Name    string    `json:"name"`
	When    string    `json:"when,omitempty"`     // "": it runs when somebody asks
	Next    time.Time `json:"next,omitzero"`      // when it will begin
	Running time.Time `json:"running,omitzero"`   // since when it runs
	Ended   int       `json:"runs"`               // how many runs there were
	Last    []Run     `json:"last_runs"`          // the newest first
	Open    int       `json:"open"`               // findings
	Sound   time.Time `json:"last_done,omitzero"` // the last run that looked at everything, here or at another gateway
	PutOff  string    `json:"put_off,omitempty"`  // why it is tried again later
}

// Status tells what is planned, with some of the last runs of each task.
func (k *Scheduler) Status(runs int) Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.s.Now()
	s := Status{Zone: k.plan.Zone.String(), Time: now.UTC(), Tasks: []TaskStatus{}}
	for _, t := range k.plan.Tasks {
		m := k.book.task(t.Name)
		one := TaskStatus{Name: t.Name, When: t.When.String(), Next: k.nextRun(&t, now), Ended: m.Ended, Last: []Run{}}
		if k.busy == t.Name {
			one.Running, one.Next = k.since.UTC(), time.Time{}
		}
		if k.isOff(t.Name, now) {
			one.PutOff = k.put[t.Name].why
		}
		for i := len(m.Runs) - 1; i >= 0; i-- {
			r := m.Runs[i]
			if len(one.Last) < runs {
				one.Last = append(one.Last, r)
			}
			if (r.Outcome == Done && r.Why == "" || r.Outcome == ByAnother) && one.Sound.IsZero() {
				one.Sound = r.Ended.UTC()
			}
		}
		for _, f := range k.book.of(t.Name) {
			if f.IsOpen() {
				one.Open++
			}
		}
		s.Tasks = append(s.Tasks, one)
	}
	return s
}
