package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const openYAML = `
limits: {wrong_tries: 100000, header_timeout: 1s}
hosts: {127.0.0.1: {certificate: local}, other.test: {certificate: local}}
apis:
  files:
    host: [127.0.0.1, other.test]
    upstream: "{{upstream}}"
    shield: api_key
    cors: [https://app.example.com]
    endpoints:
      GET /files/{path...}: {scopes: any}
      POST /files: {scopes: any}
      GET /live: {scopes: any}
scopes: {}
`

func TestPathsThatReadersReadDifferently(t *testing.T) {
	attacktest.Rows(t, 107, 129, 160)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	raw := func(target string, headers string) harness.Answer {
		return g.RawAnswer("GET " + target + " HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret + "\r\n" + headers + "\r\n")
	}
	for _, target := range []string{
		"/files/..;/x", "/files/%2e%2e%2fx", "/files/%252e%252e/x", "/files//x", "//files/x", "/files/a%5cb", "/files/%c0%ae", "/files/a%00b",
		"/files/../x", "/files/a|b", "/files/a%2fb", "/files/a;b", "/files/a%3bb", "/files/a%3Bb", "/files/..%3B/x", "/%66iles/x", "/files/%61",
		"/files/%7Ea", "/files/%7e", "/files/a%2D", "/files/%5f", "/files/%30",
	} {
		t.Run(target, func(t *testing.T) {
			g.T = t
			g.Refused(raw(target, ""), 400, shield.BadPath)
		})
	}
	for _, target := range []string{"/files/a?x=1;y=2", "/files/a?x=%zz", "/files/a?x=%00"} {
		t.Run(target, func(t *testing.T) {
			g.T = t
			g.Refused(raw(target, ""), 400, shield.BadQuery)
		})
	}
	g.T = t
	g.Refused(raw("/files/a", "X_User_Id: 1\r\n"), 400, shield.BadHeader)
	for _, target := range []string{"/files/a%20b", "/files/%C3%A4?q=a+b&q=%C3%A4&l[]=1", "/files/a/", "/files/a?"} {
		g.Accepted(raw(target, ""))
		if seen := g.Upstream.Last(t).Target; seen != target {
			t.Errorf("the upstream got %q, checked was %q", seen, target)
		}
	}
}

func TestHeadersThatOnlyTheGatewayMaySay(t *testing.T) {
	attacktest.Rows(t, 112, 121, 122, 79)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	answer := g.RawAnswer("POST /files HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret + "\r\n" +
		"X-HTTP-Method-Override: DELETE\r\nX-Method-Override: DELETE\r\n" +
		"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil.example\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n" +
		"Client-Cert: :AAAA:\r\nX-SSL-Client-Verify: SUCCESS\r\nX-Forwarded-Client-Cert: forged\r\nPavise-Identity: forged\r\nPavise-Client: admin\r\n" +
		"Content-Length: 0\r\n\r\n")
	event := g.Accepted(answer)
	g.Refused(g.RawAnswer("POST /files HTTP/1.1\r\nHost: "+g.Address+"\r\nX-API-Key: "+key.Secret+
		"\r\nConnection: X-API-Key, Pavise-Identity, X-Request-Id\r\nContent-Length: 0\r\n\r\n"), 400, shield.BadHeader)
	form := func(target, body string) harness.Answer {
		return g.RawAnswer("POST " + target + " HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret +
			"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	}
	seen := g.Upstream.Last(t)
	for _, query := range []string{"_method=DELETE", "a=b&%5fmethod=DELETE", "+.Method=DELETE", "%5Bmethod=DELETE"} {
		g.Refused(form("/files?"+query, ""), 400, shield.BadQuery)
	}
	for _, query := range []string{"method=DELETE", "a=_method", "payment_method=card", "_methods=1", "%5C_method=1"} {
		g.Accepted(form("/files?"+query, ""))
	}
	if seen.Method != "POST" {
		t.Errorf("the upstream got %s", seen.Method)
	}
	for name, values := range seen.Header {
		for _, value := range values {
			for _, forged := range []string{"6.6.6.6", "evil.example", "forged", "admin", "DELETE", "SUCCESS", ":AAAA:"} {
				if strings.Contains(value, forged) {
					t.Errorf("the upstream got %s: %s", name, value)
				}
			}
		}
	}
	if seen.Header.Get("Pavise-Identity") == "" || seen.Header.Get("X-Request-Id") != event.ID || seen.Header.Get("X-Api-Key") != "" {
		t.Errorf("identity %q, request ID %q, key %q", seen.Header.Get("Pavise-Identity"), seen.Header.Get("X-Request-Id"), seen.Header.Get("X-Api-Key"))
	}
	if event.Remote.Addr().String() != "127.0.0.1" {
		t.Errorf("the caller is recorded as %s", event.Remote)
	}
}

func TestFramingFaultsAreRefusedAndRecorded(t *testing.T) {
	attacktest.Rows(t, 114, 118, 119, 120)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	head := "POST /files HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret + "\r\n"
	tests := map[string]string{
		"length beside chunks":        head + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks beside length":        head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"two lengths":                 head + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
		"a length with a plus":        head + "Content-Length: +4\r\n\r\nabcd",
		"a length in a list":          head + "Content-Length: 4, 4\r\n\r\nabcd",
		"another transfer coding":     head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunked twice":               head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"a hexadecimal prefix":        head + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
		"a chunk size that overflows": head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
		"a bare line feed":            "GET /files/a HTTP/1.1\nHost: " + g.Address + "\n\n",
		"a folded line":               head + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"a blank before the colon":    head + "X-A : b\r\nContent-Length: 0\r\n\r\n",
		"no host":                     "GET /files/a HTTP/1.1\r\n\r\n",
		"two hosts":                   "GET /files/a HTTP/1.1\r\nHost: " + g.Address + "\r\nHost: evil.example\r\n\r\n",
		"an empty host":               "GET /files/a HTTP/1.1\r\nHost: \r\n\r\n",
		"an absolute target":          "GET https://evil.example/files/a HTTP/1.1\r\nHost: " + g.Address + "\r\n\r\n",
		"a megabyte of header":        head + "X-A: " + strings.Repeat("a", 1<<20) + "\r\n\r\n",
		"ten thousand headers":        head + strings.Repeat("X-A: b\r\n", 10_000) + "\r\n",
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			g.T = t
			answer := g.Raw(request)
			status, _, _ := strings.Cut(strings.TrimPrefix(answer, "HTTP/1.1 "), " ")
			if !strings.HasPrefix(status, "4") && !strings.HasPrefix(status, "5") || strings.Contains(answer, "served") {
				t.Errorf("answer %.200q", answer)
			}
			id, _, ok := strings.Cut(after(answer, `"request_id":"`), `"`)
			if !ok {
				t.Fatalf("no request ID in %.300q", answer)
			}
			if e := g.Event(id); e.Class != audit.Connection && e.Class != audit.Request || e.Decision != audit.Refused {
				t.Errorf("event %+v", e)
			}
		})
	}
	if n := len(g.Upstream.Requests()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

func after(text, mark string) string {
	_, rest, _ := strings.Cut(text, mark)
	return rest
}

func TestHostAndServerNameMustAgree(t *testing.T) {
	attacktest.Rows(t, 82, 170)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	config := g.TLS()
	config.ServerName = "other.test"
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for host, want := range map[string]int{"other.test": 200, "127.0.0.1": 421, "evil.test": 421} {
		r := g.Request("GET", "/files/a", "")
		r.Host = host
		r.Header.Set("X-API-Key", key.Secret)
		response, err := client.Do(r) // one HTTP/2 connection for all
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want || response.ProtoMajor != 2 {
			t.Errorf("host %s on a connection for other.test: %d over %s, want %d over HTTP/2", host, response.StatusCode, response.Proto, want)
		}
	}
}

func TestUpgradesNeedACredentialAndAKnownOrigin(t *testing.T) {
	attacktest.Rows(t, 117, 125)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "shield: api_key", "shield: {api_key: {insecure_allow_browsers: the page is public on purpose}}", 1)})
	key := g.Issue("api_key", "shop")
	upgrade := func(extra string) string {
		return "GET /live HTTP/1.1\r\nHost: " + g.Address + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + extra + "\r\n"
	}
	g.Refused(g.RawAnswer(upgrade("")), 401, shield.MissingCredential)
	g.Refused(g.RawAnswer(upgrade("X-API-Key: "+key.Secret+"\r\nOrigin: https://evil.example\r\n")), 403, shield.ForeignOrigin)
	h2c := g.Raw("GET /live HTTP/1.1\r\nHost: " + g.Address + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX-API-Key: " + key.Secret + "\r\n\r\n")
	if strings.Contains(h2c, "101 ") {
		t.Errorf("h2c was accepted: %.100q", h2c)
	}
}

func TestPlainListenerServesNothingAndFlagsCredentials(t *testing.T) {
	attacktest.Rows(t, 6)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	answer := g.RawPlain("GET /files/a HTTP/1.1\r\nHost: x.example\r\nX-API-Key: " + key.Secret + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 403 ") || !strings.Contains(answer, "tls_required") || strings.Contains(answer, "Location") {
		t.Errorf("answer %q", answer)
	}
	exposed := 0
	for _, e := range g.Events(audit.Query{Code: "tls_required"}) {
		if e.Exposed {
			exposed++
		}
	}
	if exposed != 1 {
		t.Errorf("%d events flag the credential as exposed, want one", exposed)
	}
}

func TestOldProtocolsAreRefusedWithAnEvent(t *testing.T) {
	attacktest.Rows(t, 123)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	// A ClientHello of TLS 1.0, as it would begin; the rest does not matter.
	conn, err := net.Dial("tcp", g.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	hello := clientHello(0x0301)
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	answer, _ := io.ReadAll(conn)
	if len(answer) > 0 && answer[0] == 22 {
		t.Errorf("the server went on with the handshake: % x", answer[:min(len(answer), 16)])
	}
	if events := g.Events(audit.Query{Class: audit.Connection}); len(events) != 1 || !strings.HasPrefix(events[0].Code, "tls_") {
		t.Errorf("events %+v", events)
	}
}

// clientHello is a minimal ClientHello without extensions.
func clientHello(version uint16) []byte {
	body := []byte{byte(version >> 8), byte(version)}
	body = append(body, make([]byte, 32)...)
	body = append(body, 0)                // session
	body = append(body, 0, 2, 0xc0, 0x13) // ECDHE_RSA_AES_128_CBC_SHA
	body = append(body, 1, 0)             // no compression
	handshake := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 1, 0, byte(len(handshake))}, handshake...)
}

func TestRatesCountExactlyAndTellTheCaller(t *testing.T) {
	attacktest.Rows(t, 126, 127, 130, 131, 134)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "    shield: api_key\n", "    shield: api_key\n    limit: 10/minute per client\n", 1)})
	key := g.Issue("api_key", "shop")
	for range 30 {
		g.Send(shield.Credential{}, "GET", "/files/a", "") // strangers do not use up the client's quota
	}
	passed := 0
	for i := range 12 {
		answer := g.Send(key, "GET", fmt.Sprint("/files/", i, "?x=", i), "") // other paths, one bucket
		if answer.Status == 200 {
			passed++
			if !strings.Contains(answer.Header.Get("Ratelimit-Policy"), "q=10;w=60") {
				t.Errorf("policy %q", answer.Header.Get("Ratelimit-Policy"))
			}
			continue
		}
		g.Refused(answer, 429, shield.RateLimited)
		if answer.Header.Get("Retry-After") == "" || !strings.Contains(answer.Header.Get("Ratelimit"), "r=0") {
			t.Errorf("Retry-After %q, RateLimit %q", answer.Header.Get("Retry-After"), answer.Header.Get("Ratelimit"))
		}
	}
	if passed != 10 {
		t.Errorf("%d of 12 passed, want 10", passed)
	}
	g.Clock.Add(-time.Hour)
	if a := g.Send(key, "GET", "/files/a", ""); a.Status == 200 {
		t.Error("a clock set back gave quota")
	}
	g.Advance(time.Hour + 7*time.Second)
	g.Accepted(g.Send(key, "GET", "/files/a", ""))
}
