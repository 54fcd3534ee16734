package app

import (
	"encoding/hex"
	"net/http"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/sink"
)

// traces say which requests belong to a trace that is recorded.
func traces(f *config.File) pavise.Traces {
	return pavise.Traces{Sample: float64(f.Traces.Sample), Trusted: f.Traces.Trust == "proxies"}
}

// traced makes a feed one of spans: of requests whose trace is recorded, and of these what is
// selected besides.
func traced(feed *sink.Settings) {
	selected := feed.Only
	feed.Query = audit.Query{Class: audit.Request}
	feed.Only = func(f *audit.Found) bool { return f.Event.Sampled && (selected == nil || selected(f)) }
}

// calling makes the call of the upstream a span of its own, if a sink is there that records it:
// the upstream gets that span as parent, and not the request's.
func calling(f *config.File, upstream http.Handler) http.Handler {
	for _, s := range f.Log.Sinks {
		if s.Traces != nil {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if parent := callOf(pavise.TraceOf(r)); parent != "" {
					r.Header["Traceparent"] = []string{parent}
				}
				upstream.ServeHTTP(w, r)
			})
		}
	}
	return upstream
}

// callOf puts the span of the call into a traceparent (00-TRACE-SPAN-01); "" if the trace is
// not recorded.
func callOf(traceparent string) string {
	const before, behind = 36, 52 // the span
	var span [8]byte
	if len(traceparent) != behind+3 || traceparent[behind:] != "-01" {
		return ""
	}
	if _, err := hex.Decode(span[:], []byte(traceparent[before:behind])); err != nil {
		return ""
	}
	id := audit.ChildSpan(span, audit.CallSpan)
	out := append(make([]byte, 0, behind+3), traceparent[:before]...)
	return string(append(hex.AppendEncode(out, id[:]), traceparent[behind:]...))
}

// recordedOf is what the events of an API show.
func recordedOf(from config.Recorded) pavise.Recorded {
	return pavise.Recorded{ShowQuery: from.Query, Hide: from.Hide}
}
