package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/audit/audittest"
)

var (
	chainKey  = bytes.Repeat([]byte{1}, 32)
	signSeed  = bytes.Repeat([]byte{2}, 32)
	startTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(signSeed) }

func public() ed25519.PublicKey { return signer().Public().(ed25519.PublicKey) }

func otherSigner() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(chainKey) }

func options(dir string) audit.Options {
	return audit.Options{Dir: dir, Node: "n1", Key: chainKey, Sign: signer(), Now: func() time.Time { return startTime }, Slots: 64}
}

func open(t testing.TB, dir string, change func(*audit.Options)) *audit.Log {
	t.Helper()
	o := options(dir)
	if change != nil {
		change(&o)
	}
	l, err := audit.Open(o)
	if err != nil {
		t.Fatalf("open the log: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func event(id string) *audit.Event {
	remote := netip.MustParseAddrPort("192.0.2.7:1234")
	return &audit.Event{
		ID: id, Time: startTime, Class: audit.Request, Remote: remote, Peer: remote, Method: "GET", Path: "/v1/orders/7",
		Decision: audit.Accepted, Status: 200, Client: "shop", CredentialID: "k1", Proved: true, Step: "proxy",
	}
}

func record(t testing.TB, l *audit.Log, events ...*audit.Event) {
	t.Helper()
	for _, e := range events {
		err := audit.Record(l, e)
		if err != nil && l.Flush() == nil { // the small ring was full for a moment
			err = audit.Record(l, e)
		}
		if err != nil {
			t.Fatalf("record %s: %v", e.ID, err)
		}
	}
}

func search(t testing.TB, dir string, q audit.Query) []audit.Found {
	t.Helper()
	found, err := audit.Search(t.Context(), dir, q)
	if err != nil {
		t.Fatalf("search: %v", err)
	}
	return found
}

func verify(t testing.TB, dir string) audit.Report {
	t.Helper()
	report, err := audit.Verify(dir, chainKey, public())
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return report
}

func TestLogKeepsEventsInAVerifiableChain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	for i := range 100 {
		record(t, l, event(fmt.Sprint("r", i)))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Lines != 100 || report.Checkpoints == 0 {
		t.Fatalf("report %+v", report)
	}
	found := search(t, dir, audit.Query{ID: "r42"})
	if len(found) != 1 || found[0].Event.Client != "shop" || found[0].Event.Status != 200 {
		t.Errorf("found %+v", found)
	}
	// A second run goes on with the same chain.
	l = open(t, dir, nil)
	record(t, l, event("later"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if report := verify(t, dir); report.Fault != nil || report.Lines != 101 {
		t.Errorf("report after the second run %+v", report)
	}
	if found := search(t, dir, audit.Query{Limit: 1}); len(found) != 1 || found[0].Event.ID != "later" {
		t.Errorf("newest %+v", found)
	}
}

func TestFullRingRefuses(t *testing.T) {
	l := open(t, t.TempDir(), func(o *audit.Options) { o.Slots = 4 })
	held := make([]*audit.Event, 4)
	for i := range held {
		held[i] = event(fmt.Sprint("held", i))
		if err := l.Begin(held[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Begin(event("one too many")); err == nil {
		t.Error("an event was taken without a slot")
	}
	for _, e := range held {
		l.Complete(e)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	record(t, l, event("again"))
}

// benchmark begins and completes events as fast as one goroutine can. Where that is
// faster than the drain, it waits outside the measure.
func benchmark(b *testing.B, l *audit.Log, next func() bool) (full int) {
	e := event("0123456789ABCDEF")
	for next() {
		for l.Begin(e) != nil {
			full++
			b.StopTimer()
			if err := l.Flush(); err != nil {
				b.Error(err)
				return full
			}
			b.StartTimer()
		}
		l.Complete(e)
	}
	return full
}

func BenchmarkEvent(b *testing.B) {
	l := open(b, b.TempDir(), func(o *audit.Options) { o.Slots, o.Now = 0, time.Now })
	b.ReportAllocs()
	benchmark(b, l, b.Loop)
}

func BenchmarkEventParallel(b *testing.B) {
	l := open(b, b.TempDir(), func(o *audit.Options) { o.Slots, o.Now = 0, time.Now })
	b.ReportAllocs()
	var full atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		e := event("0123456789ABCDEF")
		for p.Next() {
			for l.Begin(e) != nil {
				full.Add(1)
				_ = l.Flush()
			}
			l.Complete(e)
		}
	})
	b.ReportMetric(float64(full.Load())/float64(b.N), "full/op")
}

// BenchmarkEventDrained is the whole cost: with the chain, and the file.
func BenchmarkEventDrained(b *testing.B) {
	l := open(b, b.TempDir(), func(o *audit.Options) { o.Slots, o.Now = 0, time.Now })
	b.ReportAllocs()
	e := event("0123456789ABCDEF")
	for i := 0; b.Loop(); i++ {
		if i%1000 == 999 {
			if err := l.Flush(); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Begin(e); err != nil {
			b.Fatal(err)
		}
		l.Complete(e)
	}
}

// TestWhoeverIsToldGetsEachEventOnceInOrder: with the number under which it is found, and
// counted refusals too.
func TestWhoeverIsToldGetsEachEventOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	var told []audit.Found
	l := open(t, dir, func(o *audit.Options) {
		o.Flood = audit.Flood{Rate: 5}
		o.Written = func(seq uint64, e *audit.Event) { told = append(told, audit.Found{Seq: seq, Event: *e}) }
	})
	fill(t, l, 0, 20)
	for i := range 30 {
		e := audittest.Event(fmt.Sprint("refused", i))
		e.Decision, e.Proved, e.Exposed = audit.Refused, false, false
		if err := audit.Record(l, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found := search(t, dir, audit.Query{Class: audit.Request})
	if len(found) != len(told) || len(told) != 26 {
		t.Fatalf("told of %d events, %d are in the log", len(told), len(found))
	}
	for i := range found {
		got, want := told[i], found[i]
		if got.Seq != want.Seq || got.Event.ID != want.Event.ID || got.Event.Count != want.Event.Count || got.Event.Handle != 0 {
			t.Errorf("told of %d %+v, found %d %+v", got.Seq, got.Event, want.Seq, want.Event)
		}
	}
}
