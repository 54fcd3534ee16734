package pavise_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
)

func secretPaths(t testing.TB, events audit.Sink) *pavise.Guard {
	t.Helper()
	endpoint := func(pattern string) pavise.Endpoint {
		return pavise.Endpoint{Pattern: pattern, Shield: says{id: shop()}, AnyScope: true}
	}
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.test"}, {Name: "plain.test"}},
		Sink:  events,
		APIs: []pavise.API{
			{Name: "accounts", Hosts: []string{"api.test"}, Origins: []string{"https://app.test"}, Endpoints: []pavise.Endpoint{
				endpoint("GET /reset/{token}"), endpoint("POST /reset/{resetToken}/confirm"), endpoint("GET /share/{id}/{link_secret...}"),
				endpoint("GET /keys/{key_id}"), endpoint("POST /users:invite/{CODE}"), endpoint("GET /caf%C3%A9/{id}"),
			}},
			{Name: "orders", Hosts: []string{"plain.test"}, Endpoints: []pavise.Endpoint{endpoint("GET /v1/orders/{id}")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// logged sends a request through the guard and returns its event.
func logged(t interface{ Fatalf(string, ...any) }, guard *pavise.Guard, events *sink, method, host, path, query string, header http.Header) audit.Event {
	r := httptest.NewRequest(http.MethodGet, "http://"+host+"/", nil)
	r.Method = method
	if plain, err := url.PathUnescape(path); err == nil {
		r.URL.Path, r.URL.RawPath = plain, path
	} else {
		r.URL.Path, r.URL.RawPath = path, ""
	}
	r.URL.RawQuery, r.RequestURI = query, path
	if header != nil {
		r.Header = header
	}
	events.events = nil
	guard.Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	if len(events.events) != 1 {
		t.Fatalf("%d events", len(events.events))
	}
	return events.events[0]
}

func TestSecretsInPathsAreMasked(t *testing.T) {
	attacktest.Rows(t, 144)
	attacktest.Requirements(t, "16.2.5")
	events := &sink{}
	guard := secretPaths(t, events)
	for _, c := range []struct{ method, host, path, query, wantPath, wantQuery string }{
		{"GET", "api.test", "/reset/hunter!secret%40pw", "", "/reset/*", ""},
		{"GET", "api.test", "/reset/reset", "", "/reset/*", ""},
		{"DELETE", "api.test", "/reset/hunter%21", "", "/reset/*", ""},
		{"OPTIONS", "api.test", "/reset/hunter!", "", "/reset/*", ""},
		{"POST", "api.test", "/reset/hunter!/confirm", "", "/reset/*/confirm", ""},
		{"GET", "api.test", "/reset/hunter!/confrim", "", "/reset/*/*", ""},
		{"GET", "api.test", "/share/7/hunter!/a/b", "", "/share/7/*/*/*", ""},
		{"GET", "api.test", "/share/7/", "", "/share/7/*", ""},
		{"GET", "api.test", "/keys/k7", "", "/keys/k7", ""},
		{"POST", "api.test", "/users:invite/hunter", "", "/users:invite/*", ""},
		{"POST", "api.test", "/users%3Ainvite/hunter", "", "/users%3Ainvite/*", ""},
		{"GET", "api.test", "/wp-admin/hunter", "", "/*/*", ""},
		{"GET", "api.test", "/%72eset/hunter", "", "/*/*", ""},
		{"GET", "api.test", "//reset//hunter", "", "//reset//*", ""},
		{"GET", "api.test", "/reset%2fhunter", "", "/*", ""},
		{"GET", "api.test", "/reset/hunter", "a=1;hunter", "/reset/*", "a=*"},
		{"GET", "evil.test", "/reset/hunter", "", "/reset/*", ""},
		{"GET", "plain.test", "/wp-admin/setup.php", "", "/wp-admin/setup.php", ""},
		{"GET", "plain.test", "/v1/orders/7", "a=1&b[]=2&hunter&hunter==&%61=1&h%75nter!=1&=3", "/v1/orders/7", "a=*&b[]=*&*&*&a=*&*=*&=*"},
		{"GET", "plain.test", "/v1/orders/pvs%5Flive_abcdefgh", "", "/v1/orders/*", ""},
		{"GET", "plain.test", "/" + strings.Repeat("a/", 511) + "a1B2c3D4e5F6g7H8i9J0k1L2", "", "/" + strings.Repeat("a/", 511) + "…", ""},
	} {
		e := logged(t, guard, events, c.method, c.host, c.path, c.query, http.Header{"Origin": {"https://app.test"}, "Access-Control-Request-Method": {"GET"}})
		if e.Path != c.wantPath || e.Query != c.wantQuery {
			t.Errorf("%s %s%s?%s: logged %s?%s, want %s?%s", c.method, c.host, c.path, c.query, e.Path, e.Query, c.wantPath, c.wantQuery)
		}
	}
}

func TestNoSpellingOfASecretIsLogged(t *testing.T) {
	attacktest.Rows(t, 144)
	events := &sink{}
	guard := secretPaths(t, events)
	rapid.Check(t, func(t *rapid.T) {
		const marker = "hunter" // is in every secret, in one spelling or another
		secret := marker + rapid.StringMatching(`[!$&'()*+,=:@a-zA-Z0-9 ~_-]{0,30}`).Draw(t, "secret")
		spelled := ""
		for i := range len(secret) {
			c := secret[i]
			switch {
			case c == ' ' || rapid.IntRange(0, 3).Draw(t, "escape") == 0:
				spelled += fmt.Sprintf(rapid.SampledFrom([]string{"%%%02x", "%%%02X"}).Draw(t, "case"), c)
			default:
				spelled += string(c)
			}
		}
		path := rapid.SampledFrom([]string{
			"/reset/%s", "/reset/%s/", "/reset/%s/confirm", "/reset/%s/other", "//reset/%s", "/reset/./%s", "/RESET/%s", "/%%72eset/%s", "/share/7/%s",
			"/share/7/a/%s/b", "/share/%%ff/%s", "/other/%s", "/%s", "/reset;%s", "/reset%%2f%s", "/users:invite/%s", "/keys/a/%s",
		}).Draw(t, "path")
		query := rapid.SampledFrom([]string{"", "%s", "%s=", "%s==", "a=%s", "a=1&%s", "a=1;%s", "a;%s=1", "a=%%zz%s"}).Draw(t, "query")
		method := rapid.SampledFrom([]string{"GET", "POST", "DELETE", "OPTIONS", "TRACE", "get"}).Draw(t, "method")
		host := rapid.SampledFrom([]string{"api.test", "evil.test", "api.test:0", "api.test."}).Draw(t, "host")
		if query != "" {
			query = fmt.Sprintf(query, strings.ReplaceAll(spelled, "=", "%3D")) // raw, it ends a name
		}
		e := logged(t, guard, events, method, host, fmt.Sprintf(path, spelled), query, nil)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{spelled, url.PathEscape(secret), url.QueryEscape(secret), marker} {
			if strings.Contains(string(text), form) || strings.Contains(e.Path+e.Query+e.Detail, form) {
				t.Fatalf("%s %s %s?%s: the event holds %q: %s", method, host, fmt.Sprintf(path, spelled), query, form, text)
			}
		}
		if plain := e.Path + "?" + e.Query; strings.Contains(strings.ToLower(unescaped(plain)), marker) {
			t.Fatalf("the event holds the secret in another spelling: %s", plain)
		}
	})
}

func TestLiteralsHaveOneSpelling(t *testing.T) {
	attacktest.Rows(t, 107, 129)
	events := &sink{}
	guard := secretPaths(t, events)
	for path, want := range map[string]string{
		"/users:invite/7": "", "/users%3Ainvite/7": "invalid_path", "/users%3ainvite/7": "invalid_path", "/users:invite/a%3Ab": "", "/users:invite/%c3%a9": "",
	} {
		if e := logged(t, guard, events, "POST", "api.test", path, "", nil); e.Code != want {
			t.Errorf("%s: %q at %s, want %q", path, e.Code, e.Step, want)
		}
	}
	for path, want := range map[string]string{"/caf%C3%A9/7": "", "/caf%c3%a9/7": "invalid_path", "/caf%C3%a9/7": "invalid_path"} {
		if e := logged(t, guard, events, "GET", "api.test", path, "", nil); e.Code != want {
			t.Errorf("%s: %q at %s, want %q", path, e.Code, e.Step, want)
		}
	}
}

// Every byte that may be escaped has one spelling in a literal; where it has two in
// a wildcard, both give the same value to policies and the sent bytes to the handler.
func TestEveryByteHasOneSpellingOrOneMeaning(t *testing.T) {
	attacktest.Rows(t, 107)
	const either = "!$&'()*+,=:@" // RFC 3986 §2.2; the semicolon is refused in both
	for c := range 128 {
		raw, escaped := "/files/a"+string(rune(c))+"b", fmt.Sprintf("/files/a%%%02Xb", c)
		accepted := map[string]string{}
		for _, path := range []string{raw, escaped, strings.ToLower(escaped)} {
			events, value := &sink{}, ""
			guard := one(t, events, says{id: shop()}, nil)
			r := get("/")
			r.URL.Path, r.URL.RawPath, r.RequestURI = unescapedOr(path), path, path
			guard.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { value = r.PathValue("path") })).ServeHTTP(httptest.NewRecorder(), r)
			if events.only(t).Decision == audit.Accepted {
				accepted[path] = value
			}
		}
		_, rawToo := accepted[raw]
		_, escapedToo := accepted[escaped]
		if both := rawToo && escapedToo && c != '%'; both != strings.ContainsRune(either, rune(c)) {
			t.Errorf("%q: raw accepted %v, escaped %v", rune(c), rawToo, escapedToo)
		}
		for path, value := range accepted {
			if c != '/' && value != "a"+string(rune(c))+"b" {
				t.Errorf("%s was read as %q", path, value)
			}
		}
	}
}

func unescapedOr(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}
