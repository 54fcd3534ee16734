package audit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pavise.dev/pavise/audit"
)

// fill writes so many events, each in a batch of its own.
func fill(t *testing.T, l *audit.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		record(t, l, event(fmt.Sprint("r", i)))
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentsRotateAndTheOldestGo(t *testing.T) {
	synctest.Test(t, rotateAndRemove)
}

func rotateAndRemove(t *testing.T) {
	dir, now := t.TempDir(), newClock()
	small := func(o *audit.Options) { now.set(o); o.SegmentSize, o.MaxSize = 2000, 8000 }
	l := open(t, dir, small)
	for i := range 20 {
		fill(t, l, i*10, i*10+10)
		settle(t, l)
		now.advance(2 * time.Minute)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	report := verify(t, dir)
	if report.Fault != nil || report.First == 1 {
		t.Errorf("report %+v: want a whole log whose first segments are gone", report)
	}
	removed := search(t, dir, audit.Query{Code: "segments_removed"})
	if len(removed) == 0 || !strings.Contains(removed[len(removed)-1].Event.Change, fmt.Sprintf("to %d were removed", report.First-1)) {
		t.Errorf("what says that segments were removed: %+v, first kept record %d", removed, report.First)
	}
	var size int64
	for _, name := range segmentsOf(t, dir) {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 8000+10*500 { // what came since the last look is not removed yet
		t.Errorf("%d bytes are kept", size)
	}
	points, err := audit.Checkpoints(dir)
	if err != nil || len(points) > len(segmentsOf(t, dir))+12 {
		t.Errorf("%d checkpoints for %d segments, %v", len(points), len(segmentsOf(t, dir)), err)
	}
	// A later run goes on with it.
	l = open(t, dir, small)
	fill(t, l, 200, 220)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil {
		t.Errorf("fault %v", report.Fault)
	}
}

func TestOldSegmentsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, now := t.TempDir(), newClock()
		l := open(t, dir, func(o *audit.Options) { now.set(o); o.Keep = 9 * time.Hour })
		for i := range 10 {
			fill(t, l, i, i+1)
			settle(t, l)
			now.advance(2*time.Hour + time.Second)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		report := verify(t, dir)
		if report.Fault != nil || report.First < 3 || report.First > 7 {
			t.Errorf("report %+v", report)
		}
	})
}

// settle lets checkpoints that are under way end, however slow the disk is, and what
// waited for them be done. It needs a bubble of synctest.
func settle(t *testing.T, l *audit.Log) {
	t.Helper()
	for range 2 {
		synctest.Wait()
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBeginningThatNobodyRemovedIsMissed(t *testing.T) {
	build := func(t *testing.T) (dir string, names []string) {
		dir = t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			l := open(t, dir, func(o *audit.Options) { o.SegmentSize = 2000 })
			for i := range 6 {
				fill(t, l, i*5, i*5+5)
				settle(t, l)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
		if names = segmentsOf(t, dir); len(names) < 4 {
			t.Fatal(names)
		}
		return dir, names
	}
	t.Run("the first segment", func(t *testing.T) {
		dir, names := build(t)
		remove(t, names[0])
		if f := verify(t, dir).Fault; f == nil || f.Seq != 1 || !strings.Contains(f.Why, "retention") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("one in the middle", func(t *testing.T) {
		dir, names := build(t)
		remove(t, names[1])
		if f := verify(t, dir).Fault; f == nil || f.File != filepath.Base(names[2]) || f.Line != 1 {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("the last", func(t *testing.T) {
		dir, names := build(t)
		remove(t, names[len(names)-1])
		if f := verify(t, dir).Fault; f == nil || !strings.Contains(f.Why, "cut off") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("two exchanged", func(t *testing.T) {
		dir, names := build(t)
		a, b := read(t, names[1]), read(t, names[2])
		write(t, names[1], b)
		write(t, names[2], a)
		if f := verify(t, dir).Fault; f == nil || f.File != filepath.Base(names[1]) || f.Line != 1 {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("an end of one that is not the last torn", func(t *testing.T) {
		dir, names := build(t)
		a := read(t, names[1])
		write(t, names[1], a[:len(a)-20])
		if f := verify(t, dir).Fault; f == nil || f.File != filepath.Base(names[1]) || !strings.Contains(f.Why, "cut") {
			t.Errorf("fault %v", f)
		}
	})
	t.Run("the checkpoint that anchors the rest", func(t *testing.T) {
		dir, names := build(t)
		remove(t, names[0])
		remove(t, filepath.Join(dir, "checkpoints.txt"))
		if f := verify(t, dir).Fault; f == nil || !strings.Contains(f.Why, "no checkpoint covers") {
			t.Errorf("fault %v", f)
		}
	})
}
