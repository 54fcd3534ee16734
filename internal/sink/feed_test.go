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
		if err := audit.Record(r.log, e); err != nil {
			r.t.Fatal(err)
		}
		if err := r.log.Flush(); err != nil {
			r.t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// feed makes a feed; waits are counted, and after so many the run ends.
func (r *rig) feed(waits int) (*sink.Feed, context.Context) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	f, err := sink.New(sink.Settings{
		Name: "siem", Kind: "test", Log: filepath.Join(r.dir, "log"), Cursor: filepath.Join(r.dir, "sinks", "siem.json"), Destination: r.place, Batch: 4,
		Note: func(code, detail string) { r.notes = append(r.notes, code+" "+detail) },
		Wait: func(ctx context.Context, _ time.Duration) error {
			if waits--; waits < 0 {
				cancel()
			}
			return ctx.Err()
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return f, ctx
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
