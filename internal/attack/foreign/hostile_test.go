package foreign_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/attacktest"
)

// TestAHostileDocumentIsNotFollowed: row 153. References and servers of the document lead to files, to what
// clouds tell their machines, and to somebody else; only the target is asked.
func TestAHostileDocumentIsNotFollowed(t *testing.T) {
	attacktest.Rows(t, 153, 154)
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	asked := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, other.URL, http.StatusFound)
	}))
	defer api.Close()
	document := strings.ReplaceAll(`openapi: 3.1.0
info: {title: Hostile, version: "1"}
servers: [{url: "OTHER/v1"}, {url: "http://169.254.169.254/"}]
paths:
  /b:
    get:
      externalDocs: {url: "OTHER/docs"}
      parameters: [{$ref: "file:///etc/passwd#/x"}, {name: q, in: query, schema: {$ref: "http://169.254.169.254/latest/meta-data/"}}]
      responses: {"200": {description: b, content: {application/json: {schema: {$ref: "OTHER/schema.json"}}}}}
    post:
      requestBody: {$ref: "OTHER/body.json"}
      responses: {"200": {$ref: "file:///etc/shadow"}}
  /c/{id}:
    get:
      parameters: [{$ref: "#/components/parameters/loop"}]
      responses: {"200": {description: c, content: {application/json: {schema: {$ref: "#/components/schemas/loop"}}}}}
components:
  parameters: {loop: {$ref: "#/components/parameters/loop"}}
  schemas: {loop: {type: object, properties: {next: {$ref: "#/components/schemas/loop"}}, allOf: [{$ref: "#/components/schemas/loop"}]}}
`, "OTHER", other.URL)
	target := foreign.Target{Document: []byte(document), Name: "hostile.yaml", Base: true, Allowed: attack.Writes}
	report := attackIt(t, api.URL, nil, target)
	if elsewhere.Load() != 0 || asked == 0 {
		t.Errorf("somebody else was asked %d times, the target %d times", elsewhere.Load(), asked)
	}
	if notes := strings.Join(report.Notes, "\n"); !strings.Contains(notes, "is not fetched") || strings.Contains(notes, "root:") {
		t.Errorf("the notes say %s", notes)
	}
	for _, f := range report.Findings {
		t.Errorf("invented %s at %s: %s", f.Rule, f.Where, f.What)
	}
}

// TestAHostileDocumentMakesNoLargeValues: row 153. A schema that holds itself five times has 5⁸ values eight deep.
func TestAHostileDocumentMakesNoLargeValues(t *testing.T) {
	attacktest.Rows(t, 153)
	const self = `{"$ref": "#/components/schemas/self"}`
	document := `{"openapi": "3.1.0", "info": {"title": "Hostile", "version": "1"}, "paths": {"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": ` + self + `}}}, "responses": {"200": {"description": "a"}}}}},
		"components": {"schemas": {"self": {"type": "object", "properties": {"a": ` + self + `, "b": ` + self + `, "c": ` + self + `, "d": ` + self + `, "e": ` + self + `}}}}}`
	all, err := foreign.Samples("hostile.json", []byte(document))
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if n := len(all[0].Body); n == 0 || n > 100_000 {
		t.Errorf("a body of %d bytes", n)
	}
}

// TestAHostileAPIIsBounded: row 153. What it answers is no reason to use memory, time or the terminal.
func TestAHostileAPIIsBounded(t *testing.T) {
	attacktest.Rows(t, 153)
	for name, h := range map[string]http.HandlerFunc{
		"JSON without end": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`[{"id":"`))
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(strings.Repeat("\x1b[2J", 10_000))); err != nil {
					return
				}
			}
		},
		"JSON nested deep": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("[", 400_000))) },
		"pauses without end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"a key set of nonsense": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("A", 100_000) + `","e":"AAAAAAAA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},7,null]}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := httptest.NewServer(h)
			defer api.Close()
			c := newClock()
			p, err := attack.NewProber(t.Context(), attack.Settings{Target: api.URL, Now: c.Now, Wait: c.Wait, Timeout: 300 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			target := plainTarget()
			target.Allowed = 0
			plan, err := foreign.Plan(target)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			plan.Cases = slices.DeleteFunc(plan.Cases, func(attack.Case) bool { n++; return n%4 != 0 && os.Getenv("FAULTS") != "all" })
			report, err := attack.Run(t.Context(), p, plan, attack.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range report.Findings {
				if strings.ContainsRune(f.What+f.Proof+f.Where.String(), 0x1b) {
					t.Errorf("%q", f.What+f.Proof)
				}
			}
			if waited := time.Until(c.Now()); waited > 3*time.Hour {
				t.Errorf("it waited %s", waited)
			}
		})
	}
}

func TestDocumentsThatAreNoneAreRefused(t *testing.T) {
	for _, bad := range []string{"", "{", "openapi: 3.1.0", "swagger: '2.0'\npaths: {}", "openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {}"} {
		if _, err := foreign.Plan(foreign.Target{Document: []byte(bad), Name: "x.yaml"}); err == nil {
			t.Errorf("%q is planned", bad)
		}
	}
}

// FuzzPlan: no document takes planning down, or makes it reach for anything.
func FuzzPlan(f *testing.F) {
	f.Add([]byte(plainDocument))
	f.Add([]byte(`{"openapi":"3.1.0","info":{"title":"x","version":"1"},"paths":{"/{a}/{a}":{"get":{"parameters":[{"name":"a","in":"path","schema":{"type":"string","pattern":"^(a|b){2,9}$","minLength":900}}],"responses":{}}}}}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = foreign.Plan(foreign.Target{Document: text, Name: "fuzz.yaml", Base: true, Allowed: everything})
	})
}
