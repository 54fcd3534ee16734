package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// fieldsOf returns the fields of a request as it stood on the wire.
func fieldsOf(request string) http.Header {
	h := http.Header{}
	head, _, _ := strings.Cut(request, "\r\n\r\n")
	for i, text := range strings.Split(head, "\r\n") {
		if name, value, ok := strings.Cut(text, ": "); ok && i > 0 {
			h[name] = append(h[name], value)
		}
	}
	return h
}

func TestNothingOfIdentityAddressOrMethodComesFromOutside(t *testing.T) {
	attacktest.Rows(t, 79, 112, 122, 160)
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, PlainHeaders: map[string]string{"X-Shop-Client": "client"},
		Strip: func(*http.Request) []string { return []string{"X-Api-Key"} },
	}, false)
	for _, name := range []string{
		"Pavise-Identity", "Pavise-Client", "pavise-anything", "Client-Cert", "Client-Cert-Chain", "X-SSL-Client-Verify",
		"X-Ssl-Client-Dn", "X-Forwarded-Client-Cert", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host",
		"X-Forwarded-User", "Forwarded", "X-Real-IP", "X-User-Id", "X_User_Id", "X_REAL_IP", "X-User_Id", "Client_Cert", "Pavise_Identity",
		"X_Forwarded_For", "X.Real.Ip", "X-Shop-Client", "X_Shop_Client", "X-HTTP-Method-Override", "X-HTTP-Method",
		"X-Method-Override", "X_HTTP_Method_Override", "X-Original-URL", "X-Rewrite-Url", "Proxy", "X-Api-Key", "x-api-key", "X_Api_Key", "x.api.key",
		"True-Client-Ip", "Remote-User", "X-Request-Id", "Early-Data",
	} {
		f.ask("GET / HTTP/1.1\r\nHost: h\r\n" + name + ": planted\r\n\r\n")
		seen := up.requests()
		if got := seen[len(seen)-1]; strings.Contains(got, "planted") {
			t.Errorf("%s reached the upstream: %q", name, got)
		}
	}
	f.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Custom: a\r\nX-Custom: b\r\nCookie: c=d\r\nX-Users: all\r\nPaviseur: x\r\n\r\n")
	seen := up.requests()
	h := fieldsOf(seen[len(seen)-1])
	if !slices.Equal(h["X-Custom"], []string{"a", "b"}) || h["Cookie"] == nil || h["X-Users"] == nil || h["Paviseur"] == nil {
		t.Errorf("ordinary fields did not pass: %v", h)
	}
}

// Found on 2026-11-30: of the names under which products say who somebody is the first ones were removed and
// their sisters passed: X-Auth-Request-User, and not X-Auth-Request-Groups.
func TestNothingThatProductsSayOfIdentityComesFromOutside(t *testing.T) {
	attacktest.Rows(t, 79, 112, 122)
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	for name, product := range map[string]string{
		"Remote-Groups": "Authelia", "Remote-Email": "Authelia", "X-Remote-Group": "Kubernetes", "X-Remote-Extra-Scopes": "Kubernetes", "Impersonate-User": "Kubernetes",
		"X-Auth-Request-Groups": "oauth2-proxy", "X-Auth-Request-Preferred-Username": "oauth2-proxy", "X-Auth-Request-Access-Token": "oauth2-proxy",
		"X-Consumer-Groups": "Kong", "X-Authenticated-Groups": "Kong", "X-Anonymous-Consumer": "Kong", "X-Userinfo": "Kong",
		"X-WEBAUTH-USER": "Grafana", "X-WEBAUTH-ROLE": "Grafana", "X-authentik-username": "authentik", "X-Pomerium-Jwt-Assertion": "Pomerium",
		"X-Goog-Authenticated-User-Email": "Google IAP", "X-Goog-IAP-JWT-Assertion": "Google IAP", "X-AppEngine-Cron": "App Engine",
		"X-Amzn-Oidc-Identity": "Amazon ALB", "X-Amzn-Mtls-Clientcert-Subject": "Amazon ALB", "X-MS-CLIENT-PRINCIPAL": "Azure", "X-MS-CLIENT-PRINCIPAL-NAME": "Azure",
		"X-ARR-ClientCert": "Azure", "X-Azure-ClientIP": "Azure", "Cf-Access-Jwt-Assertion": "Cloudflare", "CF-Connecting-IPv6": "Cloudflare",
		"ssl-client-verify": "ingress-nginx", "Ssl-Client-Subject-Dn": "ingress-nginx", "X-Client-Cert-Dn": "HAProxy", "X-Tls-Client-Cert": "Traefik",
		"Shib-Session-Id": "Shibboleth", "OIDC_CLAIM_sub": "mod_auth_openidc", "X-JWT-Assertion": "WSO2", "X-User-Groups": "many", "X-Auth-User": "many",
		"X-Envoy-External-Address": "Envoy", "X-Envoy-Original-Path": "Envoy", "X-Original-Path": "many", "X-Rewrite-Uri": "many", "X-Override-URL": "many",
		"x-middleware-subrequest": "Next.js (CVE-2025-29927)", "X-Sendfile-Type": "Rack", "X-Accel-Mapping": "Rack", "X-HTTP-Host-Override": "many",
		"X-Forwarded": "many", "Forwarded-For": "many", "WL-Proxy-Client-IP": "WebLogic", "Fly-Client-IP": "Fly",
	} {
		f.ask("GET / HTTP/1.1\r\nHost: h\r\n" + name + ": planted\r\n\r\n")
		seen := up.requests()
		if got := seen[len(seen)-1]; strings.Contains(got, "planted") {
			t.Errorf("%s of %s reached the upstream: %q", name, product, got)
		}
	}
	const ordinary = "X-User-Agent: a\r\nX-Tenant-Id: b\r\nX-Amzn-Trace-Id: c\r\nX-Requested-With: d\r\nCf-Ray: e\r\nClient-Id: f\r\nX-Client-Id: g\r\nX-Goog-Api-Client: h\r\n"
	f.ask("GET / HTTP/1.1\r\nHost: h\r\n" + ordinary + "\r\n")
	seen := up.requests()
	h := fieldsOf(seen[len(seen)-1])
	for line := range strings.SplitSeq(strings.TrimSpace(ordinary), "\r\n") {
		if name, value, _ := strings.Cut(line, ": "); h.Get(name) != value {
			t.Errorf("%s did not pass: %v", name, h)
		}
	}
}

// Found on 2026-11-30: a service on the host of the authorization server got the cookie of whoever was signed
// in there, and could have put its own into the place.
func TestServicesNeitherGetNorSetTheCookiesOfOurPages(t *testing.T) {
	service := func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = []string{
			"shop=1; Secure", "__Host-pavise-session=theirs; Secure; Path=/", "=__Host-pavise-browser=theirs", "__Host-shop=2; Secure; Path=/",
		}
		w.Header().Set("X-Saw", fmt.Sprintf("%q", r.Header["Cookie"]))
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}
	everyWay(t, service, func(t *testing.T, w way, _ *front, client *http.Client) {
		for sent, want := range map[string]string{
			"a=b; __Host-pavise-session=secret; c=d; __Host-pavise-asked=x": `["a=b; c=d"]`,
			"__Host-pavise-browser=secret":                                  `[]`,
			"__Host-pavise-browser=secret;a=\"b;c\"":                        `["a=\"b; c\""]`,
			"a=b; c=d":                                                      `["a=b; c=d"]`,
		} {
			r, err := http.NewRequest(http.MethodGet, serverURL(client, w)+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", sent)
			hints := 0
			r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
				hints++
				if got := h["Set-Cookie"]; !slices.Equal(got, []string{"shop=1; Secure", "__Host-shop=2; Secure; Path=/"}) {
					t.Errorf("a hint sets %q", got)
				}
				return nil
			}}))
			answer, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if got := answer.Header.Get("X-Saw"); got != want {
				t.Errorf("of %q the service saw %s, want %s", sent, got, want)
			}
			if got := answer.Header["Set-Cookie"]; !slices.Equal(got, []string{"shop=1; Secure", "__Host-shop=2; Secure; Path=/"}) {
				t.Errorf("the answer sets %q", got)
			}
			if hints != 1 {
				t.Errorf("%d hints", hints)
			}
		}
	})
}

// Found on 2026-11-30: a service that never looks for the body of a GET takes it for a request that nobody has
// judged, and the answer to that is the next caller's ("CL.0").
func TestABodyOfGETIsNoNextRequest(t *testing.T) {
	attacktest.Rows(t, 114)
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		for n := 1; ; n++ {
			head, err := readHeadOnly(br)
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			if strings.Contains(head, "Connection: close\r\n") {
				return
			}
		}
	})
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	const smuggled = "GET /admin HTTP/1.1\r\nHost: h\r\nX-User-Id: root\r\n\r\n"
	for _, request := range []string{
		"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(smuggled)) + "\r\n\r\n" + smuggled,
		"GET /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(smuggled)), 16) + "\r\n" + smuggled + "\r\n0\r\n\r\n",
		"GET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /c HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		_, body := f.ask(request)
		if want := map[bool]string{true: "2", false: "1"}[strings.HasPrefix(request, "GET /c")]; body != want { // an ordinary connection is used again
			t.Errorf("%.6q was answered as number %q of its connection, want %s", request, body, want)
		}
	}
}

// A service of our own that calls others says what it wants; only the hop is ours.
func TestVerbatimPassesEverythingButTheHop(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Verbatim: true, RequestID: func(*http.Request) string { return "" }}, false)
	f.ask("GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: 7\r\nX-Request-Id: r\r\nForwarded: for=a\r\nPavise-Identity: t\r\nX-Hop: h\r\nConnection: X-Hop\r\nTe: gzip\r\nProxy-Authorization: p\r\n\r\n")
	seen := up.requests()
	h := fieldsOf(seen[len(seen)-1])
	for name, want := range map[string]string{"X-User-Id": "7", "X-Request-Id": "r", "Forwarded": "for=a", "Pavise-Identity": "t"} {
		if !slices.Equal(h[name], []string{want}) {
			t.Errorf("%s arrived as %q", name, h[name])
		}
	}
	for _, name := range []string{"X-Hop", "Connection", "Te", "Proxy-Authorization", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"} {
		if h[name] != nil {
			t.Errorf("%s arrived: %q", name, h[name])
		}
	}
}

func TestKeepsOutsideHeadersOnlyWhereAsked(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, InsecureKeepHeaders: []string{"X-User-Id", "Connection", "Pavise-Identity", "Transfer-Encoding"},
	}, false)
	f.ask("GET / HTTP/1.1\r\nHost: h\r\nX-User-Id: 7\r\nConnection: keep-alive\r\nPavise-Identity: forged\r\nX-Real-Ip: 1.2.3.4\r\n\r\n")
	h := fieldsOf(up.requests()[0])
	if h.Get("X-User-Id") != "7" || h["Connection"] != nil || h["Pavise-Identity"] != nil || h["X-Real-Ip"] != nil {
		t.Errorf("the upstream got %v", h)
	}
}

func TestHopByHopFieldsEndHere(t *testing.T) {
	attacktest.Rows(t, 121)
	up := scripted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: x-internal, keep-alive\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\n"+
		"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Kept: 2\r\n\r\nok")
	identity := &shield.Identity{Shield: "api_key", Client: "shop", CredentialID: "k1"}
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, Signer: signer(t), PlainHeaders: map[string]string{"X-Who": "client"},
		Identity: func(*http.Request) *shield.Identity { return identity },
	}, false)
	response, _ := f.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: x-drop, authorization, pavise-identity, x-who, x-request-id, x-forwarded-for, host, close\r\n" +
		"X-Drop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers, deflate\r\nProxy-Authorization: Basic eDp5\r\nX-Stay: 1\r\n\r\n")
	h := fieldsOf(up.requests()[0])
	for _, name := range []string{"X-Drop", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Upgrade"} {
		if h[name] != nil {
			t.Errorf("%s reached the upstream", name)
		}
	}
	for _, name := range []string{"X-Stay", "Pavise-Identity", "X-Who", "X-Request-Id", "X-Forwarded-For", "Host"} {
		if len(h[name]) != 1 {
			t.Errorf("%s stands %d times at the upstream", name, len(h[name]))
		}
	}
	if h.Get("Te") != "trailers" || h.Get("Connection") != "TE" {
		t.Errorf("TE %q, Connection %q", h.Get("Te"), h.Get("Connection"))
	}
	for _, name := range []string{"X-Internal", "Keep-Alive", "Proxy-Authenticate", "Upgrade"} {
		if response.Header[name] != nil {
			t.Errorf("%s reached the caller", name)
		}
	}
	if response.Header.Get("X-Kept") != "2" {
		t.Error("an end-to-end field did not reach the caller")
	}
}

func TestAddsNothingUndocumented(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	f.ask("DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n")
	var names []string
	for name := range fieldsOf(up.requests()[0]) {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"Forwarded", "Host", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id"}
	if !slices.Equal(names, want) {
		t.Errorf("the upstream got %v, want %v", names, want)
	}
}

func TestHostIsTheAddressUnlessKept(t *testing.T) {
	up := scripted(t, hello)
	for _, preserve := range []bool{false, true} {
		f := guardless(t, gateway.Settings{Addresses: []string{up.url}, PreserveHost: preserve}, false)
		f.ask("GET / HTTP/1.1\r\nHost: api.example.com:8443\r\n\r\n")
		seen := up.requests()
		want := strings.TrimPrefix(up.url, "http://")
		if preserve {
			want = "api.example.com:8443"
		}
		if got := fieldsOf(seen[len(seen)-1])["Host"]; !slices.Equal(got, []string{want}) {
			t.Errorf("preserve %v: host %q, want %q", preserve, got, want)
		}
	}
}

func TestViaIsAppendedWhereAsked(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}, Via: "pavise"}, false)
	f.ask("GET / HTTP/1.1\r\nHost: h\r\nVia: 1.0 cache\r\n\r\n")
	if got := fieldsOf(up.requests()[0])["Via"]; !slices.Equal(got, []string{"1.0 cache", "1.1 pavise"}) {
		t.Errorf("via %q", got)
	}
}

func TestTargetArrivesByteForByte(t *testing.T) {
	attacktest.Rows(t, 107)
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	for _, target := range []string{
		"/", "/?", "/a?b=c&d", "/a%20b", "/%E2%82%AC", "/a%2Fb", "/a+b", "/a;b=c", "/~x", "/%7Ex", "/a:b@c", "/a?x=%2F%3d&y=+", "/a?a[]=1",
		"/a?b?c", "/a!$&'()*,=", "/a?;", "/%41", "/a?=&&=",
	} {
		before := len(up.requests())
		response, _ := f.ask("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
		seen := up.requests()
		if response.StatusCode != 200 || len(seen) != before+1 || !strings.HasPrefix(seen[before], "GET "+target+" HTTP/1.1\r\n") {
			t.Errorf("%s: %d, arrived as %q", target, response.StatusCode, seen[before:])
		}
	}
	for _, target := range []string{"/a|b", "/a\"b", "/a{b}", "http://h/a", "/a^b"} {
		before := len(up.requests())
		response, _ := f.ask("GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n")
		if response.StatusCode != 400 || len(up.requests()) != before || f.refusal().Code != shield.BadPath {
			t.Errorf("%s was repaired and passed on: %d", target, response.StatusCode)
		}
	}
}

func TestBannersOfTheUpstreamStayThere(t *testing.T) {
	answer := "HTTP/1.1 302 Found\r\nServer: Apache/2.4.1\r\nX-Powered-By: PHP/5.1\r\nAlt-Svc: h3=\":443\"\r\nPavise-Identity: echoed\r\n" +
		"Location: https://elsewhere.example/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
	for _, keep := range []bool{false, true} {
		up := scripted(t, answer)
		f := guardless(t, gateway.Settings{Addresses: []string{up.url}, KeepBanners: keep}, false)
		response, _ := f.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		h := response.Header
		if response.StatusCode != 302 || h.Get("Location") != "https://elsewhere.example/" || len(h["Set-Cookie"]) != 2 {
			t.Errorf("the redirect did not pass as it was: %d %v", response.StatusCode, h)
		}
		if (h.Get("Server") != "") != keep || (h.Get("X-Powered-By") != "") != keep || h["Alt-Svc"] != nil || h["Pavise-Identity"] != nil {
			t.Errorf("keep %v: %v", keep, h)
		}
		if _, guessed := h["Content-Type"]; guessed {
			t.Error("a Content-Type was guessed")
		}
	}
}

func TestWhatTheGuardSaidPrevails(t *testing.T) {
	up := scripted(t, "HTTP/1.1 200 OK\r\nRatelimit: upstream\r\nVary: Accept\r\nContent-Length: 0\r\n\r\n")
	u, err := gateway.New(gateway.Settings{Name: "orders", Addresses: []string{up.url}})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	w := &sink{h: http.Header{"Ratelimit": {"guard"}, "Vary": {"Origin"}}}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.RequestURI, r.RemoteAddr = "/", "192.0.2.1:5"
	u.ServeHTTP(w, r)
	if !slices.Equal(w.h["Ratelimit"], []string{"guard"}) || !slices.Equal(w.h["Vary"], []string{"Origin", "Accept"}) {
		t.Errorf("%v", w.h)
	}
}

func TestInvalidAnswersAre502(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":                     "SSH-2.0-OpenSSH\r\n\r\n",
		"HTTP/2 preface":              "HTTP/2.0 200 OK\r\n\r\n",
		"status of two digits":        "HTTP/1.1 20 OK\r\n\r\n",
		"status beyond 599":           "HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n",
		"bare LF":                     "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"bare LF in the middle":       "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
		"folded field":                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"space before the colon":      "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
		"no colon":                    "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
		"bare CR in a value":          "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n",
		"NUL in a value":              "HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
		"two lengths":                 "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"length in a list":            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
		"signed length":               "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
		"length and chunks":           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"unknown coding":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunks twice":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks in HTTP/1.0":          "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"101 that nobody asked for":   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"endless informational":       strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100),
		"a head without end":          "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"too many fields":             "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 300) + "Content-Length: 0\r\n\r\n",
		"only half a head, then gone": "HTTP/1.1 200 OK\r\nConnection: close\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			up := scripted(t, answer)
			f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
			_, br := f.raw("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
			response, err := http.ReadResponse(br, nil)
			for err == nil && response.StatusCode == 102 {
				response, err = http.ReadResponse(br, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != 502 || f.refusal() == nil || f.refusal().Code != shield.UpstreamFailed {
				t.Errorf("%d, %v", response.StatusCode, f.refusal())
			}
			_ = response.Body.Close()
		})
	}
}

func TestDifficultButValidAnswersPass(t *testing.T) {
	for name, c := range map[string]struct{ answer, body string }{
		"no reason":             {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "ok"},
		"empty reason":          {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "ok"},
		"same length twice":     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", "ok"},
		"chunks with extension": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n", "ok"},
		"until the end":         {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "ok"},
		"HTTP/1.0":              {"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nok", "ok"},
		"early hints before":    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			up := scripted(t, c.answer)
			f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
			for range 2 {
				if response, body := f.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); response.StatusCode != 200 || body != c.body {
					t.Errorf("%d %q", response.StatusCode, body)
				}
			}
		})
	}
}

func TestBodilessAnswers(t *testing.T) {
	for _, c := range []struct {
		method, answer string
		conns          int // for two requests: where a body could still come, none is used twice
	}{
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 2},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 2},
		{"GET", "HTTP/1.1 204 No Content\r\n\r\n", 1},
		{"GET", "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n\r\n", 1},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 2},
		{"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 2},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1},
	} {
		t.Run(fmt.Sprintf("%s %.12s", c.method, c.answer[9:]), func(t *testing.T) {
			up := scripted(t, c.answer)
			f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
			for range 2 {
				if response, body := f.ask(c.method + " / HTTP/1.1\r\nHost: h\r\n\r\n"); body != "" || !strings.Contains(c.answer, fmt.Sprint(response.StatusCode)) {
					t.Errorf("%d %q", response.StatusCode, body)
				}
			}
			if up.accepted() != c.conns {
				t.Errorf("%d connections served both, want %d", up.accepted(), c.conns)
			}
		})
	}
}
