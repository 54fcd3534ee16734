package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

func TestBadConfigurationsAreRefusedAtReload(t *testing.T) {
	attacktest.Rows(t, 138, 139, 169)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	key := g.Issue("api_key", "shop")
	bad := map[string]string{
		"a file cut in the middle":     keysYAML[:len(keysYAML)/2],
		"no scopes on an endpoint":     strings.Replace(keysYAML, "{scopes: [orders:read]}", "{}", 1),
		"no shield":                    strings.Replace(keysYAML, "    shield: api_key\n", "", 1),
		"an unknown key":               strings.Replace(keysYAML, "shield: api_key", "shiled: api_key", 1),
		"a scope that nobody declares": strings.Replace(keysYAML, "scopes: [orders:read]", "scopes: [orders:raed]", 1),
		"an empty file":                "",
		"an unknown kind":              strings.Replace(keysYAML, "shield: api_key", "shield: api_keys", 1),
	}
	for name, yaml := range bad {
		t.Run(name, func(t *testing.T) {
			g.T = t
			g.Configure(yaml)
			if name == "an empty file" {
				g.WriteFile("pavise.yaml", "")
			}
			if err := g.Reload(); err == nil {
				t.Error("it was put in force")
			}
			g.Accepted(g.Send(key, "GET", "/v1/orders/7", ""))
		})
	}
	g.T = t
	g.Configure(strings.Replace(keysYAML, "GET /v1/orders/{id}", "GET /v2/orders/{id}", 1))
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	g.Refused(g.Send(key, "GET", "/v1/orders/7", ""), 404, shield.UnknownEndpoint)
	g.Accepted(g.Send(key, "GET", "/v2/orders/7", ""))
	if events := g.Events(audit.Query{Class: audit.Admin}); len(events) == 0 || events[len(events)-1].Action != "reload" || events[len(events)-1].Change == "" {
		t.Errorf("events of the reload: %+v", events)
	}
}

func TestKeysAreBoundToTheirNetworks(t *testing.T) {
	attacktest.Rows(t, 13, 122)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	elsewhere := g.IssueWith(client.Credential{Kind: "api_key", Client: "shop", Networks: prefixes("10.0.0.0/8")})
	g.Refused(g.Send(elsewhere, "GET", "/v1/orders/7", ""), 403, shield.ForbiddenNetwork)
	r := g.Request("GET", "/v1/orders/7", "")
	r.Header.Set("X-API-Key", elsewhere.Secret)
	r.Header.Set("X-Forwarded-For", "10.1.2.3")
	g.Refused(g.Do(r), 403, shield.ForbiddenNetwork)

	behind := harness.Start(t, harness.Config{YAML: "trusted_proxies: {addresses: [127.0.0.0/8]}\n" + keysYAML})
	inside := behind.IssueWith(client.Credential{Kind: "api_key", Client: "shop", Networks: prefixes("10.0.0.0/8")})
	for forwarded, want := range map[string]int{"10.1.2.3": 200, "10.1.2.3, 192.0.2.1": 403, "192.0.2.1, 10.1.2.3": 200, "garbage": 400} {
		r := behind.Request("GET", "/v1/orders/7", "")
		r.Header.Set("X-API-Key", inside.Secret)
		r.Header.Set("X-Forwarded-For", forwarded)
		if a := behind.Do(r); a.Status != want {
			t.Errorf("behind a trusted proxy with X-Forwarded-For %q: %d, want %d", forwarded, a.Status, want)
		}
	}
}

func TestGuessersAreSlowedDownAndOwnersAreNot(t *testing.T) {
	attacktest.Rows(t, 17, 128, 166)
	g := harness.Start(t, harness.Config{YAML: "trusted_proxies: {addresses: [127.0.0.0/8]}\nlimits: {wrong_tries: 20}\n" + keysYAML})
	key := g.Issue("api_key", "shop")
	from := func(address, secret string) harness.Answer {
		r := g.Request("GET", "/v1/orders/7", "")
		r.Header.Set("X-API-Key", secret)
		r.Header.Set("X-Forwarded-For", address)
		return g.Do(r)
	}
	other := g.Issue("api_key", "shop")
	wrong := strings.Replace(other.Secret, other.Secret[len(other.Secret)-8:], "AAAAAAAA", 1)
	locked := 0
	for i := range 60 {
		// One /64: the guesser's addresses count as one.
		if a := from("2001:db8::"+string("123456789abcdef"[i%15]), wrong); a.Status == 429 {
			locked++
		}
	}
	if locked == 0 {
		t.Error("sixty guesses from one network were not slowed down")
	}
	if a := from("2001:db8::1", key.Secret); a.Status != 429 {
		t.Errorf("the guesser's network: %d, want it to wait", a.Status)
	}
	g.Accepted(from("198.51.100.7", key.Secret))
}

func TestWrongMasterKeyAndDamageAreClearErrors(t *testing.T) {
	attacktest.Rows(t, 140)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	g.Issue("api_key", "shop")
	for _, name := range []string{"pavise.key", "pavise-data/store.db", "pavise-data/local-ca/ca-key.pem"} {
		info, err := os.Stat(filepath.Join(g.Dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 600", name, info.Mode().Perm(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(g.Dir, "pavise-data")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the data folder: mode %v, %v", info.Mode().Perm(), err)
	}
	file, err := app.Load(filepath.Join(g.Dir, "pavise.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Open(t.Context(), file, app.Options{}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second process on the same data folder: %v", err)
	}
}

func TestOneIDStandsInAnswerEventAndUpstream(t *testing.T) {
	attacktest.Requirements(t, "16.2.4")
	attacktest.Rows(t, 144, 150)
	g := harness.Start(t, harness.Config{YAML: keysYAML})
	key := g.Issue("api_key", "shop")
	answer := g.Send(key, "GET", "/v1/orders/7", "")
	e := g.Accepted(answer)
	if seen := g.Upstream.Last(t).Header.Get("X-Request-Id"); seen != answer.ID || e.ID != answer.ID {
		t.Errorf("answer %s, event %s, upstream %s", answer.ID, e.ID, seen)
	}
	if e.Time.Location() != time.UTC || time.Since(e.Time) > time.Minute {
		t.Errorf("the event's time is %v", e.Time)
	}
	// A secret where nobody expects one is masked.
	r := g.Request("GET", "/v1/orders/"+key.Secret+"?note="+key.Secret, "")
	r.Header.Set("User-Agent", key.Secret)
	r.Header.Set("X-API-Key", key.Secret)
	if a := g.Do(r); a.Status < 400 {
		t.Errorf("a key in the query: %d", a.Status)
	}
}
