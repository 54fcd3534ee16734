package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const hmacYAML = `
limits: {wrong_tries: 10000}
hosts: {127.0.0.1: {certificate: local}}
apis:
  payments:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: hmac
    endpoints:
      POST /v1/payments: {scopes: [payments:write]}
      GET /v1/payments/{id}: {scopes: [payments:write]}
scopes: {payments:write: Pay}
`

func TestSignedRequestAttacksOverASocket(t *testing.T) {
	attacktest.Rows(t, 86, 87, 88, 89, 90, 93, 96, 97, 98)
	g := harness.Start(t, harness.Config{YAML: hmacYAML})
	key := g.Issue("hmac", "shop")
	g.Accepted(g.Send(key, "POST", "/v1/payments?x=1", `{"amount":20}`))
	tryAttacks(t, g, key, "POST", "/v1/payments?x=1", `{"amount":20}`, map[string]expected{
		"another method":               {405, shield.MethodNotAllowed},
		"the path in another case":     {404, shield.UnknownEndpoint},
		"a slash after the path":       {404, shield.UnknownEndpoint},
		"an escaped slash in the path": {400, shield.BadPath},
		"another host":                 {421, shield.UnknownHost},
		"another host, with the signed one in X-Forwarded-Host": {421, shield.UnknownHost},
		"trailers": {400, shield.BadHeader},
	})
}

func TestFiftyReplaysOfOneSignedRequestPassOnce(t *testing.T) {
	attacktest.Rows(t, 86)
	g := harness.Start(t, harness.Config{YAML: hmacYAML})
	key := g.Issue("hmac", "shop")
	signed := g.Request("POST", "/v1/payments", `{"amount":20}`)
	if err := g.Signer(key).Sign(signed); err != nil {
		t.Fatal(err)
	}
	client := g.Client()
	var passed, refused atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		r := signed.Clone(t.Context())
		r.Body = harness.Body(`{"amount":20}`)
		all.Go(func() {
			response, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			switch response.StatusCode {
			case http.StatusOK:
				passed.Add(1)
			case http.StatusUnauthorized:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if passed.Load() != 1 || refused.Load() != 49 || len(g.Upstream.Requests()) != 1 {
		t.Errorf("%d passed, %d were refused, %d reached the upstream; want 1, 49, 1", passed.Load(), refused.Load(), len(g.Upstream.Requests()))
	}
	if n := len(g.Events(audit.Query{Code: string(shield.ReplayedRequest)})); n != 49 {
		t.Errorf("%d events of replays, want 49: each proved its credential", n)
	}
}

func TestReplayAfterARestartIsRefused(t *testing.T) {
	attacktest.Rows(t, 86)
	g := harness.Start(t, harness.Config{YAML: hmacYAML})
	key := g.Issue("hmac", "shop")
	r := g.Request("POST", "/v1/payments", `{}`)
	r.Host = g.Address
	if err := g.Signer(key).Sign(r); err != nil {
		t.Fatal(err)
	}
	signedHost := r.Host
	g.Accepted(g.Do(r))
	g.Restart()
	again := r.Clone(t.Context())
	again.URL.Host, again.Host, again.Body = g.Address, signedHost, harness.Body(`{}`)
	g.Refused(g.Do(again), 401, shield.ReplayedRequest)
}

func TestSignatureWindow(t *testing.T) {
	attacktest.Rows(t, 87)
	g := harness.Start(t, harness.Config{YAML: hmacYAML})
	key := g.Issue("hmac", "shop")
	base := g.Clock.Now().Truncate(time.Second)
	for offset, want := range map[time.Duration]shield.Code{
		-30 * time.Second: "", -70 * time.Second: shield.StaleRequest, 20 * time.Second: shield.StaleRequest, -10 * time.Minute: shield.StaleRequest,
	} {
		shifted := key
		shifted.Now = func() time.Time { return base.Add(offset) }
		answer := g.Send(shifted, "GET", "/v1/payments/7", "")
		if want == "" {
			g.Accepted(answer)
			continue
		}
		g.Refused(answer, 401, want)
	}
}

func TestHugeBodyUnderABadSignatureIsRefusedUnread(t *testing.T) {
	attacktest.Rows(t, 101)
	g := harness.Start(t, harness.Config{YAML: hmacYAML})
	key := g.Issue("hmac", "shop")
	r := g.Request("POST", "/v1/payments", "{}")
	if err := g.Signer(key).Sign(r); err != nil {
		t.Fatal(err)
	}
	authorization := strings.Replace(r.Header.Get("Authorization"), `signature="`, `signature="AAAA`, 1)
	answer := g.RawAnswer(fmt.Sprintf("POST /v1/payments HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Digest: %s\r\nContent-Length: 9000000\r\n\r\n{",
		g.Address, authorization, r.Header.Get("Content-Digest")))
	g.Refused(answer, 401, shield.InvalidCredential)
	oversized := g.RawAnswer(fmt.Sprintf("POST /v1/payments HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: 5000000000\r\n\r\n{",
		g.Address, authorization))
	g.Refused(oversized, 413, shield.TooLarge)
}

func TestSignedRequestRefusedForAnotherReasonMayBeSentAgain(t *testing.T) {
	attacktest.Rows(t, 165)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(hmacYAML, "    shield: hmac\n", "    shield: hmac\n    limit: 2/minute per client\n", 1)})
	key := g.Issue("hmac", "shop")
	g.Accepted(g.Send(key, "POST", "/v1/payments", "{}"))
	g.Accepted(g.Send(key, "POST", "/v1/payments", "{}"))
	r := g.Request("POST", "/v1/payments", `{"late":1}`)
	if err := g.Signer(key).Sign(r); err != nil {
		t.Fatal(err)
	}
	again := r.Clone(t.Context())
	again.Body = harness.Body(`{"late":1}`)
	g.Refused(g.Do(r), 429, shield.RateLimited)
	g.Advance(31 * time.Second) // one request is there again, and the signature is still good
	g.Accepted(g.Do(again))
	replay := again.Clone(t.Context())
	replay.Body = harness.Body(`{"late":1}`)
	g.Refused(g.Do(replay), 429, shield.RateLimited)
}
