package alert_test

import (
	"fmt"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// TestWhatWasCountedUnderAClockThatWasAheadIsForgotten: two days of harmless traffic while the clock
// was ahead, and two days after it was put back. Windows that stay in the future would grow without
// an end, and tell of everybody.
func TestWhatWasCountedUnderAClockThatWasAheadIsForgotten(t *testing.T) {
	if testing.Short() {
		t.Skip("it watches half a million events")
	}
	const days, ahead = 2, 30 * 24 * time.Hour
	var got told
	kinds, states := observed(alert.Detections())
	e := alert.NewEngine(kinds, got.tell, nil)
	steady(states())
	newWorld(1).run(0, 0, days*1440, nil, func(v *audit.Event) {
		later := *v
		later.Time = v.Time.Add(ahead)
		e.See(&later)
	})
	e.Pass(monday.AddDate(0, 0, days).Add(ahead))
	before := len(got.all)
	e.Pass(monday)
	newWorld(1).run(0, 0, days*1440, nil, e.See)
	for _, i := range got.all[before:] {
		if !i.Ended {
			t.Errorf("false: %s %s %s: %s", i.Began.Format("Mon 02 15:04"), i.Detection, i.Subject, i.What)
		}
	}
}

// TestAnAttackIsSeenAfterTheClockWasPutBack: what is forgotten is counted anew at once.
func TestAnAttackIsSeenAfterTheClockWasPutBack(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	for i := range 10 {
		e.See(request(i, began.AddDate(5, 0, 0).Add(time.Duration(i)*time.Second), wrong))
	}
	e.Pass(began)
	for i := range 40 {
		e.See(request(100+i, began.Add(time.Duration(i)*time.Second), wrong))
	}
	if len(got.all) != 1 || got.all[0].Detection != "guessing" || !got.all[0].Began.Before(began.Add(time.Minute)) {
		t.Errorf("told %+v", got.all)
	}
}

// TestNobodyEmptiesAWindowByEndingALongRequest: its event has the time at which it began.
func TestNobodyEmptiesAWindowByEndingALongRequest(t *testing.T) {
	var got told
	e := alert.NewEngine(alert.Detections(), got.tell, nil)
	for i := range 40 {
		at := began.Add(time.Duration(i) * time.Second)
		e.See(request(i, at, wrong))
		e.See(request(1000+i, at.Add(-5*time.Hour), func(v *audit.Event) { v.Duration = 5 * time.Hour; v.ID = fmt.Sprint("long", i) }))
		e.Pass(at)
	}
	if len(got.all) != 1 || got.all[0].Detection != "guessing" {
		t.Errorf("told %+v", got.all)
	}
}
