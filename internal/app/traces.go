package app

import (
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

// recordedOf is what the events of an API show.
func recordedOf(from config.Recorded) pavise.Recorded {
	return pavise.Recorded{ShowQuery: from.Query, Hide: from.Hide}
}
