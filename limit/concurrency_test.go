package limit_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/limit"
)

func concurrency(t testing.TB, perKey, total int) *limit.Concurrency {
	t.Helper()
	c, err := limit.NewConcurrency(perKey, total)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConcurrencyBoundsEachKeyAndTheTotal(t *testing.T) {
	c := concurrency(t, 2, 3)
	first, ok := c.Acquire("a")
	if !ok {
		t.Fatal("the first of a was refused")
	}
	if _, ok = c.Acquire("a"); !ok {
		t.Fatal("the second of a was refused")
	}
	if release, ok := c.Acquire("a"); ok || release != nil {
		t.Fatal("a third of a passed")
	}
	if _, ok = c.Acquire("b"); !ok {
		t.Fatal("the first of b was refused")
	}
	if _, ok = c.Acquire("c"); ok {
		t.Fatal("a fourth in all passed")
	}
	first()
	first() // does no harm
	if c.InUse() != 2 {
		t.Fatalf("%d in use, want 2", c.InUse())
	}
	if _, ok = c.Acquire("c"); !ok {
		t.Fatal("refused although a place was given back")
	}
	if _, ok = c.Acquire("c"); ok {
		t.Fatal("a place was given back twice")
	}
}

func TestConcurrencyIsExact(t *testing.T) {
	c := concurrency(t, 5, 20)
	var inUse, most atomic.Int64
	perKey := make([]atomic.Int64, 8)
	var wait sync.WaitGroup
	for g := range 50 {
		wait.Go(func() {
			for i := range 2000 {
				key := (g + i) % len(perKey)
				release, ok := c.Acquire(fmt.Sprint(key))
				if !ok {
					continue
				}
				if n := perKey[key].Add(1); n > 5 {
					t.Errorf("%d of key %d at once", n, key)
				}
				n := inUse.Add(1)
				for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
				}
				inUse.Add(-1)
				perKey[key].Add(-1)
				release()
			}
		})
	}
	wait.Wait()
	if most.Load() > 20 {
		t.Errorf("%d at once", most.Load())
	}
	if c.InUse() != 0 {
		t.Errorf("%d in use at the end", c.InUse())
	}
}

func TestConcurrencyRefusesSettingsThatCannotWork(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {-1, 5}, {5, 4}, {1, -1}} {
		if _, err := limit.NewConcurrency(c[0], c[1]); err == nil {
			t.Errorf("%d for each, %d in all was accepted", c[0], c[1])
		}
	}
	if c := concurrency(t, 100000, 0); c.InUse() != 0 {
		t.Error("in use before its first use")
	}
}

func BenchmarkConcurrency(b *testing.B) {
	c := concurrency(b, 100, 0)
	b.ReportAllocs()
	for b.Loop() {
		release, _ := c.Acquire("client")
		release()
	}
}
