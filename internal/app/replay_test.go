package app

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	explained "pavise.dev/pavise/internal/explain"
	"pavise.dev/pavise/shield"
)

// events are those of the log.
func (w *shops) events(t *testing.T) []audit.Found {
	t.Helper()
	found, err := audit.Search(t.Context(), w.current().file.Log.Folder, audit.Query{Class: audit.Request})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// known is what the registry knows.
func (w *shops) known(t *testing.T) *Known {
	t.Helper()
	clients, err := w.State.Registry.Clients(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := w.State.Registry.Credentials(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return NewKnown(clients, credentials)
}

// besideFile writes another configuration into the folder of the one in force.
func (w *shops) besideFile(t *testing.T, text string) *config.File {
	t.Helper()
	name := filepath.Join(w.current().file.Dir, "new.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const replayedFile = `
hosts: {api.test: {certificate: local}}
limits: {wrong_tries: 100000, address: 100000/second}
scopes: {orders:read: See orders, orders:write: Place orders}
apis:
  orders:
    host: api.test
    upstream: http://127.0.0.1:9
    shield: api_key
    endpoints:
      GET /v1/orders/{id}:  {scopes: [orders:read]}
      GET /v1/all:          {scopes: any}
      POST /v1/orders:      {scopes: [orders:write]}
      GET /v1/gone:         {scopes: any}
      GET /v1/closed:       {scopes: [orders:write]}
      GET /v1/office:       {scopes: any, when: 'context.address.isInRange(ip("192.0.2.0/24"))'}
      GET /v1/keyless:      {scopes: any}
`

// What a comparison says of a change is what happens to the very requests when the change is made.
func TestAComparisonSaysWhatHappens(t *testing.T) {
	changed := strings.NewReplacer(
		"GET /v1/all:          {scopes: any}", "GET /v1/all:          {scopes: [orders:write]}",
		"GET /v1/gone:         {scopes: any}\n", "GET /v1/new:          {scopes: any}\n",
		"GET /v1/closed:       {scopes: [orders:write]}", "GET /v1/closed:       {scopes: [orders:read]}",
		"192.0.2.0/24", "198.51.100.0/24",
		"GET /v1/keyless:      {scopes: any}", "GET /v1/keyless:      {shield: {public: for everybody}, scopes: any}",
	).Replace(replayedFile)
	w := openShops(t, replayedFile)
	type request struct{ id, method, path, from string }
	var all []request
	for _, id := range []string{"shop", "reader", ""} {
		for _, from := range []string{"192.0.2.7", "198.51.100.1"} {
			for _, path := range []string{"/v1/orders/7", "/v1/all", "/v1/gone", "/v1/closed", "/v1/office", "/v1/keyless", "/v1/nowhere"} {
				all = append(all, request{id, "GET", path, from})
			}
			all = append(all, request{id, "POST", "/v1/orders", from}, request{id, "DELETE", "/v1/all", from})
		}
	}
	before := map[request]bool{}
	for _, r := range all {
		status, _ := w.send(t, r.id, r.method, r.path, "", r.from)
		before[r] = status < 400
	}
	if err := w.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	next := w.besideFile(t, changed)
	was, err := OpenReplay(w.current().file, w.current().file, w.known(t))
	if err != nil {
		t.Fatal(err)
	}
	is, err := OpenReplay(next, w.current().file, w.known(t))
	if err != nil {
		t.Fatal(err)
	}
	d := explained.NewDiff(was, is)
	for _, f := range w.events(t) {
		d.Add(&f.Event)
	}
	found := d.Found(time.Time{}, w.now)
	if err := w.Reload(next); err != nil {
		t.Fatal(err)
	}
	fails, passes := 0, 0
	for _, r := range all {
		status, _ := w.send(t, r.id, r.method, r.path, "", r.from)
		switch after := status < 400; {
		case before[r] && !after:
			fails++
		case !before[r] && after:
			passes++
		}
	}
	if found.NewlyFails != fails || found.NewlyPasses != passes || fails == 0 || passes == 0 {
		t.Errorf("said %d newly fail and %d newly pass; in truth %d and %d\n%+v", found.NewlyFails, found.NewlyPasses, fails, passes, found)
	}
	if found.Requests != len(all) {
		t.Errorf("%d requests of %d", found.Requests, len(all))
	}
}

// recordedOne is the event of a client's request.
func recordedOne(id, method, path, endpoint string, change func(*audit.Event)) *audit.Event {
	e := &audit.Event{
		ID: "1", Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Class: audit.Request, Decision: audit.Accepted, Step: "proxy", Status: 200,
		Method: method, Host: "api.test", Path: path, TLS: "1.3", SNI: "api.test", Proto: "HTTP/1.1", API: "orders", Endpoint: endpoint,
		Remote: netip.MustParseAddrPort("198.51.100.1:1"), Shield: "api_key", CredentialID: "k-" + id, Client: id, Subject: id, Issuer: "pavise", Proved: true,
	}
	if change != nil {
		change(e)
	}
	return e
}

func TestAComparisonSaysWhatItCannotKnow(t *testing.T) {
	w := openShops(t, replayedFile)
	known := NewKnown([]client.Client{{ID: "shop", Scopes: shield.Scopes{"orders:read"}}}, []client.Credential{{Kind: "api_key", ID: "k-shop", Client: "shop"}})
	judge := func(text string, e *audit.Event) explained.Judgement {
		t.Helper()
		r, err := OpenReplay(w.besideFile(t, text), w.current().file, known)
		if err != nil {
			t.Fatal(err)
		}
		return r.Judge(e)
	}
	other := strings.Replace(replayedFile, "shield: api_key", "shield: {api_key: {header: X-Other-Key}}", 1)
	both := strings.Replace(replayedFile, "shield: api_key", "shield: {all: [api_key, hmac]}", 1)
	either := strings.Replace(replayedFile, "shield: api_key", "shield: {any: [hmac, api_key]}", 1)
	write := strings.Replace(replayedFile, "GET /v1/all:          {scopes: any}", "GET /v1/all:          {scopes: [orders:write]}", 1)
	for name, test := range map[string]struct {
		text   string
		e      *audit.Event
		passes bool
		code   string
		open   string
	}{
		"as it was":                     {replayedFile, recordedOne("shop", "GET", "/v1/all", "GET /v1/all", nil), true, "", ""},
		"one of two is enough":          {either, recordedOne("shop", "GET", "/v1/all", "GET /v1/all", nil), true, "", ""},
		"one of two is not":             {both, recordedOne("shop", "GET", "/v1/all", "GET /v1/all", nil), false, "missing_credential", ""},
		"another setting of the shield": {other, recordedOne("shop", "GET", "/v1/all", "GET /v1/all", nil), false, "", "settings of shield api_key differ"},
		"a scope that the client lacks": {write, recordedOne("shop", "GET", "/v1/all", "GET /v1/all", nil), false, "insufficient_scope", ""},
		"a scope of a key that is gone": {write, recordedOne("gone", "GET", "/v1/all", "GET /v1/all", nil), false, "", "which scopes a token carried"},
		"a wrong key stays wrong":       {replayedFile, recordedOne("", "GET", "/v1/all", "GET /v1/all", wrongKey), false, "invalid_credential", ""},
		"a wrong key, another shield":   {either, recordedOne("", "GET", "/v1/all", "GET /v1/all", wrongKey), false, "", "meets another shield"},
		"a path that is cut off":        {replayedFile, recordedOne("shop", "GET", "/v1/orders/7…", "GET /v1/orders/{id}", nil), false, "", "too long"},
		"a hidden path of nobody's":     {replayedFile, recordedOne("", "GET", "/v9/*", "", func(e *audit.Event) { e.API, e.Shield = "", "" }), false, "", "hidden"},
		"no path at all":                {replayedFile, recordedOne("", "GET", "", "", func(e *audit.Event) { e.API, e.Shield = "", "" }), false, "", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			j := judge(test.text, test.e)
			if test.open != "" {
				if !strings.Contains(j.Open, test.open) {
					t.Errorf("%+v; want it open: %s", j, test.open)
				}
				return
			}
			if j.Open != "" || j.Passes != test.passes || j.Code != test.code {
				t.Errorf("%+v", j)
			}
		})
	}
}

func wrongKey(e *audit.Event) {
	e.Decision, e.Step, e.Code, e.Shield, e.CredentialID, e.Client, e.Proved = audit.Refused, "shield", "invalid_credential", "", "", "", false
}

// Whatever an event holds, it is judged or open.
func FuzzReplay(f *testing.F) {
	name := filepath.Join(f.TempDir(), "pavise.yaml")
	if err := os.WriteFile(name, []byte(replayedFile), 0o600); err != nil {
		f.Fatal(err)
	}
	file, err := Load(name)
	if err != nil {
		f.Fatal(err)
	}
	r, err := OpenReplay(file, file, NewKnown(nil, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("GET", "api.test", "/v1/orders/7", "api_key", "k", "", "access", "insufficient_scope", "missing a; has b")
	f.Add("OPTIONS", "", "*", "", "", "hmac:x jwt:y", "shield", "missing_credential", "1: absent")
	f.Add("", "[::1]:x", "//%zz", "public", "", ":", "", "", "")
	f.Fuzz(func(t *testing.T, method, host, path, kind, credential, with, step, code, detail string) {
		e := recordedOne("shop", method, path, "GET /v1/orders/{id}", func(e *audit.Event) {
			e.Host, e.Shield, e.CredentialID, e.With, e.Step, e.Code, e.Detail = host, kind, credential, with, step, code, detail
		})
		if j := r.Judge(e); !j.Passes && j.Open == "" && j.Code == "" {
			t.Errorf("%+v is neither", j)
		}
	})
}

// A million requests in bounded memory; the time is told by -v.
func BenchmarkReplay(b *testing.B) {
	dir := b.TempDir()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(replayedFile), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		b.Fatal(err)
	}
	known := NewKnown([]client.Client{{ID: "shop", Scopes: shield.Scopes{"orders:read"}}}, []client.Credential{{Kind: "api_key", ID: "k-shop", Client: "shop"}})
	was, err := OpenReplay(f, f, known)
	if err != nil {
		b.Fatal(err)
	}
	is, err := OpenReplay(f, f, known)
	if err != nil {
		b.Fatal(err)
	}
	d := explained.NewDiff(was, is)
	events := make([]*audit.Event, 1024)
	for i := range events {
		events[i] = recordedOne("shop", "GET", fmt.Sprintf("/v1/orders/%d", i), "GET /v1/orders/{id}", nil)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		d.Add(events[i&1023])
		i++
	}
	runtime.KeepAlive(d)
}
