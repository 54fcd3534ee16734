package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

const flowsFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  shop:
    host: 127.0.0.1
    upstream: UPSTREAM
    shield: {public: for everybody}
    flows:
      signup: {steps: ["POST /begin", "POST /end"], per: address, limit: 3/hour per address}
    endpoints:
      POST /begin: {}
      POST /end: {}
      POST /pay: {shield: api_key, scopes: any, idempotency: {}}
scopes: {}
`

// The settings reach the guard, and what they hold in memory outlives a reload and a restart.
func TestFlowsOutliveReloadAndRestart(t *testing.T) {
	attacktest.Rows(t, 172)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }))
	defer upstream.Close()
	dir := t.TempDir()
	f := write(t, dir, strings.Replace(flowsFile, "UPSTREAM", upstream.URL, 1))
	if err := Check(f); err != nil {
		t.Fatalf("check: %v", err)
	}
	var a *App
	open := func() {
		t.Helper()
		var err error
		if a, err = Open(t.Context(), f, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	open()
	defer func() { _ = a.Close() }()
	ask := func(path, from string, want int, code string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(""))
		r.Host = "127.0.0.1"
		r.RemoteAddr = from + ":4711"
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		if w.Code != want || code != "" && !strings.Contains(w.Body.String(), code) {
			t.Errorf("%s from %s: %d %s, want %d %s", path, from, w.Code, w.Body, want, code)
		}
	}
	const ann, bob = "203.0.113.7", "203.0.113.8"
	ask("/end", ann, 409, "out_of_order")
	ask("/begin", ann, 200, "")
	if err := a.Reload(f); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	open()
	ask("/end", bob, 409, "out_of_order")
	ask("/end", ann, 200, "")
	ask("/end", ann, 409, "out_of_order")
	for range 3 {
		ask("/begin", ann, 200, "")
	}
	ask("/begin", ann, 429, "rate_limited")
	ask("/begin", bob, 200, "")
	ask("/pay", ann, 401, "missing_credential")
}
