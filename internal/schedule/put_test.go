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

// Somebody who attacks by hand keeps the schedule waiting, and nobody is woken for that.
func TestARunThatSomebodyElseIsAtIsPutOffAndTheOthersGoOn(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "hourly :30", "attack": "daily 03:00"})
	w.plan.Tasks[1].Job = func(_ context.Context, moment time.Time) (*finding.Report, error) {
		w.runs["attack"]++
		if w.now.Hour() < 5 {
			return nil, &schedule.NotNow{Why: "ann attacks since three"}
		}
		return &finding.Report{Findings: []finding.Finding{fault("a", finding.High, moment.Format(time.TimeOnly))}}, nil
	}
	w.Set(w.plan)
	w.live(4 * time.Hour)
	s := w.Status(1).Tasks[1]
	if s.PutOff != "ann attacks since three" || s.Ended != 0 || s.Next.Sub(w.now) != time.Minute || w.runs["attack"] != 3 || w.runs["check"] != 3 {
		t.Errorf("%+v, %v", s, w.runs)
	}
	w.want()
	w.live(time.Hour)
	w.want("+a 03:00:00")
	if s := w.Status(1).Tasks[1]; s.PutOff != "" || s.Ended != 1 || s.Last[0].Outcome != schedule.Done {
		t.Errorf("%+v", s)
	}
}

func TestAPutOffRunIsTriedAgainWithinAMinuteAndOverRestarts(t *testing.T) {
	w := newWorld(t, map[string]string{"attack": "daily 03:00"})
	free := false
	w.plan.Tasks[1].Job = func(context.Context, time.Time) (*finding.Report, error) {
		w.runs["attack"]++
		if !free {
			return nil, &schedule.NotNow{Why: "ann attacks"}
		}
		return &finding.Report{}, nil
	}
	w.Set(w.plan)
	w.pass()
	w.now = w.now.Add(3 * time.Hour)
	w.pass()
	w.pass()
	if w.runs["attack"] != 1 {
		t.Errorf("it is asked %d times in one moment", w.runs["attack"])
	}
	w.now = w.now.Add(-2 * time.Minute) // the clock is set back: not asked for ever
	w.now = w.now.Add(3 * time.Minute)
	w.pass()
	w.start()
	w.pass()
	free = true
	w.now = w.now.Add(time.Minute)
	w.pass()
	if s := w.Status(1).Tasks[1]; s.Ended != 1 || w.runs["attack"] != 4 {
		t.Errorf("%+v, %v", s, w.runs)
	}
	w.want()
}

func TestARunThatAnotherGatewayMadeIsNoFailureAndMendsNothing(t *testing.T) {
	w := newWorld(t, map[string]string{"attack": "daily 03:00"})
	w.wrong["attack"] = []finding.Finding{fault("a", finding.High, "x")}
	w.live(24 * time.Hour)
	w.want("+a x")
	w.wrong["attack"], w.broken = nil, &schedule.Elsewhere{Why: "web-2 attacked, until 03:01"}
	w.live(48 * time.Hour)
	w.want("+a x")
	s := w.Status(1).Tasks[1]
	if s.Ended != 3 || s.Last[0].Outcome != schedule.ByAnother || !strings.Contains(s.Last[0].Why, "web-2") || s.Open != 1 || !s.Sound.Equal(s.Last[0].Ended) {
		t.Errorf("%+v", s)
	}
	w.broken = &schedule.NotNow{Why: "ann attacks"}
	if _, err := w.RunNow(t.Context(), "attack", "bob"); err != nil { // somebody waits for it: it is not put off
		t.Fatal(err)
	}
	if s := w.Status(1).Tasks[1]; s.Last[0].Outcome != schedule.Failed || s.Last[0].Why != "ann attacks" {
		t.Errorf("%+v", s)
	}
	w.want("+a x")
}

// The gateway ends in time, whatever a job does.
func TestAJobThatDoesNotEndIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "hourly :00"})
		release, began := make(chan struct{}), atomic.Int32{}
		w.plan.Tasks[0].Job = func(context.Context, time.Time) (*finding.Report, error) {
			began.Add(1)
			<-release
			return &finding.Report{Findings: []finding.Finding{fault("late", finding.High, "x")}}, nil
		}
		onBubble(w)
		end := running(w)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if s := w.Status(3).Tasks[0]; began.Load() != 1 || s.Ended != 3 || !strings.Contains(s.Last[2].Why, "it took longer than 1m0s") || !strings.Contains(s.Last[0].Why, "not come to its end") {
			t.Errorf("began %d times: %+v", began.Load(), s)
		}
		close(release)
		time.Sleep(time.Hour) // now it runs again
		synctest.Wait()
		if s := w.Status(1).Tasks[0]; began.Load() != 2 || s.Last[0].Outcome != schedule.Done {
			t.Errorf("began %d times: %+v", began.Load(), s)
		}
		end()
	})
}

func TestTheGatewayDoesNotWaitForAJobThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]string{"check": "daily 03:00"})
		release := make(chan struct{})
		w.plan.Tasks[0].Job = func(context.Context, time.Time) (*finding.Report, error) {
			<-release
			return &finding.Report{}, nil
		}
		onBubble(w)
		end := running(w)
		time.Sleep(3*time.Hour + 30*time.Second)
		if _, err := w.Start("review", "ann"); err == nil {
			t.Error("two run at once")
		}
		began := time.Now()
		end()
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the end waited %s", took)
		}
		if s := w.Status(1).Tasks[0]; s.Ended != 0 { // it is made up after the next start
			t.Errorf("%+v", s)
		}
		if len(w.warned) != 1 || !strings.Contains(w.warned[0], "check does not end") {
			t.Errorf("warned %q", w.warned)
		}
		close(release)
		synctest.Wait()
	})
}
