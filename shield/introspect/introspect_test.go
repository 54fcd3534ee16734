package introspect

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

const corpURL = "https://login.example.com"

// corp is an issuer that is asked in-process.
type corp struct {
	mu     sync.Mutex
	tokens map[string]map[string]any
	asked  atomic.Int64
	err    error
	hold   chan struct{} // answers wait for it; nil: at once
	came   chan struct{} // takes one value when the first question came
}

func (c *corp) Introspect(ctx context.Context, token string) (map[string]any, error) {
	c.asked.Add(1)
	if c.hold != nil {
		select {
		case c.came <- struct{}{}:
		default:
		}
		select {
		case <-c.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	members, ok := c.tokens[token]
	switch {
	case c.err != nil:
		return nil, c.err
	case !ok:
		return nil, shield.ErrInactive
	}
	return maps.Clone(members), nil
}

func (c *corp) set(token string, members map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if members == nil {
		delete(c.tokens, token)
		return
	}
	c.tokens[token] = members
}

type world struct {
	*shieldtest.World
	t      testing.TB
	corp   *corp
	config *Config
	shield shield.Shield
}

const good = "opaque-token-0123456789abcdef"

func (w *world) members(changes map[string]any) map[string]any {
	seconds := func(t time.Time) strictjson.Number { return strictjson.Number(fmt.Sprint(t.Unix())) }
	all := map[string]any{
		"active": true, "iss": corpURL, "sub": "user-1", "client_id": "web", "aud": "orders", "scope": "orders:read admin", "token_type": "Bearer",
		"iat": seconds(w.Now()), "exp": seconds(w.Now().Add(5 * time.Minute)), "jti": "t-1",
	}
	for name, value := range changes {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

func newWorld(t testing.TB, change func(*shield.Issuer, *Config)) *world {
	t.Helper()
	w := &world{World: shieldtest.NewWorld(), t: t, corp: &corp{tokens: map[string]map[string]any{}}}
	w.config = Kind().Config().(*Config)
	w.config.Issuer = "corp"
	known := &shield.Issuer{
		Name: "corp", URL: corpURL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:*"},
		Leeway: 30 * time.Second, MaxAge: time.Hour, Introspect: w.corp,
	}
	if change != nil {
		change(known, w.config)
	}
	w.AddIssuer(known)
	w.corp.set(good, w.members(nil))
	opened, err := w.config.Open(w.Env())
	if err != nil {
		t.Fatal(err)
	}
	w.shield = opened
	return w
}

func request(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/v1/orders/7", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func (w *world) accepts(token string) *shield.Identity {
	w.t.Helper()
	id, err := w.shield.Verify(request(token))
	if err != nil {
		w.t.Fatalf("refused: %v", err)
	}
	return id
}

func (w *world) refuses(what, token string, code shield.Code) *shield.Refusal {
	w.t.Helper()
	_, err := w.shield.Verify(request(token))
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok || refusal.Code != code {
		w.t.Errorf("%s: %v, want %s", what, err, code)
		return &shield.Refusal{}
	}
	return refusal
}

func fixture() shieldtest.Fixture {
	return shieldtest.Fixture{
		Prepare: func(t testing.TB, w *shieldtest.World) (shield.Config, shield.Credential) {
			inner := &world{World: w, t: t, corp: &corp{tokens: map[string]map[string]any{}}}
			inner.corp.set(good, inner.members(nil))
			w.AddIssuer(&shield.Issuer{
				Name: "corp", URL: corpURL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:*"},
				Leeway: 30 * time.Second, MaxAge: time.Hour, Introspect: inner.corp,
			})
			return &Config{Issuer: "corp", Cache: defaultCache, Remember: defaultRemember}, shield.Credential{Secret: good}
		},
		Wrong: []shieldtest.Wrong{
			{Name: "cut off", Code: shield.InvalidCredential, Change: func(r *http.Request) error {
				value := r.Header.Get("Authorization")
				r.Header.Set("Authorization", value[:len(value)-4])
				return nil
			}},
		},
		Equal: func(_, good, value string) bool {
			return len(value) == len(good) && strings.EqualFold(value[:7], good[:7]) && value[7:] == good[7:]
		},
		Foreign: func(_, value string) bool {
			word, token, ok := strings.Cut(value, " ")
			return !ok || !strings.EqualFold(word, bearer.Scheme) || strings.Count(token, ".") == 2
		},
	}
}

func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), fixture()) }

func FuzzVerify(f *testing.F) { shieldtest.Fuzz(f, Kind(), fixture()) }

func TestSaysWhoCalls(t *testing.T) {
	w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Claims = map[string]string{"tenant": "org"} })
	w.corp.set(good, w.members(map[string]any{"org": "acme"}))
	for range 2 { // asked, then remembered
		id := w.accepts(good)
		if id.Shield != "introspect" || id.Issuer != corpURL || id.Subject != "user-1" || id.Client != "corp/web" || id.User != "user-1" ||
			id.Tenant != "acme" || id.CredentialID != "corp:t-1" || id.Scheme != "Bearer" || !slices.Equal(id.Scopes, shield.Scopes{"orders:read"}) {
			t.Errorf("identity %+v", id)
		}
	}
	if w.corp.asked.Load() != 1 {
		t.Errorf("asked %d times", w.corp.asked.Load())
	}
}

func TestMapsAClientToOneOfOurs(t *testing.T) {
	w := newWorld(t, nil)
	issued, err := bearer.Map(w.Env(), shield.IssueRequest{Client: "shop", Settings: map[string]string{"issuer": "corp", "client_id": "web"}})
	if err != nil {
		t.Fatal(err)
	}
	record := shield.Record{Kind: bearer.Mapped, ID: issued.ID, Client: w.Client("shop"), Scopes: shield.Scopes{"orders:read"}}
	w.Add(record.Keep(nil, nil, func() bool { return false }))
	if id := w.accepts(good); id.Client != "shop" || id.Tenant != "acme" {
		t.Errorf("identity %+v", id)
	}
}

func TestAnswersOfTheIssuer(t *testing.T) {
	attacktest.Rows(t, 36, 161)
	w := newWorld(t, nil)
	for name, changes := range map[string]map[string]any{
		"without kind":    {"token_type": nil},
		"DPoP in a word":  {"token_type": "bearer"},
		"a list of APIs":  {"aud": []any{"x", "orders"}},
		"without issuer":  {"iss": nil},
		"without an end":  {"exp": nil},
		"without a start": {"iat": nil},
		"without a name":  {"jti": nil},
		"of the client":   {"sub": nil},
	} {
		token := "accepted-" + strings.ReplaceAll(name, " ", "-")
		w.corp.set(token, w.members(changes))
		w.accepts(token)
	}
	for name, tc := range map[string]struct {
		changes map[string]any
		code    shield.Code
	}{
		"another issuer":       {map[string]any{"iss": corpURL + "/"}, shield.InvalidCredential},
		"an issuer of numbers": {map[string]any{"iss": strictjson.Number("1")}, shield.InvalidCredential},
		"another audience":     {map[string]any{"aud": "payments"}, shield.InvalidCredential},
		"no audience":          {map[string]any{"aud": nil}, shield.InvalidCredential},
		"a refresh token":      {map[string]any{"token_type": "refresh_token"}, shield.InvalidCredential},
		"Keycloak's refresh":   {map[string]any{"token_type": nil, "typ": "Refresh"}, shield.InvalidCredential},
		"Hydra's refresh":      {map[string]any{"token_type": "Bearer", "token_use": "refresh_token"}, shield.InvalidCredential},
		"an ID token":          {map[string]any{"nonce": "x"}, shield.InvalidCredential},
		"nobody's":             {map[string]any{"sub": nil, "client_id": nil}, shield.InvalidCredential},
		"the end as text":      {map[string]any{"exp": "4102444800"}, shield.InvalidCredential},
		"scopes of numbers":    {map[string]any{"scope": []any{strictjson.Number("1")}}, shield.InvalidCredential},
		"ended":                {map[string]any{"exp": strictjson.Number("1")}, shield.ExpiredCredential},
		"not yet":              {map[string]any{"nbf": strictjson.Number("4102444800")}, shield.ExpiredCredential},
		"too long a life":      {map[string]any{"exp": strictjson.Number("4102444800")}, shield.InvalidCredential},
		"bound to a key":       {map[string]any{"cnf": map[string]any{"jkt": strings.Repeat("A", 43)}}, shield.UnboundCredential},
		"bound to anything":    {map[string]any{"cnf": map[string]any{"kid": "x"}}, shield.UnboundCredential},
	} {
		token := "refused-" + strings.NewReplacer(" ", "-", "'", "").Replace(name)
		w.corp.set(token, w.members(tc.changes))
		for range 2 { // asked, then remembered
			w.refuses(name, token, tc.code)
		}
	}
	w.refuses("unknown", "unknown-token", shield.InvalidCredential)
}

func TestWithoutAnAudienceOnlyWhereThatIsAllowed(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.NoAud = "corp tells us of our tokens only" })
	w.corp.set(good, w.members(map[string]any{"aud": nil}))
	w.accepts(good)
	for _, aud := range []any{"payments", []any{}, "", strictjson.Number("1")} {
		token := fmt.Sprintf("with-aud-%v", len(w.corp.tokens))
		w.corp.set(token, w.members(map[string]any{"aud": aud}))
		w.refuses(fmt.Sprint(aud), token, shield.InvalidCredential)
	}
}

func TestWithoutAnEndTheIssuerIsAskedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.corp.set(good, w.members(map[string]any{"exp": nil}))
	if id := w.accepts(good); !id.Expires.Equal(w.Now().Add(defaultRemember)) {
		t.Errorf("ends at %s", id.Expires)
	}
	w.Advance(defaultRemember)
	w.accepts(good)
	if w.corp.asked.Load() != 2 {
		t.Errorf("asked %d times", w.corp.asked.Load())
	}
}

func TestWhatMayChangeIsAskedOnEveryUse(t *testing.T) {
	attacktest.Rows(t, 43, 162)
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Remember = maxRemember })
	w.corp.set(good, w.members(map[string]any{"exp": strictjson.Number(fmt.Sprint(w.Now().Add(time.Minute).Unix()))}))
	w.accepts(good)
	w.Advance(91 * time.Second)
	w.refuses("ended since", good, shield.ExpiredCredential)

	w = newWorld(t, nil)
	id := w.accepts(good)
	w.RevokeToken(corpURL, "t-1")
	w.refuses("revoked here", good, shield.RevokedCredential)
	if !id.Revocation() {
		t.Error("a stream with a revoked token goes on")
	}
	w = newWorld(t, nil)
	w.accepts(good)
	w.RevokeSubject(corpURL, "user-1")
	w.refuses("its subject revoked here", good, shield.RevokedCredential)
	w = newWorld(t, nil)
	w.accepts(good)
	w.SetStale(true)
	if _, err := w.shield.Verify(request(good)); !errors.Is(err, shield.ErrStale) {
		t.Errorf("with a snapshot that is too old: %v", err)
	}
}

func TestARevocationAtTheIssuerIsFeltWhenTheAnswerIsOld(t *testing.T) {
	w := newWorld(t, nil)
	w.accepts(good)
	w.corp.set(good, nil)
	w.Advance(defaultRemember - time.Nanosecond)
	w.accepts(good)
	w.Advance(time.Nanosecond)
	w.refuses("taken back", good, shield.InvalidCredential)
	w.corp.set(good, w.members(nil))
	w.refuses("a no is remembered, too", good, shield.InvalidCredential)
	w.Advance(defaultRemember)
	w.accepts(good)

	off := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Remember = 0 })
	off.accepts(good)
	off.corp.set(good, nil)
	off.refuses("at once", good, shield.InvalidCredential)
}

func TestAnIssuerWithoutAnAnswerIsNoRefusal(t *testing.T) {
	attacktest.Requirements(t, "16.5.2", "16.5.3")
	w := newWorld(t, nil)
	w.accepts(good)
	w.corp.err = errors.New("away")
	w.accepts(good) // what it said a moment ago still holds
	w.Advance(defaultRemember)
	for _, token := range []string{good, "another-token"} {
		if id, err := w.shield.Verify(request(token)); id != nil || !errors.Is(err, w.corp.err) {
			t.Errorf("%v, %v", id, err)
		}
	}
	w.corp.err = nil
	w.accepts(good) // and that it gave none is not remembered
}

func TestManyCallersWithOneTokenAskOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.corp.hold, w.corp.came = make(chan struct{}), make(chan struct{}, 1)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if _, err := w.shield.Verify(request(good)); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
	<-w.corp.came // the others wait with the first, or find its answer
	close(w.corp.hold)
	all.Wait()
	if asked := w.corp.asked.Load(); asked > 3 {
		t.Errorf("asked %d times for 200 callers at once", asked)
	}
}

func TestWhoLeavesDoesNotTakeTheOthersAlong(t *testing.T) {
	w := newWorld(t, nil)
	w.corp.hold, w.corp.came = make(chan struct{}), make(chan struct{}, 1)
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := w.shield.Verify(request(good).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
	})
	<-w.corp.came
	for range 10 {
		all.Go(func() { w.accepts(good) })
	}
	leave()
	close(w.corp.hold)
	all.Wait()
}

func TestWrongTokensDriveOutNoGoodAnswer(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Cache = 64 })
	w.accepts(good)
	for n := range 10_000 {
		w.refuses("made up", fmt.Sprint("made-up-", n), shield.InvalidCredential)
	}
	before := w.corp.asked.Load()
	w.accepts(good)
	if w.corp.asked.Load() != before {
		t.Error("the good answer was forgotten")
	}
}

// jwtOf is a JWT that nobody here verifies.
func jwtOf(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".AA"
}

func TestJWTsAreAskedAboutOnlyWhereTheSettingsSaySo(t *testing.T) {
	ours := jwtOf(`{"iss":"` + corpURL + `"}`)
	w := newWorld(t, nil)
	w.corp.set(ours, w.members(nil))
	w.refuses("a JWT", ours, shield.Foreign)
	with := newWorld(t, func(_ *shield.Issuer, c *Config) { c.JWT = true })
	with.corp.set(ours, with.members(nil))
	with.accepts(ours)
	with.accepts(good)
	for name, token := range map[string]string{
		"another issuer's":  jwtOf(`{"iss":"https://other.example"}`),
		"nobody's":          jwtOf(`{}`),
		"that is none":      "a.b.c",
		"with iss twice":    jwtOf(`{"iss":"x","iss":"` + corpURL + `"}`),
		"with iss a number": jwtOf(`{"iss":1}`),
	} {
		before := with.corp.asked.Load()
		with.refuses("a JWT "+name, token, shield.Foreign)
		if with.corp.asked.Load() != before {
			t.Errorf("the issuer was asked about a JWT %s", name)
		}
	}
}

func TestAnyTellsTokensApart(t *testing.T) {
	attacktest.Rows(t, 157)
	w := newWorld(t, nil)
	if _, err := shield.Any(w.shield, w.shield); err == nil {
		t.Error("two issuers of opaque tokens were accepted: they cannot be told apart")
	}
}

func TestValidate(t *testing.T) {
	c := Kind().Config().(*Config)
	if err := c.SetScalar("corp"); err != nil || len(c.Validate()) != 0 || c.Issuer != "corp" {
		t.Errorf("the short form: %v, %v", err, c.Validate())
	}
	if err := c.SetScalar(""); err == nil {
		t.Error("an empty short form was accepted")
	}
	for path, bad := range map[string]*Config{
		"audience": {Audience: []string{`a"b`}},
		"require":  {Require: map[string]string{"active": "true"}},
		"cache":    {Cache: -1},
		"cache ":   {Cache: bearer.MaxCache + 1},
		"remember": {Remember: -1},

		"insecure_without_audience": {NoAud: "x"},
		"remember ":                 {Remember: maxRemember + 1},
		"dpop":                      {DPoP: "never"},
		"max_age":                   {MaxAge: 1},
		"acr":                       {ACR: []string{"a b"}},
	} {
		problems := bad.Validate()
		if len(problems) != 1 || problems[0].Path != strings.TrimSpace(path) {
			t.Errorf("%s: %v", path, problems)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, nil)
	w.AddIssuer(&shield.Issuer{Name: "silent", URL: corpURL, Audience: []string{"orders"}})
	for _, c := range []*Config{{Issuer: "silent"}, {Issuer: "unknown"}, {}} {
		if _, err := c.Open(w.Env()); err == nil {
			t.Errorf("%+v was opened", c)
		}
	}
}

func TestReadmeShowsTheSettings(t *testing.T) {
	settings := reflect.TypeFor[Config]()
	for i := range settings.NumField() {
		tag := settings.Field(i).Tag
		if row := fmt.Sprintf("| `%s` | %s |", tag.Get("yaml"), tag.Get("doc")); !strings.Contains(readme, row) {
			t.Errorf("the README lacks the row\n%s", row)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	w := newWorld(b, nil)
	r := request(good)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.shield.Verify(r); err != nil {
			b.Fatal(err)
		}
	}
}
