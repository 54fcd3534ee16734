package app

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/sink"
)

func TestOnlyRequestsOfRecordedTracesAreSpans(t *testing.T) {
	sampled := func(api string) *audit.Found {
		return &audit.Found{Event: audit.Event{Class: audit.Request, API: api, Sampled: true}}
	}
	feed := sink.Settings{}
	traced(&feed)
	other := sampled("orders")
	other.Event.Sampled = false
	if feed.Query.Class != audit.Request || !feed.Only(sampled("orders")) || feed.Only(other) {
		t.Errorf("%+v", feed.Query)
	}
	feed = sink.Settings{Only: only(config.SinkOnly{APIs: config.Words{"orders"}})}
	traced(&feed)
	if !feed.Only(sampled("orders")) || feed.Only(sampled("pay")) {
		t.Error("the choice of APIs does not hold")
	}
}

func TestNoEndpointRefusesBecauseOfSpans(t *testing.T) {
	if got := spoolOf(&config.Sink{Traces: &config.OTLPSink{}, Spool: 7}); got != 0 {
		t.Errorf("spans have a spool of %d", got)
	}
	if got := spoolOf(&config.Sink{OTLP: &config.OTLPSink{}, Spool: 7}); got != 7 {
		t.Errorf("records have a spool of %d", got)
	}
}

func TestTheUpstreamIsBelowTheSpanOfItsCall(t *testing.T) {
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	id := audit.ChildSpan([8]byte{0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}, audit.CallSpan)
	for given, want := range map[string]string{
		"00-" + trace + "-" + span + "-01": "00-" + trace + "-" + hex.EncodeToString(id[:]) + "-01",
		"00-" + trace + "-" + span + "-00": "", // nobody records the call
		"":                                 "",
		"00-" + trace + "-" + strings.Repeat("z", 16) + "-01": "",
	} {
		if got := callOf(given); got != want {
			t.Errorf("%s becomes %q, want %q", given, got, want)
		}
	}
	var seen http.Header
	upstream := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	f := &config.File{Log: config.Log{Sinks: map[string]config.Sink{"tempo": {Traces: &config.OTLPSink{}}}}}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Traceparent", "00-"+trace+"-"+span+"-01")
	calling(f, upstream).ServeHTTP(httptest.NewRecorder(), r) // outside a guard there is no trace of ours
	if seen.Get("Traceparent") != "00-"+trace+"-"+span+"-01" {
		t.Errorf("%v", seen)
	}
}
