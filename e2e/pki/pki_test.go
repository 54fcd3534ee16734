// Package pki tests the certificate authority against the gateway itself and against
// programs that nobody here wrote.
package pki

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
)

const yaml = `
limits: {wrong_tries: 100000, address: 1000000/second, connections_per_address: 10000}
hosts:
  127.0.0.1: {certificate: own, client_certificates: ask}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: mtls
    endpoints:
      GET /v1/orders:  {scopes: [orders:read]}
      GET /v1/devices: {shield: {mtls: {allow: [{profile: device}]}}, scopes: any}
      GET /v1/web:     {shield: {mtls: {allow: [{client: web}]}}, scopes: any}
      GET /v1/either:  {shield: {any: [mtls, api_key]}, scopes: any}
pki: {host: 127.0.0.1, status: "http://pki.example.com"}
scopes: {orders:read: Read orders}
`

func start(t testing.TB) *harness.Gateway { return startWith(t, pki.Init{}) }

func startWith(t testing.TB, n pki.Init) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Config{
		YAML: yaml, Authority: &n,
		Clients: []client.Client{{ID: "web", Scopes: []string{"orders:read"}}, {ID: "pay"}},
	})
}

// caller is one connection pool with one certificate.
type caller struct {
	t testing.TB
	g *harness.Gateway
	c *http.Client
}

func newCaller(t testing.TB, g *harness.Gateway, c *tls.Certificate, http2 bool) *caller {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: g.Mutual(c), ForceAttemptHTTP2: http2, MaxConnsPerHost: 1, IdleConnTimeout: time.Hour}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{t, g, &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

// get returns the status and the code of a problem.
func (c *caller) get(path string) (status int, code string) {
	c.t.Helper()
	r, err := c.c.Get("https://" + c.g.Address + path)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	var problem struct{ Code string }
	_ = json.Unmarshal(text, &problem) // an answer of the service is none
	return r.StatusCode, problem.Code
}

func (c *caller) want(what, path string, status int, code string) {
	c.t.Helper()
	if gotStatus, got := c.get(path); gotStatus != status || got != code {
		c.t.Errorf("%s: %d %s, want %d %s", what, gotStatus, got, status, code)
	}
}

func TestCertificateOfTheAuthorityOpensWhatItsClientMay(t *testing.T) {
	g := start(t)
	web := newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true)
	web.want("a service with the scope", "/v1/orders", 200, "")
	web.want("its client", "/v1/web", 200, "")
	web.want("another profile", "/v1/devices", 401, "invalid_credential")
	pay := newCaller(t, g, g.Certificate(pki.Request{Client: "pay", Profile: "device"}), false)
	pay.want("a client without the scope", "/v1/orders", 403, "insufficient_scope")
	pay.want("a device", "/v1/devices", 200, "")
	pay.want("another client", "/v1/web", 401, "invalid_credential")
	newCaller(t, g, nil, true).want("no certificate", "/v1/orders", 401, "missing_credential")
	server := newCaller(t, g, g.Certificate(pki.Request{Client: "web", Profile: "server", Names: pki.Names{"dns:web.internal"}}), true)
	server.want("a certificate for servers", "/v1/orders", 401, "invalid_credential")
	other := start(t)
	stranger := other.Certificate(pki.Request{Client: "web"})
	config := g.Mutual(stranger)
	foreign := &caller{t, g, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}}
	foreign.want("another installation's", "/v1/orders", 401, "invalid_credential")
	foreign.want("another installation's, beside another shield", "/v1/either", 401, "invalid_credential")
}

// A revocation bites with the next request: on kept connections of both protocols, and on
// sessions that are resumed.
func TestRevocationBitesOnTheNextRequest(t *testing.T) {
	attacktest.Rows(t, 77, 80, 158)
	g := start(t)
	lost := g.Certificate(pki.Request{Client: "web"})
	var all []*caller
	for _, http2 := range []bool{true, false} {
		c := newCaller(t, g, lost, http2)
		c.want("before", "/v1/orders", 200, "")
		all = append(all, c)
	}
	config := g.Mutual(lost)
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	resuming := &caller{t, g, &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}}
	resuming.want("before, for a session", "/v1/orders", 200, "")
	resuming.want("resumed", "/v1/orders", 200, "")
	g.Revoke(pki.CredentialID(lost.Leaf))
	for _, c := range append(all, resuming) {
		c.want("after", "/v1/orders", 401, "revoked_credential")
		c.want("after, beside another shield", "/v1/either", 401, "revoked_credential")
	}
	newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true).want("the next one of the same client", "/v1/orders", 200, "")
}

func TestDisabledClientAndRotation(t *testing.T) {
	g := start(t)
	c := newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true)
	registry := g.App.State.Registry
	_, err := registry.DisableClient(t.Context(), "web")
	must(t, err)
	must(t, g.App.State.View.Refresh(t.Context()))
	c.want("while its client is disabled", "/v1/orders", 403, "disabled_client")
	_, err = registry.EnableClient(t.Context(), "web")
	must(t, err)
	must(t, g.App.State.View.Refresh(t.Context()))
	c.want("when it is enabled again", "/v1/orders", 200, "")
	_, err = g.App.State.Authority.Rotate(t.Context(), pki.Rotation{Root: true})
	must(t, err)
	c.want("after a rotation of root and issuer", "/v1/orders", 200, "")
	must(t, g.Reload())
	c.want("after a reload", "/v1/orders", 200, "")
	newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true).want("of the next issuer", "/v1/orders", 200, "")
	_, err = g.App.State.Authority.Rotate(t.Context(), pki.Rotation{Compromised: true})
	must(t, err)
	newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true).want("of the one after", "/v1/orders", 200, "")
	c.want("of an issuer whose key was stolen with the others", "/v1/orders", 401, "invalid_credential")
	g.Restart()
	again := newCaller(t, g, g.Certificate(pki.Request{Client: "web"}), true)
	again.want("after a restart", "/v1/orders", 200, "")
}

// A thousand kept connections, one certificate revoked: its next request is refused within a
// second, and nobody else notices.
func TestRevocationUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("opens a thousand connections")
	}
	const many = 1000
	g := start(t)
	certificates := make([]*tls.Certificate, many)
	var making sync.WaitGroup
	for worker := range 50 {
		making.Go(func() {
			for i := worker; i < many; i += 50 {
				certificates[i] = g.Certificate(pki.Request{Client: "web"})
			}
		})
	}
	making.Wait()
	callers := make([]*caller, many)
	for i := range callers {
		callers[i] = newCaller(t, g, certificates[i], false)
		callers[i].want("before", "/v1/web", 200, "")
	}
	const lost = 417
	var stop atomic.Bool
	var asked, refused atomic.Int64
	var load sync.WaitGroup
	for worker := range 4 {
		load.Go(func() {
			for i := worker; !stop.Load(); i = (i + 4) % many {
				if i == lost {
					continue
				}
				if status, _ := callers[i].get("/v1/web"); status != 200 {
					refused.Add(1)
				}
				asked.Add(1)
			}
		})
	}
	// Only the registry is told, as another process would: the gateway finds out by itself.
	_, err := g.App.State.Registry.Revoke(t.Context(), pki.CredentialID(certificates[lost].Leaf), "lost")
	must(t, err)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		status, code := callers[lost].get("/v1/web")
		if status == 401 && code == "revoked_credential" {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("after 20 s: %d %s", status, code)
		}
	}
	t.Logf("refused after %s; meanwhile %d requests of others", time.Since(begin).Round(time.Millisecond), asked.Load())
	for asked.Load() < 2000 && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond) // until enough of the others have asked
	}
	stop.Store(true)
	load.Wait()
	if refused.Load() != 0 {
		t.Errorf("%d of %d requests of others were refused", refused.Load(), asked.Load())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
