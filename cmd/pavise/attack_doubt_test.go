package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/finding"
)

// A run without one good request is no pass, also where nothing that is found would fail.
func TestAnAttackThatSaysLittleEndsWithOne(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(api.Close)
	document := filepath.Join(t.TempDir(), "openapi.yaml")
	text := "openapi: 3.1.0\ninfo: {title: Orders, version: '1'}\npaths: {/v1/orders: {get: {responses: {'200': {description: orders}}}}}\n"
	if err := os.WriteFile(document, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := pavise(t, "attack", api.URL, "--openapi", document, "--rate", "5000", "--fail-on", "none", "--format", "json")
	var report finding.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s %s", err, out, errs)
	}
	if code != exitFailed || !strings.Contains(report.Partial, "no operation took one good request") || !strings.Contains(errs, "the attack says little") || !strings.Contains(errs, "the path of servers") {
		t.Errorf("it ends with %d, partial %q: %s", code, report.Partial, errs)
	}
}
