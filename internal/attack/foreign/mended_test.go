package foreign_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
	"pavise.dev/pavise/internal/finding"
)

// documented is a target whose document has some paths, with two users.
func documented(paths string, allowed attack.Demand) foreign.Target {
	target := plainTarget()
	target.Document = []byte("openapi: 3.1.0\ninfo: {title: x, version: \"1\"}\nsecurity: [{key: []}]\npaths:\n" + paths + "components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Api-Key}}}\n")
	target.Allowed = allowed
	return target
}

// against attacks a handler by the cases of some rules; none: by all.
func against(t *testing.T, h http.Handler, target foreign.Target, rules ...string) *finding.Report {
	t.Helper()
	api := httptest.NewServer(h)
	defer api.Close()
	return attackSome(t, api.URL, nil, target, func(_ int, c *attack.Case) bool { return len(rules) == 0 || slices.Contains(rules, c.Rule.ID) })
}

func refuseStrangers(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("X-Api-Key"), "key-of-") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		h(w, r)
	}
}

func none(t *testing.T, report *finding.Report) {
	t.Helper()
	for _, f := range report.Findings {
		t.Errorf("invented %s at %s: %s\n%s", f.Rule, f.Where, f.What, f.Proof)
	}
}

const carts = `
  /carts:
    get: {responses: {"200": {description: carts}}}
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {"201": {description: a cart}}}
  /carts/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {responses: {"200": {description: a cart}}}
    delete: {responses: {"204": {description: gone}}}
`

// TestWhatMakingFindsIsNotRemoved: a service that answers POST with the cart that there is, or with all carts, makes
// none; whoever removes what it names removes what was there.
func TestWhatMakingFindsIsNotRemoved(t *testing.T) {
	for name, answer := range map[string]string{
		"the one that there is": `{"id": "cart-%s", "name": "a"}`,
		"all that there are":    `[{"id": "old-1-%[1]s"}, {"id": "old-2-%[1]s"}, {"id": "old-3-%[1]s"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var removed []string
			none(t, against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
				user := strings.Split(r.Header.Get("X-Api-Key"), "-")[2]
				switch {
				case r.Method == "DELETE":
					mu.Lock()
					removed = append(removed, r.URL.Path)
					mu.Unlock()
					w.WriteHeader(http.StatusForbidden)
				case r.URL.Path == "/carts" && r.Method == "POST":
					w.WriteHeader(http.StatusCreated)
					_, _ = fmt.Fprintf(w, answer, user)
				case r.URL.Path == "/carts" && r.Method == "GET":
					_, _ = io.WriteString(w, `[]`) // it lists none
				default:
					w.WriteHeader(http.StatusNotFound)
				}
			}), documented(carts, attack.Writes|attack.Destroys), "object-level-write", "no-authentication", "undeclared-method"))
			if len(removed) > 0 {
				t.Errorf("removed %v", removed)
			}
		})
	}
}

// TestAnObjectIsAsItWasAfterwards: what the other user may change is changed in one place, and then is as before.
func TestAnObjectIsAsItWasAfterwards(t *testing.T) {
	const paths = `
  /notes:
    get: {responses: {"200": {description: notes}}}
  /notes/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {responses: {"200": {description: a note}}}
    put: {requestBody: {content: {application/json: {schema: {type: object, properties: {about: {type: object, properties: {title: {type: string, example: T}}}, text: {type: string, example: X}, stars: {type: integer}}}}}}, responses: {"200": {description: changed}}}
`
	first := func(name string) string {
		return `{"id":"note-` + name + `","about":{"title":"of ` + name + `"},"text":"dear ` + name + `","stars":5}`
	}
	var mu sync.Mutex
	notes := map[string]string{"note-alice": first("alice"), "note-bob": first("bob")}
	report := against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		user, id := strings.Split(r.Header.Get("X-Api-Key"), "-")[2], strings.TrimPrefix(r.URL.Path, "/notes/")
		switch {
		case r.URL.Path == "/notes":
			_, _ = io.WriteString(w, "["+notes["note-"+user]+"]")
		case notes[id] == "" || r.Method == "GET" && id != "note-"+user:
			w.WriteHeader(http.StatusNotFound)
		case r.Method == "PUT": // whose it is nobody asks
			var note map[string]any
			if json.NewDecoder(r.Body).Decode(&note) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			note["id"] = id
			text, _ := json.Marshal(note)
			notes[id] = string(text)
		default:
			_, _ = io.WriteString(w, notes[id])
		}
	}), documented(paths, attack.Writes), "object-level-write")
	if got := rulesOf(report); len(got) != 1 || got[0] != "object-level-write" {
		t.Errorf("found %v", got)
	}
	for _, name := range []string{"alice", "bob"} {
		var is, was map[string]any
		if json.Unmarshal([]byte(notes["note-"+name]), &is) != nil || json.Unmarshal([]byte(first(name)), &was) != nil || fmt.Sprint(is) != fmt.Sprint(was) {
			t.Errorf("afterwards %s has %s", name, notes["note-"+name])
		}
	}
}

const search = `
  /search:
    get: {parameters: [{name: q, in: query, schema: {type: string}, example: rain}], responses: {"200": {description: found}}}
`

// TestSeveralMachinesAreNoInjection: behind one name stand some that answer a little otherwise, in no order.
func TestSeveralMachinesAreNoInjection(t *testing.T) {
	for machines := uint32(2); machines < 4; machines++ {
		for seed := range uint32(12) {
			var mu sync.Mutex
			now := seed * 7919
			none(t, against(t, refuseStrangers(func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				now = now*1664525 + 1013904223
				_, _ = fmt.Fprintf(w, `{"served_by":"web-%d","found":["umbrella"]}`, now>>16%machines)
			}), documented(search, 0), "sql-injection", "nosql-injection"))
		}
	}
}

// TestMethodsThatNobodyLooksAtAreNoneOfTheirOwn: many servers refuse what is no method of HTTP, and a handler behind
// them answers all others alike.
func TestMethodsThatNobodyLooksAtAreNoneOfTheirOwn(t *testing.T) {
	known := []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "REPORT", "PROPFIND"}
	none(t, against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(known, r.Method) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"found":[]}`)
	}), documented(search, attack.Writes), "undeclared-method"))
}

// TestARefusalOfTheRequestIsNoneOfThePassword: 400 for something else, thirty times, lets nobody guess.
func TestARefusalOfTheRequestIsNoneOfThePassword(t *testing.T) {
	const login = `
  /login:
    post: {security: [], requestBody: {content: {application/json: {schema: {type: object, properties: {user: {type: string}, password: {type: string}}}}}}, responses: {"200": {description: in}}}
`
	answer := func(told bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusBadRequest)
			if told && strings.Contains(string(text), "password") {
				_, _ = io.WriteString(w, "wrong password")
				return
			}
			_, _ = io.WriteString(w, "captcha is missing")
		}
	}
	none(t, against(t, answer(false), documented(login, attack.Writes|attack.Floods), "no-guess-limit"))
	if got := rulesOf(against(t, answer(true), documented(login, attack.Writes|attack.Floods), "no-guess-limit")); len(got) != 1 {
		t.Errorf("where it says that the password is wrong, found %v", got)
	}
}

// TestASecretThatIsMadeIsTold: whoever makes a key has to be told it, once; who reads it later does not.
func TestASecretThatIsMadeIsTold(t *testing.T) {
	const keys = `
  /keys:
    get: {responses: {"200": {description: keys}}}
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, responses: {"201": {description: a key}}}
`
	for listed, want := range map[string]string{`[{"id":"k-1"}]`: "", `[{"id":"k-1","client_secret":"s3cr3t-of-it"}]`: "GET /keys"} {
		report := against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, `{"id":"k-2","client_secret":"s3cr3t-of-another"}`)
				return
			}
			_, _ = io.WriteString(w, listed)
		}), documented(keys, attack.Writes), "sensitive-data")
		got := ""
		for _, f := range report.Findings {
			got += f.Where.Path
		}
		if got != want {
			t.Errorf("%s: found at %q, want %q", listed, got, want)
		}
	}
}

// TestWhatKeepsAnythingHasNoPropertiesOfItsOwn: an object for whatever callers want to keep is theirs, beside one that
// is not.
func TestWhatKeepsAnythingHasNoPropertiesOfItsOwn(t *testing.T) {
	const me = `
  /me:
    get: {responses: {"200": {description: me}}}
    patch: {requestBody: {content: {application/json: {schema: {type: object, properties: {metadata: {type: object, properties: {note: {type: string}}}, profile: {type: object, properties: {name: {type: string}}}}}}}}, responses: {"200": {description: changed}}}
`
	for kept, want := range map[string]string{"": "", "role": "profile.role"} {
		var mu sync.Mutex
		metadata, profile := map[string]any{}, map[string]any{"name": "a"}
		report := against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			var body struct{ Metadata, Profile map[string]any }
			if r.Method == "PATCH" && json.NewDecoder(r.Body).Decode(&body) != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			for name, v := range body.Metadata {
				metadata[name] = v
			}
			if v := body.Profile[kept]; v != nil {
				profile[kept] = v
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"metadata": metadata, "profile": profile})
		}), documented(me, attack.Writes), "mass-assignment")
		got := ""
		for _, f := range report.Findings {
			_, got, _ = strings.Cut(f.What, "do not declare: ")
		}
		if got != want {
			t.Errorf("found %q, want %q", got, want)
		}
	}
}

// TestWhatMayKeepAQueryIsNotAskedInGraphQL: without leave to write nothing is sent that a service may keep.
func TestWhatMayKeepAQueryIsNotAskedInGraphQL(t *testing.T) {
	const searches = `
  /searches:
    post: {requestBody: {content: {application/json: {schema: {type: object, properties: {query: {type: string}}}}}}, responses: {"201": {description: kept}}}
`
	none(t, against(t, refuseStrangers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/searches" && r.Method == "POST" {
			t.Error("a search was kept")
		}
		w.WriteHeader(http.StatusNotFound)
	}), documented(searches, 0)))
}

// TestATargetThatIsGoneEndsTheRun: what nobody answers holds nothing.
func TestATargetThatIsGoneEndsTheRun(t *testing.T) {
	var mu sync.Mutex
	asked := 0
	var api *httptest.Server
	api = httptest.NewServer(refuseStrangers(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 60 {
			go api.CloseClientConnections()
			_ = api.Listener.Close()
		}
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	defer api.Close()
	report := attackIt(t, api.URL, newClock(), plainTarget())
	if !strings.Contains(report.Partial, "does not answer any more") {
		t.Errorf("partial %q: %s", report.Partial, report.About)
	}
}

// TestAPathIsFilledWhole: also where a pattern has {rest...}, and where the document's server has no slash before its
// path.
func TestAPathIsFilledWhole(t *testing.T) {
	for described, want := range map[string]string{
		`{"/files/{rest...}": {"get": {"responses": {}}}}`: "/v1/files/1",
		`{"/files/{rest...}": {"get": {"parameters": [{"name": "rest", "in": "path", "schema": {"type": "string", "example": "a"}}], "responses": {}}}}`:   "/v1/files/a",
		`{"/files/{id}/{part}": {"get": {"parameters": [{"name": "id", "in": "path", "schema": {"type": "string", "example": "a b"}}], "responses": {}}}}`: "/v1/files/a%20b/1",
	} {
		all, err := foreign.Samples("x.json", []byte(`{"openapi":"3.1.0","info":{"title":"x","version":"1"},"servers":[{"url":"v1/"}],"paths":`+described+`}`))
		if err != nil || len(all) != 1 || all[0].Target != want {
			t.Errorf("%s: %+v, %v, want %s", described, all, err, want)
		}
		asked := ""
		target := documented("", 0)
		target.Document = []byte(`{"openapi":"3.1.0","info":{"title":"x","version":"1"},"servers":[{"url":"v1/"}],"paths":` + described + `}`)
		against(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if asked == "" {
				asked = r.URL.EscapedPath()
			}
		}), target, "sensitive-data")
		if asked != want {
			t.Errorf("%s: it asks for %s, want %s", described, asked, want)
		}
	}
}
