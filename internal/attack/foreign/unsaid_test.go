package foreign_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attack/foreign"
)

const unsaidDocument = `openapi: 3.1.0
info: {title: x, version: "1"}
paths:
  /health:
    get: {responses: {"200": {description: up}}}
  /.well-known/openid-configuration:
    get: {responses: {"200": {description: what it can do}}}
  /v1/jwks.json:
    get: {responses: {"200": {description: its public keys}}}
  /offers:
    get: {security: [], responses: {"200": {description: what everybody may see}}}
  /orders:
    get: {responses: {"200": {description: orders}}}
    post: {requestBody: {content: {application/json: {schema: {type: object}}}}, responses: {"201": {description: placed}}}
  /admin/report:
    get: {responses: {"200": {description: sums}}}
  /private:
    get: {responses: {"200": {description: asks by itself}}}
`

// TestWhatIsOpenWithoutAWordIsFound: an API that answers everybody, with a document that does not say who may
// call, was attacked without a finding. What is said to be everybody's, what only tells that the service lives, and
// what asks for a credential although nothing says so are no findings.
func TestWhatIsOpenWithoutAWordIsFound(t *testing.T) {
	target := foreign.Target{Document: []byte(unsaidDocument), Name: "unsaid.yaml", Base: true}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"sum": 42}`)
	}
	for _, pattern := range []string{"GET /health", "GET /.well-known/openid-configuration", "GET /v1/jwks.json", "GET /offers", "GET /orders", "POST /orders", "GET /admin/report"} {
		mux.HandleFunc(pattern, answer)
	}
	mux.HandleFunc("GET /private", refuseStrangers(answer))
	report := against(t, mux, target, "access-unsaid")
	var found []string
	for _, f := range report.Findings {
		found = append(found, f.What)
	}
	if len(found) != 2 || !slices.Equal(rulesOf(report), []string{"access-unsaid"}) {
		t.Errorf("found %q", found)
	}
	for _, f := range report.Findings {
		if !strings.HasSuffix(f.Where.Path, "/orders") && !strings.HasSuffix(f.Where.Path, "/admin/report") {
			t.Errorf("invented %s: %s", f.Where, f.What)
		}
	}
	if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "not allowed, and so not tried: 1 of 4 cases: --allow writes (1)") {
		t.Errorf("what was left out is not said: %s", notes)
	}
	none(t, against(t, refuseStrangers(answer), target, "access-unsaid"))
	none(t, against(t, http.HandlerFunc(answer), target, "access-unsaid")) // it answers everything, whatever it is
}
