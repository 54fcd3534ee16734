package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// with puts settings of an API into openYAML, and such of the top before it.
func with(api, top string) string {
	return top + strings.Replace(openYAML, "    shield: api_key\n", "    shield: api_key\n"+api, 1)
}

// parallel sends n requests at once and counts those that were accepted.
func parallel(g *harness.Gateway, n int, key shield.Credential) int {
	var passed atomic.Int32
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if g.Send(key, "GET", "/files/a", "").Status == 200 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	return int(passed.Load())
}

func TestBurstsAndTheLastTokenOverSockets(t *testing.T) {
	attacktest.Rows(t, 126, 127)
	g := harness.Start(t, harness.Config{YAML: with("    limit: 60/hour per client burst 10\n", "")})
	key := g.Issue("api_key", "shop")
	if passed := parallel(g, 50, key); passed != 10 {
		t.Errorf("%d of fifty at once passed, want the burst of 10", passed)
	}
	// A full window later the burst is there again, and no more: nothing was saved up at its edge.
	g.Advance(time.Hour)
	if passed := parallel(g, 50, key); passed != 10 {
		t.Errorf("%d of fifty passed after the window, want 10", passed)
	}
	g.Advance(time.Minute) // one token
	if passed := parallel(g, 50, key); passed != 1 {
		t.Errorf("%d of fifty passed at the last token, want 1", passed)
	}
}

func TestOneOwnerIsCountedOnce(t *testing.T) {
	attacktest.Rows(t, 128, 129)
	g := harness.Start(t, harness.Config{YAML: with("    limit: [10/hour per client, 15/hour per endpoint]\n",
		"trusted_proxies: {addresses: [127.0.0.0/8]}\n")})
	keys := make([]shield.Credential, 1000)
	for i := range keys {
		keys[i] = g.IssueUnplanted(client.Credential{Kind: "api_key", Client: "shop"})
	}
	passed := 0
	for _, key := range append(keys[:50:50], keys[len(keys)-10:]...) {
		if a := g.Send(key, "GET", "/files/a", ""); a.Status == 200 {
			passed++
		}
	}
	if passed != 10 {
		t.Errorf("%d requests with a thousand keys of one owner passed, want 10", passed)
	}
	// Neither do other spellings of the path count by themselves, nor do they pass at all.
	for _, target := range []string{"/files/a", "/files/a/", "/files/A", "/files/a?x=1", "/files/a?x"} {
		g.Refused(g.Send(keys[0], "GET", target, ""), 429, shield.RateLimited)
	}
	for _, target := range []string{"/files/%61", "//files/a", "/files/./a", "/FILES/a"} {
		if a := g.RawAnswer("GET " + target + " HTTP/1.1\r\nHost: " + g.Address + "\r\nX-API-Key: " + keys[0].Secret + "\r\n\r\n"); a.Status != 400 && a.Status != 404 {
			t.Errorf("%s: %d", target, a.Status)
		}
	}
}

func TestAFloodOfOneNetworkIsNotOfItsAddresses(t *testing.T) {
	attacktest.Rows(t, 128)
	g := harness.Start(t, harness.Config{YAML: strings.Replace(openYAML, "wrong_tries: 100000", "wrong_tries: 100000, address: 20/hour", 1) +
		"trusted_proxies: {addresses: [127.0.0.0/8]}\n"})
	key := g.Issue("api_key", "shop")
	from := func(address string) int {
		r := g.Request("GET", "/files/a", "")
		r.Header.Set("X-API-Key", key.Secret)
		r.Header.Set("X-Forwarded-For", address)
		return g.Do(r).Status
	}
	passed := 0
	for i := range 60 {
		if from(fmt.Sprintf("2001:db8:1:2:%x::%x", i+1, i*7+1)) == 200 {
			passed++
		}
	}
	if passed != 20 || from("2001:db8:1:3::1") != 200 {
		t.Errorf("%d of one /64 passed, want 20, and the next /64 on its own", passed)
	}
}

func TestStrangersDoNotUseUpAVictimsQuota(t *testing.T) {
	attacktest.Rows(t, 130, 131)
	g := harness.Start(t, harness.Config{YAML: with("    limit: 10/minute per client\n    quota: 12/day per client\n", "")})
	key := g.Issue("api_key", "shop")
	wrong := key
	wrong.Secret = key.Secret[:len(key.Secret)-8] + "AAAAAAAA" // her public part, and no secret
	for range 40 {
		if a := g.Send(wrong, "GET", "/files/a", ""); a.Status != 401 {
			t.Fatalf("a wrong key: %d", a.Status)
		}
	}
	for i := range 10 {
		a := g.Send(key, "GET", "/files/a", "")
		g.Accepted(a)
		if limits := a.Header.Get("Ratelimit"); !strings.Contains(limits, fmt.Sprintf(`"files-client";r=%d;`, 9-i)) ||
			!strings.Contains(limits, fmt.Sprintf(`"files-client-day";r=%d;`, 11-i)) {
			t.Errorf("request %d: %s", i, limits)
		}
	}
	// Who obeys Retry-After passes; who comes a second earlier does not.
	a := g.Send(key, "GET", "/files/a", "")
	g.Refused(a, 429, shield.RateLimited)
	wait, err := strconv.Atoi(a.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 6 {
		t.Fatalf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	g.Advance(time.Duration(wait) * time.Second)
	g.Accepted(g.Send(key, "GET", "/files/a", ""))
}

func TestQuotasOfDaysAndMonths(t *testing.T) {
	attacktest.Rows(t, 127, 131, 133, 134)
	g := harness.Start(t, harness.Config{
		Now:  time.Date(2026, 11, 29, 22, 30, 0, 0, time.UTC),
		YAML: strings.Replace(with("    quota: [20/day per client, 30/month per client]\n", ""), "POST /files: {scopes: any}", "POST /files: {scopes: any, quota: 10/day per client cost 4}", 1),
	})
	key := g.Issue("api_key", "shop")
	// The dear operation: two of cost 4 fit into 10, a third does not, and takes of none.
	for range 2 {
		g.Accepted(g.Send(key, "POST", "/files", ""))
	}
	dear := g.Send(key, "POST", "/files", "")
	g.Refused(dear, 429, shield.QuotaExceeded)
	if !strings.Contains(dear.Header.Get("Ratelimit"), `"files-post-files-client-day";r=2`) {
		t.Errorf("headers %v", dear.Header)
	}
	if passed := parallel(g, 50, key); passed != 18 {
		t.Errorf("%d of fifty passed, want what was left of the day: 18", passed)
	}
	refused := g.Send(key, "GET", "/files/a", "")
	g.Refused(refused, 429, shield.QuotaExceeded)
	wait, _ := strconv.Atoi(refused.Header.Get("Retry-After"))
	if wait < 5000 || wait > 5400 || !strings.Contains(refused.Header.Get("Ratelimit-Policy"), `"files-client-day";q=20;w=86400`) {
		t.Errorf("headers %v", refused.Header)
	}
	// Neither a restart nor a step of the clock gives another.
	g.Restart()
	g.Refused(g.Send(key, "GET", "/files/a", ""), 429, shield.QuotaExceeded)
	g.Advance(-time.Hour)
	g.Refused(g.Send(key, "GET", "/files/a", ""), 429, shield.QuotaExceeded)
	g.Advance(time.Hour)
	g.Advance(time.Hour) // 23:30
	g.Refused(g.Send(key, "GET", "/files/a", ""), 429, shield.QuotaExceeded)
	// Tomorrow, for a moment: what is used then is used of tomorrow, also when it is today again.
	g.Advance(time.Hour)
	if passed := parallel(g, 30, key); passed != 10 {
		t.Errorf("%d passed on the next day, want what was left of the month: 10", passed)
	}
	g.Advance(-time.Hour)
	again := g.Send(key, "GET", "/files/a", "")
	g.Refused(again, 429, shield.QuotaExceeded)
	if wait, _ := strconv.Atoi(again.Header.Get("Retry-After")); wait > 2*24*3600 {
		t.Errorf("blocked for %d s", wait)
	}
	g.Advance(25*time.Hour + time.Minute) // 1 December
	g.Accepted(g.Send(key, "GET", "/files/a", ""))
	// What is used is told, and an operator lets a client begin anew.
	uses, err := g.App.State.Quotas.List()
	if err != nil || len(uses) == 0 {
		t.Fatalf("%v, %v", uses, err)
	}
}

func TestOperatorsSeeAndResetQuotas(t *testing.T) {
	g := harness.Start(t, harness.Config{YAML: with("    quota: 3/month per client\n", "")})
	key := g.Issue("api_key", "shop")
	for range 3 {
		g.Accepted(g.Send(key, "GET", "/files/a", ""))
	}
	g.Refused(g.Send(key, "GET", "/files/a", ""), 429, shield.QuotaExceeded)
	file, err := app.Load(filepath.Join(g.Dir, "pavise.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	operator := admin.Connect(admin.InProcess(app.Administration(file, g.App.State, g.Clock.Now)))
	all, err := operator.Quotas(t.Context(), "shop")
	if err != nil || len(all) != 1 || all[0].Used != 3 || all[0].Of != 3 || all[0].Whom() != "client shop" || all[0].Quota != "files-client-month" {
		t.Errorf("%+v, %v", all, err)
	}
	if others, err := operator.Quotas(t.Context(), "other"); err != nil || len(others) != 0 {
		t.Errorf("of another client: %+v, %v", others, err)
	}
	if _, err := operator.ResetQuotas(t.Context(), admin.QuotaReset{Client: "nobody"}); err == nil {
		t.Error("a reset of nothing")
	}
	if _, err := operator.ResetQuotas(t.Context(), admin.QuotaReset{Client: "shop", Quota: "files-client-month"}); err != nil {
		t.Error(err)
	}
	g.Accepted(g.Send(key, "GET", "/files/a", ""))
	if events := g.Events(audit.Query{Class: audit.Admin}); len(events) == 0 || events[len(events)-1].Action != "quota.reset" || events[len(events)-1].Target != "shop" {
		t.Errorf("events %+v", events)
	}
}

// A gateway that fills up sheds the cheapest to lose, and says so; those under way end.
func TestAFullGatewayShedsTheCheapestToLose(t *testing.T) {
	hold, reached := make(chan struct{}), make(chan struct{}, 20)
	g := harness.Start(t, harness.Config{
		YAML: `
limits: {requests: 10}
hosts: {127.0.0.1: {certificate: local}}
apis:
  files:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: any
    endpoints:
      GET /slow: {priority: high}
      GET /vital: {priority: high}
      GET /usual: {}
      GET /open: {shield: {public: everybody may look}}
      GET /reports: {priority: low}
scopes: {}
`,
		Upstream: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				reached <- struct{}{}
				<-hold
			}
		}),
	})
	key := g.Issue("api_key", "shop")
	var under sync.WaitGroup
	fill := func(n int) {
		for range n {
			under.Go(func() { g.Send(key, "GET", "/slow", "") })
			<-reached
		}
	}
	status := func(target string) int {
		credential := key
		if target == "/open" {
			credential = shield.Credential{}
		}
		a := g.Send(credential, "GET", target, "")
		if a.Status == 503 && a.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: header %v", target, a.Header)
		}
		return a.Status
	}
	fill(6)
	for more, want := range [][4]int{{200, 200, 200, 503}, {200, 200, 503, 503}, {200, 503, 503, 503}, {503, 503, 503, 503}} {
		fill(1)
		taken := 7 + more
		for i, target := range []string{"/vital", "/usual", "/open", "/reports"} {
			if got := status(target); got != want[i] {
				t.Errorf("%d of 10 under way, %s: %d, want %d", taken, target, got, want[i])
			}
		}
	}
	close(hold)
	under.Wait()
	if got := status("/reports"); got != 200 {
		t.Errorf("afterwards: %d", got)
	}
	busy := g.Events(audit.Query{Code: string(shield.Busy)})
	if len(busy) != 10 || busy[0].Decision != audit.Refused || busy[0].Step != "load" {
		t.Errorf("%d events, %+v", len(busy), busy)
	}
}

func TestHandshakesOfOneAddressAreBounded(t *testing.T) {
	yaml := strings.Replace(openYAML, "wrong_tries: 100000", "wrong_tries: 100000, handshakes: 5/hour", 1)
	g := harness.Start(t, harness.Config{YAML: yaml})
	key := g.Issue("api_key", "shop")
	kept := g.Client()
	ask := func() int {
		t.Helper()
		r := g.Request("GET", "/files/a", "")
		r.Header.Set("X-API-Key", key.Secret)
		answer, err := kept.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	if status := ask(); status != 200 { // one connection, which stays
		t.Fatal(status)
	}
	shaken := 0
	for range 10 {
		conn, err := tls.Dial("tcp", g.Address, g.TLS())
		if err != nil {
			continue
		}
		shaken++
		_ = conn.Close()
	}
	if shaken > 4 {
		t.Errorf("%d handshakes after the first, want 4 at most", shaken)
	}
	events := g.Events(audit.Query{Class: audit.Connection, Code: "too_many_handshakes"})
	if len(events) < 6 || events[0].Step != "limit" || !strings.Contains(events[0].Detail, "127.0.0.1/32") {
		t.Errorf("%d events: %+v", len(events), events)
	}
	if status := ask(); status != 200 {
		t.Errorf("what is open: %d", status)
	}
	g.Configure(yaml + "trusted_proxies: {addresses: [127.0.0.1/32]}\n")
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", g.Address, g.TLS())
	if err != nil {
		t.Fatalf("a trusted proxy: %v", err)
	}
	_ = conn.Close()
}

func TestHoneypotsKeepIntrudersOut(t *testing.T) {
	attacktest.Rows(t, 17, 122)
	g := harness.Start(t, harness.Config{YAML: with("", "trusted_proxies: {addresses: [127.0.0.0/8, \"2001:db8:9::1/128\"]}\nhoneypots: {common: true, paths: [/old-admin.php], block: 1h}\n")})
	key := g.Issue("api_key", "shop")
	ask := func(target, from string, header ...string) harness.Answer {
		r := g.Request("GET", target, "")
		r.Header.Set("X-API-Key", key.Secret)
		if from != "" {
			r.Header.Set("X-Forwarded-For", from)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return g.Do(r)
	}
	out := func(from string) {
		t.Helper()
		for begin := time.Now(); ask("/files/a", from).Status != 403; time.Sleep(5 * time.Millisecond) {
			if time.Since(begin) > 20*time.Second {
				t.Fatalf("%s is not kept out", from)
			}
		}
	}
	other := ask("/.nothing", "198.51.100.1")
	trap := ask("/.env", "203.0.113.7")
	if trap.Status != 404 || strings.ReplaceAll(string(trap.Body), trap.ID, "") != strings.ReplaceAll(string(other.Body), other.ID, "") || len(trap.Header) != len(other.Header) {
		t.Errorf("answer %d %s %v\nof another path %d %s %v", trap.Status, trap.Body, trap.Header, other.Status, other.Body, other.Header)
	}
	if e := g.Event(trap.ID); e.Code != string(shield.Honeypot) || e.Decision != audit.Refused {
		t.Errorf("event %+v", e)
	}
	out("203.0.113.7")
	ask("/old-admin.php", "2001:db8:7::1")
	out("2001:db8:7::2") // the /64
	g.Accepted(ask("/files/a", "203.0.113.8"))
	g.Accepted(ask("/files/a", "2001:db8:7:1::1"))
	// Nobody is kept out for what another site made his browser do; nor a proxy, nor who lives
	// beside one, but alone.
	ask("/.env", "198.51.100.2", "Sec-Fetch-Site", "cross-site")
	ask("/.env", "")
	ask("/.env", "2001:db8:9::1")
	ask("/.env", "2001:db8:9::bad")
	out("2001:db8:9::bad")
	for _, from := range []string{"198.51.100.2", "", "2001:db8:9::1", "2001:db8:9::7"} {
		g.Accepted(ask("/files/a", from))
	}
	blocks, err := g.App.State.Registry.Blocks(t.Context())
	if err != nil || len(blocks) != 3 {
		t.Errorf("%+v, %v", blocks, err)
	}
	for _, b := range blocks {
		if !strings.HasPrefix(b.Reason, "honeypot /") || b.Until.Sub(b.Since) != time.Hour {
			t.Errorf("block %+v", b)
		}
	}
	if events := g.Events(audit.Query{Class: audit.Admin}); len(events) < 3 || events[len(events)-1].Actor != "honeypots" || events[len(events)-1].Action != "network.block" {
		t.Errorf("events %+v", events)
	}
	// A longer block of an operator's is not cut short, and each ends by itself.
	if _, err := g.App.State.Registry.Block(t.Context(), netip.MustParsePrefix("192.0.2.0/24"), 48*time.Hour, "by hand"); err != nil {
		t.Fatal(err)
	}
	g.Advance(time.Hour + time.Second)
	g.Accepted(ask("/files/a", "203.0.113.7"))
	if a := ask("/.env", "192.0.2.9"); a.Status != 403 {
		t.Errorf("who is kept out already: %d", a.Status)
	}
}
