package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
)

// scraped is an installation with a listener for those who watch.
func scraped(t *testing.T, metrics, more string, beside map[string]string) (*App, *Server, *told) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range beside {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	heard := &told{}
	a, err := Open(t.Context(), write(t, dir, "listen: {https: \"127.0.0.1:0\", metrics: "+metrics+"}\n"+minimal+more), Options{Warn: heard.warn})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Listen()
	if err != nil {
		t.Fatal(errors.Join(err, a.Close()))
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

// ask asks the listener for those who watch.
func ask(t *testing.T, c *http.Client, url, token string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestTheGatewayCountsWhatItDoes(t *testing.T) {
	a, s, _ := scraped(t, `"127.0.0.1:0"`, "", nil)
	for range 3 {
		a.Handler().ServeHTTP(discard{}, requestOf(t, "/v1/nothing"))
	}
	a.noteChange("reload_refused", "pavise.yaml", "")
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	status, got := ask(t, http.DefaultClient, "http://"+s.Metrics.String()+"/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, want := range []string{
		`pavise_requests_total{api="",code="unknown_endpoint",decision="refused",endpoint="",method="GET",status="4xx"} 3`,
		"pavise_configuration_last_reload_successful 0", "pavise_log_healthy 1", "pavise_log_places 12500", "pavise_running 1",
		`pavise_ready{part="log"} 1`, `pavise_ready{part="serving"} 1`, `pavise_ready{part="state"} 1`,
		`pavise_upstream_addresses_healthy{api="orders"} 1`, `pavise_alerts_total{detection="guessing",severity="`,
		"pavise_request_places 10000", `pavise_certificate_not_after_timestamp_seconds{kind="host",name="`, "go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func requestOf(t *testing.T, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr, r.TLS = path, "192.0.2.1:1", &tls.ConnectionState{HandshakeComplete: true, Version: tls.VersionTLS13}
	return r
}

// Whoever spreads requests must learn of the end while the gateway still answers.
func TestReadyzSaysThatItEndsAsSoonAsItDoes(t *testing.T) {
	_, s, _ := scraped(t, `"127.0.0.1:0"`, "", nil)
	r := &Running{app: s.app, server: s, admin: nobodyServes{}}
	url := "http://" + s.Metrics.String()
	if status, text := ask(t, http.DefaultClient, url+"/readyz", ""); status != http.StatusOK {
		t.Fatalf("before: %d %s", status, text)
	}
	r.giveNotice()
	if status, text := ask(t, http.DefaultClient, url+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(text, "- serving: it ends") {
		t.Errorf("afterwards: %d %s", status, text)
	}
	if status, _ := ask(t, http.DefaultClient, url+"/livez", ""); status != http.StatusOK {
		t.Errorf("what ends lives until it has ended, but /livez says %d", status)
	}
}

type nobodyServes struct{}

func (nobodyServes) Shutdown(context.Context) error { return nil }

// While the store is away the snapshot in memory serves, for as long as the configuration says.
func TestAStoreThatIsAwayForTooLongIsNotReady(t *testing.T) {
	a, err := Open(t.Context(), write(t, t.TempDir(), minimal), Options{Library: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}()
	later := func(d time.Duration) error {
		other := &App{State: a.State, installed: a.installed, now: func() time.Time { return time.Now().Add(d) }}
		return other.ready()["state"]
	}
	if err := later(50 * time.Second); err != nil {
		t.Errorf("within state.max_staleness: %v", err)
	}
	if err := later(2 * time.Minute); err == nil || !strings.Contains(err.Error(), "everything is refused") {
		t.Errorf("after it: %v", err)
	}
}

func TestAGatewayThatCannotRecordIsNotReady(t *testing.T) {
	a, err := Open(t.Context(), write(t, t.TempDir(), minimal), Options{Library: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }() // its log is closed already
	if fault := a.ready()["log"]; fault != nil {
		t.Errorf("events can be kept, but: %v", fault)
	}
	if err := a.State.Log.Close(); err != nil {
		t.Fatal(err)
	}
	if a.ready()["log"] == nil {
		t.Error("no event can be kept, and it is ready")
	}
}

// Over TLS it shows the host's certificate whatever the scraper calls it, wants the token or a
// certificate of the CA, and takes the token's successor without a restart.
func TestOverTLSWithATokenOrACertificate(t *testing.T) {
	first, second := strings.Repeat("1", 32), strings.Repeat("2", 32)
	a, s, heard := scraped(t, `{address: "127.0.0.1:0", host: 127.0.0.1, token_file: token}`, "", map[string]string{"token": first + "\n"})
	ca, err := os.ReadFile(filepath.Join(a.installed.State.Folder, "local-ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	url := "https://" + s.Metrics.String()
	for token, want := range map[string]int{"": 401, first: 200, second: 401} {
		if status, _ := ask(t, client, url+"/metrics", token); status != want {
			t.Errorf("token %q: %d, want %d", token, status, want)
		}
	}
	if status, text := ask(t, client, url+"/readyz", ""); status != http.StatusOK || text != "ok\n" {
		t.Errorf("a probe: %d %q", status, text)
	}
	for _, file := range []string{"too short", second} {
		if err := os.WriteFile(a.installed.Abs("token"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		a.observed.files.look()
		old, now := 200, 401
		if file == second {
			old, now = 401, 200
		}
		if status, _ := ask(t, client, url+"/metrics", first); status != old {
			t.Errorf("file %q: the first token gets %d", file, status)
		}
		if status, _ := ask(t, client, url+"/metrics", second); status != now {
			t.Errorf("file %q: the second token gets %d", file, status)
		}
	}
	if said := heard.all(); !strings.Contains(said, "the token of scrapers stays as it was") || strings.Contains(said, "too short\n") {
		t.Errorf("told: %s", said)
	}
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := audit.Search(t.Context(), a.current().file.Log.Folder, audit.Query{Class: audit.Connection})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Error("refused readers are not in the log")
	}
	for _, f := range found {
		if f.Event.Step != "metrics" || f.Event.Status != http.StatusUnauthorized {
			t.Errorf("%+v", f.Event)
		}
	}
}
