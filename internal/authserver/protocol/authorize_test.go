package protocol_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/protocol"
)

func TestAnswerGoesToRegisteredAddressesOnly(t *testing.T) {
	attacktest.Rows(t, 48)
	w := newWorld(t)
	for _, redirect := range []string{
		"https://shop.example/cb/", "https://shop.example/cb?x=1", "https://shop.example/cb#x", "https://shop.example/CB",
		"https://SHOP.example/cb", "https://shop.example/cb/../evil", "https://shop.example/x/../cb", "https://shop.example:443/cb",
		"http://shop.example/cb", "https://evil@shop.example/cb", "https://shop.example.evil.example/cb", "https://evil.example/cb",
		"https://shop.example/cb%2f", "https://shop。example/cb", "//shop.example/cb", "javascript:alert(1)", "https://127.0.0.1/cb", "",
	} {
		query := w.asking("shop")
		query.Set("redirect_uri", redirect)
		if redirect == "" {
			query.Del("redirect_uri")
		}
		if a := w.get("/authorize", query); a.location != nil || a.status != http.StatusBadRequest || !strings.HasPrefix(a.text, "error page") {
			t.Errorf("%q: %d to %v", redirect, a.status, a.location)
		}
	}
	if a := w.get("/authorize", w.asking("shop")); a.status != http.StatusSeeOther || !strings.HasPrefix(a.location.String(), "https://shop.example/cb?") {
		t.Errorf("the registered address: %d to %v", a.status, a.location)
	}
	native := w.asking("app")
	native.Set("redirect_uri", "http://127.0.0.1:49152/cb")
	if a := w.get("/authorize", native); a.location == nil || a.location.Host != "127.0.0.1:49152" {
		t.Errorf("a loopback address with a port: %d to %v", a.status, a.location)
	}
	native.Set("redirect_uri", "http://127.0.0.1:49152/other")
	if a := w.get("/authorize", native); a.location != nil {
		t.Errorf("another path of a loopback address: %v", a.location)
	}
	web := w.asking("shop")
	web.Set("client_id", "nobody")
	if a := w.get("/authorize", web); a.location != nil || a.status != http.StatusBadRequest {
		t.Errorf("an unknown client: %d to %v", a.status, a.location)
	}
}

func TestAnswersNameTheirIssuer(t *testing.T) {
	attacktest.Rows(t, 60)
	w := newWorld(t)
	good := w.get("/authorize", w.asking("shop")).location.Query()
	if good.Get("iss") != w.server.URL || good.Get("state") != "s1" || good.Get("code") == "" {
		t.Errorf("%v", good)
	}
	w.people = people.Answer{State: people.Refused}
	if no := w.get("/authorize", w.asking("shop")).location.Query(); no.Get("error") != "access_denied" || no.Get("iss") != w.server.URL || no.Get("state") != "s1" || no.Has("code") {
		t.Errorf("%v", no)
	}
}

func TestAuthorizationRefusesWithRegisteredCodes(t *testing.T) {
	attacktest.Rows(t, 52, 53, 61, 66, 68)
	w := newWorld(t)
	for what, test := range map[string]struct {
		change func(url.Values)
		code   string // sent to the client; "page": an error page
	}{
		"implicit":         {func(v url.Values) { v.Set("response_type", "token") }, "unsupported_response_type"},
		"hybrid":           {func(v url.Values) { v.Set("response_type", "id_token token") }, "unsupported_response_type"},
		"code and token":   {func(v url.Values) { v.Set("response_type", "code token") }, "unsupported_response_type"},
		"no method":        {func(v url.Values) { v.Del("code_challenge_method") }, "invalid_request"}, // plain, then (RFC 7636 §4.3)
		"no response type": {func(v url.Values) { v.Del("response_type") }, "invalid_request"},
		"fragment":         {func(v url.Values) { v.Set("response_mode", "form_post") }, "invalid_request"},
		"a scope":          {func(v url.Values) { v.Set("scope", "root") }, "invalid_scope"},
		"a resource":       {func(v url.Values) { v.Set("resource", "https://evil.example") }, "invalid_target"},
		"twice":            {func(v url.Values) { v.Add("state", "s2") }, "page"},
		"a request object": {func(v url.Values) { v.Set("request", "eyJhbGciOiJub25lIn0..") }, "page"},
		"a request_uri":    {func(v url.Values) { v.Set("request_uri", "http://169.254.169.254/latest") }, "page"},
		"an unknown push":  {func(v url.Values) { v.Set("request_uri", "urn:ietf:params:oauth:request_uri:x") }, "page"},
	} {
		query := w.asking("shop")
		test.change(query)
		a := w.get("/authorize", query)
		switch {
		case test.code == "page":
			if a.location != nil || a.status != http.StatusBadRequest || !strings.HasPrefix(a.text, "error page") {
				t.Errorf("%s: %d to %v", what, a.status, a.location)
			}
		case a.location == nil || a.location.Query().Get("error") != test.code || a.location.Query().Has("code") || a.location.Fragment != "":
			t.Errorf("%s: %d %s to %v", what, a.status, a.text, a.location)
		}
	}
	for state, code := range map[people.State]string{people.NeedsLogin: "login_required", people.NeedsConsent: "consent_required"} {
		w.people.State = state
		if a := w.get("/authorize", w.asking("shop")); a.location == nil || a.location.Query().Get("error") != code {
			t.Errorf("%s: %v", code, a.location)
		}
	}
}

func TestAPersonDecidesOnce(t *testing.T) {
	w := newWorld(t)
	w.people.State = people.Pending
	page := w.get("/authorize", w.asking("shop"))
	action, ok := strings.CutPrefix(page.text, "page ")
	if page.status != http.StatusOK || !ok {
		t.Fatalf("%d %s", page.status, page.text)
	}
	var codes, others atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			r, err := http.NewRequest(http.MethodPost, w.server.URL+action, strings.NewReader("allow=yes"))
			must(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if a := w.do(r); a.location != nil && a.location.Query().Has("code") {
				codes.Add(1)
			} else {
				others.Add(1)
			}
		})
	}
	all.Wait()
	if codes.Load() != 1 {
		t.Errorf("one decision made %d codes", codes.Load())
	}
}

func TestCodeEndsAfterAMinute(t *testing.T) {
	w := newWorld(t)
	code := w.code("shop")
	w.mu.Lock()
	w.now = w.now.Add(61 * time.Second)
	w.mu.Unlock()
	w.post("shop", "/token", w.redeeming("shop", code)).refused(t, "an old code", http.StatusBadRequest, "invalid_grant")
}

func TestPushedRequestIsUsedOnceByItsClient(t *testing.T) {
	attacktest.Rows(t, 59)
	w := newWorld(t)
	push := func(client string, change ...func(url.Values)) answer {
		form := w.asking(client)
		form.Del("client_id")
		for _, c := range change {
			c(form)
		}
		return w.post(client, "/par", form)
	}
	pushed := push("shop")
	uri, ok := pushed.json["request_uri"].(string)
	if pushed.status != http.StatusCreated || !ok {
		t.Fatalf("%d %s", pushed.status, pushed.text)
	}
	query := url.Values{"client_id": {"shop"}, "request_uri": {uri}, "scope": {"orders:write"}, "state": {"of the browser"}}
	a := w.get("/authorize", query)
	if a.location == nil || !a.location.Query().Has("code") || a.location.Query().Get("state") != "s1" {
		t.Fatalf("%d %s %v", a.status, a.text, a.location)
	}
	if got := claims(t, w.post("shop", "/token", w.redeeming("shop", a.location.Query().Get("code"))).token(t)); got["scope"] != "orders:read" {
		t.Errorf("the browser changed the pushed scope to %v", got["scope"])
	}
	if again := w.get("/authorize", query); again.location != nil || again.status != http.StatusBadRequest {
		t.Errorf("a second time: %d %v", again.status, again.location)
	}
	foreign, _ := push("shop").json["request_uri"].(string)
	if a := w.get("/authorize", url.Values{"client_id": {"other"}, "request_uri": {foreign}}); a.location != nil {
		t.Errorf("another client's: %v", a.location)
	}
	push("shop", func(v url.Values) { v.Set("request_uri", uri) }).refused(t, "a request_uri inside", http.StatusBadRequest, "invalid_request")
	push("shop", func(v url.Values) { v.Set("redirect_uri", "https://evil.example") }).refused(t, "another redirect", http.StatusBadRequest, "invalid_request")
	push("shop", func(v url.Values) { v.Del("code_challenge_method") }).refused(t, "a plain challenge by default", http.StatusBadRequest, "invalid_request")
	push("shop", func(v url.Values) { v.Set("request", "x") }).refused(t, "a request object", http.StatusBadRequest, "request_not_supported")
	if a := w.get("/par", w.asking("shop")); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.status)
	}
	late, _ := push("shop").json["request_uri"].(string)
	w.mu.Lock()
	w.now = w.now.Add(91 * time.Second)
	w.mu.Unlock()
	if a := w.get("/authorize", url.Values{"client_id": {"shop"}, "request_uri": {late}}); a.location != nil {
		t.Errorf("after its end: %v", a.location)
	}
}

func TestOneOfFiftyFetchesAPushedRequest(t *testing.T) {
	attacktest.Rows(t, 59)
	w := newWorld(t)
	form := w.asking("shop")
	uri, _ := w.post("shop", "/par", form).json["request_uri"].(string)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a := w.get("/authorize", url.Values{"client_id": {"shop"}, "request_uri": {uri}}); a.location != nil {
				won.Add(1)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of fifty used one pushed request", won.Load())
	}
}

func TestDeviceIsConnectedByItsPerson(t *testing.T) {
	attacktest.Rows(t, 63)
	w := newWorld(t)
	begun := w.post("shop", "/device_authorization", url.Values{"scope": {"orders:read"}})
	device, _ := begun.json["device_code"].(string)
	user, _ := begun.json["user_code"].(string)
	if begun.status != http.StatusOK || device == "" || len(user) != 9 || user[4] != '-' || begun.json["verification_uri"] != w.server.URL+"/device" {
		t.Fatalf("%d %s", begun.status, begun.text)
	}
	poll := func(client string) answer {
		return w.post(client, "/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {device}})
	}
	wait := func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now = w.now.Add(5 * time.Second)
	}
	poll("shop").refused(t, "before", http.StatusBadRequest, "authorization_pending")
	poll("shop").refused(t, "too fast", http.StatusBadRequest, "slow_down")
	wait()
	poll("other").refused(t, "another client", http.StatusBadRequest, "invalid_grant")
	enter := func(code string) answer {
		r, err := http.NewRequest(http.MethodPost, w.server.URL+"/device", strings.NewReader(url.Values{"user_code": {code}}.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return w.do(r)
	}
	if a := enter("BBBB-BBBB"); a.text != "wrong code" {
		t.Errorf("a wrong code: %d %s", a.status, a.text)
	}
	if a := enter(" " + strings.ToLower(strings.ReplaceAll(user, "-", " "))); a.text != "connected" {
		t.Fatalf("the code: %d %s", a.status, a.text)
	}
	wait()
	got := poll("shop")
	if claims(t, got.token(t))["sub"] != "person-1" || got.json["refresh_token"] == nil {
		t.Errorf("%s", got.text)
	}
	wait()
	poll("shop").refused(t, "a second time", http.StatusBadRequest, "invalid_grant")
}

// People are told how long access can last: with refresh tokens, until the grant ends.
func TestPeopleAreAskedForAllThatTheClientGets(t *testing.T) {
	w := newWorld(t)
	w.clients["once"] = &protocol.Client{ID: "once", Auth: protocol.AuthNone, Grants: []string{protocol.AuthorizationCode}, Redirects: []string{"https://once.example/cb"}, Scopes: []string{"orders:read"}}
	for _, c := range []struct {
		client, scope string
		offline       bool
		lifetime      time.Duration
	}{
		{"shop", "orders:read", true, 24 * time.Hour},
		{"shop", "", true, 24 * time.Hour},
		{"shop", "openid orders:read", false, 5 * time.Minute},
		{"shop", "openid offline_access orders:read", true, 24 * time.Hour},
		{"once", "orders:read", false, 5 * time.Minute},
	} {
		query := w.asking(c.client)
		query.Set("scope", c.scope)
		code := w.get("/authorize", query).location.Query().Get("code")
		asked := w.asked[len(w.asked)-1]
		if asked.Offline != c.offline || asked.Lifetime != c.lifetime {
			t.Errorf("%s, %q: away %v, for %s", c.client, c.scope, asked.Offline, asked.Lifetime)
		}
		tokens := w.post(c.client, "/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": query["redirect_uri"], "code_verifier": {verifier}})
		if _, got := tokens.json["refresh_token"]; got != c.offline || tokens.status != http.StatusOK {
			t.Errorf("%s, %q: %d, a refresh token %v", c.client, c.scope, tokens.status, got)
		}
	}
}

// OpenID Connect Core §3.1.2.1: what cannot be read is not taken for nothing.
func TestUnclearDemandsOnTheSignInAreRefused(t *testing.T) {
	attacktest.Rows(t, 52)
	w := newWorld(t)
	for _, test := range []struct{ name, value string }{
		{"max_age", ""},
		{"max_age", "x"},
		{"max_age", "-1"},
		{"max_age", "+1"},
		{"max_age", "1.5"},
		{"max_age", "9223372037"},
		{"max_age", "99999999999999999999"},
		{"prompt", "none login"},
		{"prompt", "create"},
	} {
		query := w.asking("shop")
		query.Set(test.name, test.value)
		a := w.get("/authorize", query)
		if a.location == nil || a.location.Host != "shop.example" || a.location.Query().Get("error") != "invalid_request" || a.location.Query().Get("state") != "s1" || a.location.Query().Has("code") {
			t.Errorf("%s=%s: %d to %v", test.name, test.value, a.status, a.location)
		}
		w.post("shop", "/par", query).refused(t, "pushed "+test.name+"="+test.value, http.StatusBadRequest, "invalid_request")
	}
	w.code("shop", func(v url.Values) { v.Set("max_age", "0"); v.Set("prompt", "login consent") })
	if asked := w.asked[len(w.asked)-1]; asked.MaxAge == nil || *asked.MaxAge != 0 || len(asked.Prompt) != 2 {
		t.Errorf("asked %+v", asked)
	}
}

func TestAnAPIIsNamedOnce(t *testing.T) {
	w := newWorld(t)
	token := w.post("shop", "/token", w.redeeming("shop", w.code("shop"))).token(t)
	if asked := w.asked[0].APIs; !slices.Equal(asked, []string{"orders"}) {
		t.Errorf("asked for %v", asked)
	}
	if aud := claims(t, token)["aud"]; len(aud.([]any)) != 1 {
		t.Errorf("aud %v", aud)
	}
}
