// Package scanners turns tools that attackers use upon a service that can be attacked, and upon
// the same service behind the gateway.
package scanners_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

const guarded = `
limits: {wrong_tries: 100000, address: 1000000/minute}
hosts: {127.0.0.1: {certificate: local}}
apis:
  shop:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: [shop:read]
    injection: on
    endpoints:
      GET /v1/products: {}
      POST /v1/search: {}
scopes: {shop:read: See the shop}
`

// run runs a scanner to its end; a failure of its own is no finding.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; hint: make test installs what the tests need", err)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, _ := command.CombinedOutput()
	return string(out)
}

// sqlmap returns what sqlmap says of a target.
func sqlmap(t *testing.T, hard bool, args ...string) string {
	t.Helper()
	effort := []string{"--level", "1", "--risk", "1"}
	if hard {
		effort = []string{"--level", "2", "--risk", "3", "--random-agent"}
	}
	args = append(args, "--batch", "--technique", "BEU", "--dbms", "sqlite", "--disable-coloring", "--threads", "4", "--output-dir", t.TempDir())
	return run(t, "sqlmap", append(args, effort...)...)
}

func TestSQLMapFindsTheHoleAndNotThroughTheGateway(t *testing.T) {
	attacktest.Rows(t, 111)
	bare := httptest.NewServer(vulnerable(t))
	defer bare.Close()
	g := harness.Start(t, harness.Config{YAML: guarded, Upstream: vulnerable(t)})
	key := g.Issue("api_key", "shop")
	for name, target := range map[string][]string{
		"query": {"-u", "/v1/products?name=tea"},
		"JSON":  {"-u", "/v1/search", "--data", `{"text":"tea"}`, "-H", "Content-Type: application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(base string) []string { return append([]string{"-u", base + target[1]}, target[2:]...) }
			if said := sqlmap(t, false, at(bare.URL)...); !strings.Contains(said, "identified the following injection point") {
				t.Fatalf("it does not find the hole of the service itself:\n%s", said)
			}
			reached := len(g.Upstream.Requests())
			said := sqlmap(t, true, append(at("https://"+g.Address), "-H", "X-API-Key: "+key.Secret)...)
			if strings.Contains(said, "injection point") || !strings.Contains(said, "do not appear to be injectable") {
				t.Errorf("through the gateway it says:\n%s", said)
			}
			refused := events(t, g, shield.Injection)
			if len(refused) < 100 {
				t.Errorf("%d events tell of it:\n%s", len(refused), said)
			}
			for _, e := range refused {
				if e.Client != "shop" || !e.Proved || e.Status != 400 || strings.Contains(e.Detail, "SELECT") {
					t.Fatalf("an event says %+v", e)
				}
			}
			t.Logf("%d requests refused, %d reached the service", len(refused), len(g.Upstream.Requests())-reached)
		})
	}
}

func TestFFUFFindsWhatLiesAboutAndNotThroughTheGateway(t *testing.T) {
	attacktest.Rows(t, 109)
	bare := httptest.NewServer(vulnerable(t))
	defer bare.Close()
	g := harness.Start(t, harness.Config{YAML: guarded, Upstream: vulnerable(t)})
	key := g.Issue("api_key", "shop")
	words := []string{"index.html", ".git/config", "wp-login.php", "server-status", "v1", "v2/products"}
	for path := range forgotten() {
		words = append(words, strings.TrimPrefix(path, "/"))
	}
	list := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(list, []byte(strings.Join(words, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if found := ffuf(t, list, bare.URL); len(found) == 0 { // it loses some of its own findings now and then
		t.Fatalf("of the service itself it finds %v", found)
	}
	if found := ffuf(t, list, "https://"+g.Address, "-H", "X-API-Key: "+key.Secret); len(found) != 0 {
		t.Errorf("through the gateway it finds %v", found)
	}
	if told := events(t, g, shield.UnknownEndpoint); len(told) < len(words)/2 {
		t.Errorf("%d events tell of %d tries", len(told), len(words))
	}
}

// ffuf returns the paths that are answered with success.
func ffuf(t *testing.T, list, base string, args ...string) (found []string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "found.json")
	said := run(t, "ffuf", append(args, "-u", base+"/FUZZ", "-w", list, "-mc", "200-299", "-o", out, "-of", "json", "-k", "-t", "2", "-p", "0.1")...)
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var report struct{ Results []struct{ URL string } }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	for _, one := range report.Results {
		found = append(found, one.URL)
	}
	return found
}

func events(t *testing.T, g *harness.Gateway, code shield.Code) []audit.Event {
	t.Helper()
	return g.Events(audit.Query{Code: string(code)})
}
