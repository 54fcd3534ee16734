package flow_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"pavise.dev/pavise/flow"
)

// TestAKeyTakesLittleMemory holds the store to what the configuration says of a key.
func TestAKeyTakesLittleMemory(t *testing.T) {
	const keys, most = 16_000, 400 // bytes
	w := newWorld(t)
	w.open()
	a := w.asked(flow.Settings{Idempotency: &flow.Idempotency{Keep: time.Hour, MaxAnswer: 64}})
	used := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := used()
	together(16, func(worker int) {
		for i := range keys / 16 {
			a.carryOut("a", fmt.Sprint(worker, "-", i), nil)
		}
	})
	each := (used() - before) / int64(w.store.Keys())
	t.Logf("%d bytes for each of %d keys", each, w.store.Keys())
	if each > most {
		t.Errorf("a key takes %d bytes", each)
	}
}
