package schedule_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

// running runs a world's schedule on the clock of a bubble, until the function that comes back
// ends it.
func running(w *world) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// onBubble lets a world's clock be that of the bubble.
func onBubble(w *world) {
	w.t.Helper()
	s, err := schedule.Open(schedule.Settings{
		Folder: w.folder, Plan: w.plan, Now: time.Now, Rand: strings.NewReader(strings.Repeat("seed", 8)), Record: w.record, Recorded: w.recorded,
		Warn: func(err error) { w.warned = append(w.warned, err.Error()) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Scheduler = s
}

func TestTheLoopRunsWhatIsDueOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "hourly :00", "attack": "hourly :00", "review": "hourly :00"})
		var at, most atomic.Int32
		for i := range w.plan.Tasks {
			w.plan.Tasks[i].Timeout = time.Hour
			w.plan.Tasks[i].Job = func(context.Context, time.Time) (*finding.Report, error) {
				most.Store(max(most.Load(), at.Add(1)))
				defer at.Add(-1)
				time.Sleep(10 * time.Minute)
				return &finding.Report{}, nil
			}
		}
		onBubble(w)
		end := running(w)
		time.Sleep(24*time.Hour + 45*time.Minute)
		end()
		if most.Load() != 1 {
			t.Errorf("%d ran at once", most.Load())
		}
		for _, task := range w.Status(1).Tasks {
			if task.Ended != 24 {
				t.Errorf("%s ran %d times in 24 hours", task.Name, task.Ended)
			}
		}
	})
}

func TestARunThatTakesTooLongHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "daily 03:00"})
		w.plan.Tasks[0].Job = func(ctx context.Context, _ time.Time) (*finding.Report, error) {
			<-ctx.Done()
			return &finding.Report{Partial: "it was broken off"}, nil
		}
		onBubble(w)
		end := running(w)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		end()
		w.want("!schedule_failed check")
		if r := w.Status(1).Tasks[0].Last[0]; r.Outcome != schedule.Failed || r.Ended.Sub(r.Began) != time.Minute || !strings.Contains(r.Why, "schedule.check.timeout") {
			t.Errorf("run %+v", r)
		}
	})
}

func TestAJobThatPanicsHasFailedAndTheScheduleGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "daily 03:00", "review": "daily 03:00"})
		w.plan.Tasks[0].Job = func(context.Context, time.Time) (*finding.Report, error) { panic("nobody thought of this") }
		w.plan.Tasks[2].Job = func(context.Context, time.Time) (*finding.Report, error) { return nil, nil }
		onBubble(w)
		end := running(w)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		end()
		w.want("!schedule_failed check", "!schedule_failed review")
		if !strings.Contains(w.log[0].Detail, "nobody thought of this") {
			t.Errorf("told %q", w.log[0].Detail)
		}
	})
}

func TestTheEndOfTheGatewayBreaksARunOffAndTheNextStartMakesItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "daily 03:00"})
		began, quick := 0, false
		w.plan.Tasks[0].Timeout = 2 * time.Hour
		w.plan.Tasks[0].Job = func(ctx context.Context, _ time.Time) (*finding.Report, error) {
			if began++; quick {
				return &finding.Report{Findings: []finding.Finding{fault("a", finding.High, "x")}}, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		for i := range 5 { // orderly ends do not count as tries
			onBubble(w)
			end := running(w)
			if i == 0 {
				time.Sleep(3 * time.Hour)
			}
			time.Sleep(10 * time.Minute)
			end()
			if ended := w.Status(1).Tasks[0].Ended; began != i+1 || ended != 0 {
				t.Fatalf("start %d: began %d times, ended %d", i, began, ended)
			}
		}
		quick = true
		onBubble(w)
		end := running(w)
		synctest.Wait()
		end()
		w.want("+a x")
		if began != 6 {
			t.Errorf("it began %d times", began)
		}
	})
}

func TestAskedForWhileTheLoopRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.plan.Tasks[0].Job = func(ctx context.Context, _ time.Time) (*finding.Report, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(30 * time.Second):
				return &finding.Report{}, nil
			}
		}
		onBubble(w)
		end := running(w)
		synctest.Wait()
		before, err := w.Start("check", "ann")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if s := w.Status(1).Tasks[0]; s.Running.IsZero() || s.Ended != before {
			t.Errorf("status %+v", s)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := w.Status(1).Tasks[0]; !s.Running.IsZero() || s.Ended != before+1 || s.Last[0].Outcome != schedule.Done {
			t.Errorf("status %+v", s)
		}
		if _, err := w.Start("check", "ann"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		end()
		if s := w.Status(1).Tasks[0]; s.Ended != before+2 || s.Last[0].Outcome != schedule.BrokenOff {
			t.Errorf("status behind the end %+v", s)
		}
		if _, err := w.Start("check", "ann"); err == nil {
			t.Error("a run begins behind the end")
		}
	})
}

// An inventory tells when an API was last audited: by a run that looked at all of it.
func TestARunThatDidNotLookAtEverythingIsNotSound(t *testing.T) {
	w := newWorld(t, nil)
	sound := func() time.Time {
		if _, err := w.RunNow(t.Context(), "check", "ann"); err != nil {
			t.Fatal(err)
		}
		return w.Status(1).Tasks[0].Sound
	}
	w.partial = "it ended after 3 of 200 cases"
	if at := sound(); !at.IsZero() {
		t.Errorf("sound at %s", at)
	}
	w.partial = ""
	if sound().IsZero() {
		t.Error("never sound")
	}
}
