package schedule

import (
	"context"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/finding"
)

// put is a run of the plan that is put off: somebody else is at it.
type put struct {
	at    time.Time // of the plan
	again time.Time // when it is tried next
	why   string
}

// offFor is for how long a run is put off.
const offFor = time.Minute

// isOff reports whether a task waits for somebody else. k.mu is held.
func (k *Scheduler) isOff(task string, now time.Time) bool {
	p, is := k.put[task]
	return is && now.Before(p.again) && p.again.Sub(now) <= offFor // else the clock was set back
}

// putOff leaves a run to be made later. It counts neither as a try nor as missed.
func (k *Scheduler) putOff(t *Task, d *due, why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.book.task(t.Name).Running = nil
	k.put[t.Name] = put{d.at, k.s.Now().Add(offFor), shorten(why, maxWhy)}
	k.save()
}

// looked is how a look ended.
type looked struct {
	report *finding.Report
	err    error
}

// grace is how long a job may take to end after its context has ended. The gateway does not end before,
// and not much later.
const grace = 10 * time.Second

// bounded runs a job until it ends, or until some time after its context; a job that panics has
// failed. One that does not end is left behind: ok is false, and the task does not run again before it has.
func (k *Scheduler) bounded(ctx context.Context, t *Task, moment time.Time) (l looked, ok bool) {
	ended := make(chan looked, 1) // whoever is left behind can end all the same
	go func() {
		var l looked
		defer func() {
			if fault := recover(); fault != nil {
				l = looked{err: fmt.Errorf("it panicked: %v", fault)}
			}
			ended <- l
		}()
		l.report, l.err = t.Job(ctx, moment)
	}()
	select {
	case l = <-ended:
		return l, true
	case <-ctx.Done():
	}
	patience := time.NewTimer(grace)
	defer patience.Stop()
	select {
	case l = <-ended:
		return l, true
	case <-patience.C:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left[t.Name] = ended
	k.complain(fmt.Errorf("%s does not end, and is left behind", t.Name))
	return looked{}, false
}

// isLeft reports whether a run of a task that was left behind has not ended yet.
func (k *Scheduler) isLeft(task string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ended, is := k.left[task]
	if !is {
		return false
	}
	select {
	case <-ended:
		delete(k.left, task)
		return false
	default:
		return true
	}
}
