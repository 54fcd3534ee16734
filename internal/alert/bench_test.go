package alert_test

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// stream are events of so many clients in a mixture as a gateway sees it: most are accepted.
func stream(clients, n int) []audit.Event {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]audit.Event, n)
	for i := range all {
		c := random.IntN(clients)
		e := request(i, began.Add(time.Duration(i)*100*time.Millisecond), nil)
		e.Client, e.CredentialID, e.Shield = fmt.Sprintf("client-%d", c), fmt.Sprintf("pk_%016x", c), "api_key"
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(c >> 16), byte(c >> 8), byte(c)}), 1000)
		e.Path, e.UserAgent = fmt.Sprint("/v1/orders/", random.IntN(1000)), "python-requests/2.32.3"
		e.Endpoint = []string{"GET /v1/orders/{id}", "GET /v1/orders", "POST /v1/orders"}[i%3]
		switch random.IntN(50) {
		case 0:
			e.Decision, e.Code, e.Status = audit.Refused, "rate_limited", 429
		case 1:
			wrong(e)
			e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 255, 0, byte(i % 20)}), 1)
		case 2:
			e.Status = 404
		case 3:
			e.Decision, e.Status = audit.Failed, 502
		}
		all[i] = *e
	}
	return all
}

// BenchmarkSee is what all detections together cost for one event.
func BenchmarkSee(b *testing.B) {
	for _, clients := range []int{300, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(clients, " clients"), func(b *testing.B) {
			events := stream(clients, max(2*clients, 100_000))
			e := alert.NewEngine(alert.Detections(), func(alert.Incident) {}, nil)
			for i := range events {
				e.See(&events[i])
			}
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			used, n := threadTime(b), 0
			for i := 0; b.Loop(); i++ {
				if i == len(events) {
					i = 0
				}
				events[i].Time = events[i].Time.Add(24 * time.Hour)
				e.See(&events[i])
				n++
			}
			b.ReportMetric(float64((threadTime(b)-used).Nanoseconds())/float64(n), "cpu-ns/op")
		})
	}
}

// threadTime is how much processor time this thread has had: what else the machine does is not in
// it.
func threadTime(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		b.Skip("the processor time of a thread is only known on Linux")
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// TestAnEventThatRaisesNothingAllocatesNothing is the promise that watching costs no garbage.
func TestAnEventThatRaisesNothingAllocatesNothing(t *testing.T) {
	events := stream(300, 20_000)
	e := alert.NewEngine(alert.Detections(), func(i alert.Incident) { t.Errorf("raised %+v", i) }, nil)
	for i := range events {
		e.See(&events[i])
	}
	if n := testing.AllocsPerRun(5, func() {
		for i := range events {
			events[i].Time = events[i].Time.Add(time.Hour)
			e.See(&events[i])
		}
	}); n > 20 { // tables grow now and then
		t.Errorf("%v allocations for %d events", n, len(events))
	}
}

// BenchmarkMemory is what a million identities under watch take.
func BenchmarkMemory(b *testing.B) {
	const clients = 1_000_000
	var before, after runtime.MemStats
	for b.Loop() {
		kinds, states := observed(alert.Detections())
		e := alert.NewEngine(kinds, func(alert.Incident) {}, nil)
		runtime.GC()
		runtime.ReadMemStats(&before)
		for c := range clients {
			event := audit.Event{
				ID: "r", Time: began, Class: audit.Request, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(c >> 16), byte(c >> 8), byte(c)}), 1),
				API: "orders", Endpoint: "GET /v1/orders/{id}", Decision: audit.Accepted, Status: 200, Client: fmt.Sprint("client-", c), CredentialID: fmt.Sprint("k", c), Proved: true,
			}
			e.See(&event)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/clients, "B/identity")
		began := time.Now()
		size := 0
		for _, s := range states() {
			var text bytes.Buffer
			if err := gob.NewEncoder(&text).Encode(s); err != nil {
				b.Fatal(err)
			}
			size += text.Len()
		}
		b.ReportMetric(float64(size)/clients, "B-kept/identity")
		b.ReportMetric(time.Since(began).Seconds(), "s-to-keep")
		runtime.KeepAlive(e)
	}
}

// observed makes kinds whose detections' states can be looked at afterwards.
func observed(kinds []alert.Kind) (same []alert.Kind, states func() map[string]any) {
	made := map[string]alert.Detection{}
	for _, k := range kinds {
		make := k.New
		k.New = func() alert.Detection {
			d := make()
			made[k.Name] = d
			return d
		}
		same = append(same, k)
	}
	return same, func() map[string]any {
		all := map[string]any{}
		for name, d := range made {
			if s := d.State(); s != nil {
				all[name] = s
			}
		}
		return all
	}
}
