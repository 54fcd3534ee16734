// Package oncetest holds the promises of every store of once-claims.
package oncetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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
		"refuses a claim twice in one step":          twiceInOne,
		"refuses claims that would be kept too long": tooFar,
		"gives room back when claims are over":       room,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func consume(s once.Store, claims ...shield.Once) error {
	return s.Consume(context.Background(), claims)
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
