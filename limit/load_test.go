package limit_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/limit"
)

func load(t testing.TB, places int) *limit.Load {
	t.Helper()
	l, err := limit.NewLoad(places)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheCheapestToLoseIsShedFirst(t *testing.T) {
	l := load(t, 10)
	enter := func(p limit.Priority, want int) {
		t.Helper()
		n := 0
		for l.Enter(p) {
			n++
		}
		if n != want {
			t.Errorf("%d of priority %s entered, want %d", n, p, want)
		}
	}
	enter(limit.Low, 7)
	enter(limit.Anonymous, 1)
	enter(limit.Low, 0)
	enter(limit.Normal, 1)
	enter(limit.Anonymous, 0)
	enter(limit.High, 1)
	for _, p := range []limit.Priority{limit.Low, limit.Anonymous, limit.Normal, limit.High} {
		enter(p, 0)
	}
	if l.Shed(limit.Low) != 3 || l.Shed(limit.High) != 2 {
		t.Errorf("shed: %d low, %d high", l.Shed(limit.Low), l.Shed(limit.High))
	}
	l.Leave()
	enter(limit.Normal, 0) // the last tenth is kept for high
	enter(limit.High, 1)
	for range 10 {
		l.Leave()
	}
	if taken, places := l.Taken(); taken != 0 || places != 10 {
		t.Errorf("%d of %d", taken, places)
	}
}

func TestLoadIsNeverMoreThanItsPlaces(t *testing.T) {
	l := load(t, 100)
	var under, most, passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20_000 {
				if !l.Enter(limit.High) {
					continue
				}
				passed.Add(1)
				if n := under.Add(1); n > most.Load() {
					most.Store(n)
				}
				under.Add(-1)
				l.Leave()
			}
		})
	}
	all.Wait()
	if taken, _ := l.Taken(); taken != 0 || most.Load() > 100 || passed.Load() == 0 {
		t.Errorf("%d taken at the end, %d at most, %d passed", taken, most.Load(), passed.Load())
	}
	small := load(t, 1)
	if !small.Enter(limit.Low) || small.Enter(limit.High) {
		t.Error("one place is one place")
	}
	if _, err := limit.NewLoad(0); err == nil {
		t.Error("no place at all was accepted")
	}
}

func TestParsePriority(t *testing.T) {
	for text, want := range map[string]limit.Priority{"": limit.Normal, "low": limit.Low, "normal": limit.Normal, "high": limit.High} {
		if p, err := limit.ParsePriority(text); err != nil || p != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	if _, err := limit.ParsePriority("anonymous"); err == nil {
		t.Error("what nobody may write was accepted")
	}
}

func BenchmarkLoad(b *testing.B) {
	l := load(b, 10000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if l.Enter(limit.Normal) {
				l.Leave()
			}
		}
	})
}
