package notify_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink"
)

// teller keeps what it is told.
type teller struct {
	told   []notify.Notice
	fail   error
	reject func(*notify.Notice) bool
	kept   [][]notify.Item
}

func (w *teller) Tell(_ context.Context, n *notify.Notice) error {
	if w.reject != nil && w.reject(n) {
		return sink.Reject("400")
	}
	if w.fail != nil {
		return w.fail
	}
	w.told = append(w.told, *n)
	return nil
}

func (w *teller) Close() error { return nil }

// forgetful is a receiver that has to be reminded.
type forgetful struct{ *teller }

func (f forgetful) Every() time.Duration { return time.Minute }

func (f forgetful) Keep(_ context.Context, open []notify.Item) error {
	f.kept = append(f.kept, open)
	return nil
}

// room is a desk with its clock.
type room struct {
	t      *testing.T
	now    time.Time
	file   string
	teller *teller
	silent map[string]bool // detections
	open   func() []alert.Incident
	desk   *notify.Desk
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), file: filepath.Join(t.TempDir(), "notify", "ops.told.json"), teller: &teller{}, silent: map[string]bool{}}
	r.start(nil)
	return r
}

func (r *room) start(n notify.Notifier) {
	r.t.Helper()
	if n == nil {
		n = r.teller
	}
	var err error
	r.desk, err = notify.New(notify.Settings{
		Name: "ops", Node: "gw1", Notifier: n, File: r.file, Least: alert.Medium, Recovery: true, Open: r.open,
		Silent:  func(detection string, _ alert.Subject) bool { return r.silent[detection] },
		Explain: func(string) (string, string) { return "somebody guesses", "block him" }, Now: func() time.Time { return r.now },
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func incident(detection string, n int) alert.Incident {
	began := time.Date(2026, 11, 30, 11, 0, 0, 0, time.UTC)
	return alert.Incident{
		Detection: detection, Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: fmt.Sprint("192.0.2.", n)}, Began: began, Last: began, Count: 1,
		What: "many", Event: fmt.Sprint("r", n),
	}
}

func event(i alert.Incident) audit.Found { return audit.Found{Event: i.AsEvent()} }

func ended(i alert.Incident) audit.Found {
	i.Ended, i.Last, i.Count = true, i.Last.Add(time.Minute), 7
	return event(i)
}

func (r *room) send(events ...audit.Found) {
	r.t.Helper()
	if err := r.desk.Send(r.t.Context(), events); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) settle() {
	r.t.Helper()
	if err := r.desk.Settle(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// last is what was told last, and that so much was told in all.
func (r *room) last(told int) notify.Notice {
	r.t.Helper()
	if len(r.teller.told) != told {
		r.t.Fatalf("told %d times: %+v", len(r.teller.told), r.teller.told)
	}
	return r.teller.told[told-1]
}

func TestABeginningAndItsEndAreToldOnce(t *testing.T) {
	r := newRoom(t)
	r.send(event(incident("guessing", 1)), event(incident("guessing", 2)))
	if n := r.last(1); len(n.Began) != 2 || len(n.Ended) != 0 || n.Open != 2 || n.Began[0].Means != "somebody guesses" || n.Node != "gw1" {
		t.Errorf("%+v", n)
	}
	r.send(event(incident("guessing", 1))) // again, after a crash
	r.last(1)
	r.start(nil)
	r.send(event(incident("guessing", 2)), ended(incident("guessing", 1)))
	if n := r.last(2); len(n.Began) != 0 || len(n.Ended) != 1 || n.Ended[0].Subject.Name != "192.0.2.1" || n.Ended[0].Count != 7 || n.Ended[0].Began.IsZero() || n.Open != 1 {
		t.Errorf("%+v", n)
	}
	r.send(ended(incident("guessing", 1)), ended(incident("guessing", 9))) // one again, and one that was never told
	r.last(2)
}

func TestWhatFailedIsToldWhenItIsTriedAgain(t *testing.T) {
	r := newRoom(t)
	r.teller.fail = errors.New("away")
	if err := r.desk.Send(t.Context(), []audit.Found{event(incident("guessing", 1))}); err == nil {
		t.Fatal("it says that it was told")
	}
	r.teller.fail = nil
	r.send(event(incident("guessing", 1)), event(incident("guessing", 2)))
	if n := r.last(1); len(n.Began) != 2 {
		t.Errorf("%+v", n)
	}
}

func TestABriefIncidentIsOneLine(t *testing.T) {
	r := newRoom(t)
	r.send(event(incident("guessing", 1)), ended(incident("guessing", 1)))
	if n := r.last(1); len(n.Began) != 1 || !n.Began[0].Ended || len(n.Ended) != 0 || n.Open != 0 || n.Began[0].What != "many" {
		t.Errorf("%+v", n)
	}
}

func TestWhatIsSilencedIsNotToldUntilTheSilenceIsOver(t *testing.T) {
	r := newRoom(t)
	marked := event(incident("guessing", 1))
	marked.Event.Note = alert.Silenced
	r.silent["guessing"] = true
	r.send(marked, event(incident("replays", 2)))
	if n := r.last(1); len(n.Began) != 1 || n.Began[0].Detection != "replays" {
		t.Errorf("%+v", n)
	}
	r.now = r.now.Add(time.Hour)
	r.settle()
	r.last(1)
	delete(r.silent, "guessing")
	r.now = r.now.Add(time.Minute)
	r.settle()
	if n := r.last(2); len(n.Began) != 1 || n.Began[0].Subject.Name != "192.0.2.1" {
		t.Errorf("what still goes on is not told after the silence: %+v", n)
	}
	r.silent["mass_reading"] = true
	r.send(event(incident("mass_reading", 3)), ended(incident("mass_reading", 3)))
	r.last(2) // it began and ended in silence
	r.silent["replays"] = true
	r.send(ended(incident("replays", 2)))
	if n := r.last(3); len(n.Ended) != 1 {
		t.Errorf("the end of what was told: %+v", n)
	}
}

func TestOnlyWhatIsSevereEnoughAndMeantForHimIsWanted(t *testing.T) {
	r := newRoom(t)
	mild := incident("guessing", 1)
	mild.Severity = alert.Low
	test := func(target, note string, at time.Time) audit.Found {
		return audit.Found{Event: audit.Event{Class: audit.Detection, Code: notify.TestCode, Action: notify.TestCode, Target: target, Note: note, Time: at, Warning: "info"}}
	}
	for name, each := range map[string]struct {
		event audit.Found
		want  bool
	}{
		"high": {event(incident("guessing", 1)), true}, "low": {event(mild), false}, "an end": {ended(incident("guessing", 1)), true},
		"a test of all": {test("notifier all", "", r.now), true}, "a test of it": {test("notifier ops", "", r.now), true},
		"a test of another": {test("notifier other", "", r.now), false}, "an old test": {test("notifier ops", "", r.now.Add(-time.Hour)), false},
		"a test that was sent": {test("notifier ops", notify.Direct, r.now), false}, "a request": {audit.Found{Event: audit.Event{Warning: "high"}}, false},
	} {
		if got := r.desk.Wants(&each.event); got != each.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestATestSaysWhetherItArrived(t *testing.T) {
	r := newRoom(t)
	test := audit.Found{Event: audit.Event{ID: "t1", Class: audit.Detection, Code: notify.TestCode, Action: notify.TestCode, Target: "notifier ops", Detail: "a test", Time: r.now}}
	outcome := r.desk.Expect("t1")
	r.teller.fail = errors.New("connection refused")
	if err := r.desk.Send(t.Context(), []audit.Found{test}); err == nil {
		t.Fatal("it says that it was told")
	}
	if err := <-outcome; err == nil || err.Error() != "connection refused" {
		t.Error(err)
	}
	outcome = r.desk.Expect("t1")
	r.teller.fail = nil
	r.send(event(incident("guessing", 1))) // what came before it
	select {
	case err := <-outcome:
		t.Errorf("before it was sent: %v", err)
	default:
	}
	r.send(test)
	if err := <-outcome; err != nil || r.last(2).Test != "a test" {
		t.Error(err)
	}
}

func TestAReceiverThatForgetsIsReminded(t *testing.T) {
	r := newRoom(t)
	f := forgetful{r.teller}
	r.start(f)
	r.send(event(incident("guessing", 1)), event(incident("replays", 2)))
	r.settle()
	if len(r.teller.kept) != 0 {
		t.Error("at once")
	}
	r.now = r.now.Add(61 * time.Second)
	r.silent["replays"] = true
	r.settle()
	r.settle()
	if len(r.teller.kept) != 1 || len(r.teller.kept[0]) != 1 || r.teller.kept[0][0].Detection != "guessing" {
		t.Errorf("%+v", r.teller.kept)
	}
	r.start(f) // it remembers over a restart
	r.now = r.now.Add(61 * time.Second)
	r.settle()
	if len(r.teller.kept) != 2 {
		t.Errorf("%+v", r.teller.kept)
	}
}

// What detections have forgotten would be open for ever.
func TestWhatDetectionsHaveForgottenEnds(t *testing.T) {
	r := newRoom(t)
	known := []alert.Incident{incident("guessing", 1)}
	r.open = func() []alert.Incident { return known }
	r.start(nil)
	r.send(event(incident("guessing", 1)), event(incident("guessing", 2)))
	for range 3 {
		r.now = r.now.Add(4 * time.Minute)
		r.settle()
		r.last(1)
	}
	r.now = r.now.Add(4 * time.Minute)
	r.settle()
	if n := r.last(2); len(n.Ended) != 1 || n.Ended[0].Subject.Name != "192.0.2.2" || n.Open != 1 {
		t.Errorf("%+v", n)
	}
}

// One alert whose words a receiver does not take must not keep back all others.
func TestWordsThatAreRejectedAreLeftOut(t *testing.T) {
	r := newRoom(t)
	r.teller.reject = func(n *notify.Notice) bool { return len(n.Began) > 0 && n.Began[0].What == "many" }
	r.send(event(incident("guessing", 1)))
	if n := r.last(1); len(n.Began) != 1 || strings.Contains(fmt.Sprint(n), "192.0.2") || n.Began[0].Detection != "guessing" {
		t.Errorf("%+v", n)
	}
	r.teller.reject = func(*notify.Notice) bool { return true }
	err := r.desk.Send(t.Context(), []audit.Found{event(incident("guessing", 2))})
	if _, final := errors.AsType[*sink.Rejection](err); err == nil || final {
		t.Errorf("a receiver that takes nothing is to be tried again: %v", err)
	}
}

func TestAStormIsFewMessages(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	begin := now
	p := notify.Pace{
		Group: 30 * time.Second, PerHour: 30, Now: func() time.Time { return now },
		Wait: func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil },
	}
	if err := p.Gather(t.Context()); err != nil || now.Sub(begin) != 30*time.Second {
		t.Errorf("the first after %s: %v", now.Sub(begin), err)
	}
	messages := 1
	for ; now.Sub(begin) < 24*time.Hour; messages++ {
		if err := p.Gather(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if messages > 24*30+10 || messages < 24*29 {
		t.Errorf("%d messages in a day", messages)
	}
	now = now.Add(time.Hour)
	begin = now
	if err := p.Gather(t.Context()); err != nil || now.Sub(begin) != 30*time.Second {
		t.Errorf("after a quiet hour it comes after %s", now.Sub(begin))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	if err := p.Gather(ctx); err == nil {
		t.Error("it goes on after its context")
	}
}

func TestAStormSaysHowMany(t *testing.T) {
	attacktest.Rows(t, 148)
	r := newRoom(t)
	events := make([]audit.Found, 0, 10_000)
	for i := range 10_000 {
		name := "guessing"
		if i%10 == 0 {
			name = "replays"
		}
		events = append(events, event(incident(name, i)))
	}
	r.send(events...)
	n := r.last(1)
	if title := n.Title(); title != "Pavise [high]: 10000 alerts (guessing 9000, replays 1000)" {
		t.Error(title)
	}
	if text := n.Text(notify.Style{}); !strings.Contains(text, "… and 9990 more: ") || len(text) > 8000 {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\r\nb\x1b[2J\u202e\x00\xff", 5)
	f.Add(strings.Repeat("ü", 500), 300)
	f.Fuzz(func(t *testing.T, text string, most int) {
		if most < 0 || most > 1000 {
			return
		}
		got := []rune(notify.Clean(text, most))
		if len(got) > most+1 || strings.ContainsAny(string(got), "\r\n\x00\x1b\u202e\u2028") {
			t.Errorf("%q", got)
		}
	})
}
