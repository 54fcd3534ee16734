package file_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/sink/file"
	"pavise.dev/pavise/internal/sink/form"
	"pavise.dev/pavise/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a destination in a folder of its own, with a clock.
type rig struct {
	t    *testing.T
	path string

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, path: filepath.Join(t.TempDir(), "out", "events.jsonl"), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) open(change func(*file.Settings)) *file.Destination {
	r.t.Helper()
	write, err := form.Source{}.Form(form.JSON)
	if err != nil {
		r.t.Fatal(err)
	}
	s := file.Settings{Path: r.path, Form: write, Now: r.clock, Warn: func(err error) { r.t.Log(err) }}
	if change != nil {
		change(&s)
	}
	return file.New(s)
}

func (r *rig) send(d *file.Destination, from, to int) {
	r.t.Helper()
	if err := d.Send(r.t.Context(), sinktest.Events(from, to)); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.now = r.now.Add(time.Second)
	r.mu.Unlock()
}

func (r *rig) stop(d *file.Destination) {
	r.t.Helper()
	if err := d.Close(); err != nil {
		r.t.Error(err)
	}
}

// files are the names in the folder, sorted: those that were put aside come behind.
func (r *rig) files() (names []string) {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Dir(r.path))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if os.IsNotExist(err) {
			continue // it was removed meanwhile
		}
		if err != nil {
			r.t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			r.t.Errorf("%s has mode %o", e.Name(), info.Mode().Perm())
		}
		names = append(names, e.Name())
	}
	return names
}

// ids reads the events of the files, oldest first.
func (r *rig) ids() (all []string) {
	r.t.Helper()
	names := r.files()
	slices.Sort(names)
	if len(names) > 0 && names[0] == "events.jsonl" {
		names = append(names[1:], names[0])
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(r.path), name))
		if err == nil && strings.HasSuffix(name, ".gz") {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(text)); err == nil {
				text, err = io.ReadAll(z)
			}
		}
		if err != nil {
			r.t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			e, err := audit.ParseJSON(bytes.TrimSpace(line))
			if err != nil {
				r.t.Fatalf("%s: %v: %.80s", name, err, line)
			}
			all = append(all, e.ID)
		}
	}
	return all
}

func want(n int) (all []string) {
	for _, e := range sinktest.Events(0, n) {
		all = append(all, e.Event.ID)
	}
	return all
}

func TestDestination(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Place {
		r := newRig(t)
		folder := filepath.Dir(r.path)
		return sinktest.Place{
			Destination: r.open(nil),
			Got: func() []string {
				if _, err := os.Stat(folder); err != nil {
					return nil
				}
				return r.ids()
			},
			Become: func(m sinktest.Mode) { // the disk is away: a file stands where the folder was
				err := os.Rename(folder, folder+".kept")
				if m == sinktest.Well {
					if err = os.Remove(folder); err == nil {
						err = os.Rename(folder+".kept", folder)
					}
				} else if err == nil {
					err = os.WriteFile(folder, nil, 0o600)
				} else if os.IsNotExist(err) {
					err = os.WriteFile(folder, nil, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			Modes: []sinktest.Mode{sinktest.Away},
		}
	})
}

func TestFilesArePutAsideBySize(t *testing.T) {
	r := newRig(t)
	d := r.open(func(s *file.Settings) { s.Size, s.Compress = 4000, true })
	for i := range 10 {
		r.send(d, 2*i, 2*i+2)
	}
	r.stop(d)
	d = r.open(func(s *file.Settings) { s.Size, s.Compress = 4000, true }) // compresses what is left
	r.send(d, 20, 21)
	r.stop(d)
	if got := r.ids(); !slices.Equal(got, want(21)) {
		t.Errorf("%v", got)
	}
	names := r.files()
	if len(names) < 4 {
		t.Errorf("%v", names)
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".new") {
			t.Errorf("%s is left over", name)
		}
	}
}

func TestFilesArePutAsideByTime(t *testing.T) {
	r := newRig(t)
	daily := func(s *file.Settings) { s.Every = 24 * time.Hour }
	d := r.open(daily)
	r.send(d, 0, 2)
	r.send(d, 2, 4)
	if len(r.files()) != 1 {
		t.Errorf("%v within a day", r.files())
	}
	r.now = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	r.send(d, 4, 6)
	if len(r.files()) != 2 {
		t.Errorf("%v after midnight", r.files())
	}
	r.stop(d)
	if err := os.Chtimes(r.path, r.now, r.now); err != nil {
		t.Fatal(err)
	}
	r.now = time.Date(2026, 11, 25, 0, 0, 1, 0, time.UTC)
	d = r.open(daily) // a restart does not begin a new day
	r.send(d, 6, 8)
	r.stop(d)
	if got := r.ids(); len(r.files()) != 3 || !slices.Equal(got, want(8)) {
		t.Errorf("%v: %v", r.files(), got)
	}
}

func TestOldFilesAreRemoved(t *testing.T) {
	r := newRig(t)
	d := r.open(func(s *file.Settings) { s.Size, s.Files = 1, 2 })
	for i := range 6 {
		r.send(d, i, i+1)
	}
	r.stop(d)
	r.stop(r.openTended(func(s *file.Settings) { s.Size, s.Files = 1, 2 }, 3))
	if got := r.ids(); !slices.Equal(got, want(6)[3:]) {
		t.Errorf("%v", got)
	}
	other := filepath.Join(filepath.Dir(r.path), "events.jsonl.20200101T000000.000000Z.mine")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(48 * time.Hour)
	asked := make(chan bool, 8)
	d = r.open(func(s *file.Settings) {
		s.Keep, s.Held = 24*time.Hour, func() bool { asked <- true; return true }
	})
	<-asked
	r.stop(d)
	if len(r.files()) != 4 {
		t.Errorf("removed while the clock is in doubt: %v", r.files())
	}
	r.stop(r.openTended(func(s *file.Settings) { s.Keep = 24 * time.Hour }, 2))
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file of another name was removed: %v", err)
	}
}

// openTended opens a destination and waits until so many files are left.
func (r *rig) openTended(change func(*file.Settings), left int) *file.Destination {
	r.t.Helper()
	d := r.open(change)
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(r.files()) != left {
		select {
		case <-ctx.Done():
			r.t.Fatalf("%v are left, want %d", r.files(), left)
		case <-tick.C:
		}
	}
	return d
}

func TestATornLineIsCutOff(t *testing.T) {
	attacktest.Rows(t, 146)
	r := newRig(t)
	d := r.open(nil)
	r.send(d, 0, 3)
	r.stop(d)
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"id":"e3","ti`); err != nil { // the process died in the middle
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d = r.open(nil)
	r.send(d, 3, 5)
	r.stop(d)
	if got := r.ids(); !slices.Equal(got, want(5)) {
		t.Errorf("%v", got)
	}
}

func TestAFileThatSomebodyElseHasPutAsideIsBegunAnew(t *testing.T) {
	r := newRig(t)
	d := r.open(nil)
	r.send(d, 0, 2)
	if err := os.Rename(r.path, r.path+".1"); err != nil { // logrotate
		t.Fatal(err)
	}
	r.send(d, 2, 4)
	r.stop(d)
	if len(r.files()) != 2 {
		t.Errorf("%v", r.files())
	}
}

func TestWhatIsNoRegularFileIsRefused(t *testing.T) {
	r := newRig(t)
	r.path = t.TempDir()
	d := r.open(nil)
	if err := d.Send(t.Context(), sinktest.Events(0, 1)); err == nil {
		t.Error("a folder was taken for a file")
	}
	r.stop(d)
}

func BenchmarkSend(b *testing.B) {
	write, err := form.Source{Node: "gw1"}.Form(form.OCSF)
	if err != nil {
		b.Fatal(err)
	}
	d := file.New(file.Settings{Path: filepath.Join(b.TempDir(), "events.jsonl"), Form: write, Now: time.Now, Size: 256 << 20, Files: 1})
	events := sinktest.Events(0, 500)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Send(b.Context(), events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/event")
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}
