package soak

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/shield"
)

// flooded has every bound by which strangers are refused, and one client that is to notice
// nothing of it.
const flooded = `
limits: {wrong_tries: 20, address: 100/minute}
trusted_proxies: {addresses: [127.0.0.0/8]}
honeypots: {common: true}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: any
    endpoints:
      GET /v1/orders/{id}: {}
      GET /v1/dear: {limit: 5/hour per client}
scopes: {}
`

// TestFloodsAreHardlyFelt measures how long an honest client waits while others are refused, at
// a rate that leaves the machine some time: gateway, upstream, honest and dishonest callers
// share it. The figures are told, not judged: they are the machine's.
func TestFloodsAreHardlyFelt(t *testing.T) {
	g := harness.Start(t, harness.Config{YAML: flooded, Upstream: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "served")
	})})
	key := g.Issue("api_key", "shop")
	wrong := key
	wrong.Secret = strings.Replace(key.Secret, key.Secret[len(key.Secret)-8:], "AAAAAAAA", 1)
	span := duration(t) / 5
	measure(g, key, span) // everything is warm
	quiet := measure(g, key, span)
	t.Logf("quiet: %s", quiet)
	for _, f := range []struct {
		name, target string
		with         shield.Credential
		address      func(i int64) string
	}{
		{"wrong keys of one network", "/v1/orders/7", wrong, func(int64) string { return "203.0.113.7" }},
		{"no key, many networks", "/v1/orders/7", shield.Credential{}, spread},
		{"a client over its rate", "/v1/dear", key, spread},
		{"unknown paths, many networks", "/nothing", shield.Credential{}, spread},
		{"honeypots, many networks", "/.env", shield.Credential{}, spread},
	} {
		stop, refused := flood(g, f.with, f.target, f.address, 1500)
		during := measure(g, key, span)
		stop()
		t.Logf("%-30s %s, %.2f times the quiet p99; %.0f refused a second", f.name, during, float64(during.p99)/float64(quiet.p99), float64(refused.Load())/span.Seconds())
		if refused.Load() == 0 {
			t.Errorf("%s: nothing was refused", f.name)
		}
	}
}

// spread are addresses of ever other networks.
func spread(i int64) string { return fmt.Sprintf("2001:db8:%x:%x::1", i>>16&0xffff, i&0xffff) }

// waits are how long a client waited.
type waits struct {
	n        int
	p50, p99 time.Duration
}

func (w waits) String() string {
	return fmt.Sprintf("p50 %s, p99 %s of %d", w.p50.Round(10*time.Microsecond), w.p99.Round(10*time.Microsecond), w.n)
}

// measure sends good requests, one every other millisecond, over one connection.
func measure(g *harness.Gateway, key shield.Credential, span time.Duration) waits {
	signer, caller := g.Signer(key), g.Client()
	defer caller.CloseIdleConnections()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var all []time.Duration
	for end := time.Now().Add(span); time.Now().Before(end); <-tick.C {
		r := g.Request("GET", "/v1/orders/7", "")
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", len(all)>>8&0xff, len(all)&0xff))
		if err := signer.Sign(r); err != nil {
			g.T.Fatal(err)
		}
		begin := time.Now()
		answer, err := caller.Do(r)
		if err != nil {
			g.T.Fatal(err)
		}
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			g.T.Fatalf("a good request: %d, %v", answer.StatusCode, err)
		}
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	return waits{len(all), all[len(all)/2], all[len(all)*99/100]}
}

// flood sends requests that are refused, rate each second, over kept connections, until stop.
func flood(g *harness.Gateway, with shield.Credential, target string, address func(int64) string, rate int) (stop func(), refused *atomic.Int64) {
	refused = &atomic.Int64{}
	var sent atomic.Int64
	ended := make(chan struct{})
	var all sync.WaitGroup
	const callers = 8
	for range callers {
		signer, caller := g.Signer(with), g.Client()
		all.Go(func() {
			defer caller.CloseIdleConnections()
			tick := time.NewTicker(time.Duration(callers) * time.Second / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
				}
				r := g.Request("GET", target, "")
				r.Header.Set("X-Forwarded-For", address(sent.Add(1)))
				if signer.Sign(r) != nil {
					return
				}
				answer, err := caller.Do(r)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				if answer.StatusCode >= 400 {
					refused.Add(1)
				}
			}
		})
	}
	return func() { close(ended); all.Wait() }, refused
}
