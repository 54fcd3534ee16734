package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/internal/issuer/issuertest"
	"pavise.dev/pavise/shield"
)

// field is a header field of HTTP/2, sent as it stands.
type field struct{ name, value string }

// overHTTP2 sends one request whose fields no client library would send.
func overHTTP2(g *harness.Gateway, fields ...field) harness.Answer {
	g.T.Helper()
	config := g.TLS()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", g.Address, config)
	if err != nil {
		g.T.Fatalf("dial: %v", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}); err != nil {
			g.T.Fatal(err)
		}
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		g.T.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		g.T.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		g.T.Fatal(err)
	}
	a := harness.Answer{Header: http.Header{}}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			g.T.Fatalf("read frames: %v", err)
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			a.Status, _ = strconv.Atoi(f.PseudoValue("status"))
			for _, h := range f.RegularFields() {
				a.Header.Add(h.Name, h.Value)
			}
		case *http2.DataFrame:
			a.Body = append(a.Body, f.Data()...)
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			g.T.Fatalf("net/http ended it: %v", f)
		}
		if frame.Header().StreamID == 1 && frame.Header().Flags.Has(http2.FlagDataEndStream) {
			break
		}
	}
	a.ID = a.Header.Get("X-Request-Id")
	var problem struct {
		Code      string
		RequestID string `json:"request_id"`
	}
	if json.Unmarshal(a.Body, &problem) == nil {
		a.Code = problem.Code
		if a.ID == "" {
			a.ID = problem.RequestID
		}
	}
	return a
}

// whole are the fields of a good request, with some changed.
func whole(g *harness.Gateway, key string, changed ...field) []field {
	fields := []field{{":method", "GET"}, {":scheme", "https"}, {":path", "/files/a"}, {":authority", g.Address}, {"x-api-key", key}}
next:
	for _, c := range changed {
		for i := range fields {
			if fields[i].name == c.name {
				fields[i] = c
				continue next
			}
		}
		fields = append(fields, c)
	}
	return fields
}

const signedYAML = `
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: hmac
    endpoints:
      POST /v1/orders: {scopes: any}
scopes: {}
`

// Attack 121, found on 2026-11-23: whoever stood between signer and gateway could
// have headers that the signature covers removed behind the check.
func TestConnectionCannotTakeAwayWhatASignatureCovers(t *testing.T) {
	attacktest.Rows(t, 96, 121)
	g := harness.Start(t, harness.Config{YAML: signedYAML})
	c := g.Issue("hmac", "shop")
	c.Settings = map[string]string{"covered": "content-type idempotency-key"}
	raw := func(connection string) string {
		r := g.Request("POST", "/v1/orders", `{"n":1}`)
		r.Header.Set("Idempotency-Key", "k1")
		if err := g.Signer(c).Sign(r); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		b.WriteString("POST /v1/orders HTTP/1.1\r\nHost: " + g.Address + "\r\n" + connection + "Content-Length: 7\r\n")
		for name, values := range r.Header {
			b.WriteString(name + ": " + values[0] + "\r\n")
		}
		return b.String() + "\r\n" + `{"n":1}`
	}
	for _, connection := range []string{
		"Connection: close, Idempotency-Key\r\n", "Connection: idempotency-key\r\n", "Connection: close\r\nConnection: ,Content-Type\r\n",
		"Connection: keep-alive\t,\tContent-Digest, te\r\n", "Connection: close;Content-Type\r\n", "Connection: \"close\"\r\n", "Connection: x\r\n",
	} {
		g.Refused(g.RawAnswer(raw(connection)), 400, shield.BadHeader)
	}
	if n := len(g.Upstream.Requests()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	for _, connection := range []string{"", "Connection: close\r\n", "Connection: Keep-Alive, TE\r\n", "Connection: ,close ,\r\nConnection: te\r\n", "Connection:\r\n"} {
		g.Accepted(g.RawAnswer(raw(connection)))
		if seen := g.Upstream.Last(t).Header; seen.Get("Idempotency-Key") != "k1" || seen.Get("Content-Type") != "application/json" {
			t.Errorf("with %q the upstream saw %v", connection, seen)
		}
	}
}

func TestAHostHasOneNameForPolicies(t *testing.T) {
	attacktest.Rows(t, 120, 159)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "GET /files/{path...}: {scopes: any}",
		`GET /files/{path...}: {scopes: any, when: 'context.host != "127.0.0.1"'}`, 1)})
	key := g.Issue("api_key", "shop")
	_, port, _ := strings.Cut(g.Address, ":")
	for _, host := range []string{g.Address, "127.0.0.1", "127.0.0.1:1", "127.0.0.1:65535", "127.0.0.1:" + port} {
		g.Refused(g.RawAnswer("GET /files/a HTTP/1.1\r\nHost: "+host+"\r\nX-API-Key: "+key.Secret+"\r\n\r\n"), 403, shield.Denied)
		g.Refused(overHTTP2(g, whole(g, key.Secret, field{":authority", host})...), 403, shield.Denied)
	}
	for _, host := range []string{"127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:0443", "[127.0.0.1]:443", "[127.0.0.1]"} {
		answer := overHTTP2(g, whole(g, key.Secret, field{":authority", host})...)
		if answer.Status != 400 {
			t.Errorf("authority %q: %d %s", host, answer.Status, answer.Code)
		}
	}
	g.Refused(g.RawAnswer("GET /files/a HTTP/1.1\r\nHost: 127.0.0.1:99999\r\nX-API-Key: "+key.Secret+"\r\n\r\n"), 400, shield.BadHeader)
	named := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "GET /files/{path...}: {scopes: any}",
		`GET /files/{path...}: {scopes: any, when: 'context.host == "127.0.0.1"'}`, 1)})
	named.Accepted(named.Send(named.Issue("api_key", "shop"), "GET", "/files/a", ""))
}

// Attack 115: net/http passes such values, and an upstream over HTTP/1.1 trims them.
func TestBlanksAroundValuesAreRefusedOverHTTP2(t *testing.T) {
	attacktest.Rows(t, 115)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	for _, value := range []string{" b", "b ", "\tb", "b\t", " b ", " ", "\t"} {
		g.Refused(overHTTP2(g, whole(g, key.Secret, field{"x-a", value})...), 400, shield.BadHeader)
	}
	for _, value := range []string{"b", "", "a b", "a\tb"} {
		g.Accepted(overHTTP2(g, whole(g, key.Secret, field{"x-a", value})...))
		if seen := g.Upstream.Last(t).Header.Get("X-A"); seen != value {
			t.Errorf("the upstream saw %q, sent was %q", seen, value)
		}
	}
}

// What the guard says of itself is not the service's to say.
func TestAServiceCannotSpeakForTheGuard(t *testing.T) {
	attacktest.Rows(t, 124, 131)
	yaml := strings.Replace(openYAML, "    shield: api_key\n", "    shield: api_key\n    limit: 10/minute per client\n", 1)
	g := harness.Start(t, harness.Config{YAML: yaml, Upstream: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true", "Strict-Transport-Security": "max-age=0",
			"RateLimit": `"theirs";r=9999`, "RateLimit-Policy": `"theirs";q=9999`, "RateLimit-Remaining": "9999", "X-Request-Id": "theirs", "Pavise-Identity": "theirs",
		} {
			w.Header().Set(name, value)
		}
	})})
	key := g.Issue("api_key", "shop")
	for _, answer := range []harness.Answer{g.Send(key, "GET", "/files/a", ""), overHTTP2(g, whole(g, key.Secret)...)} {
		g.Accepted(answer)
		h := answer.Header
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("origins: %v", h)
		}
		if len(h.Values("Strict-Transport-Security")) != 1 || h.Get("Strict-Transport-Security") != "max-age=31536000" {
			t.Errorf("HSTS: %q", h.Values("Strict-Transport-Security"))
		}
		if len(h.Values("Ratelimit")) != 1 || strings.Contains(h.Get("Ratelimit")+h.Get("Ratelimit-Policy")+h.Get("Ratelimit-Remaining")+h.Get("X-Request-Id")+h.Get("Pavise-Identity"), "theirs") || h.Get("Ratelimit-Remaining") != "" {
			t.Errorf("rates: %v", h)
		}
	}
}

const mixedYAML = `
limits: {wrong_tries: 100000}
hosts: {127.0.0.1: {certificate: local}}
fetch: {allow: [127.0.0.1]}
issuers:
  corp: {url: "{{issuer}}", may_grant: ["orders:*"], ca: issuer-ca.pem}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {any: [{jwt: {issuer: corp}}, api_key]}
    endpoints:
      GET /v1/any: {scopes: any}
      GET /v1/nested: {scopes: any, shield: {any: [hmac, {all: [{jwt: {issuer: corp}}, api_key]}]}}
      POST /v1/signed: {scopes: any, shield: {any: [{jwt: {issuer: corp}}, hmac]}}
      POST /v1/streamed: {scopes: any, shield: {jwt: {issuer: corp}}}
scopes: {}
`

// A credential in the URL is known to logs and proxies, whatever else is there.
func TestACredentialInTheURLIsExposedBesideAGoodOne(t *testing.T) {
	attacktest.Rows(t, 6, 7, 45, 157)
	corp := issuertest.Start(t)
	g := harness.Start(t, harness.Config{
		YAML: strings.ReplaceAll(mixedYAML, "{{issuer}}", corp.URL), Files: map[string]string{"issuer-ca.pem": string(corp.CA())},
	})
	key, other, token := g.Issue("api_key", "shop"), g.Issue("api_key", "shop"), bearer(g, corp.Token(nil))
	signed := g.Issue("hmac", "shop")
	escaped := strings.Replace(other.Secret, "pvs_", "%70vs%5F", 1)
	for _, target := range []string{
		"/v1/any?api_key=" + other.Secret, "/v1/any?note=" + other.Secret, "/v1/any?a=1&%61pi%5Fkey=x", "/v1/any?note=" + escaped,
		"/v1/any?" + other.Secret, "/v1/any?" + escaped + "=1", "/v1/any?access_token=x", "/v1/nested?api_key=x", "/v1/nested?access%5Ftoken=x",
	} {
		for name, good := range map[string]shield.Credential{"a token": token, "a key": key, "a signature": signed, "nothing": {}} {
			answer := g.Send(good, "GET", target, "")
			if e := g.Refused(answer, 400, shield.ExposedCredential); !e.Exposed {
				t.Errorf("%.30s beside %s: the event does not flag it", target, name)
			}
		}
	}
	if n := len(g.Upstream.Requests()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	g.Accepted(g.Send(token, "GET", "/v1/any?key=7&token=8", "")) // names that services use for other things
	g.Accepted(g.Send(key, "GET", "/v1/any?a=1", ""))
}

func TestASecondTokenInAFormIsRefusedWhereTheBodyIsKept(t *testing.T) {
	attacktest.Rows(t, 45)
	corp := issuertest.Start(t)
	g := harness.Start(t, harness.Config{
		YAML: strings.ReplaceAll(mixedYAML, "{{issuer}}", corp.URL), Files: map[string]string{"issuer-ca.pem": string(corp.CA())},
	})
	token := bearer(g, corp.Token(nil))
	post := func(target, media, body string) harness.Answer {
		r := g.Request("POST", target, body)
		r.Header.Set("Content-Type", media)
		if err := g.Signer(token).Sign(r); err != nil {
			t.Fatal(err)
		}
		return g.Do(r)
	}
	const form = "application/x-www-form-urlencoded"
	for _, body := range []string{"access_token=x", "a=1&access%5Ftoken=x", "access_token", "access_token=x&b=%zz"} {
		g.Refused(post("/v1/signed", form+"; charset=utf-8", body), 400, shield.MalformedCredential)
	}
	for _, c := range []struct{ target, media, body string }{
		{"/v1/signed", form, "a=access_token"},
		{"/v1/signed", "text/plain", "access_token=x"},
		{"/v1/signed", form, "a=" + strings.Repeat("x", 2<<20)}, // more than is looked at streams through
		{"/v1/streamed", form, "access_token=x"},                // README of shield/jwt, Limits
	} {
		g.Accepted(post(c.target, c.media, c.body))
		if seen := g.Upstream.Last(t); string(seen.Body) != c.body {
			t.Errorf("the upstream got %d bytes of %d", len(seen.Body), len(c.body))
		}
	}
}

func TestTheSchemeIsTheConnections(t *testing.T) {
	attacktest.Rows(t, 115)
	g := harness.Start(t, harness.Config{YAML: openYAML})
	key := g.Issue("api_key", "shop")
	for _, scheme := range []string{"http"} {
		g.Refused(overHTTP2(g, whole(g, key.Secret, field{":scheme", scheme})...), 400, shield.Code(edge.BadStream))
	}
	if n := len(g.Upstream.Requests()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
	g.Accepted(overHTTP2(g, whole(g, key.Secret)...))
}

// Found on 2026-11-23: a {token} was logged where it was escaped, where the method
// was another, and in a preflight.
func TestSecretsInPathsAreInNoFile(t *testing.T) {
	attacktest.Rows(t, 144)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "POST /files: {scopes: any}", "GET /reset/{token}: {scopes: any}", 1)})
	key := g.Issue("api_key", "shop")
	const spelled = "hunter!secret%40pw"
	for _, secret := range []string{spelled, "hunter!secret@pw", "hunter%21secret%40pw"} {
		g.Plant(secret)
	}
	seen := map[string]bool{}
	for _, request := range []string{
		"GET /reset/" + spelled, "DELETE /reset/" + spelled, "OPTIONS /reset/" + spelled, "GET /reset/hunter%21secret%40pw", "GET /reset/" + spelled + "/more",
		"GET /rest/" + spelled, "GET /reset//" + spelled, "GET /reset/" + spelled + "?a;b", "GET /files/a?" + spelled, "GET /files/a?token=" + spelled,
	} {
		answer := g.RawAnswer(request + " HTTP/1.1\r\nHost: " + g.Address + "\r\nOrigin: https://app.example.com\r\nAccess-Control-Request-Method: GET\r\n\r\n")
		seen[g.Event(answer.ID).Path] = true
	}
	g.Accepted(g.RawAnswer("GET /reset/" + spelled + " HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + key.Secret + "\r\n\r\n"))
	if got := g.Upstream.Last(t).Target; got != "/reset/"+spelled {
		t.Errorf("the upstream got %q", got)
	}
	for _, path := range []string{"/reset/*", "/reset/*/*", "/*/*", "/reset//*", "/files/a"} {
		if !seen[path] {
			t.Errorf("no event has the path %s: %v", path, seen)
		}
	}
}
