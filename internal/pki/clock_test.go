package pki_test

import (
	"errors"
	"testing"
	"time"

	"pavise.dev/pavise/internal/pki"
)

const year = 365 * 24 * time.Hour

// pass lets time go on as it does, looked at twice an hour.
func (w *world) pass(d time.Duration) {
	w.Helper()
	for range d / (30 * time.Minute) {
		w.forward(30 * time.Minute)
		must(w.T, w.pki.Keep(w.Context()))
	}
}

func isJump(err error) bool {
	_, ok := errors.AsType[*pki.JumpError](err)
	return ok
}

// A machine that starts with a wrong clock, or whose clock is set by hand, loses nothing,
// however far it jumps: when it is right again everything is as before.
func TestClockThatJumpsDestroysNothing(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"sixteen years ahead": 16 * year, "to when the issuer rotates": 245 * 24 * time.Hour, "ten days ahead": 10 * 24 * time.Hour,
		"to the day of 1970": -56 * year, "an hour back": -time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			root := w.init(pki.Init{})
			w.pass(30 * time.Hour)
			before, err := w.pki.Members()
			must(t, err)
			w.forward(jump)
			if err := w.pki.Keep(t.Context()); !isJump(err) {
				t.Errorf("nobody is told of the jump: %v", err)
			}
			w.pass(20 * time.Hour)
			w.start() // it is remembered
			w.forward(-jump)
			if err := w.pki.Keep(t.Context()); !isJump(err) && jump.Abs() > time.Hour {
				t.Errorf("nobody is told of the way back: %v", err)
			}
			after, err := w.pki.Members()
			if err != nil || len(after) != len(before) || after[0].State != "active" || after[1].State != "active" || after[0].Offline || after[1].Offline {
				t.Errorf("%+v, %v", after, err)
			}
			issued := w.issue(pki.Request{Client: "web"})
			if err := w.verify(issued.Chain, 2, root); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a clock that was ahead for days has made waits for its time.
func TestIssuerOfTheFutureIsNotUsed(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	first := w.issue(pki.Request{Client: "web"})
	const jump = 245 * 24 * time.Hour
	w.forward(jump)
	if err := w.pki.Keep(t.Context()); err != nil && !isJump(err) {
		t.Fatal(err)
	}
	w.pass(30 * time.Hour) // long enough to be believed
	if members, err := w.pki.Members(); err != nil || len(members) != 3 {
		t.Fatalf("%d members, %v: the test shows too little", len(members), err)
	}
	w.forward(-jump)
	second := w.issue(pki.Request{Client: "web"})
	if !same(first.Chain[1], second.Chain[1]) {
		t.Error("another issuing authority signs")
	}
	w.rotate(pki.Rotation{})
	if third := w.issue(pki.Request{Client: "web"}); same(third.Chain[1], second.Chain[1]) || third.Leaf().NotBefore.After(w.Now()) {
		t.Errorf("rotated by hand: from %s", third.Leaf().NotBefore)
	}
}

func TestClockIsBelievedAfterADay(t *testing.T) {
	w := newWorld(t)
	steady := func() bool {
		t.Helper()
		ok, err := w.pki.Steady(t.Context())
		must(t, err)
		return ok
	}
	if steady() {
		t.Error("believed before there is anything")
	}
	w.init(pki.Init{})
	if steady() {
		t.Error("believed at once")
	}
	w.forward(70 * time.Hour) // a weekend without anybody: no jump, but no proof either
	if steady() {
		t.Error("believed after one look")
	}
	w.pass(20 * time.Hour)
	if steady() {
		t.Error("believed before a day is over")
	}
	w.pass(5 * time.Hour)
	if !steady() {
		t.Error("not believed after a day")
	}
	w.start()
	w.forward(time.Hour)
	if !steady() {
		t.Error("forgotten by a restart")
	}
	w.forward(4 * 24 * time.Hour)
	if ok, err := w.pki.Steady(t.Context()); ok || !isJump(err) {
		t.Errorf("four days at once: %v, %v", ok, err)
	}
	if steady() {
		t.Error("told, and believed a moment later")
	}
}
