package oauth

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
)

// Addresses of the server, by who asks them.
var (
	ofClients = []string{"/token", "/par", "/introspect", "/revoke", "/device_authorization"}
	ofPeople  = []string{
		"/authorize", "/authorize/of-nobody", "/device", "/device/of-nobody", "/end-session", "/end-session/of-nobody",
		"/sign-out", "/sign-in/corp/callback", "/sign-in/return", "/account", "/account/connect", "/account/assets/none.css",
	}
	ofPrograms = []string{"/userinfo", "/jwks", "/register", "/register/of-nobody", "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}
)

// mangled returns requests that no client would send, by what is wrong with them. Each is
// made of a request that is sent to every address.
func mangled(form string) map[string]func(*http.Request) {
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	query := func(raw string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = raw } }
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	return map[string]func(*http.Request){
		"nothing":                body(""),
		"a broken escape":        body(form + "&a=%zz"),
		"a zero byte":            body(form + "&a=%00"),
		"bytes that are no text": body(form + "&a=\xff\xfe&\xc0=%ff"),
		"a parameter twice":      body(form + "&client_id=web&client_id=other"),
		"a long value":           body(form + "&a=" + strings.Repeat("x", 70<<10)),
		"many parameters":        body(form + strings.Repeat("&a=b", 20_000)),
		"semicolons":             body(strings.ReplaceAll(form, "&", ";")),
		"only an equals sign":    body("="),
		"no type":                func(r *http.Request) { r.Header.Del("Content-Type") },
		"two types":              header("Content-Type", "application/x-www-form-urlencoded", "application/json"),
		"JSON": func(r *http.Request) {
			header("Content-Type", "application/json")(r)
			body(`{"grant_type":"client_credentials"`)(r)
		},
		"deep JSON": func(r *http.Request) {
			header("Content-Type", "application/json")(r)
			body(strings.Repeat("[", 60_000))(r)
		},
		"JSON that is no object":   func(r *http.Request) { header("Content-Type", "application/json")(r); body(`["redirect_uris"]`)(r) },
		"a multipart form":         header("Content-Type", "multipart/form-data; boundary=x"),
		"a broken type":            header("Content-Type", ";;;"),
		"a query":                  query(form),
		"a broken query":           query("a=%zz"),
		"a query with a zero byte": query("a=%00"),
		"a long query":             query("state=" + strings.Repeat("x", 4000)),
		"Basic without content":    header("Authorization", "Basic"),
		"Basic that is no Base64":  header("Authorization", "Basic !!!"),
		"Basic without a colon":    header("Authorization", basic("web")),
		"Basic with broken escape": header("Authorization", basic("%zz:%zz")),
		"Basic with zero bytes":    header("Authorization", basic("web\x00:\x00")),
		"Basic of a long name":     header("Authorization", basic(strings.Repeat("w", 5000)+":x")),
		"two Authorizations":       header("Authorization", basic("web:x"), basic("other:x")),
		"an empty bearer":          header("Authorization", "Bearer "),
		"a bearer of dots":         header("Authorization", "Bearer ..."),
		"a bearer without a key":   header("Authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
		"DPoP without a proof":     header("Authorization", "DPoP x"),
		"a proof that is none":     header("Dpop", "x"),
		"two proofs":               header("Dpop", "x", "y"),
		"an assertion of dots":     body(form + "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=.."),
		"an assertion of nothing":  body(form + "&client_assertion_type=&client_assertion="),
		"an assertion unsigned":    body(form + "&client_assertion_type=x&client_assertion=eyJhbGciOiJub25lIn0.eyJpc3MiOiJ3ZWIifQ."),
		"cookies that are none":    header("Cookie", "__Host-pavise_session=\xff; __Host-pavise_session=x; a"),
		"another origin":           header("Origin", "https://evil.example"),
		"an origin that is null":   header("Origin", "null"),
		"every language":           header("Accept-Language", strings.Repeat("de;q=0.1,", 500)),
	}
}

// Whatever is sent, what comes back has a registered code or is a page, is not the server's
// fault, and leads to nobody who is not registered; and one event tells of it.
func TestMalformedRequestsAreAnsweredWithRegisteredCodes(t *testing.T) {
	attacktest.Rows(t, 48, 52)
	good := person.Asking("web", "orders:read")
	good.Set("grant_type", "client_credentials")
	good.Set("token", "x")
	for _, path := range slices.Concat(ofClients, ofPeople, ofPrograms) {
		t.Run(strings.Trim(strings.ReplaceAll(path, "/", "-"), "-"), func(t *testing.T) {
			w := worldWith(t, path)
			for what, mangle := range mangled(good.Encode()) {
				for _, method := range []string{http.MethodPost, http.MethodGet} {
					w.mangled(method, path, what, good, mangle)
				}
			}
			for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions, "PROPFIND"} {
				w.mangled(method, path, method, good, func(*http.Request) {})
			}
		})
	}
}

// worldWith is a world that has an address: where people come back from elsewhere there has
// to be an elsewhere.
func worldWith(t *testing.T, path string) *world {
	t.Helper()
	switch path {
	case "/sign-in/return":
		return startPage(t).world
	case "/sign-in/corp/callback":
		return worldOf(t, strings.Replace(worldYAML, "registration: true", `registration: true, sign_in: {providers: {corp: {issuer: "https://login.corp.example", client_id: pavise}}}`, 1))
	}
	return newWorld(t)
}

func (w *world) mangled(method, path, what string, form url.Values, mangle func(*http.Request)) {
	w.t.Helper()
	r, err := http.NewRequest(method, w.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if slices.Contains(ofClients, path) {
		r.SetBasicAuth("web", w.Secrets["web"])
	}
	if method == http.MethodGet || method == http.MethodHead {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	mangle(r)
	w.Advance(time.Second) // not to be told to wait
	got := w.did(r, nil)
	if got.Status == http.StatusTooManyRequests || got.Status == http.StatusNotFound && !strings.HasSuffix(path, ".css") && !strings.HasSuffix(path, "-nobody") {
		w.t.Errorf("%s %s, %s: %d: nothing was tried", method, path, what, got.Status)
	}
	media := got.Header.Get("Content-Type")
	switch {
	case got.Status == http.StatusNotFound && strings.HasSuffix(path, ".css"):
	case got.Status < 400, method == http.MethodHead, strings.HasPrefix(media, "text/html"):
	case media == "application/problem+json" && got.Code != "": // the guard's own
	case media == "application/json" && slices.Contains(registered, got.error):
	default:
		w.t.Errorf("%s %s, %s: %d %s %.200s", method, path, what, got.Status, media, got.Body)
	}
}
