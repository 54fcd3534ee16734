package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"pavise.dev/pavise/internal/finding"
)

const demoDocument = `openapi: 3.1.0
info: {title: Orders of the demo, version: "1"}
security: [{token: []}, {key: []}]
paths:
  /health: {get: {security: [], responses: {"200": {description: up}}}}
  /v1/catalog: {get: {responses: {"200": {description: for sale}}}}
  /v1/orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}, example: 7}]
      responses: {"200": {description: an order}}
  /v1/orders:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {item: {type: string, example: coat}, count: {type: integer, minimum: 1}}}}}}
      responses: {"201": {description: placed}}
  /v1/payments:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {amount: {type: integer, minimum: 1}}}}}}
      responses: {"202": {description: paid}}
  /v1/reports: {get: {responses: {"200": {description: a report}}}}
components: {securitySchemes: {token: {type: http, scheme: bearer}, key: {type: apiKey, in: header, name: X-Api-Key}}}
`

var (
	demoAddress = regexp.MustCompile(`https://127\.0\.0\.1:\d+`)
	demoToken   = regexp.MustCompile(`Bearer ([\w.-]+)`)
	demoKey     = regexp.MustCompile(`X-API-Key: (\S+)'`)
	demoCA      = regexp.MustCompile(`--cacert (\S+)`)
)

// TestTheDemoHoldsAnAttack: nothing is found of the demo, whose gateway stands before an API that knows
// nothing of security.
func TestTheDemoHoldsAnAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program and attacks the demo")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "pavise")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	demo := exec.Command(program, "demo", "--folder", filepath.Join(dir, "demo"), "--listen", "127.0.0.1:0")
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = demo.Process.Signal(syscall.SIGINT) // it may have ended
		_ = demo.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), " explain ") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			break
		}
	}
	first := func(pattern *regexp.Regexp) string {
		m := pattern.FindStringSubmatch(said.String())
		if m == nil {
			t.Fatalf("the demo says %s", said.String())
		}
		return m[len(m)-1]
	}
	// What limits callers would limit the test: it is about the rest.
	configuration := filepath.Join(dir, "demo", "pavise.yaml")
	policy, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	open := strings.Replace(string(policy), "600/minute per client", "600000/minute per client", 1) + "\nlimits: {wrong_tries: 100000}\n"
	if err := os.WriteFile(configuration, []byte(open), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "reload", "-c", configuration).CombinedOutput(); err != nil {
		t.Fatalf("reload: %v\n%s", err, out)
	}
	for name, text := range map[string]string{
		"api.yaml": demoDocument, "ann.headers": "Authorization: Bearer " + first(demoToken) + "\n", "shop.headers": "X-Api-Key: " + first(demoKey) + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"ann", "shop"} {
		attack := exec.Command(program, "attack", first(demoAddress), "--openapi", "api.yaml", "--ca", first(demoCA), "--as", user+"="+user+".headers", "--allow", "writes,destroys", "--rate", "5000", "--format", "json", "--fail-on", "info")
		attack.Dir = dir
		text, err := attack.Output()
		var report finding.Report
		if fault := json.Unmarshal(text, &report); fault != nil {
			t.Fatalf("%v (%v): %s", fault, err, text)
		}
		t.Log(report.About)
		for _, f := range report.Findings {
			t.Errorf("as %s: %s at %s: %s\n%s", user, f.Rule, f.Where, f.What, f.Proof)
		}
		if err != nil {
			t.Errorf("as %s: %v", user, err)
		}
	}
}

// FuzzHeaders: what is taken has names and values that a request can carry.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"Authorization: Bearer x\n", "# a\n\nX-Api-Key: 1\r\nCookie: a=b\n", "x", ":", "a:\x00", "Host: x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		headers, err := parseHeaders(text)
		if err != nil {
			return
		}
		for name, values := range headers {
			for _, value := range values {
				if name == "" || value == "" || strings.ContainsAny(name+value, "\r\n\x00") {
					t.Errorf("%q: %q", name, value)
				}
			}
		}
	})
}
