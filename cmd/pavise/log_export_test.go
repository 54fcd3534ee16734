package main

import (
	"errors"
	"testing"
)

func TestTheFormOfAnExportIsThatOfItsFile(t *testing.T) {
	for _, c := range []struct {
		format string // "": not asked for
		out    string
		want   string // "": refused
	}{
		{"", "", "json"},
		{"", "e.csv", "csv"},
		{"", "e.CSV", "csv"},
		{"", "e.jsonl", "json"},
		{"", "e.ndjson", "json"},
		{"", "e.json", "json"},
		{"", "e.cef", "cef"},
		{"", "e.ocsf", "ocsf"},
		{"", "e.ecs", "ecs"},
		{"", "events", "json"},
		{"", "events.log", "json"},
		{"", "dir.csv/events", "json"},
		{"csv", "events.txt", "csv"},
		{"csv", "e.csv", "csv"},
		{"ocsf", "e.jsonl", "ocsf"},
		{"ecs", "e.ndjson", "ecs"},
		{"cef", "e.jsonl", ""},
		{"csv", "e.jsonl", ""},
		{"json", "e.csv", ""},
		{"ocsf", "e.ecs", ""},
		{"xml", "e.xml", ""},
	} {
		format := c.format
		if format == "" {
			format = "json" // what the flag has
		}
		got, err := exportForm(format, c.out, c.format != "")
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("--format %q --out %q: %q, %v; want %q", c.format, c.out, got, err, c.want)
		}
		if wrong, ok := errors.AsType[*usageError](err); ok && wrong.hint == "" {
			t.Errorf("%v does not say what to do", err)
		}
	}
}
