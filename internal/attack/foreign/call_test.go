package foreign_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/foreign"
)

const callingDocument = `openapi: 3.1.0
info: {title: Calls, version: "1"}
paths:
  /hooks:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {url: {type: string, format: uri}}}}}}
      responses: {"202": {description: later}}
  /import:
    post:
      requestBody: {content: {application/xml: {schema: {type: object, xml: {name: import}, properties: {text: {type: string}}}}}}
      responses: {"202": {description: later}}
`

// silent is a service that fetches what it is given, and tells nothing of it.
type silent struct {
	fetches bool
	later   bool // it fetches when nothing is asked any more

	mu      sync.Mutex
	waiting []string
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/[a-z0-9]+`)

func (s *silent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || strings.Contains(string(body), "<pavise") || r.URL.Path != "/hooks" && r.URL.Path != "/import" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if found := address.FindString(string(body)); found != "" && s.fetches {
		if s.later {
			s.mu.Lock()
			s.waiting = append(s.waiting, found)
			s.mu.Unlock()
		} else {
			s.fetch(found)
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// catchUp fetches what waits.
func (s *silent) catchUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.waiting {
		s.fetch(one)
	}
}

func (s *silent) fetch(address string) {
	response, err := http.Get(address) //nolint:noctx // it is a service that takes no care
	if err == nil {
		_ = response.Body.Close()
	}
}

// TestWhatTellsNothingIsFoundByItsCall: with an address of the tester's, an address in a value and an entity of XML
// that are fetched in silence are found, also where that is later; without one, and where nothing is fetched, nothing is.
func TestWhatTellsNothingIsFoundByItsCall(t *testing.T) {
	for name, c := range map[string]struct {
		fetches, later, listens bool
		want                    string
	}{
		"it fetches":           {true, false, true, "ssrf xxe"},
		"it fetches later":     {true, true, true, "ssrf xxe"},
		"nobody listens":       {true, false, false, ""},
		"it fetches nothing":   {false, false, true, ""},
		"nothing, and nothing": {false, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			service := &silent{fetches: c.fetches, later: c.later}
			api := httptest.NewServer(service)
			defer api.Close()
			target := foreign.Target{Document: []byte(callingDocument), Name: "calls.yaml", Base: true, Allowed: attack.Writes}
			if c.listens {
				var err error
				if target.Listener, err = attack.Listen(t.Context(), "127.0.0.1:0", ""); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = target.Listener.Close() }()
			}
			clock := newClock()
			clock.then = func(d time.Duration) {
				if d >= 5*time.Second { // no request waits so long for the next
					service.catchUp()
				}
			}
			report := attackSome(t, api.URL, clock, target, func(_ int, one *attack.Case) bool {
				return one.Rule.ID == "ssrf" || one.Rule.ID == "xxe"
			})
			if got := strings.Join(rulesOf(report), " "); got != c.want {
				t.Errorf("found %q, want %q: %+v", got, c.want, report.Findings)
			}
			for _, f := range report.Findings {
				if !strings.Contains(f.What, "127.0.0.1 fetched the address of ours") || !strings.HasPrefix(f.Proof, "curl ") || !strings.HasSuffix(f.Case, " "+f.Where.Path) {
					t.Errorf("%s\n%s", f.What, f.Proof)
				}
			}
		})
	}
}

// TestAKeyIsFetchedFromOurs: the address that holds a key itself is refused by most who fetch; one of ours is not.
func TestAKeyIsFetchedFromOurs(t *testing.T) {
	for _, fault := range []string{"jwt-jku", "jwt-x5u"} {
		s := newShop(t, fault)
		target := s.target()
		l, err := attack.Listen(t.Context(), "127.0.0.1:0", "")
		if err != nil {
			t.Fatal(err)
		}
		target.Listener = l
		s.noData.Store(true)
		report := attackSome(t, s.URL, s.clock, target, func(_ int, c *attack.Case) bool { return c.Rule.ID == "jwt-key-address" })
		if got := strings.Join(rulesOf(report), " "); got != "jwt-key-address" {
			t.Errorf("%s: found %q", fault, got)
		}
		target.Listener = nil
		report = attackSome(t, s.URL, s.clock, target, func(_ int, c *attack.Case) bool { return c.Rule.ID == "jwt-key-address" })
		if len(report.Findings) != 0 {
			t.Errorf("%s: without a listener %v", fault, rulesOf(report))
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
