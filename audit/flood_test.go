package audit_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.at.Store(startTime.UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.at.Load()).UTC() }

func (c *clock) advance(d time.Duration) { c.at.Add(int64(d)) }

func (c *clock) set(o *audit.Options) { o.Now, o.Slots = c.now, 1024 }

// refusal is one of a stranger, from an address.
func (c *clock) refusal(id, addr string) *audit.Event {
	e := event(id)
	stranger(e)
	e.Time, e.Remote = c.now(), netip.AddrPortFrom(netip.MustParseAddr(addr), 1)
	return e
}

func TestFloodOfStrangersIsCountedNeverOfTheProved(t *testing.T) {
	attacktest.Rows(t, 148)
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, now.set)
	for i := range 50 {
		record(t, l, now.refusal(fmt.Sprint("a", i), fmt.Sprintf("2001:db8::%x", i+1))) // one /64
		record(t, l, now.refusal(fmt.Sprint("b", i), fmt.Sprintf("192.0.2.%d", i+1)))   // fifty networks
		record(t, l, now.refusal(fmt.Sprint("m", i), "::ffff:198.51.100.1"))            // one IPv4 address
		for class, change := range map[string]func(*audit.Event){
			"c": func(e *audit.Event) { e.Proved = true },
			"d": func(e *audit.Event) { e.Exposed = true },
			"e": func(e *audit.Event) { e.Decision = audit.Accepted },
			"f": func(e *audit.Event) { e.Decision = audit.Failed },
			"g": func(e *audit.Event) { e.Class = audit.Admin },
			"h": func(e *audit.Event) { e.Class = audit.System },
			"i": func(e *audit.Event) { e.Code = fmt.Sprint("code", i) },
		} {
			e := now.refusal(fmt.Sprint(class, i), "2001:db8::1")
			change(e)
			record(t, l, e)
		}
	}
	now.advance(11 * time.Second)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	written, counted := map[byte]int{}, map[byte]audit.Event{}
	for _, found := range search(t, dir, audit.Query{}) {
		if found.Event.Note == "counted" {
			counted[found.Event.ID[0]] = found.Event
			continue
		}
		written[found.Event.ID[0]]++
	}
	for _, c := range "bcefghi" {
		if written[byte(c)] != 50 {
			t.Errorf("%c: %d of 50 were written", c, written[byte(c)])
		}
	}
	for _, c := range "adm" {
		e := counted[byte(c)]
		if written[byte(c)] != 20 || e.Count != 30 || e.Code != "missing_credential" || e.Class != audit.Request || e.Status != 401 || e.Step != "proxy" || e.Duration != 11*time.Second || e.Exposed != (c == 'd') {
			t.Errorf("%c: %d were written, and counted %+v", c, written[byte(c)], e)
		}
	}
	if got := counted['a'].Remote.Addr().String(); got != "2001:db8::" {
		t.Errorf("network %s", got)
	}
	if len(counted) != 3 {
		t.Errorf("counted events %v", counted)
	}
}

func TestCountIsWrittenWhenItsWindowEnds(t *testing.T) {
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, func(o *audit.Options) { now.set(o); o.Flood = audit.Flood{Rate: 1, Window: time.Minute} })
	for range 5 {
		record(t, l, now.refusal("x", "192.0.2.1"))
	}
	snapshot := copyLog(t, dir) // a kill -9 at this moment
	now.advance(2 * time.Minute)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{})
	if len(found) != 2 || found[1].Event.Count != 4 {
		t.Errorf("found %+v", found)
	}
	// The next window counts anew.
	for range 3 {
		record(t, l, now.refusal("y", "192.0.2.1"))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := total(t, dir); n != 8 {
		t.Errorf("the events stand for %d refusals, want 8", n)
	}
	if err := open(t, snapshot, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if n := total(t, snapshot); n != 5 {
		t.Errorf("after the kill the events stand for %d refusals, want 5", n)
	}
	for _, f := range search(t, snapshot, audit.Query{}) {
		if f.Event.Note == "interrupted" {
			t.Errorf("%+v", f.Event)
		}
	}
}

// total is how many refusals the log stands for.
func total(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, found := range search(t, dir, audit.Query{Code: "missing_credential"}) {
		n += max(1, found.Event.Count)
	}
	return n
}

func TestFloodFromEverywhereHoldsFewSlotsAndLosesNoCount(t *testing.T) {
	attacktest.Rows(t, 148)
	for name, flood := range map[string]audit.Flood{"few keys": {Rate: 1, Keys: 10}, "few slots": {Rate: 1}} {
		t.Run(name, func(t *testing.T) {
			dir, now := t.TempDir(), newClock()
			l := open(t, dir, func(o *audit.Options) { now.set(o); o.Slots = 40; o.Flood = flood })
			const sources, each = 500, 4
			for range each {
				for i := range sources {
					record(t, l, now.refusal("x", fmt.Sprintf("2001:db8:0:%x::1", i)))
				}
			}
			held := make([]*audit.Event, 29) // what is left of 40: a quarter is for counts, and one shared
			for i := range held {
				held[i] = event("held")
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			for i, e := range held {
				if err := l.Begin(e); err != nil {
					t.Fatalf("the flood left no room for request %d: %v", i, err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if n := total(t, dir); n != sources*each {
				t.Errorf("the events stand for %d refusals, want %d", n, sources*each)
			}
		})
	}
}

func BenchmarkFlood(b *testing.B) {
	now := newClock()
	l := open(b, b.TempDir(), now.set)
	e := now.refusal("x", "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Begin(e); err != nil {
			b.Fatal(err)
		}
		l.Complete(e)
	}
}

// TestSlowRequestsDoNotBeginASecondAnew: a request is recorded with the time at which it began, so
// that those that are refused late come between those that are refused at once.
func TestSlowRequestsDoNotBeginASecondAnew(t *testing.T) {
	attacktest.Rows(t, 148)
	dir, now := t.TempDir(), newClock()
	l := open(t, dir, now.set)
	for i := range 50 {
		record(t, l, now.refusal(fmt.Sprint("quick", i), "192.0.2.1"))
		slow := now.refusal(fmt.Sprint("slow", i), "192.0.2.1")
		slow.Time = slow.Time.Add(-5 * time.Second)
		record(t, l, slow)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{Class: audit.Request})
	if len(found) != 21 || found[20].Event.Count != 80 {
		t.Errorf("%d were written, the last %+v", len(found), found[len(found)-1].Event)
	}
}
