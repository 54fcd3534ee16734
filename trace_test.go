package pavise_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
)

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	ended        = ""
)

// TestTracesGoOn: W3C Trace Context §3.2 and §4; what is not well formed begins a trace of
// its own, and the state of a trace that ended is not handed on.
func TestTracesGoOn(t *testing.T) {
	good := "00-" + callersTrace + "-" + callersSpan + "-01"
	proxies := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	tests := []struct {
		name     string
		given    []string
		traces   pavise.Traces
		trusted  []netip.Prefix
		want     string // the trace; ended: one of its own
		sampled  bool
		noParent bool
	}{
		{name: "a caller's", given: []string{good}, want: callersTrace, sampled: true},
		{name: "a caller's that is not sampled", given: []string{good[:53] + "00"}, traces: pavise.Traces{Sample: 1}, want: callersTrace},
		{name: "a later version's", given: []string{"cc" + good[2:] + "-what-the-future"}, want: callersTrace, sampled: true},
		{name: "through a trusted proxy", given: []string{good}, traces: pavise.Traces{Trusted: true}, trusted: proxies, want: callersTrace, sampled: true},
		{name: "of a stranger, where only proxies are trusted", given: []string{good}, traces: pavise.Traces{Trusted: true}},
		{name: "none", traces: pavise.Traces{Sample: 1}, sampled: true},
		{name: "none, and none is sampled"},
		{name: "two", given: []string{good, good}},
		{name: "longer than its version has", given: []string{good + "-1"}},
		{name: "version ff", given: []string{"ff" + good[2:]}},
		{name: "upper case", given: []string{strings.ToUpper(good)}},
		{name: "zeros as trace", given: []string{"00-" + strings.Repeat("0", 32) + good[35:]}},
		{name: "zeros as parent", given: []string{good[:36] + strings.Repeat("0", 16) + "-01"}},
		{name: "short", given: []string{good[:54]}},
		{name: "an injection", given: []string{"00-\"},{\"a\":\"" + good}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events := &sink{}
			var seen http.Header
			r := get("/v1/orders/7")
			r.Header["Tracestate"] = []string{"vendor=1"}
			if test.given != nil {
				r.Header["Traceparent"] = test.given
			}
			_, e := send(t, one(t, events, says{id: shop()}, func(p *pavise.Policy) { p.Traces, p.TrustedProxies = test.traces, test.trusted }), events, r,
				func(_ http.ResponseWriter, r *http.Request) {
					seen = r.Header.Clone()
					if pavise.TraceOf(r) != seen.Get("Traceparent") {
						t.Errorf("TraceOf says %s, the header %v", pavise.TraceOf(r), seen["Traceparent"])
					}
				})
			flags := "00"
			if test.sampled {
				flags = "01"
			}
			if handed := seen.Get("Traceparent"); handed != "00-"+e.Trace+"-"+e.Span+"-"+flags || len(handed) != 55 {
				t.Errorf("handed %s, the event has trace %s, span %s, sampled %t", handed, e.Trace, e.Span, e.Sampled)
			}
			goesOn := test.want != ended
			switch {
			case goesOn && (e.Trace != test.want || e.Parent != callersSpan || seen.Get("Tracestate") != "vendor=1"):
				t.Errorf("trace %s, parent %s, state %q", e.Trace, e.Parent, seen["Tracestate"])
			case !goesOn && (e.Trace == callersTrace || e.Parent != "" || seen["Tracestate"] != nil):
				t.Errorf("the trace goes on: %s, parent %s, state %q", e.Trace, e.Parent, seen["Tracestate"])
			case e.Sampled != test.sampled || e.Span == callersSpan:
				t.Errorf("sampled %t, span %s", e.Sampled, e.Span)
			}
		})
	}
}

// TestPartsOfThePathAreTimed: an event says how long each part took.
func TestPartsOfThePathAreTimed(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	events := &sink{}
	_, e := send(t, one(t, events, says{id: shop(), takes: func() { now = now.Add(3 * time.Millisecond) }}, func(p *pavise.Policy) {
		p.Now = func() time.Time { now = now.Add(time.Microsecond); return now }
	}), events, get("/v1/orders/7"), nil)
	if e.Took[audit.Identity] != 3*time.Millisecond+time.Microsecond || e.Took[audit.Entry] != time.Microsecond || e.Took[audit.Rights] != time.Microsecond || e.Took[audit.Input] != 0 {
		t.Errorf("took %v", e.Took)
	}
	if e.Duration < e.Took[audit.Identity] {
		t.Errorf("the whole took %v", e.Duration)
	}
}
