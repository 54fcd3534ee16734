package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

// O1, O2: the redirect address is compared as it is, but for a loopback port.
func TestBrowserIsSentToTheRegisteredAddressOnly(t *testing.T) {
	attacktest.Rows(t, 48)
	w := newWorld(t)
	for _, redirect := range []string{
		"", person.Back + "/", person.Back + "?a=b", person.Back + "#a", "https://web.example/CB", "http://web.example/cb",
		"https://web.example/x/../cb", "https://ann@web.example/cb", "https://web.example.evil.example/cb", "https://wéb.example/cb", "//web.example/cb",
	} {
		query := person.Asking("web", "orders:read")
		query.Set("redirect_uri", redirect)
		got := w.get("/authorize", query)
		if got.Status != http.StatusBadRequest || got.to != nil || !strings.Contains(got.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%q: %d to %v", redirect, got.Status, got.to)
		}
	}
	if got := w.get("/authorize", person.Asking("web", "orders:read")); got.Status != http.StatusOK || got.to != nil {
		t.Errorf("the registered address: %d to %v", got.Status, got.to)
	}
	native := person.Asking("native", "orders:read")
	native.Set("redirect_uri", "http://127.0.0.1:49321/cb")
	if got := w.get("/authorize", native); got.Status != http.StatusOK {
		t.Errorf("a loopback port: %d %s", got.Status, got.Body)
	}
	native.Set("redirect_uri", "http://127.0.0.1:49321/other")
	if got := w.get("/authorize", native); got.Status != http.StatusBadRequest || got.to != nil {
		t.Errorf("another loopback path: %d to %v", got.Status, got.to)
	}
}

// O3, O5, O7, O20: what the authorization endpoint refuses it says to the client, with
// the state and the issuer.
func TestAuthorizationRefusesWithRegisteredCodes(t *testing.T) {
	attacktest.Rows(t, 52, 53, 60, 61, 66)
	w := newWorld(t)
	for what, test := range map[string]struct {
		change func(url.Values)
		code   string
	}{
		"no challenge":      {func(v url.Values) { v.Del("code_challenge") }, "invalid_request"},
		"a plain challenge": {func(v url.Values) { v.Set("code_challenge_method", "plain") }, "invalid_request"},
		"no method":         {func(v url.Values) { v.Del("code_challenge_method") }, "invalid_request"},
		"implicit":          {func(v url.Values) { v.Set("response_type", "token") }, "unsupported_response_type"},
		"hybrid":            {func(v url.Values) { v.Set("response_type", "code id_token") }, "unsupported_response_type"},
		"a scope of nobody": {func(v url.Values) { v.Set("scope", "root") }, "invalid_scope"},
		"another resource":  {func(v url.Values) { v.Set("resource", "https://evil.example/") }, "invalid_target"},
		"without asking":    {func(v url.Values) { v.Set("prompt", "none"); v.Set("scope", "openid") }, "login_required"},
	} {
		query := person.Asking("web", "orders:read")
		test.change(query)
		got := w.get("/authorize", query)
		if got.to == nil || got.to.Host != person.Host {
			t.Errorf("%s: %d to %v", what, got.Status, got.to)
			continue
		}
		sent := got.to.Query()
		if got.error != test.code || sent.Get("iss") != w.URL || sent.Get("state") != "s" || sent.Has("code") || got.Status == http.StatusTemporaryRedirect {
			t.Errorf("%s: %d to %v, want %s", what, got.Status, got.to, test.code)
		}
	}
	twice := person.Asking("web", "orders:read")
	twice.Add("scope", "orders:write")
	if got := w.get("/authorize", twice); got.Status != http.StatusBadRequest || got.to != nil {
		t.Errorf("a parameter twice: %d to %v", got.Status, got.to)
	}
	unknown := person.Asking("web", "orders:read")
	unknown.Set("colour", "red")
	if got := w.get("/authorize", unknown); got.Status != http.StatusOK {
		t.Errorf("a parameter that nobody knows: %d %s", got.Status, got.Body)
	}
}

// O8, O9, O11: what browsers are told.
func TestPagesAreForBrowsersOnly(t *testing.T) {
	attacktest.Rows(t, 62, 68)
	w := newWorld(t)
	ask := func(method, path, origin string, header ...string) seen {
		r, err := http.NewRequest(method, w.URL+path, nil)
		if err == nil {
			r.Header.Set("Origin", origin)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
		}
		return w.did(r, err)
	}
	page := ask("GET", "/authorize?"+person.Asking("web", "orders:read").Encode(), "https://spa.example")
	if page.Status != http.StatusOK || page.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the page for scripts of others: %d %v", page.Status, page.Header)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("the page's policy: %s", csp)
	}
	if page.Header.Get("Cache-Control") != "no-store" || !strings.Contains("no-referrer same-origin", page.Header.Get("Referrer-Policy")) {
		t.Errorf("the page's header: %v", page.Header)
	}
	for _, c := range cookies(page.Answer) {
		if !c.Secure || !c.HttpOnly || !strings.HasPrefix(c.Name, "__Host-") {
			t.Errorf("cookie %s", c.Name)
		}
	}
	wanted := []string{"Access-Control-Request-Method", "POST"}
	if a := ask("OPTIONS", "/token", "https://spa.example", wanted...); a.Header.Get("Access-Control-Allow-Origin") != "https://spa.example" {
		t.Errorf("scripts that are named may not ask for tokens: %d %v", a.Status, a.Header)
	}
	if a := ask("OPTIONS", "/token", "https://evil.example", wanted...); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("scripts of others may ask for tokens: %v", a.Header)
	}
	if a := ask("OPTIONS", "/authorize", "https://spa.example", "Access-Control-Request-Method", "GET"); a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("scripts may read what people see: %v", a.Header)
	}
	p := person.New(w.Client().Transport)
	follow := p.HTTP.CheckRedirect
	p.HTTP.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.Response.StatusCode != http.StatusSeeOther {
			t.Errorf("sent on with %d", r.Response.StatusCode)
		}
		return follow(r, via)
	}
	if _, err := p.Code(w.URL+"/authorize?"+person.Asking("web", "orders:read").Encode(), ann, password); err != nil {
		t.Error(err)
	}
}

// O3, O4: a code is for its client, its address and its verifier, once.
func TestCodeIsForWhoAskedForIt(t *testing.T) {
	attacktest.Rows(t, 49, 50, 51)
	w := newWorld(t)
	for what, test := range map[string]struct {
		as     string
		change func(url.Values)
		code   string
	}{
		"another client":   {"other", func(url.Values) {}, "invalid_grant"},
		"another address":  {"web", func(v url.Values) { v.Set("redirect_uri", person.Back+"2") }, "invalid_grant"},
		"no verifier":      {"web", func(v url.Values) { v.Del("code_verifier") }, "invalid_grant"},
		"another verifier": {"web", func(v url.Values) { v.Set("code_verifier", strings.Repeat("x", 43)) }, "invalid_grant"},
	} {
		form := person.Redeeming(w.code("web", "orders:read"))
		test.change(form)
		w.refuses(what, w.post("/token", test.as, form), http.StatusBadRequest, test.code)
	}
	form := person.Redeeming(w.code("web", "orders:read"))
	first := w.tokens("web", form)
	if got := w.Call("/v1/orders/7", first["access_token"]); got != http.StatusOK {
		t.Errorf("the token: %d", got)
	}
	w.refuses("a second time", w.post("/token", "web", form), http.StatusBadRequest, "invalid_grant")
	if got := w.Call("/v1/orders/7", first["access_token"]); got != http.StatusUnauthorized {
		t.Errorf("the token of a code that came twice: %d", got)
	}
}

// O6: a refresh token is for its client, for no more than was allowed, and once.
func TestRefreshTokenIsForItsClient(t *testing.T) {
	attacktest.Rows(t, 53, 54, 55)
	w := newWorld(t)
	again := func(token any, scope ...string) url.Values {
		text, _ := token.(string)
		w.Plant(text)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}}
		if scope != nil {
			form["scope"] = scope
		}
		return form
	}
	grant := func() any {
		return w.tokens("web", person.Redeeming(w.code("web", "openid offline_access orders:read")))["refresh_token"]
	}
	w.refuses("another client", w.post("/token", "other", again(grant())), http.StatusBadRequest, "invalid_grant")
	w.refuses("more than was allowed", w.post("/token", "web", again(grant(), "orders:read orders:write")), http.StatusBadRequest, "invalid_scope")
	old := grant()
	next := w.tokens("web", again(old, "orders:read"))
	if next["scope"] != "orders:read" || next["refresh_token"] == old {
		t.Errorf("%v", next)
	}
	w.refuses("one that was replaced", w.post("/token", "web", again(old)), http.StatusBadRequest, "invalid_grant")
	w.refuses("the newest of a family that was revoked", w.post("/token", "web", again(next["refresh_token"])), http.StatusBadRequest, "invalid_grant")
}

// O5, O17, O20: the endpoints of clients.
func TestClientEndpointsRefuseWithRegisteredCodes(t *testing.T) {
	attacktest.Rows(t, 52, 57, 64, 65)
	w := newWorld(t)
	for what, test := range map[string]struct {
		path, as string
		form     url.Values
		status   int
		code     string
	}{
		"a password":             {"/token", "web", url.Values{"grant_type": {"password"}, "username": {ann}, "password": {password}}, 400, "unsupported_grant_type"},
		"a parameter twice":      {"/token", "machine", url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request"},
		"a scope of others":      {"/token", "machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"stock:read"}}, 400, "invalid_scope"},
		"nobody asks":            {"/token", "", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		"nobody introspects":     {"/introspect", "", url.Values{"token": {"x"}}, 401, "invalid_client"},
		"nobody revokes":         {"/revoke", "", url.Values{"token": {"x"}}, 401, "invalid_client"},
		"nobody pushes":          {"/par", "", person.Asking("web", "orders:read"), 401, "invalid_client"},
		"a push in a push":       {"/par", "web", url.Values{"request_uri": {"urn:x"}}, 400, "invalid_request"},
		"a push to elsewhere":    {"/par", "web", url.Values{"response_type": {"code"}, "redirect_uri": {"https://evil.example"}}, 400, "invalid_request"},
		"a device of nobody":     {"/device_authorization", "", url.Values{}, 401, "invalid_client"},
		"a device without leave": {"/device_authorization", "machine", url.Values{}, 400, "unauthorized_client"},
	} {
		w.refuses(what, w.post(test.path, test.as, test.form), test.status, test.code)
	}
	if got := w.post("/revoke", "web", url.Values{"token": {"of nobody"}}); got.Status != http.StatusOK {
		t.Errorf("an unknown token is not revoked quietly: %d %s", got.Status, got.Body)
	}
	mine := w.tokens("machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})
	token, _ := mine["access_token"].(string)
	w.Plant(token)
	told, _ := w.Post("/introspect", "orders", url.Values{"token": {token}})
	if told["active"] != true || told["client_id"] != "machine" {
		t.Errorf("the API that the token is for is told %v", told)
	}
	if told, status := w.Post("/introspect", "other", url.Values{"token": {token}}); status != http.StatusOK || len(told) != 1 || told["active"] != false {
		t.Errorf("a stranger is told %d %v", status, told)
	}
}

// O12, O15: a token is for its API, and comes in the header.
func TestTokenIsForItsAPI(t *testing.T) {
	attacktest.Rows(t, 31, 47)
	w := newWorld(t)
	token := w.tokens("machine", url.Values{"grant_type": {"client_credentials"}, "scope": {"orders:read"}})["access_token"]
	text, _ := token.(string)
	w.Plant(text)
	for path, want := range map[string]int{"/v1/orders/7": http.StatusOK, "/v1/stock/7": http.StatusUnauthorized} {
		if got := w.Call(path, token); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if got := w.did(http.NewRequest(http.MethodGet, w.URL+"/v1/orders/7?access_token="+text, nil)); got.Status < 400 {
		t.Errorf("a token in the address: %d", got.Status)
	}
	r, err := http.NewRequest(http.MethodPut, w.URL+"/v1/orders/7", nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	got := w.did(r, err)
	if challenge := got.Header.Get("WWW-Authenticate"); got.Status != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope"`) || !strings.Contains(challenge, "orders:write") {
		t.Errorf("too narrow a token: %d %s", got.Status, challenge)
	}
}

// O10: whoever registers himself does not choose his name.
func TestRegistrationChoosesTheName(t *testing.T) {
	attacktest.Rows(t, 67)
	w := newWorld(t)
	r, err := http.NewRequest(http.MethodPost, w.URL+"/register", strings.NewReader(`{"client_id":"ann","redirect_uris":["https://web.example/cb"]}`))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if got := w.did(r, err); got.Status != http.StatusUnauthorized || got.error != "invalid_token" {
		t.Errorf("without an initial access token: %d %q", got.Status, got.error)
	}
}

// O18: the metadata say what is, at the paths of RFC 8414 and OpenID Connect.
func TestMetadataSayWhatIs(t *testing.T) {
	attacktest.Rows(t, 61)
	w := newWorld(t)
	for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		said := w.document(path)
		if said["issuer"] != w.URL || said["authorization_response_iss_parameter_supported"] != true {
			t.Errorf("%s: %v", path, said)
		}
		for name, value := range said {
			text, ok := value.(string)
			if ok && strings.HasSuffix(name, "_endpoint") && !strings.HasPrefix(text, w.URL+"/") {
				t.Errorf("%s: %s is %s", path, name, text)
			}
		}
		for name, never := range map[string][]string{
			"grant_types_supported": {"password", "implicit"}, "response_types_supported": {"token", "id_token"},
			"code_challenge_methods_supported": {"plain"}, "token_endpoint_auth_signing_alg_values_supported": {"none", "HS256"},
		} {
			list, _ := said[name].([]any)
			for _, one := range never {
				if slices.Contains(list, any(one)) {
					t.Errorf("%s: %s holds %s", path, name, one)
				}
			}
		}
	}
}

func (w *world) document(path string) map[string]any {
	w.t.Helper()
	all, status := w.fetch(path)
	if status != http.StatusOK {
		w.t.Fatalf("%s: %d", path, status)
	}
	return all
}
