package limit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"pavise.dev/pavise/limit"
)

// hand is a clock that only the test moves.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func newHand() *hand { return &hand{at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (h *hand) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func memory(t testing.TB, o limit.MemoryOptions) *limit.Memory {
	t.Helper()
	m, err := limit.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func take(t testing.TB, l limit.Limiter, key string, rate limit.Rate, cost int) limit.State {
	t.Helper()
	state, err := l.Take(key, rate, cost)
	if err != nil {
		t.Fatalf("take %d of %s for %q: %v", cost, rate, key, err)
	}
	return state
}

func perMinute(n int) limit.Rate { return limit.Rate{Count: n, Per: time.Minute} }

func TestMemoryLetsTheBurstPassThenTheRate(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := limit.Rate{Count: 60, Per: time.Minute, Burst: 3}
	for i := range 3 {
		state := take(t, m, "k", rate, 1)
		if !state.Allowed || state.Remaining != 2-i || state.Retry != 0 || state.Reset != time.Duration(i+1)*time.Second {
			t.Fatalf("request %d: %+v", i+1, state)
		}
	}
	state := take(t, m, "k", rate, 1)
	if state.Allowed || state.Remaining != 0 || state.Retry != time.Second || state.Reset != 3*time.Second {
		t.Fatalf("over the burst: %+v", state)
	}
	clock.move(time.Second - 1)
	if take(t, m, "k", rate, 1).Allowed {
		t.Fatal("passed before its time")
	}
	clock.move(1)
	if !take(t, m, "k", rate, 1).Allowed {
		t.Fatal("refused at its time")
	}
	if take(t, m, "k", rate, 1).Allowed {
		t.Fatal("one token passed two requests")
	}
}

// Row 126: whatever the moments, no window holds more than the rate and its burst.
func TestMemoryNeverPassesMoreThanRateAndBurstInAnyWindow(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := limit.Rate{Count: 30, Per: time.Minute, Burst: 7}
	random := rand.New(rand.NewPCG(1, 2))
	var passed []time.Time
	for range 20000 {
		clock.move(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
		if take(t, m, "k", rate, 1).Allowed {
			passed = append(passed, clock.now())
		}
	}
	first := 0
	for i, at := range passed {
		for at.Sub(passed[first]) >= rate.Per {
			first++
		}
		if n := i - first + 1; n > rate.Count+rate.Burst {
			t.Fatalf("%d passed within %s before %s", n, rate.Per, at)
		}
	}
	if len(passed) < 1450 { // 20000 × 150 ms at 30 a minute
		t.Fatalf("only %d passed: the rate is not used up", len(passed))
	}
}

// Row 127.
func TestMemoryIsExactForFiftyAtTheLastToken(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := perMinute(10)
	for round := range 200 {
		key := fmt.Sprint("k", round)
		take(t, m, key, rate, 9)
		var passed atomic.Int32
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				if state, err := m.Take(key, rate, 1); err == nil && state.Allowed {
					passed.Add(1)
				}
			})
		}
		wait.Wait()
		if passed.Load() != 1 {
			t.Fatalf("round %d: %d passed at the last token", round, passed.Load())
		}
	}
}

// Row 133.
func TestMemoryTakesTheWholeCostOrNothing(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := perMinute(10)
	take(t, m, "k", rate, 7)
	state := take(t, m, "k", rate, 4)
	if state.Allowed || state.Remaining != 3 || state.Retry != 6*time.Second {
		t.Fatalf("4 of 3: %+v", state)
	}
	if state := take(t, m, "k", rate, 3); !state.Allowed || state.Remaining != 0 {
		t.Fatalf("3 of 3: %+v", state)
	}
}

func TestMemoryRefusesWhatCannotBeCounted(t *testing.T) {
	m := memory(t, limit.MemoryOptions{})
	for name, c := range map[string]struct {
		key  string
		rate limit.Rate
		cost int
	}{
		"no rate":              {"k", limit.Rate{}, 1},
		"no time":              {"k", limit.Rate{Count: 1}, 1},
		"too long a time":      {"k", limit.Rate{Count: 1, Per: 32 * 24 * time.Hour}, 1},
		"negative count":       {"k", limit.Rate{Count: -1, Per: time.Minute}, 1},
		"burst over the count": {"k", limit.Rate{Count: 1, Per: time.Minute, Burst: 2}, 1},
		"negative burst":       {"k", limit.Rate{Count: 1, Per: time.Minute, Burst: -1}, 1},
		"no cost":              {"k", perMinute(10), 0},
		"negative cost":        {"k", perMinute(10), -1},
		"cost over the burst":  {"k", perMinute(10), 11},
		"endless key":          {strings.Repeat("k", 1025), perMinute(10), 1},
	} {
		if state, err := m.Take(c.key, c.rate, c.cost); err == nil || state.Allowed {
			t.Errorf("%s: passed with %+v", name, state)
		}
	}
	if m.Len() != 0 {
		t.Errorf("%d keys are kept", m.Len())
	}
	if _, err := limit.NewMemory(limit.MemoryOptions{MaxKeys: -1}); err == nil {
		t.Error("a limiter for -1 keys was made")
	}
}

func TestMemoryForgetsOnlyBucketsThatAreFullAgain(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 4})
	rate := perMinute(60)
	for i := range 4 {
		take(t, m, fmt.Sprint("k", i), rate, i+1)
	}
	if _, err := m.Take("new", rate, 1); !errors.Is(err, limit.ErrFull) {
		t.Fatalf("a fifth key: %v, want ErrFull", err)
	}
	if state := take(t, m, "k3", rate, 1); state.Remaining != 55 {
		t.Fatalf("a kept key lost its count: %+v", state)
	}
	clock.move(time.Second) // k0 is full again
	take(t, m, "new", rate, 60)
	if _, err := m.Take("newer", rate, 1); !errors.Is(err, limit.ErrFull) {
		t.Fatalf("a sixth key: %v, want ErrFull", err)
	}
	if m.Len() != 4 {
		t.Fatalf("%d keys are kept, want 4", m.Len())
	}
	if state := take(t, m, "k3", rate, 1); state.Remaining != 55 {
		t.Fatalf("k3 after a second: %+v, want 5 used, 1 back, 1 more used", state)
	}
	clock.move(time.Hour)
	for i := range 100 {
		take(t, m, fmt.Sprint("later", i), rate, 1)
		clock.move(time.Second)
	}
	if m.Len() > 4 {
		t.Fatalf("%d keys are kept", m.Len())
	}
}

// The bounded table against a plain map that forgets nothing.
func TestMemoryAgreesWithAMapThatForgetsNothing(t *testing.T) {
	clock := newHand()
	small := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 50})
	large := memory(t, limit.MemoryOptions{Now: clock.now, MaxKeys: 100000})
	random := rand.New(rand.NewPCG(3, 4))
	full := 0
	for range 200000 {
		clock.move(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		key := fmt.Sprint("k", random.IntN(120))
		cost := 1 + random.IntN(3)
		got, err := small.Take(key, perMinute(60), cost)
		if errors.Is(err, limit.ErrFull) {
			full++
			continue
		}
		want := take(t, large, key, perMinute(60), cost)
		if got != want {
			t.Fatalf("%s: %+v, want %+v", key, got, want)
		}
	}
	if full == 0 || full > 100000 {
		t.Errorf("full %d times: the test does not test", full)
	}
}

// stepWall returns t with its wall clock moved and its monotonic reading kept, as
// after a step of the system's clock.
func stepWall(t time.Time, d time.Duration) time.Time {
	inside := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&t))
	inside.wall += uint64(int64(d/time.Second)) << 30
	return t
}

// Row 134, with the clock that Pavise runs on.
func TestStepsOfTheWallClockDoNothing(t *testing.T) {
	at := time.Now()
	if !stepWall(at, time.Hour).Equal(at.Add(time.Hour)) || stepWall(at, time.Hour).Sub(at) != 0 {
		t.Skip("this Go keeps times in another form")
	}
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		wall := time.Duration(0)
		at := at
		m := memory(t, limit.MemoryOptions{Now: func() time.Time { return stepWall(at, wall) }})
		take(t, m, "k", perMinute(60), 60)
		wall = step
		if state := take(t, m, "k", perMinute(60), 1); state.Allowed || state.Retry != time.Second {
			t.Errorf("step %s: %+v", step, state)
		}
		at = at.Add(time.Second)
		if !take(t, m, "k", perMinute(60), 1).Allowed {
			t.Errorf("step %s: blocked after its time", step)
		}
	}
}

// Row 134, with a clock that has no monotonic reading.
func TestAStepBackGivesNoQuotaAndNoBlock(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	take(t, m, "k", perMinute(60), 60)
	clock.move(-time.Hour)
	if state := take(t, m, "k", perMinute(60), 1); state.Allowed || state.Retry != time.Second {
		t.Fatalf("after the step: %+v", state)
	}
	clock.move(time.Second)
	if !take(t, m, "k", perMinute(60), 1).Allowed {
		t.Fatal("blocked after its time")
	}
	clock.move(time.Hour)
	if state := take(t, m, "k", perMinute(60), 1); state.Remaining != 59 {
		t.Fatalf("after the step forward: %+v, want no more than one burst", state)
	}
}

func TestALoweredRateBlocksNoLongerThanItsOwnTime(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	take(t, m, "k", limit.Rate{Count: 10, Per: 24 * time.Hour}, 10)
	state := take(t, m, "k", perMinute(10), 1)
	if state.Allowed || state.Retry > time.Minute {
		t.Fatalf("%+v", state)
	}
}

func TestRatesAreNeverExceededByRounding(t *testing.T) {
	clock := newHand()
	m := memory(t, limit.MemoryOptions{Now: clock.now})
	rate := limit.Rate{Count: 7, Per: time.Second, Burst: 1}
	passed := 0
	for range 1000 * 7 * 10 {
		if take(t, m, "k", rate, 1).Allowed {
			passed++
		}
		clock.move(time.Second / 70)
	}
	if passed > 7001 || passed < 6300 {
		t.Fatalf("%d passed in 1000 s at 7/s", passed)
	}
}

func TestTakeOfAKeptKeyAllocatesNothing(t *testing.T) {
	m := memory(t, limit.MemoryOptions{})
	rate := perMinute(1000)
	if n := testing.AllocsPerRun(1000, func() { _, _ = m.Take("client:one", rate, 1) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	m := memory(b, limit.MemoryOptions{})
	keys := benchKeys()
	for i := 0; b.Loop(); i++ {
		_, _ = m.Take(keys[i%len(keys)], perMinute(600), 1)
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	m := memory(b, limit.MemoryOptions{})
	keys := benchKeys()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(1000); pb.Next(); i++ {
			_, _ = m.Take(keys[i%len(keys)], perMinute(600), 1)
		}
	})
}

func BenchmarkTakeParallelOneKey(b *testing.B) {
	m := memory(b, limit.MemoryOptions{})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = m.Take("client:one", perMinute(600), 1)
		}
	})
}

// A flood of new keys, each used once: what it costs to forget.
func BenchmarkTakeNewKeys(b *testing.B) {
	m := memory(b, limit.MemoryOptions{MaxKeys: 100000})
	keys := make([]string, 1<<20)
	for i := range keys {
		keys[i] = fmt.Sprint("address:", i)
	}
	for i := 0; b.Loop(); i++ {
		_, _ = m.Take(keys[i%len(keys)], perMinute(600), 1)
	}
}

func benchKeys() []string {
	keys := make([]string, 10000)
	for i := range keys {
		keys[i] = fmt.Sprint("orders\x00client\x00", i)
	}
	return keys
}
