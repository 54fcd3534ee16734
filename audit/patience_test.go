package audit_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/audit"
)

// warnings are what an operator was told.
type warnings struct {
	mu   sync.Mutex
	told []error
}

func (w *warnings) warn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, err)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(errors.Join(w.told...))
}

// hours fills a log for so many hours, a segment for each.
func hours(t *testing.T, l *audit.Log, now *clock, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		fill(t, l, i, i+1)
		settle(t, l)
		now.advance(time.Hour)
	}
}

// goOn lets the clock go on for so long, as a clock does.
func goOn(t *testing.T, l *audit.Log, now *clock, d time.Duration) {
	t.Helper()
	for range d / (10 * time.Minute) {
		now.advance(10 * time.Minute)
		settle(t, l)
	}
}

func TestAClockThatJumpsAheadRemovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now, told := t.TempDir(), newClock(), &warnings{}
		l := open(t, dir, func(o *audit.Options) {
			now.set(o)
			o.Keep, o.SegmentSize, o.Warn = 48*time.Hour, 200, told.warn
		})
		hours(t, l, now, 0, 20)
		if l.Hold() != nil {
			t.Fatalf("a clock that goes on is doubted: %+v", l.Hold())
		}
		was := now.now()
		now.advance(16 * 365 * 24 * time.Hour) // to 2042
		hours(t, l, now, 20, 22)
		held := l.Hold()
		if held == nil || held.To.Sub(held.From) < 16*365*24*time.Hour || held.Left > 24*time.Hour {
			t.Fatalf("after the jump: %+v", held)
		}
		if verify(t, dir).First != 1 {
			t.Error("a clock that is wrong for an hour took everything")
		}
		if found := search(t, dir, audit.Query{Code: "retention_held"}); len(found) != 1 || !strings.Contains(found[0].Event.Detail, was.Format("2006-01-02")) {
			t.Errorf("the event: %+v", found)
		}
		if !strings.Contains(told.String(), "log retention --go-on") {
			t.Errorf("the operator is told: %v", told)
		}
		now.advance(-16 * 365 * 24 * time.Hour) // somebody mends it
		goOn(t, l, now, 25*time.Hour)
		if l.Hold() != nil || len(search(t, dir, audit.Query{Code: "retention_resumed"})) != 1 {
			t.Errorf("a day later it is still held: %+v", l.Hold())
		}
		if verify(t, dir).First != 1 {
			t.Error("what is not old was removed")
		}
		// What was recorded under the wrong clock does not stay until 2042.
		hours(t, l, now, 22, 72)
		if report := verify(t, dir); report.Fault != nil || len(search(t, dir, audit.Query{ID: "r21"})) > 0 {
			t.Errorf("what is old stays: %+v", report)
		}
	})
}

func TestAClockThatIsWrongForADayIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		l := open(t, dir, func(o *audit.Options) { now.set(o); o.Keep, o.SegmentSize = 100*time.Hour, 200 })
		hours(t, l, now, 0, 20)
		now.advance(150 * time.Hour)
		hours(t, l, now, 20, 21)
		goOn(t, l, now, 22*time.Hour)
		if verify(t, dir).First != 1 {
			t.Error("removed before a day has passed")
		}
		goOn(t, l, now, 4*time.Hour)
		if report := verify(t, dir); report.Fault != nil || report.First < 19 {
			t.Errorf("after a day: %+v", report)
		}
	})
}

func TestAJumpWhileNothingRunsIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		start := func() *audit.Log {
			return open(t, dir, func(o *audit.Options) { now.set(o); o.Keep, o.SegmentSize = 100*time.Hour, 200 })
		}
		end := func(l *audit.Log) {
			t.Helper()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		l := start()
		hours(t, l, now, 0, 20)
		end(l)
		now.advance(20 * time.Hour) // a night
		l = start()
		if l.Hold() != nil {
			t.Errorf("a night without a gateway is taken for a jump: %+v", l.Hold())
		}
		settle(t, l)
		end(l)
		now.advance(1000 * time.Hour)
		l = start()
		hours(t, l, now, 20, 21)
		if l.Hold() == nil || verify(t, dir).First != 1 {
			t.Fatalf("not held after the restart: %+v", l.Hold())
		}
		end(l)
		l = start() // another restart does not end it
		settle(t, l)
		if l.Hold() == nil || verify(t, dir).First != 1 {
			t.Fatalf("not held after another restart: %+v", l.Hold())
		}
		if held, err := l.GoOn(); err != nil || !held {
			t.Fatalf("go on: %v, %v", held, err)
		}
		settle(t, l)
		if report := verify(t, dir); report.Fault != nil || report.First < 19 || l.Hold() != nil {
			t.Errorf("after an operator said that the clock is right: %+v", report)
		}
		if held, err := l.GoOn(); err != nil || held {
			t.Errorf("go on where nothing is held: %v, %v", held, err)
		}
		end(l)
		if found := search(t, dir, audit.Query{Code: "retention_resumed"}); len(found) != 1 {
			t.Errorf("the event: %+v", found)
		}
	})
}

func TestAJumpIsSeenWithoutTheFileOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		set := func(o *audit.Options) { now.set(o); o.Keep, o.SegmentSize = 100*time.Hour, 200 }
		l := open(t, dir, set)
		hours(t, l, now, 0, 20)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"", "{", `{"last":"never"}`} {
			if name := filepath.Join(dir, "clock"); text == "" {
				remove(t, name)
			} else {
				write(t, name, []byte(text))
			}
			now.advance(1000 * time.Hour)
			l = open(t, dir, set)
			settle(t, l)
			if l.Hold() == nil || verify(t, dir).First != 1 {
				t.Errorf("with a file %q: not held", text)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestClassesAreNotTakenAfterAJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		l := open(t, dir, func(o *audit.Options) {
			now.set(o)
			o.SegmentSize = 200
			o.KeepClass = map[audit.Class]time.Duration{audit.Request: 48 * time.Hour}
		})
		hours(t, l, now, 0, 5)
		now.advance(1000 * time.Hour)
		hours(t, l, now, 5, 6)
		look(t, l)
		if report := verify(t, dir); report.Expired != 0 || report.First != 1 || l.Hold() == nil {
			t.Errorf("after a jump: %+v, hold %+v", report, l.Hold())
		}
		if _, err := l.GoOn(); err != nil {
			t.Fatal(err)
		}
		look(t, l)
		if report := verify(t, dir); report.Expired+report.First-1 < 4 || report.Fault != nil {
			t.Errorf("when the clock is right: %+v", report)
		}
	})
}

func TestWhatIsTooLargeGoesAfterAJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		l := open(t, dir, func(o *audit.Options) {
			now.set(o)
			o.Keep, o.SegmentSize, o.MaxSize = 100*time.Hour, 200, 6000
		})
		hours(t, l, now, 0, 5)
		now.advance(1000 * time.Hour)
		hours(t, l, now, 5, 30)
		if report := verify(t, dir); l.Hold() == nil || report.First == 1 || report.Fault != nil {
			t.Errorf("hold %+v, report %+v", l.Hold(), report)
		}
	})
}

func TestWithoutRetentionNothingIsHeld(t *testing.T) {
	for name, others := range map[string]time.Duration{"alone": 0, "with others": 100 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			l := open(t, t.TempDir(), func(o *audit.Options) { now.set(o); o.OthersKeep = others })
			now.advance(1000 * time.Hour)
			look(t, l)
			if held := l.Hold() != nil; held != (others > 0) {
				t.Errorf("held: %v", held)
			}
		})
	}
}

// look lets a log look at the clock.
func look(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
}
