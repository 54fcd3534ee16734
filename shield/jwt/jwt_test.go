package jwt

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/shieldtest"
)

const corpURL = "https://login.example.com"

// world is a shield with its issuer, keys in-process.
type world struct {
	*shieldtest.World
	t      testing.TB
	corp   *issuertest.Issuer
	keys   *issuer.Keyring
	config *Config
	shield shield.Shield
}

// trustCorp makes the test issuer known to a world.
func trustCorp(t testing.TB, w *shieldtest.World, change func(*shield.Issuer)) (*issuertest.Issuer, *issuer.Keyring) {
	t.Helper()
	corp := issuertest.New(t, corpURL)
	corp.Now = w.Now
	ring := &issuer.Keyring{}
	load(t, corp, ring)
	known := &shield.Issuer{
		Name: "corp", URL: corp.URL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:*"},
		Algorithms: issuer.Algorithms(), Leeway: 30 * time.Second, MaxAge: time.Hour, Keys: ring,
	}
	if change != nil {
		change(known)
	}
	w.AddIssuer(known)
	return corp, ring
}

// load gives the ring the keys that the issuer has now.
func load(t testing.TB, corp *issuertest.Issuer, ring *issuer.Keyring) {
	t.Helper()
	keys, warnings, err := issuer.ParseKeys(corp.JWKS(), issuer.Algorithms())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("keys of the test issuer: %v, %v", warnings, err)
	}
	if err := ring.Replace(keys); err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, change func(*shield.Issuer, *Config)) *world {
	t.Helper()
	w := &world{World: shieldtest.NewWorld(), t: t, config: &Config{Issuer: []string{"corp"}, Cache: 64}}
	if change == nil {
		change = func(*shield.Issuer, *Config) {}
	}
	w.corp, w.keys = trustCorp(t, w.World, func(i *shield.Issuer) { change(i, w.config) })
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	opened, err := w.config.Open(w.Env())
	if err != nil {
		w.t.Fatal(err)
	}
	w.shield = opened
}

func request(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/v1/orders/7", nil)
	if len(authorization) > 0 {
		r.Header["Authorization"] = authorization
	}
	return r
}

func (w *world) ask(token string) (*shield.Identity, error) {
	return w.shield.Verify(request("Bearer " + token))
}

func (w *world) accepts(token string) *shield.Identity {
	w.t.Helper()
	id, err := w.ask(token)
	if err != nil {
		w.t.Fatalf("refused: %v", err)
	}
	return id
}

func (w *world) refuses(what, token string, code shield.Code) *shield.Refusal {
	w.t.Helper()
	_, err := w.ask(token)
	return wantCode(w.t, what, err, code)
}

func wantCode(t testing.TB, what string, err error, code shield.Code) *shield.Refusal {
	t.Helper()
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok || refusal.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
		return &shield.Refusal{}
	}
	return refusal
}

func fixture() shieldtest.Fixture {
	return shieldtest.Fixture{
		Prepare: func(t testing.TB, w *shieldtest.World) (shield.Config, shield.Credential) {
			corp, _ := trustCorp(t, w, nil)
			return &Config{Issuer: []string{"corp"}, Cache: defaultCache}, shield.Credential{Secret: corp.Token(nil)}
		},
		Wrong: []shieldtest.Wrong{
			{Name: "another's key", Code: shield.InvalidCredential, Signer: func(t testing.TB, w *shieldtest.World) shield.Signer {
				evil := issuertest.New(t, corpURL)
				evil.Now = w.Now
				signer, err := bearer.Caller(shield.Credential{Secret: evil.Token(nil)})
				if err != nil {
					t.Fatal(err)
				}
				return signer
			}},
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
			if !ok || !strings.EqualFold(word, bearer.Scheme) {
				return true
			}
			p, err := split(token) // a JWT of another issuer, or no JWT
			return strings.Count(token, ".") != 2 || strings.ContainsAny(token, "~+/=") || err == nil && p.claims["iss"] != corpURL
		},
	}
}

func TestConformance(t *testing.T) { shieldtest.Run(t, Kind(), fixture()) }

func FuzzVerify(f *testing.F) { shieldtest.Fuzz(f, Kind(), fixture()) }

func TestSaysWhoCalls(t *testing.T) {
	w := newWorld(t, func(i *shield.Issuer, _ *Config) {
		i.Claims = map[string]string{"tenant": "org", "roles": "realm_access.roles", "level": "level", "https://example.com/x": "https://example.com/x"}
	})
	token := w.corp.Token(map[string]any{
		"jti": "t-1", "org": "acme", "level": 3, "https://example.com/x": true,
		"realm_access": map[string]any{"roles": []string{"a", "b"}}, "scope": "orders:read admin orders orders.admin",
	})
	for range 2 { // verified, then remembered
		id := w.accepts(token)
		if id.Shield != "jwt" || id.Issuer != corpURL || id.Subject != "user-1" || id.Client != "corp/web" || id.User != "user-1" ||
			id.Tenant != "acme" || id.CredentialID != "corp:t-1" || id.Scheme != "Bearer" {
			t.Errorf("identity %+v", id)
		}
		if !slices.Equal(id.Scopes, shield.Scopes{"orders:read"}) {
			t.Errorf("scopes %v", id.Scopes)
		}
		if got := fmt.Sprint(id.Attributes); got != "map[https://example.com/x:true level:3 roles:[a b]]" {
			t.Errorf("attributes %s", got)
		}
		if want := w.Now().Add(330 * time.Second); !id.Expires.Equal(want) {
			t.Errorf("expires %s, want %s", id.Expires, want)
		}
	}
}

func TestFindsClientAndUser(t *testing.T) {
	for _, tc := range []struct {
		claims       map[string]any
		mapping      map[string]string
		client, user string
	}{
		{map[string]any{"client_id": "web"}, nil, "corp/web", "user-1"},
		{map[string]any{"client_id": nil, "azp": "spa"}, nil, "corp/spa", "user-1"},
		{map[string]any{"client_id": nil}, nil, "", "user-1"},
		{map[string]any{"client_id": nil}, map[string]string{"client": "sub"}, "corp/user-1", ""},
		{map[string]any{"client_id": "web", "sub": "web"}, nil, "corp/web", ""},
		{map[string]any{"cid": "okta"}, map[string]string{"client": "cid", "user": "mail"}, "corp/okta", ""},
		{map[string]any{"cid": "okta", "mail": "ann@example.com"}, map[string]string{"client": "cid", "user": "mail"}, "corp/okta", "ann@example.com"},
	} {
		w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Claims = tc.mapping })
		id := w.accepts(w.corp.Token(tc.claims))
		if id.Client != tc.client || id.User != tc.user {
			t.Errorf("%v: client %q, user %q", tc.claims, id.Client, id.User)
		}
	}
}

func TestMapsAClientToOneOfOurs(t *testing.T) {
	w := newWorld(t, func(i *shield.Issuer, _ *Config) {
		i.Claims = map[string]string{"tenant": "org", "tier": "tier", "x": "x"}
	})
	issued, err := bearer.Map(w.Env(), shield.IssueRequest{Client: "shop", Settings: map[string]string{"issuer": "corp", "client_id": "web"}})
	if err != nil || issued.ID != "corp#web" || issued.Keep != shield.KeepNothing {
		t.Fatalf("issue: %+v, %v", issued, err)
	}
	token := w.corp.Token(map[string]any{"org": "evil", "tier": "none", "x": 1})
	record := shield.Record{Kind: "jwt", ID: issued.ID, Client: w.Client("shop"), Scopes: shield.Scopes{"orders:read"}, Attributes: map[string]any{"tier": "gold"}}
	alive := true
	w.Add(record.Keep(nil, nil, func() bool { return !alive }))
	id := w.accepts(token)
	if id.Client != "shop" || id.Tenant != "acme" || !slices.Equal(id.Scopes, shield.Scopes{"orders:read"}) || fmt.Sprint(id.Attributes) != "map[tier:gold x:1]" {
		t.Errorf("identity %+v", id)
	}
	if id.Revocation() {
		t.Error("a good credential counts as withdrawn")
	}
	if alive = false; !id.Revocation() {
		t.Error("a withdrawn mapping counts as good")
	}
	if other := w.accepts(w.corp.Token(map[string]any{"client_id": "other"})); other.Client != "corp/other" {
		t.Errorf("another client is %s", other.Client)
	}

	record.Revoked = w.Now()
	w.Add(record.Keep(nil, nil, nil))
	refusal := w.refuses("a revoked mapping", token, shield.RevokedCredential)
	if !refusal.Proved || len(refusal.Challenge) != 1 {
		t.Errorf("refusal %+v", refusal)
	}
	record.Revoked, record.Client = time.Time{}, &shield.Client{ID: "shop", Disabled: true}
	w.Add(record.Keep(nil, nil, nil))
	w.refuses("a disabled client", token, shield.DisabledClient)
}

// RFC 9068 §5: a person whose sub is spelled like a client's id.
func TestASubjectIsNoClient(t *testing.T) {
	for name, c := range map[string]struct {
		settings     map[string]string
		client, user string
	}{
		"by itself":         {nil, "", "web"},
		"unless configured": {map[string]string{"client": "sub"}, "shop", ""},
	} {
		w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Claims = c.settings })
		record := shield.Record{Kind: "jwt", ID: "corp#web", Client: w.Client("shop"), Scopes: shield.Scopes{"orders:read"}}
		w.Add(record.Keep(nil, nil, func() bool { return false }))
		bare := shield.Record{Kind: "jwt", ID: "corp#", Client: w.Client("nobody")}
		w.Add(bare.Keep(nil, nil, func() bool { return false }))
		id := w.accepts(w.corp.Token(map[string]any{"client_id": nil, "sub": "web"}))
		if id.Client != c.client || id.User != c.user {
			t.Errorf("%s: client %q, user %q; want %q and %q", name, id.Client, id.User, c.client, c.user)
		}
	}
}

func TestIssueRefuses(t *testing.T) {
	w := newWorld(t, nil)
	for name, req := range map[string]shield.IssueRequest{
		"no settings":       {Client: "shop"},
		"no client":         {Settings: map[string]string{"issuer": "corp"}},
		"an unknown issuer": {Settings: map[string]string{"issuer": "other", "client_id": "web"}},
		"an import":         {Import: "x", Settings: map[string]string{"issuer": "corp", "client_id": "web"}},
	} {
		if issued, err := bearer.Map(w.Env(), req); err == nil {
			t.Errorf("%s: %+v", name, issued)
		}
	}
}

func TestAlgNone(t *testing.T) {
	attacktest.Rows(t, 21, 22)
	w := newWorld(t, nil)
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		head, payload := encode(marshal(map[string]any{"alg": alg, "typ": "at+jwt"})), encode(marshal(w.corp.Claims(nil)))
		w.refuses(alg, head+"."+payload+".", shield.InvalidCredential)
		w.refuses(alg+" with two parts", head+"."+payload, shield.Foreign) // no JWT: nobody's
		w.refuses(alg+" with a signature", head+"."+payload+".AAAA", shield.InvalidCredential)
	}
	rs := w.corp.Add("RS256")
	load(t, w.corp, w.keys)
	good := w.corp.Sign(map[string]any{"kid": rs, "alg": "RS256"}, w.corp.Claims(nil))
	w.accepts(good)
	w.refuses("empty signature", good[:strings.LastIndexByte(good, '.')+1], shield.InvalidCredential)
}

func TestHMACWithThePublicKey(t *testing.T) {
	attacktest.Rows(t, 23)
	w := newWorld(t, nil)
	rs := w.corp.Add("RS256")
	load(t, w.corp, w.keys)
	for name, secret := range publicForms(t, w.corp.Public(rs)) {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			w.refuses(alg+" "+name, hmacToken(alg, rs, secret, w.corp.Claims(nil)), shield.InvalidCredential)
		}
	}
	i, err := w.Issuer("corp")
	if err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"HS256", "none", "rs256", ""} {
		bad := *i
		bad.Algorithms = []string{alg}
		w.AddIssuer(&bad)
		if _, err := w.config.Open(w.Env()); err == nil {
			t.Errorf("opened with algorithm %q", alg)
		}
	}
}

func TestKeysInTheHeaderAreNotLookedAt(t *testing.T) {
	attacktest.Rows(t, 24, 25, 26)
	asked := atomic.Int32{}
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	w := newWorld(t, nil)
	evil := issuertest.New(t, corpURL)
	evil.Now = w.Now
	own := issuertest.JWK("own", "ES256", evil.Public(""))
	for name, v := range map[string]any{"jwk": own, "jku": server.URL, "x5u": server.URL, "x5c": []string{"MIIB"}, "x5t#S256": "AAAA"} {
		w.refuses(name, evil.Sign(map[string]any{name: v, "kid": "own"}, evil.Claims(nil)), shield.InvalidCredential)
		w.refuses(name+", our kid", evil.Sign(map[string]any{name: v}, evil.Claims(nil)), shield.InvalidCredential)
		w.accepts(w.corp.Sign(map[string]any{name: v}, w.corp.Claims(nil))) // harmless beside a good signature
	}
	if asked.Load() != 0 {
		t.Error("a request went out")
	}
}

func TestKid(t *testing.T) {
	attacktest.Rows(t, 27)
	w := newWorld(t, nil)
	for _, kid := range []any{"../../dev/null", "' OR 1=1 --", "http://127.0.0.1/", strings.Repeat("k", 10<<10), "\x00", 7, nil, []string{"es256-1"}} {
		changes := map[string]any{"kid": kid}
		token := w.corp.Sign(changes, w.corp.Claims(nil))
		if kid == nil {
			w.accepts(token) // the only key for this algorithm
			w.corp.Add("ES256")
			load(t, w.corp, w.keys)
			w.refuses("no kid, two keys", token, shield.InvalidCredential)
			continue
		}
		w.refuses(fmt.Sprintf("kid %.10v", kid), token, shield.InvalidCredential)
	}
}

func TestHeaderParametersThatChangeTheReading(t *testing.T) {
	attacktest.Rows(t, 28, 37, 39)
	w := newWorld(t, nil)
	claims := w.corp.Claims(nil)
	for name, v := range map[string]any{"crit": []string{"exp"}, "b64": false, "zip": "DEF", "enc": "A256GCM"} {
		w.refuses(name, w.corp.Sign(map[string]any{name: v}, claims), shield.InvalidCredential)
	}
	payload := marshal(claims)
	for name, header := range map[string]string{
		"alg twice":          `{"alg":"ES256","alg":"ES256","kid":"es256-1","typ":"at+jwt"}`,
		"alg twice, escaped": `{"alg":"ES256","\u0061lg":"none","kid":"es256-1","typ":"at+jwt"}`,
		"alg in capitals":    `{"ALG":"ES256","kid":"es256-1","typ":"at+jwt"}`,
		"alg a number":       `{"alg":256,"kid":"es256-1","typ":"at+jwt"}`,
		"typ a number":       `{"alg":"ES256","kid":"es256-1","typ":1}`,
		"something after it": `{"alg":"ES256","kid":"es256-1","typ":"at+jwt"}x`,
		"an array":           `["ES256"]`,
		"nothing":            ``,
		"deep":               `{"alg":"ES256","kid":"es256-1","typ":"at+jwt","x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
		"not UTF-8":          "{\"alg\":\"ES256\",\"kid\":\"es256-1\",\"typ\":\"at+jwt\",\"x\":\"\xff\"}",
		"p2c without an end": `{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":1000000000,"kid":"es256-1"}`,
		"alg with a blank":   `{"alg":"ES256 ","kid":"es256-1","typ":"at+jwt"}`,
		"alg in lower case":  `{"alg":"es256","kid":"es256-1","typ":"at+jwt"}`,
	} {
		w.refuses(name, w.corp.SignRaw([]byte(header), payload, "es256-1", "ES256"), shield.InvalidCredential)
	}
	w.accepts(w.corp.SignRaw([]byte(` { "alg" : "ES256", "kid":"es256-1", "typ":"at+jwt" } `), payload, "es256-1", "ES256"))
	w.refuses("a JWE", "eyJhbGciOiJkaXIiLCJ6aXAiOiJERUYifQ..AAAA.AAAA.AAAA", shield.Foreign)
}

func TestAlgorithmsArePinnedToKeys(t *testing.T) {
	attacktest.Rows(t, 29, 30, 31)
	w := newWorld(t, nil)
	rs, ed, es384 := w.corp.Add("RS256"), w.corp.Add("EdDSA"), w.corp.Add("ES384")
	load(t, w.corp, w.keys)
	for kid, algs := range map[string][]string{
		rs: {"RS384", "RS512", "PS256", "PS384", "PS512", "ES256"}, ed: {"ES256", "RS256"},
		"es256-1": {"ES384", "ES512", "EdDSA", "RS256"}, es384: {"ES256", "ES512"},
	} {
		for _, alg := range algs {
			w.refuses(kid+" with "+alg, w.corp.Sign(map[string]any{"kid": kid, "alg": alg}, w.corp.Claims(nil)), shield.InvalidCredential)
		}
	}
	for kid, alg := range map[string]string{rs: "RS256", ed: "EdDSA", es384: "ES384"} {
		w.accepts(w.corp.Sign(map[string]any{"kid": kid, "alg": alg}, w.corp.Claims(nil)))
	}
	w.accepts(w.corp.Sign(map[string]any{"kid": ed, "alg": "Ed25519"}, w.corp.Claims(nil)))
}

// The issuer's key could do it, but the issuer may not sign with it.
func TestOnlyTheIssuersAlgorithms(t *testing.T) {
	w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Algorithms = []string{"RS256"} })
	w.refuses("ES256 where only RS256 is accepted", w.corp.Token(nil), shield.InvalidCredential)
}

func TestTimes(t *testing.T) {
	attacktest.Rows(t, 32, 33)
	w := newWorld(t, nil)
	now := w.Now().Unix()
	for name, tc := range map[string]struct {
		changes map[string]any
		code    shield.Code
	}{
		"good":                  {nil, ""},
		"exp within skew":       {map[string]any{"exp": now - 29}, ""},
		"exp past skew":         {map[string]any{"exp": now - 30}, shield.ExpiredCredential},
		"no exp":                {map[string]any{"exp": nil}, shield.InvalidCredential},
		"exp a string":          {map[string]any{"exp": fmt.Sprint(now + 300)}, shield.InvalidCredential},
		"exp a fraction":        {map[string]any{"exp": float64(now) + 300.5}, shield.InvalidCredential},
		"exp negative":          {map[string]any{"exp": -1}, shield.InvalidCredential},
		"exp zero":              {map[string]any{"exp": 0}, shield.ExpiredCredential},
		"exp null":              {map[string]any{"exp": jsonNull{}}, shield.InvalidCredential},
		"exp beyond time":       {map[string]any{"exp": int64(1) << 62}, shield.InvalidCredential},
		"exp true":              {map[string]any{"exp": true}, shield.InvalidCredential},
		"life too long":         {map[string]any{"exp": now + 3601}, shield.InvalidCredential},
		"life too long, no iat": {map[string]any{"exp": now + 3601, "iat": nil}, shield.InvalidCredential},
		"no iat":                {map[string]any{"iat": nil}, ""},
		"nbf within skew":       {map[string]any{"nbf": now + 30}, ""},
		"nbf in the future":     {map[string]any{"nbf": now + 31}, shield.ExpiredCredential},
		"nbf a string":          {map[string]any{"nbf": "0"}, shield.InvalidCredential},
		"iat within skew":       {map[string]any{"iat": now + 30}, ""},
		"iat in the future":     {map[string]any{"iat": now + 31}, shield.ExpiredCredential},
	} {
		token := w.corp.Token(tc.changes)
		if tc.code == "" {
			if _, err := w.ask(token); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		w.refuses(name, token, tc.code)
	}
	for _, exp := range []string{"1e30", "1e9", "1.7e9", "1795435200.0", "-0", "1e400", "99999999999999999999"} {
		payload := fmt.Sprintf(`{"iss":%q,"aud":"orders","sub":"u","exp":%s}`, corpURL, exp)
		if exp == "-0" {
			w.refuses("exp "+exp, w.corp.SignBytes(nil, []byte(payload)), shield.ExpiredCredential)
			continue
		}
		w.refuses("exp "+exp, w.corp.SignBytes(nil, []byte(payload)), shield.InvalidCredential)
	}
	payload := fmt.Sprintf(`{"iss":%q,"aud":"orders","sub":"u","exp":%d,"exp":%d}`, corpURL, now-100, now+100)
	attacktest.Rows(t, 37)
	w.refuses("exp twice", w.corp.SignBytes(nil, []byte(payload)), shield.InvalidCredential)
}

type jsonNull struct{}

func (jsonNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func TestExpiryIsAskedOnEveryUse(t *testing.T) {
	w := newWorld(t, nil)
	token := w.corp.Token(nil)
	w.accepts(token)
	w.Advance(329 * time.Second)
	id := w.accepts(token)
	w.Advance(time.Second)
	refusal := w.refuses("remembered, but expired", token, shield.ExpiredCredential)
	if !refusal.Proved || refusal.CredentialID == "" || !id.Revocation() {
		t.Errorf("refusal %+v, withdrawn %v", refusal, id.Revocation())
	}
}

func TestAudience(t *testing.T) {
	attacktest.Rows(t, 34)
	w := newWorld(t, nil)
	for _, aud := range []any{"orders", []string{"orders"}, []string{"other", "orders"}} {
		w.accepts(w.corp.Token(map[string]any{"aud": aud}))
	}
	for _, aud := range []any{nil, "", "order", "orders.evil", "orders/", "Orders", " orders", []string{}, []string{"orders.evil"}, []any{"orders", 7}, 7, map[string]any{"orders": true}, []any{[]string{"orders"}}} {
		w.refuses(fmt.Sprintf("aud %v", aud), w.corp.Token(map[string]any{"aud": aud}), shield.InvalidCredential)
	}
	own := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Audience = []string{"invoices"} })
	own.refuses("the issuer's audience where the endpoint has its own", own.corp.Token(nil), shield.InvalidCredential)
	own.accepts(own.corp.Token(map[string]any{"aud": "invoices"}))
}

func TestIssuers(t *testing.T) {
	attacktest.Rows(t, 35, 163)
	w := newWorld(t, nil)
	for _, iss := range []any{corpURL + "/", strings.ToUpper(corpURL), "http://login.example.com", corpURL + ".evil", ""} {
		w.refuses(fmt.Sprint(iss), w.corp.Token(map[string]any{"iss": iss}), shield.Foreign)
	}
	for _, iss := range []any{nil, 7, []string{corpURL}} {
		w.refuses(fmt.Sprint(iss), w.corp.Token(map[string]any{"iss": iss}), shield.InvalidCredential)
	}

	partner := issuertest.New(t, "https://partner.example")
	partner.Now = w.Now
	ring, err := issuer.NewKeyring(issuer.Key{ID: "es256-1", Algorithm: "ES256", Public: partner.Public("")})
	if err != nil {
		t.Fatal(err)
	}
	w.AddIssuer(&shield.Issuer{
		Name: "partner", URL: partner.URL, Audience: []string{"orders"}, MayGrant: shield.Scopes{"orders:read"},
		Algorithms: []string{"ES256"}, Leeway: time.Second, Keys: ring,
	})
	w.refuses("a trusted issuer's token where it is not trusted", partner.Token(nil), shield.Foreign)
	w.config.Issuer = []string{"corp", "partner"}
	w.open()
	w.accepts(w.corp.Token(nil))
	id := w.accepts(partner.Token(nil))
	if id.Issuer != partner.URL || id.Client != "partner/web" || !slices.Equal(id.Scopes, shield.Scopes{"orders:read"}) {
		t.Errorf("identity %+v", id)
	}
	w.refuses("another trusted issuer's key", partner.Token(map[string]any{"iss": corpURL}), shield.InvalidCredential)
	if _, err := (&Config{Issuer: []string{"corp", "corp"}}).Open(w.Env()); err == nil {
		t.Error("one issuer twice was accepted")
	}
}

func TestAnyTellsTokensApart(t *testing.T) {
	attacktest.Rows(t, 157)
	w := newWorld(t, nil)
	partner := issuertest.New(t, "https://partner.example")
	partner.Now = w.Now
	ring := &issuer.Keyring{}
	load(t, partner, ring)
	w.AddIssuer(&shield.Issuer{Name: "partner", URL: partner.URL, Audience: []string{"orders"}, Algorithms: []string{"ES256"}, Keys: ring})
	second, err := (&Config{Issuer: []string{"partner"}}).Open(w.Env())
	if err != nil {
		t.Fatal(err)
	}
	either, err := shield.Any(w.shield, second)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := either.Verify(request("Bearer " + partner.Token(nil))); err != nil || id.Client != "partner/web" {
		t.Errorf("the second issuer's token: %v, %v", id, err)
	}
	evil := issuertest.New(t, corpURL)
	evil.Now = w.Now
	_, err = either.Verify(request("Bearer " + evil.Token(nil)))
	wantCode(t, "a forged token of the first", err, shield.InvalidCredential)
	if _, err := shield.Any(w.shield, w.shield); err == nil {
		t.Error("two shields for the same issuer were accepted")
	}
}

func TestOtherKindsOfTokens(t *testing.T) {
	attacktest.Rows(t, 36, 161)
	w := newWorld(t, nil)
	for _, typ := range []any{"at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"} {
		w.accepts(w.corp.Sign(map[string]any{"typ": typ}, w.corp.Claims(nil)))
	}
	for _, typ := range []any{nil, "", "JWT", "logout+jwt", "rt+jwt", "id_token+jwt", "pavise-identity+jwt", "dpop+jwt", "at+jwt ", "x/at+jwt"} {
		w.refuses(fmt.Sprint("typ ", typ), w.corp.Sign(map[string]any{"typ": typ}, w.corp.Claims(nil)), shield.InvalidCredential)
	}

	plain := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Types = []string{"at+jwt", "JWT", "pavise-identity+jwt"} })
	for _, typ := range []any{nil, "JWT", "jwt", "at+jwt"} {
		plain.accepts(plain.corp.Sign(map[string]any{"typ": typ}, plain.corp.Claims(nil)))
	}
	plain.refuses("our own identity token", plain.corp.Sign(map[string]any{"typ": "pavise-identity+jwt"}, plain.corp.Claims(nil)), shield.InvalidCredential)
	for name, changes := range map[string]map[string]any{
		"ID token with nonce":     {"nonce": "n"},
		"ID token with at_hash":   {"at_hash": "x"},
		"ID token with c_hash":    {"c_hash": "x"},
		"ID token by its aud":     {"aud": "orders", "client_id": nil, "azp": "orders", "scope": nil},
		"logout token":            {"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}},
		"refresh of Keycloak":     {"typ": "Refresh"},
		"offline of Keycloak":     {"typ": "Offline"},
		"ID token of Keycloak":    {"typ": "ID"},
		"ID token of Cognito":     {"token_use": "id"},
		"refresh token by a type": {"token_type": "refresh_token"},
	} {
		plain.refuses(name, plain.corp.Sign(map[string]any{"typ": "JWT"}, plain.corp.Claims(changes)), shield.InvalidCredential)
	}
	plain.accepts(plain.corp.Sign(map[string]any{"typ": "JWT"}, plain.corp.Claims(map[string]any{"typ": "Bearer"})))
}

func TestCompactFormIsStrict(t *testing.T) {
	attacktest.Rows(t, 38)
	w := newWorld(t, nil)
	good := w.corp.Token(nil)
	p := strings.Split(good, ".")
	w.accepts(good)
	for name, tc := range map[string]struct {
		token string
		code  shield.Code
	}{
		"padded":                 {good + "=", shield.Foreign},
		"padded header":          {p[0] + "=." + p[1] + "." + p[2], shield.Foreign},
		"standard alphabet":      {p[0] + "+." + p[1] + "." + p[2], shield.Foreign},
		"four parts":             {good + ".e30", shield.Foreign},
		"five parts":             {good + ".e30.e30", shield.Foreign},
		"six parts":              {good + "." + good, shield.Foreign},
		"two parts":              {p[0] + "." + p[1], shield.Foreign},
		"no dots":                {"abc", shield.Foreign},
		"blank inside":           {p[0] + ". " + p[1] + "." + p[2], shield.InvalidCredential},
		"line break inside":      {p[0] + ".\n" + p[1] + "." + p[2], shield.InvalidCredential},
		"JSON":                   {`{"payload":"e30"}`, shield.InvalidCredential},
		"a comma and another":    {good + ",Bearer " + good, shield.InvalidCredential},
		"beyond ASCII":           {good + "é", shield.InvalidCredential},
		"last bits of signature": {otherLastBits(good), shield.InvalidCredential},
		"last bits of header":    {otherLastBits(p[0]) + "." + p[1] + "." + p[2], shield.InvalidCredential},
		"empty parts":            {"..", shield.InvalidCredential},
		"empty header":           {"." + p[1] + "." + p[2], shield.InvalidCredential},
		"empty claims":           {p[0] + ".." + p[2], shield.InvalidCredential},
		"length of no bytes":     {p[0] + "." + p[1] + "." + p[2] + "AAA", shield.InvalidCredential},
	} {
		w.refuses(name, tc.token, tc.code)
	}
}

func TestCarrier(t *testing.T) {
	attacktest.Rows(t, 45, 46, 47)
	w := newWorld(t, nil)
	good := w.corp.Token(nil)
	for _, word := range []string{"Bearer", "bearer", "BEARER", "bEaReR"} {
		if _, err := w.shield.Verify(request(word + " " + good)); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	for name, tc := range map[string]struct {
		values []string
		code   shield.Code
		status int
	}{
		"tab":            {[]string{"Bearer\t" + good}, shield.MalformedCredential, 400},
		"two blanks":     {[]string{"Bearer  " + good}, shield.MalformedCredential, 400},
		"blank and tab":  {[]string{"Bearer \t" + good}, shield.MalformedCredential, 400},
		"no token":       {[]string{"Bearer"}, shield.MalformedCredential, 400},
		"empty token":    {[]string{"Bearer "}, shield.MalformedCredential, 400},
		"empty header":   {[]string{""}, shield.MalformedCredential, 400},
		"twice":          {[]string{"Bearer " + good, "Bearer " + good}, shield.MalformedCredential, 400},
		"beside another": {[]string{"Bearer " + good, "Basic YTpi"}, shield.MalformedCredential, 400},
		"too long":       {[]string{"Bearer " + strings.Repeat("A", bearer.MaxToken+1)}, shield.HeadersTooLarge, 431},
		"longest":        {[]string{"Bearer " + strings.Repeat("A", bearer.MaxToken)}, shield.Foreign, 401},
		"other scheme":   {[]string{"Basic YTpi"}, shield.Foreign, 401},
		"DPoP":           {[]string{"DPoP " + good}, shield.InvalidCredential, 401},
		"longer scheme":  {[]string{"BearerX " + good}, shield.Foreign, 401},
		"short":          {[]string{"Be"}, shield.Foreign, 401},
		"none":           {nil, shield.Absent, 401},
	} {
		_, err := w.shield.Verify(request(tc.values...))
		refusal := wantCode(t, name, err, tc.code)
		if refusal.HTTPStatus() != tc.status {
			t.Errorf("%s: status %d", name, refusal.HTTPStatus())
		}
	}
	for _, query := range []string{"access_token=" + good, "a=1&access_token=", "access%5Ftoken=x", "%61ccess_token=x&b=2"} {
		r := request("Bearer " + good)
		r.URL.RawQuery = query
		_, err := w.shield.Verify(r)
		if refusal := wantCode(t, query, err, shield.ExposedCredential); !refusal.Exposed || strings.Contains(refusal.Error(), good) {
			t.Errorf("refusal %+v", refusal)
		}
	}
	r := request("Bearer " + good)
	r.URL.RawQuery = "q=my_access_token&x=%20"
	if _, err := w.shield.Verify(r); err != nil {
		t.Errorf("a value that only looks like it: %v", err)
	}
}

func TestChallenges(t *testing.T) {
	w := newWorld(t, nil)
	for name, tc := range map[string]struct {
		values []string
		want   string
	}{
		"none":      {nil, `Bearer realm="orders"`},
		"scheme":    {[]string{"Basic YTpi"}, `Bearer realm="orders"`},
		"malformed": {[]string{"Bearer\t"}, `Bearer realm="orders", error="invalid_request", error_description="send one access token, in the Authorization header"`},
		"bad":       {[]string{"Bearer a.b.c"}, `Bearer realm="orders", error="invalid_token", error_description="the access token is not accepted"`},
		"expired":   {[]string{"Bearer " + w.corp.Token(map[string]any{"exp": 1})}, `Bearer realm="orders", error="invalid_token", error_description="the access token is not accepted"`},
		"no key":    {[]string{"Bearer " + w.corp.Sign(map[string]any{"kid": "x"}, w.corp.Claims(nil))}, `Bearer realm="orders", error="invalid_token", error_description="the access token is not accepted"`},
	} {
		_, err := w.shield.Verify(request(tc.values...))
		refusal, ok := errors.AsType[*shield.Refusal](err)
		if !ok || len(refusal.Challenge) != 1 || refusal.Challenge[0] != tc.want {
			t.Errorf("%s: %+v", name, refusal)
		}
	}
}

func TestClaimsThatCannotBeRead(t *testing.T) {
	w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.Claims = map[string]string{"tenant": "org"} })
	for name, changes := range map[string]map[string]any{
		"no sub":               {"sub": nil},
		"sub a number":         {"sub": 7},
		"sub empty":            {"sub": ""},
		"sub too long":         {"sub": strings.Repeat("s", 513)},
		"sub with a break":     {"sub": "a\nb"},
		"jti a number":         {"jti": 7},
		"client_id an array":   {"client_id": []string{"web"}},
		"tenant an object":     {"org": map[string]any{}},
		"scope a number":       {"scope": 7},
		"scope with 2 blanks":  {"scope": "a  b"},
		"scope with a quote":   {"scope": `a"b`},
		"scopes of numbers":    {"scope": []any{1}},
		"cnf a string":         {"cnf": "x"},
		"cnf empty":            {"cnf": map[string]any{}},
		"cnf x5t no digest":    {"cnf": map[string]any{"x5t#S256": "AAAA"}},
		"cnf x5t not a string": {"cnf": map[string]any{"x5t#S256": 1}},
	} {
		w.refuses(name, w.corp.Token(changes), shield.InvalidCredential)
	}
	for _, payload := range []string{``, `[]`, `null`, `{"iss":"` + corpURL + `"`, "\xff"} {
		w.refuses(payload, w.corp.SignBytes(nil, []byte(payload)), shield.InvalidCredential)
	}
}

func TestScopes(t *testing.T) {
	attacktest.Rows(t, 44, 163)
	for _, tc := range []struct {
		from   string
		claims map[string]any
		want   shield.Scopes
	}{
		{"", map[string]any{"scope": "orders:read read:all"}, shield.Scopes{"orders:read"}},
		{"", map[string]any{"scope": nil, "scp": []string{"orders:read", "orders"}}, shield.Scopes{"orders:read"}},
		{"", map[string]any{"scope": "", "scp": "orders:read"}, shield.Scopes{}},
		{"", map[string]any{"scope": nil}, shield.Scopes{}},
		{"permissions", map[string]any{"permissions": []string{"orders:write"}}, shield.Scopes{"orders:write"}},
		{"realm.roles", map[string]any{"realm": map[string]any{"roles": []string{"orders:write", "ordersX"}}}, shield.Scopes{"orders:write"}},
	} {
		w := newWorld(t, func(i *shield.Issuer, _ *Config) { i.ScopesFrom = tc.from })
		if id := w.accepts(w.corp.Token(tc.claims)); !slices.Equal(id.Scopes, tc.want) || id.Scopes == nil {
			t.Errorf("%v: %v", tc.claims, id.Scopes)
		}
	}
	none := newWorld(t, func(i *shield.Issuer, _ *Config) { i.MayGrant = nil })
	if id := none.accepts(none.corp.Token(nil)); len(id.Scopes) != 0 {
		t.Errorf("an issuer that may grant nothing granted %v", id.Scopes)
	}
}

func TestRequire(t *testing.T) {
	w := newWorld(t, func(_ *shield.Issuer, c *Config) {
		c.Require = map[string]string{"email_verified": "true", "org.id": "7", "acr": "high"}
	})
	good := map[string]any{"email_verified": true, "org": map[string]any{"id": 7}, "acr": "high"}
	w.accepts(w.corp.Token(good))
	for name, v := range map[string]any{"email_verified": false, "org": map[string]any{"id": 70}, "acr": []string{"high"}} {
		changed := map[string]any{}
		for n, v := range good {
			changed[n] = v
		}
		changed[name] = v
		w.refuses(name, w.corp.Token(changed), shield.InvalidCredential)
		changed[name] = nil
		w.refuses("no "+name, w.corp.Token(changed), shield.InvalidCredential)
	}
}

func TestBindings(t *testing.T) {
	attacktest.Rows(t, 81)
	w := newWorld(t, nil)
	print := encode(make([]byte, 32))
	if id := w.accepts(w.corp.Token(map[string]any{"cnf": map[string]any{"x5t#S256": print}})); id.Confirm.Certificate != print {
		t.Errorf("confirm %+v", id.Confirm)
	}
	for _, member := range []string{"jkt", "jwk", "kid", "unheard_of"} {
		w.refuses(member, w.corp.Token(map[string]any{"cnf": map[string]any{member: print}}), shield.UnboundCredential)
		w.refuses(member+" beside", w.corp.Token(map[string]any{"cnf": map[string]any{member: print, "x5t#S256": print}}), shield.UnboundCredential)
	}
	bound := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Bound = true })
	bound.refuses("a token that is not bound", bound.corp.Token(nil), shield.UnboundCredential)
	bound.accepts(bound.corp.Token(map[string]any{"cnf": map[string]any{"x5t#S256": print}}))
	if !shield.NeedsOf(bound.shield).ClientCert || shield.NeedsOf(w.shield).ClientCert {
		t.Error("Needs.ClientCert does not follow certificate_bound")
	}
}

func TestRevocation(t *testing.T) {
	attacktest.Rows(t, 43)
	w := newWorld(t, nil)
	first, second := w.corp.Token(map[string]any{"jti": "a"}), w.corp.Token(map[string]any{"jti": "b"})
	id := w.accepts(first)
	w.accepts(second)
	w.RevokeToken(corpURL, "a")
	refusal := w.refuses("a revoked token that is remembered", first, shield.RevokedCredential)
	if !refusal.Proved || refusal.CredentialID != "corp:a" || !id.Revocation() {
		t.Errorf("refusal %+v, withdrawn %v", refusal, id.Revocation())
	}
	w.accepts(second)
	w.RevokeSubject(corpURL, "user-1")
	w.refuses("a token of a revoked subject", second, shield.RevokedCredential)
	w.SetStale(true)
	if _, err := w.ask(second); !errors.Is(err, shield.ErrStale) {
		t.Errorf("stale: %v", err)
	}
	if !id.Revocation() {
		t.Error("what cannot be decided counts as good")
	}
}

func TestARevokedTokenIsNeverRevivedByTheCache(t *testing.T) {
	attacktest.Rows(t, 162)
	w := newWorld(t, nil)
	now := w.Now()
	for n := range 1000 {
		jti := fmt.Sprint("race-", n)
		token := w.corp.Token(map[string]any{"jti": jti})
		// Verified before, inserted after the revocation: the worst order, by hand.
		opened := w.shield.(*tokens)
		r := request("Bearer " + token)
		carried, err := opened.judge.Carried(r)
		if err != nil {
			t.Fatal(err)
		}
		v, err := opened.verify(r, carried)
		if err != nil {
			t.Fatal(err)
		}
		digest := carried.Digest()
		revoked := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { w.RevokeToken(corpURL, jti); close(revoked) })
		all.Go(func() { opened.cache.Put(&digest, v, v.token.Claims.Ends, now) })
		all.Go(func() {
			_, before := w.ask(token)
			<-revoked
			if _, after := w.ask(token); after == nil {
				t.Errorf("%s was revived (before: %v)", jti, before)
			}
		})
		all.Wait()
		w.refuses(jti, token, shield.RevokedCredential)
	}
}

func TestAKeyThatLeavesTakesItsTokensAlong(t *testing.T) {
	attacktest.Rows(t, 41)
	w := newWorld(t, nil)
	old := w.corp.Token(nil)
	w.accepts(old)
	w.accepts(old)
	kid := w.corp.Rotate()
	load(t, w.corp, w.keys)
	w.refuses("a remembered token whose key left", old, shield.InvalidCredential)
	w.accepts(w.corp.Token(nil))

	// The same kid with another key: the old verdict counts for nothing.
	again := w.corp.Token(nil)
	w.accepts(again)
	other := issuertest.New(t, corpURL)
	if err := w.keys.Replace([]issuer.Key{{ID: kid, Algorithm: "ES256", Public: other.Public("")}}); err != nil {
		t.Fatal(err)
	}
	w.refuses("a remembered token whose kid has another key", again, shield.InvalidCredential)
}

func TestUnknownKeysAreNoRefusal(t *testing.T) {
	attacktest.Rows(t, 42)
	w := newWorld(t, nil)
	token := w.corp.Token(nil)
	down := errors.New("the issuer is down")
	i, err := w.Issuer("corp")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingKeys{KeySource: i.Keys}
	with := *i
	with.Keys = failing
	w.AddIssuer(&with)
	w.open()
	w.accepts(token)
	failing.err = down
	if _, err := w.ask(token); !errors.Is(err, down) {
		t.Errorf("remembered: %v", err)
	}
	if _, err := w.ask(w.corp.Token(nil)); !errors.Is(err, down) {
		t.Errorf("not remembered: %v", err)
	}
	failing.err = nil
	w.accepts(token)
}

type failingKeys struct {
	shield.KeySource
	err error
}

func (f *failingKeys) Key(ctx context.Context, kid, alg string) (crypto.PublicKey, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.KeySource.Key(ctx, kid, alg)
}

func TestWithoutACacheTokensAreVerifiedEachTime(t *testing.T) {
	off := newWorld(t, func(_ *shield.Issuer, c *Config) { c.Cache = 0 })
	token := off.corp.Token(nil)
	off.accepts(token)
	off.accepts(token)
}

func TestRefusedTokensAreNotRemembered(t *testing.T) {
	w := newWorld(t, nil)
	w.refuses("expired", w.corp.Token(map[string]any{"exp": 1}), shield.ExpiredCredential)
	w.refuses("forged", otherLastBits(w.corp.Token(nil)), shield.InvalidCredential)
	if w.shield.(*tokens).cache.Len() > 0 {
		t.Error("a refused token is remembered")
	}
}

func TestValidate(t *testing.T) {
	c := Kind().Config().(*Config)
	if err := c.SetScalar("corp"); err != nil || len(c.Validate()) != 0 {
		t.Errorf("the short form: %v, %v", err, c.Validate())
	}
	if err := c.SetScalar(""); err == nil {
		t.Error("an empty short form was accepted")
	}
	for path, bad := range map[string]*Config{
		"issuer":   {Issuer: []string{""}},
		"audience": {Issuer: []string{"corp"}, Audience: []string{`a"b`}},
		"require":  {Issuer: []string{"corp"}, Require: map[string]string{"": "x"}},
		"require ": {Issuer: []string{"corp"}, Require: map[string]string{"aud": "x"}},
		"cache":    {Issuer: []string{"corp"}, Cache: -1},
		"cache ":   {Issuer: []string{"corp"}, Cache: bearer.MaxCache + 1},
	} {
		problems := bad.Validate()
		if len(problems) != 1 || problems[0].Path != strings.TrimSpace(path) {
			t.Errorf("%s: %v", path, problems)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	w := newWorld(t, nil)
	i, err := w.Issuer("corp")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*shield.Issuer){
		"no audience": func(i *shield.Issuer) { i.Audience = nil },
		"no keys":     func(i *shield.Issuer) { i.Keys = nil },
		"no URL":      func(i *shield.Issuer) { i.URL = "" },
		"no alg":      func(i *shield.Issuer) { i.Algorithms = nil },
		"leeway":      func(i *shield.Issuer) { i.Leeway = 61 * time.Second },
	} {
		bad := *i
		change(&bad)
		w.AddIssuer(&bad)
		if _, err := w.config.Open(w.Env()); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	for name, change := range map[string]func(*shield.Env){
		"no clock":       func(e *shield.Env) { e.Now = nil },
		"no revocations": func(e *shield.Env) { e.Revoked = nil },
		"no credentials": func(e *shield.Env) { e.Credentials = nil },
	} {
		w.AddIssuer(i)
		env := w.Env()
		change(&env)
		if _, err := w.config.Open(env); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := (&Config{Issuer: []string{"other"}}).Open(w.Env()); err == nil {
		t.Error("opened with an unknown issuer")
	}
}

func TestClient(t *testing.T) {
	for _, secret := range []string{"", "a b", "a\n", "é"} {
		if _, err := bearer.Caller(shield.Credential{Secret: secret}); err == nil {
			t.Errorf("a signer for %q", secret)
		}
	}
	s, err := bearer.Caller(shield.Credential{Secret: "canary.token.x"})
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(shown, "canary") {
		t.Errorf("the signer prints its token: %s", shown)
	}
	r := request("Basic x")
	if err := s.Sign(r); err == nil {
		t.Error("signed over another credential")
	}
}
