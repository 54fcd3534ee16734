package config_test

import (
	"strings"
	"testing"
)

// refuses holds that a setting of the API orders is refused with a message, "" for accepted.
func refuses(t *testing.T, cases map[string]struct{ setting, want string }) {
	t.Helper()
	for name, c := range cases {
		_, err := parse(strings.Replace(base, "    shield: api_key\n", "    shield: api_key\n    "+c.setting+"\n", 1))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSanitisingThatCannotWorkIsRefused(t *testing.T) {
	refuses(t, map[string]struct{ setting, want string }{
		"a rule":                     {"sanitise: [{field: body /comment, do: trim}]", ""},
		"no field":                   {"sanitise: [{do: trim}]", "field is missing"},
		"no step":                    {"sanitise: [{field: body}]", "do is missing"},
		"an unknown step":            {"sanitise: [{field: body, do: wash}]", "wash"},
		"a header":                   {"sanitise: [{field: header x, do: trim}]", "header x"},
		"no pointer":                 {"sanitise: [{field: body x, do: trim}]", "no JSON pointer"},
		"steps that contradict":      {"sanitise: [{field: body /x, do: [html, encode]}]", "html and encode contradict"},
		"stripping of nothing known": {"sanitise: [{field: body, do: strip_undeclared}]", "no description says what is declared"},
		"stripping of what may pass": {"openapi: {file: a.yaml, insecure_undeclared: old clients send more}\n    sanitise: [{field: body, do: strip_undeclared}]", "lets pass what it does not declare"},
	})
}
