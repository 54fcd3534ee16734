package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// TestAttacksThroughTheGatewayAreTold: what detections look for is what the gateway records. The
// simulated attacks are in internal/alert.
func TestAttacksThroughTheGatewayAreTold(t *testing.T) {
	attacktest.Rows(t, 17, 166, 173)
	g := harness.Start(t, harness.Config{YAML: "trusted_proxies: {addresses: [127.0.0.0/8]}\nlimits: {address: 60000/minute}\nalerts: {thresholds: {mass_reading: 600}}\n" + keysYAML})
	key := g.Issue("api_key", "shop")
	ask := func(target, address, secret string) harness.Answer {
		r := g.Request("GET", target, "")
		r.Header.Set("X-API-Key", secret)
		r.Header.Set("X-Forwarded-For", address)
		return g.Do(r)
	}
	attacks := g.Kind("api_key").Attacks
	madeUp := attacks[slices.IndexFunc(attacks, func(a shield.Attack) bool { return strings.HasPrefix(a.Name, "a known id with a made-up secret") })]
	g.Accepted(ask("/v1/orders/7", "198.51.100.7", key.Secret))

	for range 40 { // row 17
		ask("/v1/orders/7", "203.0.113.9", "pv_live_nothing")
	}
	told(t, g, "guessing", "network 203.0.113.9")
	g.Accepted(ask("/v1/orders/7", "198.51.100.7", key.Secret))

	for i := range 36 { // row 166: from twelve networks, three each
		r := g.Request("GET", "/v1/orders/7", "")
		r.Header.Set("X-API-Key", key.Secret)
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", 1+i%12))
		if err := madeUp.Change(r); err != nil {
			t.Fatal(err)
		}
		g.Do(r)
	}
	told(t, g, "credential_attacked", "credential "+key.ID)
	g.Accepted(ask("/v1/orders/7", "198.51.100.7", key.Secret))

	for i := range 1400 { // row 173, with a lower threshold and more haste
		ask(fmt.Sprint("/v1/orders/", i), "198.51.100.7", key.Secret)
	}
	told(t, g, "mass_reading", "client shop")

	if all := incidents(g); len(all) != 3 {
		t.Errorf("told %q", all)
	}
}

// told waits until a detection has told of somebody.
func told(t *testing.T, g *harness.Gateway, detection, subject string) {
	t.Helper()
	for begin := time.Now(); !slices.Contains(incidents(g), detection+" "+subject); time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("%s does not tell of %s; told is %q", detection, subject, incidents(g))
		}
	}
}

func incidents(g *harness.Gateway) (all []string) {
	for _, e := range g.Events(audit.Query{Class: audit.Detection}) {
		if e.Action == "began" {
			all = append(all, e.Code+" "+e.Target)
		}
	}
	return all
}
