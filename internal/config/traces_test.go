package config_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

// traceChanges are edits of base about traces, spans and what events show.
func traceChanges() []change {
	shown := func(names string) string { return "events: {show_query: [" + names + "]}\n    shield: api_key" }
	hidden := func(names string) string { return "events: {hide: [" + names + "]}\n    shield: api_key" }
	spans := func(more string) string {
		return "log: {sinks: {a: {otlp_traces: {url: \"https://tempo:4318/v1/traces\"}" + more + "}}}\nscopes:\n  orders:read"
	}
	return []change{
		{"more than all are traced", "hosts:\n", "traces: {sample: 2}\nhosts:\n", "1:18", `"2" is no share`, "0 to 1"},
		{"a negative share", "hosts:\n", "traces: {sample: -0.5}\nhosts:\n", "1:18", "is no share", "0.01"},
		{"a share that is no number", "hosts:\n", "traces: {sample: .nan}\nhosts:\n", "1:18", "is no share", ""},
		{"a share in another form", "hosts:\n", "traces: {sample: 1e-2}\nhosts:\n", "1:18", "is no share", ""},
		{"trust in nobody", "hosts:\n", "traces: {trust: nobody}\nhosts:\n", "1:17", `"nobody" is not accepted`, ""},
		{"trust in proxies that are not there", "hosts:\n", "traces: {trust: proxies}\nhosts:\n", "1:17", "no trusted proxies", "anyone"},
		{"a form of spans", "scopes:\n  orders:read", spans(", format: ocsf"), "21:79", "one form", "remove"},
		{"spans of other classes", "scopes:\n  orders:read", spans(", only: {classes: [admin]}"), "21:87", "requests alone", "remove"},
		{"spans without TLS", "scopes:\n  orders:read", "log: {sinks: {a: {otlp_traces: {url: \"http://tempo:4318/v1/traces\"}}}}\nscopes:\n  orders:read", "21:38", "without TLS", "https"},
		{"a credential that is shown", "shield: api_key", shown("page, access_token"), "10:33", "must not be recorded", "remove"},
		{"a parameter that is no name", "shield: api_key", shown("\"a=b\""), "10:27", "has not the form", "letters"},
		{"a hidden part that is not there", "shield: api_key", hidden("idd"), "10:21", "has {idd} in its path", "did you mean id?"},
		{"a hidden part in braces", "shield: api_key", hidden("\"{id}\""), "10:21", "has not the form", "the name alone"},
		{"too many parameters", "shield: api_key", shown(names(33)), "10:26", "33 parameters are too many", "choose"},
	}
}

func names(n int) string {
	all := []string{}
	for i := range n {
		all = append(all, "p"+strings.Repeat("x", i))
	}
	return strings.Join(all, ", ")
}

func TestTracesAreRead(t *testing.T) {
	f := mustParse(t, base)
	if f.Traces.Sample != 0 || f.Traces.Trust != "anyone" {
		t.Errorf("by default: %+v", f.Traces)
	}
	for text, want := range map[string]config.Share{"0": 0, "1": 1, "1.0": 1, "0.0": 0, "0.01": 0.01, "0.000000001": 1e-9} {
		f := mustParse(t, "traces: {sample: "+text+"}\n"+base)
		if f.Traces.Sample != want {
			t.Errorf("%s is read as %v", text, f.Traces.Sample)
		}
		if back := mustParse(t, "traces: {sample: "+f.Traces.Sample.String()+"}\n"+base); back.Traces.Sample != want {
			t.Errorf("%v is written as %s", want, f.Traces.Sample)
		}
	}
	if changes := config.Diff(f, mustParse(t, "traces: {sample: 0.5}\n"+base)); len(changes) != 1 || changes[0].Path != "traces.sample" || changes[0].New != "0.5" || changes[0].Restart {
		t.Errorf("%+v", changes)
	}
}
