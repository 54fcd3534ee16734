package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

// due is a run that is to be made.
type due struct {
	at     time.Time // the moment that the plan names; zero: somebody asked
	by     string    // who asked; "": the plan
	missed int       // earlier moments for which there was no run
	again  bool      // it was broken off before
}

// Bounds of what is made up.
const (
	lateAfter = time.Hour            // a run that begins so much later than it was due is told of
	maxBack   = 25 * time.Hour       // a clock that goes back further was wrong before
	maxCount  = 400 * 24 * time.Hour // moments further back are not counted; each task has many within it
	maxTries  = 3                    // runs during which the program ends, of one moment
)

// dueOf says whether a task is due. k.mu is held.
func (k *Scheduler) dueOf(t *Task, now time.Time) (d due, ok bool) {
	if t.When.IsZero() {
		return d, false
	}
	m := k.book.task(t.Name)
	if done := k.doneOf(t, m, now); m.Plan != k.planOf(t) || !done.Equal(m.Done) {
		if m.Done.Sub(now) > maxBack {
			k.book.note("schedule_clock", t.Name, now, fmt.Sprintf("the clock went back from %s to %s: %s runs at its times from now on", clock(m.Done), clock(now), t.Name))
		}
		m.Plan, m.Done = k.planOf(t), done
		k.save()
	}
	if r := m.Running; r != nil && r.By == "" {
		return due{at: r.Due, again: true}, true
	}
	at, missed := k.latest(t, m.Done, now)
	return due{at: at, missed: missed}, !at.IsZero()
}

func (k *Scheduler) planOf(t *Task) string { return t.When.String() + " " + k.plan.Zone.String() }

// doneOf is up to which moment a task had its runs. What another plan would have had run is not
// made up; and what was done at a time that a wrong clock had made up counts for nothing.
func (k *Scheduler) doneOf(t *Task, m *task, now time.Time) time.Time {
	switch {
	case m.Done.Sub(now) > maxBack:
		return now
	case m.Plan != k.planOf(t):
		return later(m.Done, now)
	}
	return m.Done
}

// latest is the last moment up to now for which there was no run, and how many there were before
// it. They are made up together: what was not looked at then cannot be looked at any more.
func (k *Scheduler) latest(t *Task, done, now time.Time) (last time.Time, missed int) {
	if now.Sub(done) > maxCount {
		done = now.Add(-maxCount)
	}
	for {
		at := t.When.Next(done, k.plan.Zone)
		if now.Before(at.Add(k.delay(t.Name, at))) {
			return last, missed
		}
		if !last.IsZero() {
			missed++
		}
		last, done = at, at
	}
}

// delay is how much later than planned a run begins: the same again after a restart, another
// one on other gateways.
func (k *Scheduler) delay(task string, at time.Time) time.Duration {
	if k.plan.Jitter <= 0 {
		return 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", k.book.Seed, task, at.Unix()))
	return time.Duration(binary.BigEndian.Uint64(sum[:8]) % uint64(k.plan.Jitter)).Truncate(time.Second)
}

// nextRun is when a task will run. k.mu is held.
func (k *Scheduler) nextRun(t *Task, now time.Time) time.Time {
	if t.When.IsZero() {
		return time.Time{}
	}
	m := k.book.task(t.Name)
	if r := m.Running; r != nil && r.By == "" {
		return now // it is made up
	}
	done := k.doneOf(t, m, now)
	at, _ := k.latest(t, done, now)
	if at.IsZero() {
		at = t.When.Next(done, k.plan.Zone)
	}
	if k.isOff(t.Name, now) {
		return k.put[t.Name].again
	}
	return at.Add(k.delay(t.Name, at))
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
