// Package oncetest holds the promises of every store of once-claims.
package oncetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/once"
	"pavise.dev/pavise/shield"
)

// Clock is the store's time, moved by the test.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed moment.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

// Now returns the present.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves it.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Claim is good for a minute from now.
func Claim(c *Clock, name string) shield.Once {
	return shield.Once{Space: "k1", Digest: sha256.Sum256([]byte(name)), Made: c.Now(), Until: c.Now().Add(time.Minute)}
}

// Open makes a store that was never cold, with room for so many claims.
type Open func(t *testing.T, c *Clock, capacity int) once.Store

// Run holds the store to its promises.
func Run(t *testing.T, open Open) {
	tests := map[string]func(*testing.T, Open){
		"takes a claim once":                         takesOnce,
		"tells spaces apart":                         spaces,
		"uses all claims or none":                    allOrNone,
		"lets one of fifty win":                      oneWins,
		"remembers until the claim's own end":        remembers,
		"refuses rather than forget when it is full": full,
		"leaves room for others when one floods":     flood,
		"refuses a claim twice in one step":          twiceInOne,
		"refuses claims that would be kept too long": tooFar,
		"gives room back when claims are over":       room,
		"lets no two sets that overlap pass":         overlap,
		"refuses what a step with a bad claim asks":  badClaim,
		"opens nothing when the clock is set back":   clockBack,
		"shuts nobody out when it is set back":       clockAhead,
		"lets none pass twice, whatever it does":     clockWild,
		"uses nothing up for a caller who left":      cancelled,
		"bounds the claims of one request":           many,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func consume(s once.Store, claims ...shield.Once) error {
	return s.Consume(context.Background(), claims)
}

// WantUsed fails the test unless err says that a claim was used before, as a
// sentinel and as a refusal.
func WantUsed(t testing.TB, err error) {
	t.Helper()
	want(t, err, once.ErrUsed, shield.ReplayedRequest)
}

// WantCold fails the test unless err says that a claim is from a time of which the
// store knows nothing, as a sentinel and as a refusal.
func WantCold(t testing.TB, err error) {
	t.Helper()
	want(t, err, once.ErrCold, shield.StaleRequest)
}

func want(t testing.TB, err, kind error, code shield.Code) {
	t.Helper()
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !errors.Is(err, kind) || !ok || refusal.Code != code {
		t.Fatalf("%v, want %q with the code %s", err, kind, code)
	}
}

func takesOnce(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	if err := consume(s, Claim(c, "a")); err != nil {
		t.Fatalf("first: %v", err)
	}
	err := consume(s, Claim(c, "a"))
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !errors.Is(err, once.ErrUsed) || !ok || refusal.Code != shield.ReplayedRequest {
		t.Errorf("second: %v, want used before", err)
	}
	if err := consume(s, Claim(c, "b")); err != nil {
		t.Errorf("another: %v", err)
	}
}

func spaces(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	one, other := Claim(c, "a"), Claim(c, "a")
	other.Space = "k2"
	if err := errors.Join(consume(s, one), consume(s, other)); err != nil {
		t.Errorf("one digest in two spaces: %v", err)
	}
}

func allOrNone(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	if err := consume(s, Claim(c, "used")); err != nil {
		t.Fatal(err)
	}
	if err := consume(s, Claim(c, "fresh"), Claim(c, "used")); !errors.Is(err, once.ErrUsed) {
		t.Fatalf("with a used one: %v", err)
	}
	if err := consume(s, Claim(c, "fresh")); err != nil {
		t.Errorf("a claim was used up by a refused step: %v", err)
	}
}

func oneWins(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := consume(s, Claim(c, "a")); err == nil {
				won.Add(1)
			} else if !errors.Is(err, once.ErrUsed) {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty won", won.Load())
	}
}

func remembers(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	claim := Claim(c, "a")
	if err := consume(s, claim); err != nil {
		t.Fatal(err)
	}
	c.Add(time.Minute - time.Nanosecond)
	if err := consume(s, claim); !errors.Is(err, once.ErrUsed) {
		t.Errorf("just before its end: %v", err)
	}
	c.Add(time.Nanosecond)
	WantCold(t, consume(s, claim))
	if err := consume(s, Claim(c, "a")); err != nil {
		t.Errorf("the same nonce in another minute: %v", err)
	}
	WantUsed(t, consume(s, Claim(c, "a")))
}

func full(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	var refused error
	taken := 0
	for i := range 10_000 {
		if refused = consume(s, Claim(c, fmt.Sprint(i))); refused != nil {
			break
		}
		taken++
	}
	if !errors.Is(refused, once.ErrFull) || taken < 64 {
		t.Fatalf("%v after %d claims", refused, taken)
	}
	for i := range taken {
		if err := consume(s, Claim(c, fmt.Sprint(i))); err == nil {
			t.Fatalf("claim %d of %d was forgotten", i, taken)
		}
	}
	for round := range 50 {
		set := make([]shield.Once, 16)
		for i := range set {
			set[i] = Claim(c, fmt.Sprint("set", round, "-", i))
		}
		if err := consume(s, set...); !errors.Is(err, once.ErrFull) {
			t.Fatalf("16 more: %v", err)
		}
		for i := range set {
			if err := consume(s, set[i]); errors.Is(err, once.ErrUsed) {
				t.Fatal("a step that found no room used a claim up")
			}
		}
	}
}

// flood has one space take all that it can: others still find room, and the one
// is told so in its own refusal.
func flood(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 4096)
	var refused error
	taken := 0
	for refused == nil {
		refused = consume(s, Claim(c, fmt.Sprint(taken)))
		taken++
	}
	want(t, refused, once.ErrShare, shield.RateLimited)
	if taken < 4096*15/16 { // where chance fills a corner early
		t.Errorf("alone in the store it got %d claims of 4096", taken)
	}
	other := func(space int, name string) shield.Once {
		claim := Claim(c, name)
		claim.Space = fmt.Sprint("other", space)
		return claim
	}
	for i := range 400 {
		if err := consume(s, other(i%10, fmt.Sprint(i))); err != nil {
			t.Fatalf("another's claim %d: %v", i, err)
		}
	}
	WantUsed(t, consume(s, other(0, "0")))
	WantUsed(t, consume(s, Claim(c, "0")))
	c.Add(10 * time.Minute)
	for i := range 4096 * 15 / 16 {
		if err := consume(s, Claim(c, fmt.Sprint("later", i))); err != nil {
			t.Fatalf("when its claims are over, claim %d: %v", i, err)
		}
	}
}

func twiceInOne(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	if err := consume(s, Claim(c, "a"), Claim(c, "a")); !errors.Is(err, once.ErrUsed) {
		t.Errorf("%v", err)
	}
}

func tooFar(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	claim := Claim(c, "a")
	claim.Until = c.Now().Add(48 * time.Hour)
	if err := consume(s, claim); !errors.Is(err, once.ErrTooFar) {
		t.Errorf("%v", err)
	}
}

func room(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	for round := range 20 {
		for i := range 60 {
			if err := consume(s, Claim(c, fmt.Sprint(round, "-", i))); err != nil {
				t.Fatalf("round %d, claim %d: %v", round, i, err)
			}
		}
		c.Add(10 * time.Minute)
	}
}

// overlap has callers with sets that share claims, in different orders: nobody
// waits for ever, and no claim passes in two sets.
func overlap(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 50_000)
	passed := make([]atomic.Int32, 400)
	var all sync.WaitGroup
	for g := range 20 {
		all.Go(func() {
			for i := range 200 {
				set := [3]int{(i + g) % 400, (7*i + 3*g) % 400, (399*i + g) % 400}
				if set[0] == set[1] || set[1] == set[2] || set[0] == set[2] {
					continue
				}
				if consume(s, Claim(c, fmt.Sprint(set[0])), Claim(c, fmt.Sprint(set[1])), Claim(c, fmt.Sprint(set[2]))) == nil {
					for _, n := range set {
						passed[n].Add(1)
					}
				}
			}
		})
	}
	all.Wait()
	sum := int32(0)
	for i := range passed {
		n := passed[i].Load()
		sum += n
		if n > 1 {
			t.Errorf("claim %d passed %d times", i, n)
		}
		if n == 0 {
			if err := consume(s, Claim(c, fmt.Sprint(i))); err != nil {
				t.Errorf("claim %d was used up by a step that was refused: %v", i, err)
			}
		}
	}
	if sum == 0 {
		t.Error("nothing passed")
	}
}

func badClaim(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	over := Claim(c, "over")
	over.Until = c.Now()
	WantCold(t, consume(s, over))
	WantCold(t, consume(s, Claim(c, "good"), over))
	far := Claim(c, "far")
	far.Until = c.Now().Add(24*time.Hour + 1)
	if err := consume(s, Claim(c, "good"), far); !errors.Is(err, once.ErrTooFar) {
		t.Errorf("beside one that ends too late: %v", err)
	}
	if err := consume(s, Claim(c, "good")); err != nil {
		t.Errorf("used up by a refused step: %v", err)
	}
}

// clockBack lets claims end, gives their room to others, and sets the clock back:
// what was forgotten must not pass again.
func clockBack(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	fill := func(prefix string) (n int) {
		for consume(s, Claim(c, fmt.Sprint(prefix, n))) == nil {
			n++
		}
		return n
	}
	n := fill("old")
	c.Add(10 * time.Minute)
	for i := range 20 { // leaves room: nothing is refused for want of it
		if err := consume(s, Claim(c, fmt.Sprint("new", i))); err != nil {
			t.Fatal(err)
		}
	}
	c.Add(-10 * time.Minute)
	for i := range n {
		if err := consume(s, Claim(c, fmt.Sprint("old", i))); err == nil {
			t.Fatalf("claim %d passed a second time", i)
		}
	}
	c.Add(12 * time.Minute)
	if err := consume(s, Claim(c, "later")); err != nil {
		t.Errorf("after the clock came back: %v", err)
	}
}

// clockAhead lets the clock be years or hours ahead for a while, in which claims are used and
// forgotten: whoever signs afterwards passes, and what was used then does not, when its time comes.
func clockAhead(t *testing.T, open Open) {
	for _, ahead := range []time.Duration{2 * time.Hour, 30 * time.Hour, 16 * 365 * 24 * time.Hour} {
		c := NewClock()
		s := open(t, c, 64)
		take := func(what string, claim shield.Once) {
			t.Helper()
			if err := consume(s, claim); err != nil {
				t.Errorf("%s ahead: %s: %v", ahead, what, err)
			}
		}
		before := Claim(c, "before")
		take("before", before)
		c.Add(ahead)
		var used []shield.Once
		for i := range 40 { // ten minutes, in which the first are over
			claim := Claim(c, fmt.Sprint("ahead", i))
			take("while it is ahead", claim)
			used = append(used, claim)
			c.Add(15 * time.Second)
		}
		c.Add(-ahead) // ten minutes after it all began
		WantCold(t, consume(s, before))
		WantCold(t, consume(s, Claim(c, "at once"))) // a copy of one from just before is as young
		c.Add(time.Minute + time.Second)
		for i := range 90 { // everybody has room
			take("after a minute", Claim(c, fmt.Sprint("after", i)))
			c.Add(2 * time.Second)
		}
		c.Add(ahead - 14*time.Minute - time.Second) // the time at which it was ahead is now
		for i := range 40 {
			if err := consume(s, used[i]); err == nil {
				t.Fatalf("%s ahead: claim %d passed a second time", ahead, i)
			}
			c.Add(15 * time.Second)
		}
		c.Add(2 * time.Minute)
		take("when all is over", Claim(c, "end"))
	}
}

// clockWild moves the clock about, and tries again whatever was good once.
func clockWild(t *testing.T, open Open) {
	all := 0
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := NewClock()
		s := open(t, c, 128)
		var passed []shield.Once
		for i := range 400 {
			switch r.IntN(12) {
			case 0:
				c.Add(time.Duration(r.Int64N(int64(3 * time.Hour))))
			case 1:
				c.Add(-time.Duration(r.Int64N(int64(3 * time.Hour))))
			case 2:
				c.Add(time.Duration(r.Int64N(int64(time.Minute))))
			default:
				c.Add(time.Duration(r.Int64N(int64(3 * time.Second))))
			}
			claim := Claim(c, fmt.Sprint(seed, " ", i))
			claim.Made = claim.Made.Add(time.Duration(r.Int64N(int64(2*time.Minute))) - time.Minute) // the caller's clock
			claim.Until = claim.Until.Add(time.Duration(r.Int64N(int64(2 * time.Hour))))
			if consume(s, claim) == nil {
				passed = append(passed, claim)
			}
			for range 8 {
				if len(passed) == 0 {
					break
				}
				if again := passed[r.IntN(len(passed))]; consume(s, again) == nil {
					t.Fatalf("seed %d: a claim made at %s passed again at %s", seed, again.Made, c.Now())
				}
			}
		}
		all += len(passed)
	}
	if all < 500 {
		t.Errorf("only %d claims passed: it refuses whatever the clock does", all)
	}
}

func cancelled(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Consume(ctx, []shield.Once{Claim(c, "a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want it cancelled", err)
	}
	if err := consume(s, Claim(c, "a")); err != nil {
		t.Errorf("used up all the same: %v", err)
	}
}

func many(t *testing.T, open Open) {
	c := NewClock()
	s := open(t, c, 64)
	var claims []shield.Once
	for i := range 17 {
		claims = append(claims, Claim(c, fmt.Sprint(i)))
	}
	if err := consume(s, claims...); err == nil {
		t.Error("17 claims of one request passed")
	}
	if err := consume(s, claims[:16]...); err != nil {
		t.Errorf("16 claims of one request: %v", err)
	}
	for i := range 16 {
		WantUsed(t, consume(s, claims[i]))
	}
	if err := consume(s); err != nil {
		t.Errorf("no claim at all: %v", err)
	}
}
