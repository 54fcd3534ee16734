package issuer_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/fetch"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is an injected time that moves only when told.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) Now() time.Time                  { return time.Unix(0, c.nanos.Load()) }
func (c *clock) Add(d time.Duration)             { c.nanos.Add(int64(d)) }
func (c *clock) env(f shield.Fetcher) issuer.Env { return issuer.Env{Now: c.Now, Fetch: f} }

func fetcher(t testing.TB, i *issuertest.Issuer) *fetch.Client {
	t.Helper()
	c, err := fetch.New(fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: i.Roots(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open(t testing.TB, env issuer.Env, settings ...issuer.Settings) *issuer.Set {
	t.Helper()
	set, err := issuer.New(env, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// keys returns the key source of the only issuer, loaded.
func keys(t testing.TB, set *issuer.Set) shield.KeySource {
	t.Helper()
	if err := set.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return source(t, set)
}

func source(t testing.TB, set *issuer.Set) shield.KeySource {
	t.Helper()
	i, err := set.Issuer("corp")
	if err != nil {
		t.Fatal(err)
	}
	return i.Keys
}

func wantKey(t testing.TB, s shield.KeySource, kid, alg string, want crypto.PublicKey) {
	t.Helper()
	key, err := s.Key(t.Context(), kid, alg)
	if err != nil {
		t.Errorf("key %q for %s: %v", kid, alg, err)
	} else if !want.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
		t.Errorf("key %q for %s is another one", kid, alg)
	}
}

func wantRefusal(t testing.TB, s shield.KeySource, kid, alg string) {
	t.Helper()
	_, err := s.Key(t.Context(), kid, alg)
	if refusal, ok := errors.AsType[*shield.Refusal](err); !ok || refusal.Code != shield.InvalidCredential {
		t.Errorf("key %.20q for %s: %v, want a refusal", kid, alg, err)
	}
}

func wantUndecided(t testing.TB, s shield.KeySource, kid, alg string) {
	t.Helper()
	_, err := s.Key(t.Context(), kid, alg)
	if _, ok := errors.AsType[*shield.Refusal](err); ok || err == nil {
		t.Errorf("key %q for %s: %v, want an error that is no refusal", kid, alg, err)
	}
}

func TestFindsKeysByDiscoveryAddressAndFile(t *testing.T) {
	corp := issuertest.Start(t)
	c := newClock()
	for name, s := range map[string]issuer.Settings{
		"discovery": {Name: "corp", URL: corp.URL},
		"address":   {Name: "corp", URL: "urn:anything", JWKS: corp.KeysURL()},
	} {
		t.Run(name, func(t *testing.T) {
			set := open(t, c.env(fetcher(t, corp)), s)
			wantKey(t, source(t, set), "es256-1", "ES256", corp.Public("es256-1")) // waits for the first fetch
			wantKey(t, source(t, set), "", "ES256", corp.Public("es256-1"))
		})
	}
	files := &memoryFiles{content: map[string][]byte{"keys.json": corp.JWKS()}}
	set := open(t, issuer.Env{Files: files}, issuer.Settings{Name: "corp", URL: "https://corp.example", JWKS: "keys.json"})
	wantKey(t, source(t, set), "es256-1", "ES256", corp.Public("es256-1"))
	if len(set.Status()) != 0 {
		t.Error("a file has no status of fetches")
	}
}

type memoryFiles struct {
	content map[string][]byte
	changed []func()
}

func (f *memoryFiles) Read(name string) ([]byte, error) {
	b, ok := f.content[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return b, nil
}
func (f *memoryFiles) Watch(_ string, changed func()) { f.changed = append(f.changed, changed) }
func (f *memoryFiles) put(name string, b []byte) {
	f.content[name] = b
	for _, changed := range f.changed {
		changed()
	}
}

func TestAFileIsFollowedAndABadOneLeavesTheOldKeys(t *testing.T) {
	corp := issuertest.New(t, "https://corp.example")
	old := corp.Public("es256-1")
	files := &memoryFiles{content: map[string][]byte{"keys.json": corp.JWKS()}}
	var warnings []string
	set := open(t, issuer.Env{Files: files, Warn: func(_, text string) { warnings = append(warnings, text) }},
		issuer.Settings{Name: "corp", URL: corp.URL, JWKS: "keys.json"})

	files.put("keys.json", []byte(`{"keys":`))
	wantKey(t, source(t, set), "es256-1", "ES256", old)
	if len(warnings) != 1 {
		t.Errorf("warnings %v", warnings)
	}
	kid := corp.Rotate()
	files.put("keys.json", corp.JWKS())
	wantKey(t, source(t, set), kid, "ES256", corp.Public(kid))
	wantRefusal(t, source(t, set), "es256-1", "ES256")
}

func TestAFileWithAPrivateKeyIsAnErrorAtStart(t *testing.T) {
	files := &memoryFiles{content: map[string][]byte{"keys.json": []byte(`{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`)}}
	_, err := issuer.New(issuer.Env{Files: files}, issuer.Settings{Name: "corp", URL: "u", JWKS: "keys.json"})
	if err == nil || strings.Contains(err.Error(), "c2VjcmV0") {
		t.Errorf("error %v", err)
	}
	if _, err := issuer.New(issuer.Env{Files: files}, issuer.Settings{Name: "corp", URL: "u", JWKS: "none.json"}); err == nil {
		t.Error("a missing file was accepted")
	}
}

func TestKeysGivenInProcess(t *testing.T) {
	corp := issuertest.New(t, "https://corp.example")
	ring, err := issuer.NewKeyring(issuer.Key{ID: "a", Algorithm: "ES256", Public: corp.Public("")})
	if err != nil {
		t.Fatal(err)
	}
	set := open(t, issuer.Env{}, issuer.Settings{Name: "corp", URL: corp.URL, Keys: ring})
	wantKey(t, source(t, set), "a", "ES256", corp.Public(""))
	if err := ring.Replace(nil); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, source(t, set), "a", "ES256")
	wantUndecided(t, &issuer.Keyring{}, "a", "ES256")
	twice := issuer.Key{ID: "a", Algorithm: "ES256", Public: corp.Public("")}
	if _, err := issuer.NewKeyring(twice, twice); err == nil {
		t.Error("a kid that stands twice was accepted")
	}
}

func TestAKeyHasOneAlgorithm(t *testing.T) {
	attacktest.Rows(t, 30, 31)
	corp := issuertest.Start(t)
	kid := corp.Add("RS256")
	ed := corp.Add("EdDSA")
	s := keys(t, open(t, newClock().env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL, Algorithms: issuer.Algorithms()}))
	wantKey(t, s, kid, "RS256", corp.Public(kid))
	before := corp.Fetches()
	wantRefusal(t, s, kid, "PS256")
	wantRefusal(t, s, kid, "RS512")
	wantRefusal(t, s, kid, "HS256")
	wantRefusal(t, s, kid, "none")
	wantRefusal(t, s, "es256-1", "ES384")
	if corp.Fetches() != before {
		t.Error("a known kid with another algorithm caused a fetch")
	}
	wantKey(t, s, ed, "EdDSA", corp.Public(ed))
	wantKey(t, s, ed, "Ed25519", corp.Public(ed))
}

func TestAnEmptyKidNeedsExactlyOneKey(t *testing.T) {
	attacktest.Rows(t, 27)
	corp := issuertest.Start(t)
	corp.Add("ES256")
	ed := corp.Add("EdDSA")
	s := keys(t, open(t, newClock().env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL}))
	wantRefusal(t, s, "", "ES256")
	wantKey(t, s, "", "EdDSA", corp.Public(ed))
	wantRefusal(t, s, "", "RS256")
	if corp.Fetches() > 1 {
		t.Error("a token without a kid caused a fetch")
	}
}

func TestUnknownKidsFetchOncePerCoolDown(t *testing.T) {
	attacktest.Rows(t, 41)
	corp := issuertest.Start(t)
	c := newClock()
	s := keys(t, open(t, c.env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL}))
	before := corp.Fetches()
	for range 3 {
		var all sync.WaitGroup
		for n := range 1000 {
			if n < 200 {
				all.Go(func() { wantRefusal(t, s, fmt.Sprintf("../../dev/null-%d", n), "ES256") })
			} else {
				wantRefusal(t, s, strings.Repeat("k", n), "ES256")
			}
		}
		all.Wait()
	}
	if got := corp.Fetches() - before; got != 1 {
		t.Errorf("3,000 unknown kids caused %d fetches", got)
	}
	c.Add(issuer.DefaultCoolDown)
	wantRefusal(t, s, "another", "ES256")
	if got := corp.Fetches() - before; got != 2 {
		t.Errorf("after the cool-down: %d fetches", got)
	}
}

func TestANewKeyIsAcceptedAtOnceAndAnOldOneDropped(t *testing.T) {
	attacktest.Rows(t, 41)
	corp := issuertest.Start(t)
	c := newClock()
	s := keys(t, open(t, c.env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL}))
	kid := corp.Rotate()
	wantKey(t, s, kid, "ES256", corp.Public(kid))
	wantRefusal(t, s, "es256-1", "ES256")
	next := corp.Rotate()
	wantRefusal(t, s, next, "ES256") // in the cool-down
	c.Add(issuer.DefaultCoolDown)
	wantKey(t, s, next, "ES256", corp.Public(next))
}

func TestARemovedKeyStopsAtTheNextRefresh(t *testing.T) {
	corp := issuertest.Start(t)
	second := corp.Add("EdDSA")
	secondKey := corp.Public(second)
	c := newClock()
	set := open(t, c.env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL})
	s := keys(t, set)
	wantKey(t, s, second, "EdDSA", secondKey)
	corp.Rotate()
	asked := make(chan struct{}, 10)
	corp.Answer(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		_, _ = w.Write(corp.JWKS())
	})
	c.Add(issuer.DefaultCacheFor)
	wantKey(t, s, second, "EdDSA", secondKey)        // still answers, and wakes the refresh
	<-asked                                          // which no request waits for
	if err := set.Refresh(t.Context()); err != nil { // joins the fetch under way
		t.Fatal(err)
	}
	wantRefusal(t, s, second, "EdDSA")
}

func TestKeptKeysServeUntilTheirLimitWithoutTheIssuer(t *testing.T) {
	attacktest.Rows(t, 42)
	faults := map[string]http.HandlerFunc{
		"error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"HTML":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>Login</html>") },
		"empty":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) },
		"100 MB": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100<<20)) },
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"private": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[{"kty":"oct","kid":"es256-1","k":"AAAA","alg":"HS256"}]}`)
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			corp := issuertest.Start(t)
			c := newClock()
			f := &impatient{client: fetcher(t, corp)}
			set := open(t, c.env(f), issuer.Settings{Name: "corp", URL: corp.URL})
			s := keys(t, set)
			corp.Answer(fault)
			f.hurry.Store(name == "slow")
			if err := set.Refresh(t.Context()); err == nil {
				t.Fatal("the fault was taken for keys")
			}
			c.Add(issuer.DefaultKeysMaxAge)
			wantKey(t, s, "es256-1", "ES256", corp.Public("es256-1"))
			c.Add(time.Second)
			wantUndecided(t, s, "es256-1", "ES256")
			wantUndecided(t, s, "", "ES256")
			if st := set.Status()[0]; st.Err == nil || st.Keys != 1 {
				t.Errorf("status %+v", st)
			}
			corp.Answer(nil)
			f.hurry.Store(false)
			_ = set.Refresh(t.Context()) // may join a fetch that had begun before
			c.Add(issuer.DefaultCoolDown)
			wantKey(t, s, "es256-1", "ES256", corp.Public("es256-1"))
		})
	}
}

// impatient is a client that gives up at once when it is told to hurry.
type impatient struct {
	client *fetch.Client
	hurry  atomic.Bool
}

func (i *impatient) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	if i.hurry.Load() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
	}
	return i.client.Get(ctx, address, limit)
}

func TestAnIssuerThatIsDownAtTheStartIsAskedAgain(t *testing.T) {
	attacktest.Rows(t, 42)
	corp := issuertest.Start(t)
	corp.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	c := newClock()
	set := open(t, c.env(fetcher(t, corp)), issuer.Settings{Name: "corp", URL: corp.URL})
	wantUndecided(t, source(t, set), "es256-1", "ES256")
	wantUndecided(t, source(t, set), "es256-1", "ES256") // in the cool-down
	corp.Answer(nil)
	c.Add(issuer.DefaultCoolDown)
	wantKey(t, source(t, set), "es256-1", "ES256", corp.Public("es256-1"))
}

// gate is a fetcher that answers when it is told to.
type gate struct {
	open  chan struct{}
	asked atomic.Int32
	keys  []byte
}

func (g *gate) Get(ctx context.Context, _ string, _ int64) ([]byte, http.Header, error) {
	g.asked.Add(1)
	select {
	case <-g.open:
		return g.keys, nil, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func TestWaitersAreBoundedAndMayLeave(t *testing.T) {
	corp := issuertest.New(t, "https://corp.example")
	g := &gate{open: make(chan struct{}), keys: corp.JWKS()}
	set := open(t, newClock().env(g), issuer.Settings{Name: "corp", URL: corp.URL, JWKS: "https://corp.example/keys"})
	s := source(t, set)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Key(cancelled, "es256-1", "ES256"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that left: %v", err)
	}
	var ok, busy atomic.Int32
	var all sync.WaitGroup
	for range 400 {
		all.Go(func() {
			if _, err := s.Key(t.Context(), "es256-1", "ES256"); err == nil {
				ok.Add(1)
			} else if busy.Add(1) == 144 { // the last that finds no place
				close(g.open)
			}
		})
	}
	all.Wait()
	if ok.Load() != 256 || busy.Load() != 144 {
		t.Errorf("%d waited, %d were busy", ok.Load(), busy.Load())
	}
	if g.asked.Load() != 1 {
		t.Errorf("%d fetches", g.asked.Load())
	}
}

func TestCloseEndsAFetch(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	set, err := issuer.New(newClock().env(g), issuer.Settings{Name: "corp", URL: "u", JWKS: "https://corp.example/keys"})
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	set.Close()
	wantUndecided(t, source(t, set), "es256-1", "ES256")
}

func TestAReloadKeepsTheKeys(t *testing.T) {
	corp := issuertest.Start(t)
	c := newClock()
	settings := issuer.Settings{Name: "corp", URL: corp.URL}
	old := open(t, c.env(fetcher(t, corp)), settings)
	keys(t, old)
	corp.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	env := c.env(fetcher(t, corp))
	env.Previous = old
	settings.Leeway = time.Second
	again := open(t, env, settings)
	old.Close()
	wantKey(t, source(t, again), "es256-1", "ES256", corp.Public("es256-1"))

	settings.Algorithms = []string{"RS256"}
	env.Previous = again
	wantUndecided(t, source(t, open(t, env, settings)), "es256-1", "ES256")
}

type documents map[string]string

func (d documents) Get(_ context.Context, address string, _ int64) ([]byte, http.Header, error) {
	document, ok := d[address]
	if !ok {
		return nil, nil, fmt.Errorf("fetch %s: status 404", address)
	}
	return []byte(document), nil, nil
}

func TestDiscovery(t *testing.T) {
	corp := issuertest.New(t, "")
	set := string(corp.JWKS())
	good := func(issuer string) string {
		return fmt.Sprintf(`{"issuer":%q,"jwks_uri":"https://k.example/"}`, issuer)
	}
	for name, tc := range map[string]struct {
		url  string
		docs documents
		ok   bool
	}{
		"OpenID":                {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": good("https://a.example")}, true},
		"OpenID, path":          {"https://a.example/t/1", documents{"https://a.example/t/1/.well-known/openid-configuration": good("https://a.example/t/1")}, true},
		"OpenID, slash":         {"https://a.example/", documents{"https://a.example/.well-known/openid-configuration": good("https://a.example/")}, true},
		"RFC 8414":              {"https://a.example", documents{"https://a.example/.well-known/oauth-authorization-server": good("https://a.example")}, true},
		"RFC 8414, path":        {"https://a.example/t/1", documents{"https://a.example/.well-known/oauth-authorization-server/t/1": good("https://a.example/t/1")}, true},
		"none":                  {"https://a.example", documents{}, false},
		"slash differs":         {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": good("https://a.example/")}, false},
		"another issuer":        {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": good("https://evil.example")}, false},
		"issuer twice":          {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": `{"issuer":"https://evil.example","issuer":"https://a.example","jwks_uri":"https://k.example/"}`}, false},
		"no keys":               {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": `{"issuer":"https://a.example"}`}, false},
		"keys are not a string": {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": `{"issuer":"https://a.example","jwks_uri":["https://k.example/"]}`}, false},
		"HTML":                  {"https://a.example", documents{"https://a.example/.well-known/openid-configuration": `<html>`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tc.docs["https://k.example/"] = set
			s := open(t, newClock().env(tc.docs), issuer.Settings{Name: "corp", URL: tc.url})
			if err := s.Refresh(t.Context()); (err == nil) != tc.ok {
				t.Errorf("Refresh: %v", err)
			}
		})
	}
}

// A discovery document may lead to keys elsewhere, but not into our own network.
func TestDiscoveryDoesNotLeadInside(t *testing.T) {
	attacktest.Rows(t, 67)
	corp := issuertest.Start(t)
	inner, err := fetch.New(fetch.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	docs := documents{"https://corp.example/.well-known/openid-configuration": fmt.Sprintf(`{"issuer":"https://corp.example","jwks_uri":%q}`, corp.KeysURL())}
	set := open(t, newClock().env(leading{docs, inner}), issuer.Settings{Name: "corp", URL: "https://corp.example"})
	if err := set.Refresh(t.Context()); !errors.Is(err, fetch.ErrAddress) {
		t.Errorf("error %v", err)
	}
	if corp.Fetches() != 0 {
		t.Error("the inner address was asked")
	}
}

// leading answers from documents, and asks a real client for anything else.
type leading struct {
	documents
	client *fetch.Client
}

func (l leading) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	if _, ok := l.documents[address]; ok || strings.Contains(address, ".well-known") {
		return l.documents.Get(ctx, address, limit)
	}
	return l.client.Get(ctx, address, limit)
}

func TestSettingsThatCannotWork(t *testing.T) {
	good := issuer.Settings{Name: "corp", URL: "https://corp.example"}
	if p := good.Problems(); len(p) != 0 {
		t.Fatalf("problems of good settings: %v", p)
	}
	for path, change := range map[string]func(*issuer.Settings){
		"":             func(s *issuer.Settings) { s.Name = "corp/web" },
		"url":          func(s *issuer.Settings) { s.URL = "" },
		"url ":         func(s *issuer.Settings) { s.URL = "corp" },
		"url  ":        func(s *issuer.Settings) { s.URL = "https://corp.example?x=1" },
		"algorithms":   func(s *issuer.Settings) { s.Algorithms = []string{"none"} },
		"algorithms ":  func(s *issuer.Settings) { s.Algorithms = []string{"HS256"} },
		"algorithms  ": func(s *issuer.Settings) { s.Algorithms = []string{"es256"} },
		"types":        func(s *issuer.Settings) { s.Types = []string{"pavise-identity+jwt"} },
		"leeway":       func(s *issuer.Settings) { s.Leeway = 61 * time.Second },
		"leeway ":      func(s *issuer.Settings) { s.Leeway = -1 },
		"max_age":      func(s *issuer.Settings) { s.MaxAge = -time.Hour },
		"cool_down":    func(s *issuer.Settings) { s.CoolDown = time.Millisecond },
		"keys_max_age": func(s *issuer.Settings) { s.KeysMaxAge, s.CacheFor = time.Minute, time.Hour },
		"jwks":         func(s *issuer.Settings) { s.JWKS, s.Keys = "keys.json", &issuer.Keyring{} },
	} {
		s := good
		change(&s)
		problems := s.Problems()
		if len(problems) != 1 || problems[0].Path != strings.TrimSpace(path) {
			t.Errorf("%q: problems %v", path, problems)
		}
		if _, err := issuer.New(issuer.Env{Fetch: documents{}}, s); err == nil {
			t.Errorf("%q: opened", path)
		}
	}
	if _, err := issuer.New(issuer.Env{}, good); err == nil {
		t.Error("opened without anything to fetch with")
	}
	if _, err := issuer.New(issuer.Env{Fetch: documents{}}, good, good); err == nil {
		t.Error("a name that stands twice was accepted")
	}
	if _, err := open(t, issuer.Env{}).Issuer("corp"); err == nil {
		t.Error("found an issuer that nobody configured")
	}
}

// Row 40: a symmetric secret cannot even be configured, so none can be weak.
func TestSymmetricAlgorithmsAreRefusedWithAReason(t *testing.T) {
	attacktest.Rows(t, 40)
	for _, alg := range []string{"HS256", "HS384", "HS512", "hs256"} {
		p := issuer.Settings{Name: "corp", URL: "https://corp.example", Algorithms: []string{alg}}.Problems()
		if len(p) != 1 || !strings.Contains(p[0].Hint, "hmac") {
			t.Errorf("%s: %v", alg, p)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	corp := issuertest.Start(b)
	f, err := fetch.New(fetch.Settings{Allow: []string{"127.0.0.1"}, Roots: corp.Roots()})
	if err != nil {
		b.Fatal(err)
	}
	s := keys(b, open(b, issuer.Env{Fetch: f}, issuer.Settings{Name: "corp", URL: corp.URL}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Key(b.Context(), "es256-1", "ES256"); err != nil {
			b.Fatal(err)
		}
	}
}
