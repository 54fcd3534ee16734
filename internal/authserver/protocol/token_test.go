package protocol_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

func TestClientGetsATokenForItself(t *testing.T) {
	attacktest.Rows(t, 69)
	w := newWorld(t)
	a := w.post("shop", "/token", url.Values{"grant_type": {"client_credentials"}})
	got := claims(t, a.token(t))
	if a.status != http.StatusOK || got["sub"] != "shop" || got["client_id"] != "shop" || got["iss"] != w.server.URL || got["scope"] != "orders:read orders:write" {
		t.Errorf("%d %v", a.status, got)
	}
	if aud, ok := got["aud"].([]any); !ok || len(aud) != 1 || aud[0] != "orders" {
		t.Errorf("aud %v", got["aud"])
	}
	if a.header.Get("Cache-Control") != "no-store" || a.json["refresh_token"] != nil || a.json["token_type"] != "Bearer" {
		t.Errorf("%v %v", a.header, a.json)
	}
	kept, err := w.grants.Collect(t.Context())
	if kept != 0 || err != nil {
		t.Errorf("a token of a client wrote %d rows, %v", kept, err)
	}
	narrow := w.post("shop", "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}, "resource": {"https://orders.example"}})
	if got := claims(t, narrow.token(t)); got["scope"] != "orders:read" || len(got["aud"].([]any)) != 2 {
		t.Errorf("%v", got)
	}
}

func TestTokenEndpointRefusesWithRegisteredCodes(t *testing.T) {
	attacktest.Rows(t, 52, 53, 66)
	w := newWorld(t)
	for what, test := range map[string]struct {
		client string
		form   url.Values
		status int
		code   string
	}{
		"no grant type":       {"shop", url.Values{}, 400, "unsupported_grant_type"},
		"password":            {"shop", url.Values{"grant_type": {"password"}, "username": {"a"}, "password": {"b"}}, 400, "unsupported_grant_type"},
		"implicit":            {"shop", url.Values{"grant_type": {"implicit"}}, 400, "unsupported_grant_type"},
		"JWT bearer":          {"shop", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}}, 400, "unsupported_grant_type"},
		"a scope of nobody":   {"shop", url.Values{"grant_type": {"client_credentials"}, "scope": {"root"}}, 400, "invalid_scope"},
		"a scope of others":   {"other", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:write"}}, 400, "invalid_scope"},
		"an unknown resource": {"shop", url.Values{"grant_type": {"client_credentials"}, "resource": {"https://evil.example"}}, 400, "invalid_target"},
		"twice a parameter":   {"shop", url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request"},
		"a zero byte":         {"shop", url.Values{"grant_type": {"client_credentials"}, "x": {"\x00"}}, 400, "invalid_request"},
		"a grant not its own": {"orders", url.Values{"grant_type": {"client_credentials"}}, 400, "unauthorized_client"},
		"an unknown code":     {"shop", url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "code_verifier": {verifier}}, 400, "invalid_grant"},
		"no code":             {"shop", url.Values{"grant_type": {"authorization_code"}}, 400, "invalid_request"},
		"an unknown refresh":  {"shop", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"pvsrt_x"}}, 400, "invalid_grant"},
		"no refresh token":    {"shop", url.Values{"grant_type": {"refresh_token"}}, 400, "invalid_request"},
		"an unknown device":   {"shop", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {"x"}}, 400, "invalid_grant"},
		"two ways":            {"shop", url.Values{"grant_type": {"client_credentials"}, "client_secret": {goodSecret}}, 400, "invalid_request"},
		"another client_id":   {"shop", url.Values{"grant_type": {"client_credentials"}, "client_id": {"other"}}, 400, "invalid_request"},
		"an unknown client":   {"nobody", url.Values{"grant_type": {"client_credentials"}, "client_id": {"nobody"}, "client_secret": {"x"}}, 401, "invalid_client"},
		"no client":           {"nobody", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
	} {
		w.post(test.client, "/token", test.form).refused(t, what, test.status, test.code)
	}
	for what, change := range map[string]func(*http.Request){
		"a query":          func(r *http.Request) { r.URL.RawQuery = "grant_type=client_credentials" },
		"JSON":             func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
		"no type":          func(r *http.Request) { r.Header.Del("Content-Type") },
		"a broken escape":  func(r *http.Request) { r.Body = http.NoBody; r.URL.RawQuery = "%zz" },
		"a bearer instead": func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") },
	} {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("shop", goodSecret)
		change(r)
		if a := w.do(r); a.status != 400 && a.status != 401 || a.json["error"] == nil {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
	}
}

func TestUnknownClientAndWrongSecretLookTheSame(t *testing.T) {
	attacktest.Rows(t, 57)
	w := newWorld(t)
	var texts []string
	for _, id := range []string{"shop", "nobody"} {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/token", strings.NewReader("grant_type=client_credentials"))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(id, "wrong")
		a := w.do(r)
		a.refused(t, id, http.StatusUnauthorized, "invalid_client")
		if a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", id)
		}
		texts = append(texts, a.text)
	}
	if texts[0] != texts[1] {
		t.Errorf("a wrong secret says %q, an unknown client %q", texts[0], texts[1])
	}
}

func TestCodeIsGoodOnceAndReuseRevokes(t *testing.T) {
	attacktest.Rows(t, 49)
	w := newWorld(t)
	code := w.code("shop")
	first := w.post("shop", "/token", w.redeeming("shop", code))
	got := claims(t, first.token(t))
	if got["sub"] != "person-1" || got["client_id"] != "shop" || got["acr"] != w.people.Person.ACR || first.json["refresh_token"] == nil {
		t.Errorf("%v %v", got, first.json)
	}
	w.post("shop", "/token", w.redeeming("shop", code)).refused(t, "the code again", http.StatusBadRequest, "invalid_grant")
	if !w.revoked[got["grant_id"].(string)] {
		t.Error("the reuse of a code revoked nothing")
	}
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.json["refresh_token"].(string)}}
	w.post("shop", "/token", refresh).refused(t, "a refresh after the reuse", http.StatusBadRequest, "invalid_grant")
	if !w.told("grant.reuse") {
		t.Error("no event tells of the reuse")
	}
}

func TestOneOfFiftyRedeemsACode(t *testing.T) {
	attacktest.Rows(t, 49)
	w := newWorld(t)
	code := w.code("shop")
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a := w.post("shop", "/token", w.redeeming("shop", code)); a.status == http.StatusOK {
				won.Add(1)
			} else if a.status != http.StatusBadRequest || a.json["error"] != "invalid_grant" {
				t.Errorf("a loser: %d %s", a.status, a.text)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty won", won.Load())
	}
}

func TestCodeIsBoundToItsRequest(t *testing.T) {
	attacktest.Rows(t, 50, 51)
	for what, test := range map[string]struct {
		client string
		change func(url.Values)
		codes  []string
	}{
		"another client":     {"other", func(v url.Values) {}, []string{"invalid_grant"}},
		"another redirect":   {"shop", func(v url.Values) { v.Set("redirect_uri", "https://shop.example/other") }, []string{"invalid_grant"}},
		"no redirect":        {"shop", func(v url.Values) { v.Del("redirect_uri") }, []string{"invalid_grant"}},
		"a wrong verifier":   {"shop", func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) }, []string{"invalid_grant"}},
		"no verifier":        {"shop", func(v url.Values) { v.Del("code_verifier") }, []string{"invalid_grant"}},
		"the challenge":      {"shop", func(v url.Values) { v.Set("code_verifier", challenge()) }, []string{"invalid_grant"}},
		"a short verifier":   {"shop", func(v url.Values) { v.Set("code_verifier", "x") }, []string{"invalid_grant"}},
		"more scopes":        {"shop", func(v url.Values) { v.Set("scope", "orders:read orders:write") }, []string{"invalid_scope"}},
		"another's resource": {"shop", func(v url.Values) { v.Set("resource", "https://evil.example") }, []string{"invalid_target"}},
	} {
		w := newWorld(t)
		form := w.redeeming("shop", w.code("shop"))
		test.change(form)
		w.post(test.client, "/token", form).refused(t, what, http.StatusBadRequest, test.codes...)
	}
	w := newWorld(t)
	for what, change := range map[string]func(url.Values){
		"no challenge":      func(v url.Values) { v.Del("code_challenge"); v.Del("code_challenge_method") },
		"a plain challenge": func(v url.Values) { v.Set("code_challenge_method", "plain") },
	} {
		query := w.asking("shop")
		change(query)
		a := w.get("/authorize", query)
		if a.location == nil || a.location.Query().Get("error") != "invalid_request" || a.location.Query().Get("iss") != w.server.URL {
			t.Errorf("%s: %d %v", what, a.status, a.location)
		}
	}
}

func TestRefreshTokenIsReplacedAndReuseRevokesTheFamily(t *testing.T) {
	attacktest.Rows(t, 53, 54, 55)
	w := newWorld(t)
	first := w.post("shop", "/token", w.redeeming("shop", w.code("shop")))
	refresh := func(client, token string, more ...string) answer {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
		if len(more) > 0 {
			form.Set("scope", more[0])
		}
		return w.post(client, "/token", form)
	}
	one := first.json["refresh_token"].(string)
	refresh("other", one).refused(t, "another client's", http.StatusBadRequest, "invalid_grant")
	refresh("shop", one, "orders:write").refused(t, "a scope that was not granted", http.StatusBadRequest, "invalid_scope")
	second := refresh("shop", one)
	two, ok := second.json["refresh_token"].(string)
	if second.status != http.StatusOK || !ok || two == one {
		t.Fatalf("%d %s", second.status, second.text)
	}
	refresh("shop", one).refused(t, "a refresh token again", http.StatusBadRequest, "invalid_grant")
	refresh("shop", two).refused(t, "its successor after the reuse", http.StatusBadRequest, "invalid_grant")
	if !w.revoked[claims(t, second.token(t))["grant_id"].(string)] || !w.told("grant.reuse") {
		t.Error("the family was not revoked, or nobody was told")
	}
}

func TestOneOfFiftyRefreshes(t *testing.T) {
	attacktest.Rows(t, 54)
	w := newWorld(t)
	token := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).json["refresh_token"].(string)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			a := w.post("shop", "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
			if a.status == http.StatusOK {
				won.Add(1)
			} else if a.status != http.StatusBadRequest {
				t.Errorf("a loser: %d %s", a.status, a.text)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty won", won.Load())
	}
}

func (w *world) told(action string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Action == action {
			return true
		}
	}
	return false
}
