package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
)

// told is what the operator was told.
type told struct {
	mu   sync.Mutex
	text []string
}

func (w *told) warn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, err.Error())
}

func (w *told) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "\n")
}

// serve starts an installation of the minimal configuration on ports of its own.
func serve(t *testing.T, dir, more string) (*App, *Server, *told) {
	t.Helper()
	heard := &told{}
	a, err := Open(t.Context(), configureIn(t, dir, more), Options{Warn: heard.warn})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil { // the test's own has ended
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a, s, heard
}

const onPorts = "listen: {https: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\n"

// Which headers carry credentials, a reload may change: a call without TLS that
// carries one is exposed from then on.
func TestThePlainListenerLearnsOfNewCredentials(t *testing.T) {
	dir := t.TempDir()
	a, s, _ := serve(t, dir, onPorts)
	isExposed := func() bool {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.HTTP.String()+"/v1/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Shop-Key", "planted-secret")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if err := a.State.Log.Flush(); err != nil {
			t.Fatal(err)
		}
		found, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{Code: "tls_required"})
		if err != nil || len(found) == 0 {
			t.Fatalf("%d events, %v", len(found), err)
		}
		last := found[0].Event
		for _, f := range found {
			if f.Event.Time.After(last.Time) {
				last = f.Event
			}
		}
		return last.Exposed
	}
	if isExposed() {
		t.Error("a header that carries nothing counts as exposed")
	}
	text := onPorts + strings.Replace(minimal, "shield: api_key", "shield: {api_key: {header: X-Shop-Key}}", 1)
	if err := a.Reload(write(t, dir, text)); err != nil {
		t.Fatal(err)
	}
	if !isExposed() {
		t.Error("after the reload the header carries keys, and one that came without TLS does not count as exposed")
	}
}

func write(t *testing.T, dir, text string) *config.File {
	t.Helper()
	name := filepath.Join(dir, "pavise.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What guesses through a proxy must not lock the proxy out, and who is no longer
// one may be locked out again.
func TestAReloadTellsTheLockOutOfProxies(t *testing.T) {
	dir := t.TempDir()
	a, _, _ := serve(t, dir, onPorts)
	proxy := netip.MustParseAddr("192.0.2.7")
	guess := func() time.Duration {
		for range 100 {
			a.tries.Wrong("", proxy)
		}
		return a.tries.Blocked("", proxy)
	}
	reload := func(more string) {
		t.Helper()
		if err := a.Reload(configureIn(t, dir, onPorts+more)); err != nil {
			t.Fatal(err)
		}
	}
	reload("trusted_proxies: {addresses: [192.0.2.0/24]}\n")
	if wait := guess(); wait != 0 {
		t.Errorf("a trusted proxy waits %s", wait)
	}
	reload("")
	if wait := guess(); wait == 0 {
		t.Error("who is no proxy any more may guess on")
	}
}

func TestAReloadSaysWhatWaitsForTheNextStart(t *testing.T) {
	dir := t.TempDir()
	a, _, heard := serve(t, dir, onPorts)
	if err := a.Reload(configureIn(t, dir, onPorts+"limits: {address: 5/minute}\n")); err != nil {
		t.Fatal(err)
	}
	if text := heard.all(); text != "" {
		t.Errorf("told %q of a change that is in force", text)
	}
	for i := range 2 { // still so after the second
		if err := a.Reload(configureIn(t, dir, fmt.Sprintf("%slimits: {connections: 777, address: %d/minute}\n", onPorts, 6+i))); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(heard.all(), "limits.connections: 10000 → 777 (with the next start)"); n != i+1 || strings.Contains(heard.all(), "limits.address") {
			t.Errorf("after %d reloads told %q", i+2, heard.all())
		}
	}
}

// An authorization server that is added is there at once; one that is there keeps its issuer
// and what its tokens and keys are made of.
func TestAReloadAddsAnAuthorizationServer(t *testing.T) {
	dir := t.TempDir()
	a, _, heard := serve(t, dir, onPorts)
	service := Administration(a.current().file, a.State, time.Now)
	a.live(service)
	c := admin.Connect(admin.InProcess(service))
	for _, s := range []struct{ oauth, issuer, waiting string }{
		{"oauth: {issuer: https://127.0.0.1:8443}\n", "https://127.0.0.1:8443", ""},
		{"oauth: {issuer: https://127.0.0.1:9443, access_token: 5m}\n", "https://127.0.0.1:8443", "oauth.issuer: https://127.0.0.1:8443 → https://127.0.0.1:9443 (with the next start); oauth.access_token: 10m → 5m (with the next start)"},
		{"", "", ""},
		{"oauth: {issuer: https://127.0.0.1:8443}\n", "https://127.0.0.1:8443", ""},
	} {
		before := heard.all()
		configureIn(t, dir, onPorts+s.oauth)
		done, err := c.Reload(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if text := written(done.Waiting); text != s.waiting {
			t.Errorf("%q: %q waits, want %q", s.oauth, text, s.waiting)
		}
		if told := heard.all() != before; told != (s.waiting != "") {
			t.Errorf("%q: the operator heard %q", s.oauth, strings.TrimPrefix(heard.all(), before))
		}
		issuer := ""
		if o := a.server(); o != nil {
			issuer = o.Issuer
		}
		if issuer != s.issuer {
			t.Errorf("%q: the issuer is %q, want %q", s.oauth, issuer, s.issuer)
		}
		if text := lastReload(t, a); strings.Contains(text, "next start") != (s.waiting != "") {
			t.Errorf("%q: the event says %q", s.oauth, text)
		}
	}
}

// lastReload is the difference that the newest event of a reload holds.
func lastReload(t *testing.T, a *App) string {
	t.Helper()
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{Class: audit.Admin})
	if err != nil {
		t.Fatal(err)
	}
	var last audit.Event
	for _, f := range found {
		if f.Event.Action == "reload" && f.Event.Time.After(last.Time) {
			last = f.Event
		}
	}
	return last.Change
}

// A pair that went bad is told of once, not at each look, and again after it was
// mended and went bad anew.
func TestABadCertificateIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	a, _, _ := serve(t, dir, onPorts)
	local := a.current().certs.Local()
	cert, err := local.Server("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	good := pemOf(t, cert)
	file := filepath.Join(dir, "pair.pem")
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(good)
	text := onPorts + strings.Replace(minimal, "certificate: local", "certificate: {cert: pair.pem, key: pair.pem}", 1)
	g, err := a.build(write(t, dir, text), nil) // looked at by this test alone
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	looks := func(n int) (faults int) {
		for range n {
			if g.reloadCertificates(time.Now()) != nil {
				faults++
			}
		}
		return faults
	}
	if n := looks(3); n != 0 {
		t.Errorf("%d faults of a good pair", n)
	}
	put([]byte("no certificate"))
	if n := looks(3); n != 1 {
		t.Errorf("a bad pair was told of %d times", n)
	}
	put(good)
	if n := looks(3); n != 0 {
		t.Errorf("%d faults of a mended pair", n)
	}
	put([]byte("no certificate again"))
	if n := looks(3); n != 1 {
		t.Errorf("a pair that went bad again was told of %d times", n)
	}
}

func pemOf(t *testing.T, cert *tls.Certificate) []byte {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, der := range cert.Certificate {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
}
