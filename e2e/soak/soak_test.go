// Package soak runs the gateway at full load while it is reloaded, credentials are
// revoked, and the upstream fails, and looks for what leaks or is lost.
package soak

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const yaml = `
limits: {wrong_tries: 100000, address: 100000000/minute}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {any: [api_key, hmac]}
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      POST /v1/orders: {scopes: [orders:read]}
scopes: {orders:read: See orders}
`

// duration is set by SOAK; a short one suffices for every test run.
func duration(t *testing.T) time.Duration {
	text := os.Getenv("SOAK")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SOAK: %v", err)
	}
	return d
}

// counts of what the callers got.
type counts struct {
	sent, served, failing, refused, lost, other atomic.Int64
	answer                                      atomic.Value // the last of the others
}

func TestSoak(t *testing.T) {
	var failing atomic.Bool
	var reached atomic.Int64
	g := harness.Start(t, harness.Config{YAML: yaml, Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		if failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "served")
	})})
	key, signing := g.Issue("api_key", "shop"), g.Issue("hmac", "shop")
	var c counts
	load(g, key, signing, &c, time.Second) // everything is warm
	runtime.GC()
	goroutines, memory, files := runtime.NumGoroutine(), heap(), descriptors(t)

	stop := make(chan struct{})
	var unrest sync.WaitGroup
	unrest.Go(func() { disturb(t, g, &failing, stop) })
	load(g, key, signing, &c, duration(t))
	close(stop)
	unrest.Wait()
	failing.Store(false)

	t.Logf("%d sent: %d served, %d answered 500 by the upstream, %d refused, %d lost, %d other", c.sent.Load(), c.served.Load(), c.failing.Load(), c.refused.Load(), c.lost.Load(), c.other.Load())
	if c.lost.Load() > 0 || c.other.Load() > 0 || c.refused.Load() > 0 {
		t.Errorf("%d requests were lost, %d refused, %d answered otherwise, none of them by the upstream; such as %v",
			c.lost.Load(), c.refused.Load(), c.other.Load(), c.answer.Load())
	}
	g.Accepted(g.Send(key, "GET", "/v1/orders/7", ""))
	settled(t, "goroutines", func() int { return runtime.NumGoroutine() }, goroutines+40)
	settled(t, "descriptors", func() int { return descriptors(t) }, files+40)
	settled(t, "MiB of memory", func() int { return heap() }, memory+64)
}

// workers is how many callers send at once.
const workers = 16

// load sends good requests from kept connections for a while.
func load(g *harness.Gateway, key, signing shield.Credential, c *counts, d time.Duration) {
	end := time.Now().Add(d)
	var all sync.WaitGroup
	for w := range workers {
		credential, method, body := key, "GET", ""
		if w%2 == 1 {
			credential, method, body = signing, "POST", `{"n":1}`
		}
		target := map[string]string{"GET": "/v1/orders/7", "POST": "/v1/orders"}[method]
		signer, caller := g.Signer(credential), g.Client()
		all.Go(func() {
			defer caller.CloseIdleConnections()
			for time.Now().Before(end) {
				r := g.Request(method, target, body)
				if err := signer.Sign(r); err != nil {
					c.other.Add(1)
					return
				}
				c.note(caller.Do(r))
			}
		})
	}
	all.Wait()
}

func (c *counts) note(response *http.Response, err error) {
	c.sent.Add(1)
	if err != nil {
		c.lost.Add(1)
		return
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	switch {
	case err != nil:
		c.lost.Add(1)
	case response.StatusCode == http.StatusOK:
		c.served.Add(1)
	case response.StatusCode == http.StatusInternalServerError:
		c.failing.Add(1)
	case response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden:
		c.refused.Add(1)
	default:
		c.other.Add(1)
		c.answer.Store(fmt.Sprintf("%d %s", response.StatusCode, body))
	}
}

// disturb reloads, makes and revokes credentials, and lets the upstream fail.
func disturb(t *testing.T, g *harness.Gateway, failing *atomic.Bool, stop <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		failing.Store(n%5 == 4)
		g.Configure(strings.Replace(yaml, "scopes: {orders:read: See orders}", fmt.Sprintf("scopes: {orders:read: See orders, unused:%d: Nothing}", n), 1))
		if err := g.Reload(); err != nil {
			t.Errorf("reload: %v", err)
		}
		g.Revoke(g.IssueUnplanted(client.Credential{Kind: "api_key", Client: "shop"}).ID)
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse >> 20)
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors cannot be counted here")
	}
	return len(entries)
}

// settled waits for a figure to come down to what it may be.
func settled(t *testing.T, what string, figure func() int, most int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		now := figure()
		if now <= most {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d %s after the load, at most %d were to be left", now, what, most)
			return
		}
		<-ticker.C
	}
}
