package sink_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink"
)

// place is a destination that the test makes fail.
type place struct {
	mu     sync.Mutex
	got    []string
	calls  int
	fail   func(events []audit.Found) error // nil: takes all
	closed bool
}

func (p *place) Send(_ context.Context, events []audit.Found) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.fail != nil {
		if err := p.fail(events); err != nil {
			return err
		}
	}
	for _, e := range events {
		p.got = append(p.got, e.Event.ID)
	}
	return nil
}

func (p *place) Close() error { p.closed = true; return nil }

// rig is a log with a feed whose waits the test answers.
type rig struct {
	t     *testing.T
	dir   string
	log   *audit.Log
	place *place
	notes []string
	ctx   context.Context // of the feed that was made last
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), place: &place{}}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	r.log, err = audit.Open(audit.Options{
		Dir: filepath.Join(r.dir, "log"), Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: time.Now,
		Slots: 1024, SegmentSize: 4000,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.log.Close() })
}

func (r *rig) write(from, to int) (ids []string) {
	r.t.Helper()
	for i := from; i < to; i++ {
		e := audittest.Event(fmt.Sprint("e", i))
		r.record(*e)
		ids = append(ids, e.ID)
		if i%8 == 7 { // a segment ends when no checkpoint is under way, which a slow disk makes a while
			if _, err := r.log.Checkpoint(); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return ids
}

func (r *rig) record(e audit.Event) {
	r.t.Helper()
	if err := audit.Record(r.log, &e); err != nil {
		r.t.Fatal(err)
	}
	if err := r.log.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

// settings are those of a feed whose waits are counted, and after so many the run ends.
func (r *rig) settings(waits int, change func(*sink.Settings)) sink.Settings {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.ctx = ctx
	s := sink.Settings{
		Name: "siem", Kind: "test", Log: filepath.Join(r.dir, "log"), Cursor: filepath.Join(r.dir, "sinks", "siem.json"), Destination: r.place, Batch: 4,
		Note: func(code, detail string) { r.notes = append(r.notes, code+" "+detail) },
		Wait: func(ctx context.Context, _ time.Duration) error {
			if waits--; waits < 0 {
				cancel()
			}
			return ctx.Err()
		},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func (r *rig) feed(waits int) (*sink.Feed, context.Context) {
	r.t.Helper()
	f, err := sink.New(r.settings(waits, nil))
	if err != nil {
		r.t.Fatal(err)
	}
	return f, r.ctx
}

func TestEventsArriveInOrderAndOnce(t *testing.T) {
	r := newRig(t)
	r.write(0, 3) // before the sink was there
	f, ctx := r.feed(2)
	want := r.write(3, 20)
	f.Run(ctx)
	if !slices.Equal(r.place.got, want) || !r.place.closed {
		t.Errorf("%v, want %v", r.place.got, want)
	}
	if s, err := f.Status(); err != nil || s.Lag != 0 || s.Delivered != 20 || s.Failing != "" {
		t.Errorf("%+v, %v", s, err)
	}
	want = append(want, r.write(20, 25)...)
	f, ctx = r.feed(1) // after a restart
	f.Run(ctx)
	if !slices.Equal(r.place.got, want) {
		t.Errorf("%v, want %v", r.place.got, want)
	}
}

func TestADestinationThatIsAwayGetsAllLater(t *testing.T) {
	attacktest.Rows(t, 146)
	r := newRig(t)
	f, ctx := r.feed(50)
	want := r.write(0, 30)
	away := 20
	r.place.fail = func([]audit.Found) error {
		if away--; away > 0 {
			return errors.New("connection refused")
		}
		return nil
	}
	f.Run(ctx)
	if !slices.Equal(r.place.got, want) {
		t.Errorf("%v, want %v", r.place.got, want)
	}
	if len(r.notes) != 2 || !strings.HasPrefix(r.notes[0], sink.Failing) || !strings.HasPrefix(r.notes[1], sink.Recovered) {
		t.Errorf("noted %q", r.notes)
	}
}

func TestWhatArrivedBeforeACrashMayComeTwiceAndNothingIsMissing(t *testing.T) {
	r := newRig(t)
	f, ctx := r.feed(3)
	want := r.write(0, 10)
	r.place.fail = func([]audit.Found) error { return errors.New("the answer was lost") }
	f.Run(ctx) // dies while the destination has not answered
	if s, _ := f.Status(); s.Delivered != 0 || s.Lag != 10 || s.Failing == "" {
		t.Errorf("%+v", s)
	}
	r.place.fail = nil
	f, ctx = r.feed(1)
	f.Run(ctx)
	if !slices.Equal(r.place.got, want) {
		t.Errorf("%v, want %v", r.place.got, want)
	}
}

func TestOneEventThatIsRejectedHoldsUpNoOther(t *testing.T) {
	r := newRig(t)
	f, ctx := r.feed(3)
	want := r.write(0, 12)
	r.place.fail = func(events []audit.Found) error {
		for _, e := range events {
			if e.Event.ID == "e5" {
				return sink.Reject("400 Bad Request")
			}
		}
		return nil
	}
	f.Run(ctx)
	if want = slices.Delete(want, 5, 6); !slices.Equal(r.place.got, want) {
		t.Errorf("%v, want %v", r.place.got, want)
	}
	if s, _ := f.Status(); s.Rejected != 1 || s.Lag != 0 {
		t.Errorf("%+v", s)
	}
	if len(r.notes) != 1 || !strings.HasPrefix(r.notes[0], sink.Rejected) || !strings.Contains(r.notes[0], "e5") {
		t.Errorf("noted %q", r.notes)
	}
}

func TestWhatRetentionTookIsCountedAndTold(t *testing.T) {
	r := newRig(t)
	f, ctx := r.feed(2)
	r.write(0, 40)
	names, err := filepath.Glob(filepath.Join(r.dir, "log", "events-*.jsonl"))
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, name := range names[:2] {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	f.Run(ctx)
	s, err := f.Status()
	if err != nil || s.Lost == 0 || int(s.Lost)+len(r.place.got) != 40 {
		t.Errorf("%+v, %d arrived, %v", s, len(r.place.got), err)
	}
	if len(r.notes) != 1 || !strings.HasPrefix(r.notes[0], sink.Lost) {
		t.Errorf("noted %q", r.notes)
	}
}

func TestADamagedPositionIsTold(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "siem.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sink.New(sink.Settings{Name: "siem", Log: filepath.Join(r.dir, "log"), Cursor: path, Destination: r.place})
	if err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

func TestASinkThatRejectsEverythingDoesNotFillTheLog(t *testing.T) {
	r := newRig(t)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	r.place.fail = func([]audit.Found) error { return sink.Reject("400 Bad Request") }
	f, err := sink.New(r.settings(30, func(s *sink.Settings) {
		s.Now = func() time.Time { return now }
		s.Note = func(code, detail string) {
			r.notes = append(r.notes, code)
			r.record(audit.Event{ID: fmt.Sprint("note", len(r.notes)), Class: audit.System, Code: code, Detail: detail})
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.write(0, 12)
	f.Run(r.ctx)
	if len(r.notes) != 1 {
		t.Errorf("noted %v, and each note is rejected, too", r.notes)
	}
	if s, _ := f.Status(); s.Rejected != 13 || s.Lag != 0 {
		t.Errorf("%+v", s)
	}
}

func TestASinkThatComesAndGoesIsToldOncePerMinute(t *testing.T) {
	r := newRig(t)
	now, calls := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), 0
	r.place.fail = func([]audit.Found) error {
		if calls++; calls%2 == 1 {
			return errors.New("away")
		}
		return nil
	}
	f, err := sink.New(r.settings(20, func(s *sink.Settings) { s.Now = func() time.Time { return now } }))
	if err != nil {
		t.Fatal(err)
	}
	r.write(0, 40)
	f.Run(r.ctx)
	if len(r.notes) != 2 {
		t.Errorf("noted %q", r.notes)
	}
}

func TestOnlyWhatIsSelectedIsSent(t *testing.T) {
	r := newRig(t)
	f, err := sink.New(r.settings(2, func(s *sink.Settings) { s.Only = func(f *audit.Found) bool { return f.Event.ID != "e3" } }))
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Delete(r.write(0, 9), 3, 4)
	f.Run(r.ctx)
	if s, _ := f.Status(); !slices.Equal(r.place.got, want) || s.Lag != 0 {
		t.Errorf("%v, want %v; %+v", r.place.got, want, s)
	}
}

func TestADestinationSaysWhenToTryAgain(t *testing.T) {
	r := newRig(t)
	var waits []time.Duration
	f, err := sink.New(r.settings(4, func(s *sink.Settings) {
		under := s.Wait
		s.Wait = func(ctx context.Context, d time.Duration) error { waits = append(waits, d); return under(ctx, d) }
	}))
	if err != nil {
		t.Fatal(err)
	}
	r.write(0, 1)
	after := []time.Duration{time.Minute, time.Hour}
	r.place.fail = func([]audit.Found) error {
		if len(after) == 0 {
			return nil
		}
		err := &sink.Later{Err: errors.New("503"), After: after[0]}
		after = after[1:]
		return err
	}
	f.Run(r.ctx)
	if len(waits) < 2 || waits[0] != time.Minute || waits[1] != 5*time.Minute || len(r.place.got) != 1 {
		t.Errorf("waited %v", waits)
	}
}

func TestWhatRetentionIsAboutToLoseIsSeenWhileTheDestinationIsAway(t *testing.T) {
	attacktest.Rows(t, 146)
	r := newRig(t)
	f, ctx := r.feed(1)
	r.write(0, 40)
	r.place.fail = func([]audit.Found) error { return errors.New("away") }
	f.Run(ctx)
	if s, _ := f.Status(); s.Overrun || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
	names, err := filepath.Glob(filepath.Join(r.dir, "log", "events-*.jsonl"))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	if err := os.Remove(names[0]); err != nil {
		t.Fatal(err)
	}
	if s, _ := f.Status(); !s.Overrun || s.Lost == 0 {
		t.Errorf("%+v", s)
	}
}

// TestAnotherLogIsDeliveredFromItsBeginning: where a damaged log was kept as evidence, or an older
// copy was put back, numbers are given a second time.
func TestAnotherLogIsDeliveredFromItsBeginning(t *testing.T) {
	attacktest.Rows(t, 146)
	for name, put := range map[string]struct {
		back func(r *rig) error
		want func(before, behind []string) []string
	}{
		"an empty one": {
			func(r *rig) error { return os.Rename(filepath.Join(r.dir, "log"), filepath.Join(r.dir, "evidence")) },
			func(_, behind []string) []string { return behind },
		},
		"an older copy": {
			func(r *rig) error {
				return errors.Join(os.RemoveAll(filepath.Join(r.dir, "log")), os.CopyFS(filepath.Join(r.dir, "log"), os.DirFS(filepath.Join(r.dir, "copy"))))
			},
			func(before, behind []string) []string { return append(slices.Clone(before), behind...) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			f, ctx := r.feed(1)
			before := r.write(0, 10)
			if err := errors.Join(r.log.Close(), os.CopyFS(filepath.Join(r.dir, "copy"), os.DirFS(filepath.Join(r.dir, "log")))); err != nil {
				t.Fatal(err)
			}
			r.open()
			r.write(10, 20)
			f.Run(ctx)
			if err := errors.Join(r.log.Close(), put.back(r)); err != nil {
				t.Fatal(err)
			}
			r.open()
			behind := r.write(100, 125)
			r.place.got = nil
			f, ctx = r.feed(1)
			f.Run(ctx)
			if want := put.want(before, behind); !slices.Equal(r.place.got, want) {
				t.Errorf("%v, want %v", r.place.got, want)
			}
			if s, err := f.Status(); err != nil || s.Lag != 0 || s.Lost != 0 {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

// TestThatAPositionCannotBeKeptIsSaid: events would come twice after a restart.
func TestThatAPositionCannotBeKeptIsSaid(t *testing.T) {
	r := newRig(t)
	f, ctx := r.feed(2)
	r.write(0, 5)
	path := filepath.Join(r.dir, "sinks", "siem.json")
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	f.Run(ctx)
	if s, err := f.Status(); err != nil || !strings.Contains(s.Failing, "remember how far") || len(r.place.got) != 5 {
		t.Errorf("%+v, %v, got %v", s, err, r.place.got)
	}
	if len(r.notes) != 1 || !strings.HasPrefix(r.notes[0], sink.Failing) {
		t.Errorf("told %q", r.notes)
	}
}
