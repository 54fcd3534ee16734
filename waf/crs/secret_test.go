package crs_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

// nobody is a shield that lets everybody in.
type nobody struct{}

func (nobody) Verify(*http.Request) (*shield.Identity, error) {
	return &shield.Identity{Shield: "nobody"}, nil
}

// Whether rules refuse a request or are on trial: what they matched is in no answer, no event, and nothing that is printed.
func TestMatchedTextIsInNoAnswerAndNoEvent(t *testing.T) {
	attacktest.Rows(t, 144)
	printed, restore := captured(t)
	for _, onTrial := range []bool{false, true} {
		var harm pavise.Layer = rulesOf(t, crs.Settings{Paranoia: 4}).Layer(crs.Endpoint{Pattern: "POST /v1/orders/{id}"})
		until := time.Now().Add(-time.Hour)
		if onTrial {
			until = until.Add(2 * time.Hour)
		}
		harm = &pavise.Trial{Name: "injection", Layer: harm, Until: until}
		events := &audit.Memory{}
		guard, err := pavise.New(pavise.Policy{
			Hosts: []pavise.Host{{Name: "example.com"}}, Sink: events,
			APIs: []pavise.API{{Name: "orders", Hosts: []string{"example.com"}, Endpoints: []pavise.Endpoint{
				{Pattern: "POST /v1/orders/{id}", Shield: nobody{}, AnyScope: true, Harm: harm},
				{Pattern: "GET /v1/orders/{id}", Shield: nobody{}, AnyScope: true, Harm: harm},
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		handler := guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
		refused := 0
		for place, r := range places(sqlText) {
			if body, err := shield.BodyOf(r); err == nil {
				text, _ := body.Bytes()
				r.Body = http.NoBody
				if len(text) > 0 {
					again := httptest.NewRequest(r.Method, r.RequestURI, strings.NewReader(string(text)))
					again.Header = r.Header
					r = again
				}
			}
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			if answer.Code == http.StatusBadRequest {
				refused++
			}
			if strings.Contains(answer.Body.String(), marked) {
				t.Errorf("%s: the answer tells it: %s", place, answer.Body)
			}
		}
		if want := len(places("x")); onTrial && refused != 0 || !onTrial && refused != want {
			t.Errorf("%d requests are refused of %d", refused, want)
		}
		text, err := json.Marshal(events.Events())
		if err != nil {
			t.Fatal(err)
		}
		// The path itself is part of the event, as it was asked for.
		if n := strings.Count(string(text), marked); n > 2 || onTrial && !strings.Contains(string(text), `crs-942100`) {
			t.Errorf("the events tell it %d times, or do not tell the rule: %s", n, text)
		}
	}
	restore()
	if text := printed(); strings.Contains(text, marked) || text != "" {
		t.Errorf("printed: %q", text)
	}
}

// captured catches what is printed past us, until restore.
func captured(t *testing.T) (printed func() string, restore func()) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "printed")
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = file, file
	restore = func() { os.Stdout, os.Stderr = stdout, stderr }
	t.Cleanup(restore)
	return func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}, restore
}
