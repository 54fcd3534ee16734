package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check"
)

// Waivers of the configuration are for its documents and for other reports, too; one that is over, or of no
// rule at all, is told.
func TestWaiversForOtherReportsAreKnown(t *testing.T) {
	dir := t.TempDir()
	document := "openapi: 3.1.0\ninfo: {title: Orders, version: \"1\"}\npaths: {/v1/orders: {get: {responses: {\"200\": {description: orders}}}}}\n"
	if err := os.WriteFile(filepath.Join(dir, "orders.yaml"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	waivers := `
waivers:
  - {rule: no-operation-id, where: /paths/~1v1~1orders, reason: nobody calls it by a name, until: "2026-12-31"}
  - {rule: no-owner, where: orders.yaml, reason: the configuration names him, until: "2026-12-31"}
  - {rule: no-credential, where: no-credential GET /v1/orders, reason: seen and accepted, until: "2026-12-31"}
  - {rule: api-without-owner, reason: the team is being founded, until: "2024-01-31"}
  - {rule: no-such-rule, reason: the team is being founded, until: "2026-12-31"}
`
	f := write(t, dir, strings.Replace(minimal, "    shield:", "    openapi: orders.yaml\n    shield:", 1)+waivers)
	report, err := Audit(check.Subject{File: f, Now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, f := range report.Findings {
		switch {
		case strings.HasPrefix(f.Rule, "waiver-"):
			told[f.Rule] += f.What
		case f.Rule == "no-operation-id" || f.Rule == "no-owner":
			told[f.Rule] = "counts"
			if f.Waived != nil {
				told[f.Rule] = f.Waived.Reason
			}
		}
	}
	for rule, what := range map[string]string{
		"no-operation-id": "nobody calls it by a name", "no-owner": "the configuration names him",
		"waiver-over": "the waiver of api-without-owner ended", "waiver-invalid": `there is no rule "no-such-rule"`, "waiver-unused": "",
	} {
		if !strings.HasPrefix(told[rule], what) || what == "" && told[rule] != "" {
			t.Errorf("%s: %q, want %q", rule, told[rule], what)
		}
	}
}

func TestCheckFindsWhatTheStartWouldRefuse(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing":                       {"", "", ""},
		"a condition that is no Cedar":  {"{scopes: [orders:read]}", `{scopes: [orders:read], when: "context.host =="}`, "GET /v1/orders"},
		"a condition that names nobody": {"{scopes: [orders:read]}", `{scopes: [orders:read], when: "whatever.x == 1"}`, "GET /v1/orders"},
		"our own server's tokens": {
			"\napis:\n  orders:\n    host: 127.0.0.1\n    upstream: http://127.0.0.1:9\n    shield: api_key",
			"\noauth: {issuer: https://127.0.0.1}\napis:\n  orders:\n    host: 127.0.0.1\n    upstream: http://127.0.0.1:9\n    shield: {any: [jwt, introspect]}", "",
		},
		"shields that look alike": {"shield: api_key", "shield: {any: [api_key, {api_key: {environment: live}}]}", "GET /v1/orders"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(minimal, c.old) {
				t.Fatalf("the configuration does not hold %q", c.old)
			}
			dir := t.TempDir()
			err := Check(write(t, dir, strings.Replace(minimal, c.old, c.new, 1)))
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want an error that names %s", err, c.want)
			}
			// Whatever the start refuses, the check refuses, and the other way round.
			a, opened := Open(t.Context(), write(t, dir, strings.Replace(minimal, c.old, c.new, 1)), Options{Library: true})
			if opened == nil {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
			if (opened == nil) != (err == nil) {
				t.Errorf("the check says %v, the start %v", err, opened)
			}
		})
	}
}
