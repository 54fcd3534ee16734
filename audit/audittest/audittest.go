// Package audittest holds what every audit.Sink promises, as a test suite. A new
// sink calls [Run] from a test of its own:
//
//	func TestSink(t *testing.T) {
//		audittest.Run(t, func(t *testing.T) (audit.Sink, func() []audit.Event) {
//			sink := mysink.Open(…)
//			return sink, sink.Events
//		})
//	}
package audittest

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// Open returns a sink without events, and a function that returns the events that
// the sink holds as complete, waiting until all of them can be read.
type Open func(t *testing.T) (sink audit.Sink, read func() []audit.Event)

// Run tests the promises of a [audit.Sink].
func Run(t *testing.T, open Open) {
	t.Run("keeps every field", func(t *testing.T) { keepsEveryField(t, open) })
	t.Run("takes from Complete what was not known at Begin", func(t *testing.T) { takesTheTail(t, open) })
	t.Run("copies what it is given", func(t *testing.T) { copies(t, open) })
	t.Run("keeps events that complete in another order", func(t *testing.T) { anyOrder(t, open) })
	t.Run("is safe for many at once", func(t *testing.T) { manyAtOnce(t, open) })
	t.Run("takes hostile text as one event", func(t *testing.T) { hostile(t, open) })
}

// Event returns an event whose every field holds something.
func Event(id string) *audit.Event {
	return &audit.Event{
		ID: id, Time: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC), Class: audit.Request,
		Remote: netip.MustParseAddrPort("192.0.2.7:1234"), Peer: netip.MustParseAddrPort("[2001:db8::1]:443"),
		TLS: "1.3", SNI: "api.example.com", Proto: "HTTP/1.1", Method: "GET", Host: "api.example.com",
		Path: "/v1/orders/7", Query: "page=2", UserAgent: "curl/8", API: "orders", Endpoint: "GET /v1/orders/{id}",
		Step: "proxy", Decision: audit.Accepted, Code: "ok", Detail: "as it should be", Status: 200,
		Shield: "api_key", CredentialID: "k1", Issuer: "corp", Subject: "s1", Client: "shop", User: "ann", Tenant: "t1",
		With: "k2 k3", Proved: true, Exposed: true, Warning: "credential_old", Upstream: "127.0.0.1:9000",
		UpstreamStatus: 204, BytesIn: 1, BytesOut: 2, Duration: 1500 * time.Microsecond,
		UpstreamDuration: time.Millisecond, Note: "upgraded", Would: "contract invalid_input body minimum /count", Changed: "trim=2", Actor: "root", Action: "rotate", Target: "k1",
		Change: "a became b", Count: 3, Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Span: "00f067aa0ba902b7", Parent: "b7ad6b7169203331", Sampled: true,
		Took: [audit.Parts]time.Duration{time.Microsecond, 2 * time.Microsecond, 3 * time.Microsecond, 4 * time.Microsecond, 5 * time.Microsecond, 6 * time.Microsecond},
	}
}

func record(t *testing.T, sink audit.Sink, e *audit.Event) {
	t.Helper()
	if err := audit.Record(sink, e); err != nil {
		t.Fatalf("record %.40q: %v", e.ID, err)
	}
}

// only returns the one event that there is, without its handle.
func only(t *testing.T, read func() []audit.Event) audit.Event {
	t.Helper()
	events := read()
	if len(events) != 1 {
		t.Fatalf("%d events, want one", len(events))
	}
	events[0].Handle = 0
	return events[0]
}

func keepsEveryField(t *testing.T, open Open) {
	sink, read := open(t)
	want := *Event("r1")
	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Handle" && v.Field(i).IsZero() {
			t.Errorf("this suite leaves the field %s empty", name)
		}
	}
	given := want
	record(t, sink, &given)
	if got := only(t, read); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func takesTheTail(t *testing.T, open Open) {
	sink, read := open(t)
	e := Event("r1")
	e.BytesIn, e.BytesOut, e.Duration, e.UpstreamDuration, e.Note = 0, 0, 0, 0, ""
	if err := sink.Begin(e); err != nil {
		t.Fatal(err)
	}
	e.Status, e.Decision, e.Code, e.Note = 502, audit.Failed, "upstream_broke", "aborted"
	e.BytesIn, e.BytesOut, e.Duration, e.UpstreamDuration = 10, 20, time.Second, time.Millisecond
	sink.Complete(e)
	got := only(t, read)
	if got.Status != 502 || got.Decision != audit.Failed || got.Code != "upstream_broke" || got.Note != "aborted" ||
		got.BytesIn != 10 || got.BytesOut != 20 || got.Duration != time.Second || got.UpstreamDuration != time.Millisecond {
		t.Errorf("got %+v", got)
	}
}

func copies(t *testing.T, open Open) {
	sink, read := open(t)
	e := Event("r1")
	record(t, sink, e)
	*e = audit.Event{ID: "another", Path: "/elsewhere"}
	if got := only(t, read); got.ID != "r1" || got.Path != "/v1/orders/7" {
		t.Errorf("got %q %q", got.ID, got.Path)
	}
}

func anyOrder(t *testing.T, open Open) {
	sink, read := open(t)
	var events []*audit.Event
	for i := range 8 {
		e := Event(fmt.Sprint("r", i))
		if err := sink.Begin(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	for i := range events {
		e := events[len(events)-1-i]
		e.Status = 500 + len(events) - 1 - i
		sink.Complete(e)
	}
	got := map[string]int{}
	for _, e := range read() {
		got[e.ID] = e.Status
	}
	for i := range events {
		if id := fmt.Sprint("r", i); got[id] != 500+i {
			t.Errorf("event %s has status %d", id, got[id])
		}
	}
}

func manyAtOnce(t *testing.T, open Open) {
	sink, read := open(t)
	const writers, each = 8, 25
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			var e audit.Event // one, used again and again, as the guard does
			for i := range each {
				e = *Event(fmt.Sprintf("%d-%d", w, i))
				for sink.Begin(&e) != nil { // it may be full for a moment
					read()
				}
				e.Status = 200 + w
				sink.Complete(&e)
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for _, e := range read() {
		seen[e.ID]++
		if want := fmt.Sprintf("%d-", e.Status-200); !strings.HasPrefix(e.ID, want) {
			t.Errorf("event %s has the status of another", e.ID)
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d events, want %d", len(seen), writers*each)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s is there %d times", id, n)
		}
	}
}

func hostile(t *testing.T, open Open) {
	sink, read := open(t)
	e := Event("r1")
	e.Path = "/\r\n\x1b[31m\u2028\xff\",\"decision\":\"accepted\"}\n{" + strings.Repeat("x", 1<<20)
	record(t, sink, e)
	if got := only(t, read); got.ID != "r1" || got.Decision != audit.Accepted {
		t.Errorf("got %.200v", got)
	}
}
