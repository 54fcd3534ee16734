package own_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/client"
)

const shared = `
listen: {https: "127.0.0.1:{{port}}"}
hosts: {127.0.0.1: {certificate: local}}
apis:
  prices:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    injection: on
    endpoints:
      GET /v1/prices: {scopes: [prices:read], limit: 10/minute per endpoint}
      GET /v1/rare: {scopes: [prices:read], limit: 1/minute per endpoint}
      GET /v1/reports: {scopes: [prices:read], quota: 100/day per endpoint}
      GET /v1/quotes: {scopes: [prices:read], quota: 3/month per client}
scopes: {prices:read: See prices}
`

// shop is a real caller.
type shop struct {
	t    *testing.T
	send *http.Client
	at   string
	key  string
}

func newShop(t *testing.T, i *installation) *shop {
	t.Helper()
	f := i.load(t, "pavise.yaml")
	if _, err := i.admin.CreateClient(t.Context(), admin.NewClient{ID: "shop", Scopes: []string{"prices:read"}}); err != nil {
		t.Fatal(err)
	}
	made, err := i.admin.CreateCredential(t.Context(), admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: localCA(t, f)}}
	t.Cleanup(transport.CloseIdleConnections)
	return &shop{t, &http.Client{Transport: transport}, "https://" + f.Listen.HTTPS, made.Secret}
}

// asks returns the status of an answer.
func (s *shop) asks(ctx context.Context, path string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.at+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", s.key)
	answer, err := s.send.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}

// TestWhatCallersShareIsLeftToThem: a limit of 10 a minute for all callers together leaves nine to those
// who are real, while the attack runs.
func TestWhatCallersShareIsLeftToThem(t *testing.T) {
	c := newClock()
	i := installOn(t, c, shared, nil)
	real := newShop(t, i)
	asked, refused := 0, 0
	c.step, c.then = 7*time.Second, func(ctx context.Context) { // 8.6 in a minute
		if asked++; real.asks(ctx, "/v1/prices") != http.StatusOK {
			refused++
		}
	}
	began := c.Now()
	report, outcomes := i.attack(t, "pavise.yaml", 0, c.on)
	if asked == 0 || refused > 0 || len(report.Findings) > 0 {
		show(t, report)
		t.Errorf("%d of %d requests of a real caller were refused", refused, asked)
	}
	if took := c.Now().Sub(began); took > 7*time.Minute {
		t.Errorf("it waited %s in all", took)
	}
	notes := strings.Join(report.Notes, "\n")
	if !strings.Contains(notes, "of limits that all callers share (prices-get-v1-prices-endpoint, prices-get-v1-rare-endpoint, prices-get-v1-reports-endpoint-day) the test uses a tenth") {
		t.Errorf("nothing is said of that:\n%s", notes)
	}
	for path, want := range map[string]attack.Outcome{"prices": attack.Held, "rare": attack.Unsure, "reports": attack.Unsure, "quotes": attack.Held} {
		if got := outcomes["unexpected-error GET /v1/"+path+", api_key: a good request"]; got != want {
			t.Errorf("a good request for %s: %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"rare", "reports"} { // what is refused before it counts is tried all the same
		if got := outcomes["no-credential GET /v1/"+path+", no credential"]; got != attack.Held {
			t.Errorf("a stranger at %s: %s", path, got)
		}
	}
	used, err := i.admin.Quotas(t.Context(), "")
	if err != nil || len(used) == 0 || slices.ContainsFunc(used, func(q admin.QuotaUse) bool { return q.Client != client.TesterA }) {
		t.Errorf("used of quotas: %+v, %v", used, err)
	}
	// What is the test's own begins anew in each run.
	if _, outcomes := i.attack(t, "pavise.yaml", 0, func(g *own.Gateway) { c.on(g); c.then = nil }); outcomes["unexpected-error GET /v1/quotes, api_key: a good request"] != attack.Held {
		t.Error("the second run has used up its own quota")
	}
}

// Whoever allows floods allows that, too: so much for what the test above shows.
func TestWithFloodsNothingIsSpared(t *testing.T) {
	c := newClock()
	i := installOn(t, c, shared, nil)
	real := newShop(t, i)
	refused := false
	c.then = func(ctx context.Context) { refused = refused || real.asks(ctx, "/v1/prices") != http.StatusOK }
	_, _ = i.attack(t, "pavise.yaml", 0, func(g *own.Gateway) { c.on(g); g.Allowed = attack.Floods })
	if !refused {
		t.Error("a real caller is served all the while")
	}
}
