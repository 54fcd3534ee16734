package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/finding"
)

// Outcomes of runs.
const (
	Done      = "done"
	Failed    = "failed"
	BrokenOff = "broken off" // the program ended meanwhile

	ByAnother = "by another gateway" // that shares the store; nothing was looked at here
)

// Run is one that has ended.
type Run struct {
	Task    string         `json:"task"`
	Due     time.Time      `json:"due,omitzero"` // the moment that the plan named; zero: somebody asked
	By      string         `json:"by,omitempty"` // who asked
	Began   time.Time      `json:"began"`
	Ended   time.Time      `json:"ended"`
	Outcome string         `json:"outcome"`
	Why     string         `json:"why,omitempty"`     // it failed, or did not look at everything
	About   string         `json:"about,omitempty"`   // what was looked at
	Open    map[string]int `json:"open,omitempty"`    // findings by severity, without those that are waived
	New     int            `json:"new"`               // or back
	Mended  int            `json:"mended"`            // or waived now
	Waived  int            `json:"waived,omitzero"`   // found, and accepted by a waiver
	LeftOut int            `json:"left_out,omitzero"` // findings for which there was no room
	Report  string         `json:"report,omitempty"`  // name of the file in the folder of reports
}

// run carries out a run that was taken: k.busy is its task.
func (k *Scheduler) run(ctx context.Context, t *Task, d due) {
	defer func() {
		k.mu.Lock()
		k.busy = ""
		k.mu.Unlock()
	}()
	began, ok := k.begin(t, &d)
	if !ok {
		k.deliver(ctx)
		return
	}
	report, err := k.look(ctx, t, d.at)
	notNow, off := errors.AsType[*NotNow](err)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		k.breakOff(t)
		return
	case off && d.by == "":
		k.putOff(t, &d, notNow.Why)
	default:
		k.end(t, &d, began, report, err)
	}
	k.deliver(ctx)
}

// begin notes that a run is under way, before it is, so that one that ends the program is not
// made up for ever.
func (k *Scheduler) begin(t *Task, d *due) (began time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, m := k.s.Now(), k.book.task(t.Name)
	tries := 1
	if d.again && m.Running != nil {
		tries = m.Running.Tries + 1
	}
	if tries > maxTries {
		m.Done, m.Running = later(m.Done, d.at), nil
		k.fail(t, Run{Task: t.Name, Due: d.at, Began: now, Ended: now, Outcome: Failed, Why: fmt.Sprintf("the program ended during each of %d tries", maxTries)})
		k.save()
		return now, false
	}
	m.Running = &running{Due: d.at, By: d.by, Began: now, Tries: tries}
	if late := now.Sub(d.at.Add(k.delay(t.Name, d.at))); d.by == "" && !d.again && !k.put[t.Name].at.Equal(d.at) && (late > lateAfter || d.missed > 0) {
		text := fmt.Sprintf("due at %s, it runs %s late", clock(d.at), late.Round(time.Minute))
		if d.missed > 0 {
			text += fmt.Sprintf("; %d runs before it were missed, and are made up with it", d.missed)
		}
		k.book.note("schedule_missed", t.Name, now, text)
	}
	k.save()
	return now, true
}

// look runs the job, for as long as it may take.
func (k *Scheduler) look(ctx context.Context, t *Task, moment time.Time) (*finding.Report, error) {
	if k.isLeft(t.Name) {
		return nil, errors.New("a run before has not come to its end yet: if it never does, start the gateway again")
	}
	within, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	l, ended := k.bounded(within, t, moment)
	switch {
	case ctx.Err() != nil:
		return nil, context.Canceled
	case within.Err() != nil && (!ended || l.err != nil || l.report == nil || l.report.Partial != ""):
		return nil, fmt.Errorf("it took longer than %s: schedule.%s.timeout may allow more", t.Timeout, t.Name)
	case l.err == nil && l.report == nil:
		return nil, errors.New("it reported nothing")
	}
	return l.report, l.err
}

// breakOff leaves a run to be made up after the next start: this end was orderly, and does not
// count as a try. One that somebody asked for is not made up.
func (k *Scheduler) breakOff(t *Task) {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := k.book.task(t.Name)
	if m.Running == nil {
		return
	}
	m.Running.Tries--
	if m.Running.By != "" {
		k.book.ended(m, Run{Task: t.Name, By: m.Running.By, Began: m.Running.Began, Ended: k.s.Now(), Outcome: BrokenOff, Why: "the gateway ended"})
		m.Running = nil
	}
	k.save()
}

// end keeps what a run found, and decides what is told, in one step.
func (k *Scheduler) end(t *Task, d *due, began time.Time, report *finding.Report, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now, m := k.s.Now(), k.book.task(t.Name)
	m.Running = nil
	if d.by == "" {
		m.Done = later(m.Done, d.at)
	}
	delete(k.put, t.Name)
	r := Run{Task: t.Name, Due: d.at, By: d.by, Began: began, Ended: now}
	if err != nil {
		k.without(t, r, err)
		return
	}
	if r.Report, err = k.store.keepReport(t.Name, began, report); err != nil {
		k.complain(err) // the findings themselves are kept all the same
	}
	r.Outcome, r.About, r.Why = Done, report.About, report.Partial
	k.book.lay(t.Name, report, now, k.plan.Least, &r)
	k.book.ended(m, r)
	k.book.count(now.In(k.plan.Zone), &r)
	k.book.forget(now, k.plan.Keep)
	k.keep()
	k.complain(k.store.sweep(k.book))
}

// without keeps a run that has no report. That somebody else was at it, or has done it, is told to
// nobody.
func (k *Scheduler) without(t *Task, r Run, err error) {
	r.Outcome, r.Why = Failed, shorten(err.Error(), maxWhy)
	_, elsewhere := errors.AsType[*Elsewhere](err)
	_, notNow := errors.AsType[*NotNow](err)
	if elsewhere {
		r.Outcome = ByAnother
	}
	if elsewhere || notNow {
		k.book.ended(k.book.task(t.Name), r)
	} else {
		k.fail(t, r)
	}
	k.keep()
}

// fail keeps a run that did not work, and tells of it.
func (k *Scheduler) fail(t *Task, r Run) {
	k.book.ended(k.book.task(t.Name), r)
	k.book.note("schedule_failed", t.Name, r.Ended, r.Why)
}

// save keeps the book. What cannot be kept is told; it stays in memory, and is kept with the
// next save.
func (k *Scheduler) save() { k.write(false) }

// keep is save, for what a loss of power must not undo.
func (k *Scheduler) keep() { k.write(true) }

func (k *Scheduler) write(firm bool) {
	err := k.store.write(k.book, firm)
	k.unkept = err != nil
	k.complain(err)
}

const maxWhy = 400 // bytes

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
