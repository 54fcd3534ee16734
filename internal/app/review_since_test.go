package app

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/review"
)

const oldAndNew = `hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:9
    shield: api_key
    scopes: any
    endpoints:
      GET /v1/orders: {}
      GET /v1/old: {}
      # more
scopes: {}
`

// aging is an installation whose clock is set by hand.
type aging struct {
	name string
	now  time.Time
}

func (g *aging) policy(t *testing.T, more string) *config.File {
	t.Helper()
	if err := os.WriteFile(g.name, []byte(strings.Replace(oldAndNew, "# more", more, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(g.name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// runs starts a gateway, and ends it.
func (g *aging) runs(t *testing.T, f *config.File, do func(a *App)) {
	t.Helper()
	a, err := Open(t.Context(), f, Options{Library: true, Now: func() time.Time { return g.now }})
	if err != nil {
		t.Fatal(err)
	}
	do(a)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// An endpoint that a restart or a reload added yesterday is not one that nobody called for 30 days.
func TestAnEndpointOfYesterdayIsNotCalledUnused(t *testing.T) {
	g := &aging{name: filepath.Join(t.TempDir(), "pavise.yaml"), now: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
	first := g.policy(t, "# nothing")
	g.runs(t, first, func(*App) {})
	g.now = g.now.AddDate(0, 0, 39)
	started := g.policy(t, "GET /v1/started: {}")
	g.runs(t, started, func(a *App) {
		if err := a.Reload(g.policy(t, "GET /v1/started: {}\n      GET /v1/loaded: {}")); err != nil {
			t.Fatal(err)
		}
	})
	g.now = g.now.AddDate(0, 0, 1)
	last := g.policy(t, "GET /v1/started: {}\n      GET /v1/loaded: {}\n      GET /v1/unread: {}")
	want := []string{"GET /v1/old", "GET /v1/orders"}
	g.runs(t, started, func(a *App) { // it reads what is not in the file any more, too
		held, err := GrantsOf(t.Context(), last, admin.Connect(admin.InProcess(Administration(last, a.State, a.now))), g.now)
		if err != nil {
			t.Fatal(err)
		}
		used, err := review.Read(t.Context(), []string{last.Log.Folder}, held.Granted, review.Window{Since: g.now.AddDate(0, 0, -30), Until: g.now})
		if err != nil {
			t.Fatal(err)
		}
		var gone []string
		for _, e := range used.Propose(review.Aim{Now: g.now, Settle: review.DefaultSettle}).Endpoints {
			gone = append(gone, e.Pattern)
		}
		if !slices.Equal(gone, want) {
			t.Errorf("takes out %q, want %q", gone, want)
		}
		listed, err := Inventory(t.Context(), last, Look{Since: g.now.AddDate(0, 0, -30), Now: g.now})
		if err != nil {
			t.Fatal(err)
		}
		since := map[string]time.Time{}
		for _, e := range listed.APIs[0].Endpoints {
			since[e.Pattern] = e.InPolicy
		}
		if !since["GET /v1/old"].Equal(g.now.AddDate(0, 0, -40)) || !since["GET /v1/started"].Equal(g.now.AddDate(0, 0, -1)) || !since["GET /v1/unread"].Equal(g.now) {
			t.Errorf("in the policy since %v", since)
		}
	})
}

// What the file says cannot be read: all counts as new, and it is told.
func TestWhereItIsNotKnownSinceWhenAllIsNew(t *testing.T) {
	g := &aging{name: filepath.Join(t.TempDir(), "pavise.yaml"), now: time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)}
	f := g.policy(t, "# nothing")
	if since, err := EndpointsSince(f, g.now); err != nil || since != nil {
		t.Errorf("before the first start: %v, %v", since, err)
	}
	g.runs(t, f, func(*App) {})
	name := filepath.Join(f.State.Folder, sinceFile)
	if err := os.WriteFile(name, []byte(`{"version":1,"endpoints":{},"more":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EndpointsSince(f, g.now); err == nil || !strings.Contains(err.Error(), sinceFile) {
		t.Errorf("read what it is not: %v", err)
	}
	g.now = g.now.AddDate(0, 0, 40)
	g.runs(t, f, func(*App) {})
	if since, err := EndpointsSince(f, g.now); err != nil || len(since) != 2 || !since["orders GET /v1/old"].Equal(g.now) {
		t.Errorf("after it: %v, %v", since, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
