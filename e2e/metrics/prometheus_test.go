// Package metrics has the running program scraped by a real Prometheus, over TLS with a token.
package metrics

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/program"
)

const token = "0123456789abcdef0123456789abcdef"

const yaml = `
listen: {https: "127.0.0.1:0", metrics: {address: "127.0.0.1:0", host: 127.0.0.1, token_file: token}}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: %s
    shield: {public: what is asked for does not matter here}
    scopes: any
    endpoints:
      GET /v1/orders/{id}: {}
      GET /v1/secret: {shield: api_key}
scopes: {}
`

const scraped = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%s]
scrape_configs:
  - job_name: pavise
    scheme: https
    authorization: {credentials_file: token}
    tls_config: {ca_file: pavise-data/local-ca/ca.pem, server_name: 127.0.0.1}
    static_configs: [{targets: ["%s"]}]
`

// gateway is the program, in a folder of its own.
type gateway struct {
	program, dir   string
	address, watch string
	client         *http.Client
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{program: program.Built(t), dir: t.TempDir()}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "order 7") }))
	t.Cleanup(upstream.Close)
	write(t, g.dir, "pavise.yaml", fmt.Sprintf(yaml, upstream.URL))
	write(t, g.dir, "token", token+"\n")
	_, out := run(t, exec.Command(g.program, "serve"), g.dir)
	for g.address == "" && out.Scan() {
		if at, ok := strings.CutPrefix(out.Text(), "metrics and health at "); ok {
			g.watch = at
		}
		if at, ok := strings.CutPrefix(out.Text(), "pavise serves https://"); ok {
			g.address = at
		}
	}
	if g.address == "" || g.watch == "" {
		t.Fatal("the gateway did not start")
	}
	ca, err := os.ReadFile(filepath.Join(g.dir, "pavise-data", "local-ca", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 10 * time.Second}
	return g
}

// run starts a program until the test ends, and reads what it says.
func run(t *testing.T, c *exec.Cmd, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c.Dir = dir
	out, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait() // killed
	})
	return c, bufio.NewScanner(out)
}

func (g *gateway) get(t *testing.T, path string, n, want int) {
	t.Helper()
	for range n {
		answer, err := g.client.Get("https://" + g.address + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Fatalf("%s: %s, want %d", path, answer.Status, want)
		}
	}
}

// prometheus starts a server that scrapes the gateway, and returns its address.
func (g *gateway) prometheus(t *testing.T) string {
	t.Helper()
	rules, err := filepath.Abs("../../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	_ = l.Close() // Prometheus listens there next
	write(t, g.dir, "prometheus.yml", fmt.Sprintf(scraped, rules, g.watch))
	_, out := run(t, exec.Command("prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address="+at,
		"--enable-feature=exemplar-storage", "--log.level=warn"), g.dir)
	go func() {
		for out.Scan() {
			t.Log(out.Text())
		}
	}()
	return at
}

// result is what Prometheus answers.
type result struct {
	Data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
}

// query asks for one number; "" if there is none yet.
func query(at, expression string) (string, error) {
	answer, err := http.Get("http://" + at + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		return "", nil // it does not listen yet
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode == http.StatusServiceUnavailable {
		return "", err
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil {
		return "", fmt.Errorf("%s: %w", text, err)
	}
	if len(r.Data.Result) != 1 {
		return "", nil
	}
	return fmt.Sprint(r.Data.Result[0].Value[1]), nil
}

func eventually(t *testing.T, at, expression, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := query(at, expression)
		if err != nil {
			t.Fatalf("%s: %v", expression, err)
		}
		if got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s is %q, want %s", expression, got, want)
			return
		case <-tick.C:
		}
	}
}

func TestPrometheusScrapesARunningGateway(t *testing.T) {
	g := start(t)
	g.get(t, "/v1/orders/7", 7, http.StatusOK)
	g.get(t, "/v1/secret", 3, http.StatusUnauthorized)
	g.get(t, "/v1/nothing", 2, http.StatusNotFound)
	at := g.prometheus(t)
	for expression, want := range map[string]string{
		`up{job="pavise"}`:           "1",
		`sum(pavise_requests_total)`: "12",
		`pavise_requests_total{api="orders",endpoint="GET /v1/orders/{id}",method="GET",decision="accepted",code="",status="2xx"}`: "7",
		`pavise_requests_total{endpoint="GET /v1/secret",decision="refused",code="missing_credential",status="4xx"}`:               "3",
		`pavise_requests_total{api="",endpoint="",code="unknown_endpoint"}`:                                                        "2",
		`sum(pavise_request_duration_seconds_count{decision="accepted"})`:                                                          "7",
		`sum(pavise_upstream_duration_seconds_count)`:                                                                              "7",
		`pavise_part_duration_seconds_count{part="entry"}`:                                                                         "12",
		`pavise_bytes_total{api="orders",direction="out"} >= bool 49`:                                                              "1",
		`pavise_upstream_addresses_healthy{api="orders"}`:                                                                          "1",
		`min(pavise_ready)`:        "1",
		`pavise_log_healthy`:       "1",
		`count(pavise_build_info)`: "1",
		`pavise_certificate_not_after_timestamp_seconds{kind="host",name="127.0.0.1"} > bool time()`: "1",
	} {
		eventually(t, at, expression, want)
	}
	// What comes later is seen later.
	g.get(t, "/v1/orders/8", 5, http.StatusOK)
	eventually(t, at, `sum(pavise_requests_total{decision="accepted"})`, "12")
	if firing, err := query(at, `count(ALERTS{alertstate="firing"})`); err != nil || firing != "" {
		t.Errorf("%s alerts fire for a gateway that is well (%v)", firing, err)
	}
	examples(t, at)
}

// examples name requests in histograms.
func examples(t *testing.T, at string) {
	t.Helper()
	now := time.Now()
	answer, err := http.Get(fmt.Sprintf("http://%s/api/v1/query_exemplars?query=pavise_request_duration_seconds_bucket&start=%d&end=%d", at, now.Unix()-600, now.Unix()+600))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if err != nil || !strings.Contains(string(text), `"request_id":"`) {
		t.Errorf("no request is named: %v %s", err, text)
	}
}

func TestPromtoolFindsNothing(t *testing.T) {
	g := start(t)
	g.get(t, "/v1/orders/7", 1, http.StatusOK)
	shown := exec.Command(g.program, "metrics")
	shown.Dir = g.dir
	text, err := shown.Output()
	if err != nil || !strings.Contains(string(text), "pavise_requests_total{") {
		t.Fatalf("pavise metrics: %v %s", err, text)
	}
	for _, arguments := range [][]string{{"check", "metrics"}, {"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}, {"check", "config", "--syntax-only", "scrape.yml"}} {
		c := exec.Command("promtool", arguments...)
		c.Dir, c.Stdin = "../../deploy/prometheus", strings.NewReader(string(text))
		if out, err := c.CombinedOutput(); err != nil || arguments[1] == "metrics" && len(out) > 0 {
			t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, out)
		}
	}
	// It does find something where there is something.
	c := exec.Command("promtool", "check", "metrics")
	c.Stdin = strings.NewReader("# TYPE pavise_things counter\npavise_things 1\n")
	if err := c.Run(); err == nil {
		t.Error("promtool passes a counter that is not called total")
	}
}
