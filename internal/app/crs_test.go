package app

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
)

const crsFile = `
listen: {https: 127.0.0.1:0}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: UPSTREAM
    shield: {public: to show what the rule set does}
    scopes: any
    injection: {crs: {detect: 2}}
    endpoints:
      POST /v1/orders: {}
      POST /v1/notes: {injection: {detectors: [xxe]}}
      POST /v1/free: {injection: {crs: {insecure_off: people upload programs there}}}
      POST /v1/named: {injection: {crs: {insecure_exclude: [{rules: [crs-933150], field: body /a, reason: a list of functions}]}}}
scopes: {}
`

// The text is one that a rule of level 1 finds, and no detector of ours; the second one of level 2.
const (
	ofLevel1 = `see call_user_func_array() in the manual`
	ofLevel2 = `,varname"=somedata`
)

func openCRS(t *testing.T) *App {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	a, err := Open(t.Context(), write(t, t.TempDir(), strings.Replace(crsFile, "UPSTREAM", upstream.URL, 1)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// post sends a JSON body with one text, and returns what the event tells.
func posted(t *testing.T, a *App, path, name, text string) (status int, body string, e audit.Event) {
	t.Helper()
	text = mustJSON(t, map[string]string{name: text})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1"+path, strings.NewReader(text))
	r.TLS.ServerName, r.RequestURI = "", path
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	a.current().handler.ServeHTTP(answer, r)
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{})
	if err != nil || len(found) == 0 {
		t.Fatalf("%d events, %v", len(found), err)
	}
	return answer.Code, answer.Body.String(), found[len(found)-1].Event
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheRuleSetIsAskedAsTheSettingsSay(t *testing.T) {
	a := openCRS(t)
	for name, c := range map[string]struct {
		path, field, text string
		status            int
	}{
		"an attack":       {"/v1/orders", "a", ofLevel1, http.StatusBadRequest},
		"a harmless text": {"/v1/orders", "a", "two of the blue ones", http.StatusOK},
		"settings that do not speak of the rule set":   {"/v1/notes", "a", ofLevel1, http.StatusBadRequest},
		"an endpoint where it is switched off":         {"/v1/free", "a", ofLevel1, http.StatusOK},
		"a field that a rule leaves alone":             {"/v1/named", "a", ofLevel1, http.StatusOK},
		"another field of the same endpoint":           {"/v1/named", "b", ofLevel1, http.StatusBadRequest},
		"a text of which the higher level is recorded": {"/v1/orders", "a", ofLevel2, http.StatusOK},
	} {
		status, body, e := posted(t, a, c.path, c.field, c.text)
		if status != c.status {
			t.Errorf("%s: %d %s, want %d (%s)", name, status, body, c.status, e.Detail)
		}
		if refused := c.status == http.StatusBadRequest; refused && (!strings.Contains(body, `"pointer":"/`+c.field+`","rule":"crs-933150"`) || e.Code != "injection") {
			t.Errorf("%s: %s %s, want the field and the rule", name, body, e.Code)
		}
		wantWould := ""
		if c.text == ofLevel2 {
			wantWould = "crs injection body crs-942200 /a"
		}
		if !strings.HasPrefix(e.Would, wantWould) || wantWould == "" && e.Would != "" {
			t.Errorf("%s: would %q, want %q", name, e.Would, wantWould)
		}
	}
}

func TestEqualSettingsShareTheRules(t *testing.T) {
	a := openCRS(t)
	before := a.current().ruleSets
	if len(before) != 3 { // levels 1 and 2, and level 1 with an exclusion
		t.Errorf("%d sets of rules are compiled, want 3", len(before))
	}
	if err := a.Reload(a.current().file); err != nil {
		t.Fatal(err)
	}
	for key, rules := range a.current().ruleSets {
		if before[key] != rules {
			t.Errorf("%s is compiled again", key)
		}
	}
	if a.current().earlier != nil {
		t.Error("what the earlier generation compiled is kept")
	}
}

func TestARuleThatThereIsNotStopsTheStart(t *testing.T) {
	text := strings.NewReplacer("UPSTREAM", "http://127.0.0.1:3000", "crs-933150", "crs-933999").Replace(crsFile)
	f := write(t, t.TempDir(), text)
	if err := Check(f); err == nil || !strings.Contains(err.Error(), "injection: crs: there is no rule 933999") {
		t.Errorf("%v, want that there is no such rule", err)
	}
}
