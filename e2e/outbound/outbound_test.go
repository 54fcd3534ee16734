// Package outbound tests `pavise serve --outbound` as a program, against a whole gateway:
// services that know nothing of certificates and signatures call through it.
package outbound

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/e2e/program"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/certfile"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/shield"
)

// patience bounds every wait of a test that goes wrong.
const patience = 30 * time.Second

const yaml = `
limits: {wrong_tries: 100000, address: 1000000/second, connections_per_address: 10000}
hosts:
  127.0.0.1: {certificate: own, client_certificates: ask}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: {all: [mtls, {hmac: {max_body: 4MiB}}]}
    max_body: 64MiB
    endpoints:
      GET /v1/orders/{id}: {scopes: [orders:read]}
      POST /v1/orders: {scopes: [orders:read]}
      GET /v1/live: {scopes: [orders:read]}
      POST /v1/upload: {shield: mtls, scopes: [orders:read]}
      GET /v1/other: {scopes: [orders:write]}
pki: {host: 127.0.0.1}
scopes: {orders:read: Read orders, orders:write: Write orders}
`

// service is the API behind the gateway.
type service struct {
	mu     sync.Mutex
	bodies [][]byte
	parts  chan string // lines of an upload, as they arrive
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Upgrade") == "websocket":
		nc, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(nc, buffered)
	case r.URL.Path == "/v1/upload":
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			s.parts <- lines.Text()
		}
	default:
		body, _ := io.ReadAll(r.Body) // what arrived is what counts
		s.mu.Lock()
		s.bodies = append(s.bodies, body)
		s.mu.Unlock()
		_, _ = fmt.Fprintf(w, "%s %s %d", r.Method, r.RequestURI, len(body))
	}
}

// world is a gateway, and a helper that carries calls to it.
type world struct {
	*testing.T
	gateway *harness.Gateway
	service *service
	dir     string
	program string
	helper  *process
	url     string // of the helper
	hmac    shield.Credential
}

// process is the helper, with what it has said.
type process struct {
	command *exec.Cmd
	ended   chan error
	mu      sync.Mutex
	text    bytes.Buffer
	more    chan bool
}

// Write implements io.Writer for the helper's stderr.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.more <- true:
	default: // one is enough
	}
	return p.text.Write(text)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// says waits until the helper has said something, behind the first skip bytes.
func (p *process) says(t testing.TB, skip int, want string) string {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		if text := p.said(); len(text) >= skip {
			if at := strings.Index(text[skip:], want); at >= 0 {
				return text[skip+at:]
			}
		}
		select {
		case <-p.more:
		case err := <-p.ended:
			p.ended <- err
			t.Fatalf("the helper ended with %v:\n%s", err, p.said())
		case <-late.C:
			t.Fatalf("the helper does not say %q:\n%s", want, p.said())
		}
	}
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, service: &service{parts: make(chan string)}, dir: t.TempDir()}
	w.gateway = harness.Start(t, harness.Config{
		YAML: yaml, Authority: &pki.Init{}, Upstream: w.service,
		Clients: []client.Client{{ID: "web", Scopes: []string{"orders:read"}}},
	})
	w.program = program.Built(t)
	w.hmac = w.gateway.Issue("hmac", "web")
	w.write("profiles.yaml", fmt.Sprintf("shop: {kind: hmac, id: %s, secret: %q}\n", w.hmac.ID, w.hmac.Secret))
	_, token, err := w.gateway.App.State.Enrolment.Make(t.Context(), est.Token{Client: "web", Profile: "service"}, 0, w.gateway.Roots()[0])
	check(t, err)
	w.gateway.Plant(token)
	w.write("token", token+"\n")
	w.write("outbound.yaml", w.config("127.0.0.1:0", "profiles.yaml:shop"))
	w.begin()
	return w
}

func (w *world) config(listen, profile string) string {
	return fmt.Sprintf(`certificate: {server: "https://%[1]s", file: web.pem, token_file: token}
calls:
  orders: {listen: %[2]q, to: "https://%[1]s", ca: own, profiles: [%[3]q], max_signed: 2MiB}
`, w.gateway.Address, listen, profile)
}

func (w *world) write(name, text string) {
	w.Helper()
	check(w, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin starts the helper, which runs until the test ends.
func (w *world) begin() {
	w.Helper()
	p := &process{command: exec.Command(w.program, "serve", "--outbound", "outbound.yaml"), ended: make(chan error, 1), more: make(chan bool, 1)}
	p.command.Dir, p.command.Stderr = w.dir, p
	p.command.Env = append(os.Environ(), "HOME="+w.dir, "XDG_CONFIG_HOME="+w.dir+"/.config")
	check(w, p.command.Start())
	go func() { p.ended <- p.command.Wait() }()
	w.helper = p
	w.Cleanup(func() { w.end() })
	line, _, _ := strings.Cut(p.says(w, 0, "pavise carries http://"), "\n")
	fields := strings.Fields(line)
	w.url = fields[2]
	if fields[4] != "https://"+w.gateway.Address {
		w.Errorf("%q", line)
	}
}

// end ends the helper as an operator does. It may have ended.
func (w *world) end() {
	w.Helper()
	_ = w.helper.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-w.helper.ended:
		w.helper.ended <- err
		if err != nil {
			w.Errorf("the helper ended with %v:\n%s", err, w.helper.said())
		}
	case <-time.After(patience):
		_ = w.helper.command.Process.Kill()
		w.Errorf("the helper does not end:\n%s", w.helper.said())
	}
	for _, secret := range []string{w.hmac.Secret, "PRIVATE KEY", "pvenr_"} {
		if strings.Contains(w.helper.said(), secret) {
			w.Error("the helper has told a secret")
		}
	}
}

// call is what a service does that knows nothing of all this.
func (w *world) call(method, path string, body io.Reader, change ...func(*http.Request)) (status int, code, text string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.url+path, body)
	check(w, err)
	for _, f := range change {
		f(r)
	}
	answer, err := http.DefaultClient.Do(r)
	check(w, err)
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	check(w, err)
	var problem struct{ Code string }
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		check(w, json.Unmarshal(all, &problem))
	}
	return answer.StatusCode, problem.Code, string(all)
}

func (w *world) want(what string, status int, code string, gotStatus int, gotCode, _ string) {
	w.Helper()
	if gotStatus != status || gotCode != code {
		w.Errorf("%s: %d %s, want %d %s\n%s", what, gotStatus, gotCode, status, code, w.helper.said())
	}
}

func TestUnchangedServiceCallsWithCertificateAndSignature(t *testing.T) {
	w := start(t)
	for i := range 20 {
		status, code, text := w.call("GET", fmt.Sprintf("/v1/orders/%d?a=1&b=%%20", i), nil)
		w.want("a call", 200, "", status, code, text)
		if want := fmt.Sprintf("GET /v1/orders/%d?a=1&b=%%20 0", i); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	megabyte := make([]byte, 1<<20)
	_, _ = rand.Read(megabyte) // it never fails
	status, code, text := w.call("POST", "/v1/orders", bytes.NewReader(megabyte))
	w.want("a body of 1 MB", 200, "", status, code, text)
	w.service.mu.Lock()
	last := w.service.bodies[len(w.service.bodies)-1]
	w.service.mu.Unlock()
	if !bytes.Equal(last, megabyte) {
		t.Error("another body arrived")
	}
	status, code, text = w.call("POST", "/v1/orders", io.LimitReader(rand.Reader, 1<<20))
	w.want("a body of no announced length", 200, "", status, code, text)
	status, code, text = w.call("POST", "/v1/orders", bytes.NewReader(make([]byte, 2<<20+1)), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
	w.want("a body beyond max_signed", 413, "too_large", status, code, text)
	status, code, text = w.call("GET", "/v1/other", nil)
	w.want("what the client may not", 403, "insufficient_scope", status, code, text)
	w.helper.says(t, 0, "orders: GET answered with 403 by https://")

	curl, err := exec.Command("curl", "-sS", "-H", "Authorization: Bearer of-its-own", w.url+"/v1/orders/7").CombinedOutput()
	if err != nil || string(curl) != "GET /v1/orders/7 0" {
		t.Errorf("curl: %v %s", err, curl)
	}
}

// The endpoint is shown a certificate alone, so that nothing has to be held.
func TestUploadStreams(t *testing.T) {
	w := start(t)
	w.write("outbound.yaml", strings.ReplaceAll(w.config("127.0.0.1:0", "x"), `profiles: ["x"], `, ""))
	said := len(w.helper.said())
	w.helper.says(t, said, "pavise carries")
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		status, _, _ := w.call("POST", "/v1/upload", out)
		ended <- status
	}()
	for i := range 3 {
		_, err := fmt.Fprintf(in, "part %d\n", i)
		check(t, err)
		select {
		case text := <-w.service.parts:
			if text != fmt.Sprintf("part %d", i) {
				t.Errorf("%q arrived", text)
			}
		case <-time.After(patience):
			t.Fatalf("part %d does not arrive", i)
		}
	}
	check(t, in.Close())
	if status := <-ended; status != 200 {
		t.Errorf("%d", status)
	}
}

func TestWebSocketIsCarried(t *testing.T) {
	w := start(t)
	address := strings.TrimPrefix(w.url, "http://")
	nc, err := net.Dial("tcp", address)
	check(t, err)
	defer func() { _ = nc.Close() }()
	check(t, nc.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(nc, "GET /v1/live HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\nhello", address)
	check(t, err)
	reader := bufio.NewReader(nc)
	answer, err := http.ReadResponse(reader, nil)
	check(t, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%d\n%s", answer.StatusCode, w.helper.said())
	}
	text := make([]byte, 5)
	if _, err := io.ReadFull(reader, text); err != nil || string(text) != "hello" {
		t.Errorf("%q came back, %v", text, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	w := start(t)
	status, code, text := w.call("GET", "/v1/orders/7", nil, func(r *http.Request) { r.Host = "evil.example" })
	w.want("another Host", 403, "unknown_host", status, code, text)
	status, code, text = w.call("GET", "/v1/orders/7", nil, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
	w.want("a page", 403, "foreign_origin", status, code, text)
	before := len(w.gateway.Upstream.Requests())
	status, code, text = w.call("GET", "/v1/orders/7", nil)
	w.want("a service", 200, "", status, code, text)

	pair, err := os.ReadFile(filepath.Join(w.dir, "web.pem"))
	check(t, err)
	w.gateway.Revoke(credential(t, pair))
	status, code, text = w.call("GET", "/v1/orders/7", nil)
	w.want("a revoked certificate", 401, "revoked_credential", status, code, text)
	w.helper.says(t, 0, "orders: GET answered with 401 by https://")
	if now := len(w.gateway.Upstream.Requests()); now != before+1 {
		t.Errorf("%d requests reached the service, want 1", now-before)
	}

	// A destination that is away, and a file that cannot work.
	said := len(w.helper.said())
	w.write("outbound.yaml", "calls: {orders: {listen: nowhere, to: http://a}}\n")
	w.helper.says(t, said, "the calls stay as they were")
	status, code, text = w.call("GET", "/v1/orders/7", nil)
	w.want("after a bad file", 401, "revoked_credential", status, code, text)
	said = len(w.helper.said())
	w.write("outbound.yaml", "calls: {orders: {listen: \"127.0.0.1:0\", to: \"https://127.0.0.1:1\"}}\n")
	w.helper.says(t, said, "pavise carries")
	status, code, text = w.call("GET", "/v1/orders/7", nil)
	w.want("a destination that is away", 502, "upstream_failed", status, code, text)
	w.helper.says(t, said, "502 upstream_failed")
}

// credential is the id of a certificate's credential.
func credential(t testing.TB, text []byte) string {
	t.Helper()
	chain, err := certfile.ParseChain(text)
	check(t, err)
	return pki.CredentialID(chain[0])
}

// A restart needs neither token nor authority; and requests under way end before it ends.
func TestRestart(t *testing.T) {
	w := start(t)
	check(t, os.Remove(filepath.Join(w.dir, "token")))
	out, in := io.Pipe()
	w.write("outbound.yaml", strings.ReplaceAll(w.config("127.0.0.1:0", "x"), `profiles: ["x"], `, ""))
	w.helper.says(t, len(w.helper.said()), "pavise carries")
	ended := make(chan int, 1)
	go func() {
		status, _, _ := w.call("POST", "/v1/upload", out)
		ended <- status
	}()
	_, err := io.WriteString(in, "first\n")
	check(t, err)
	<-w.service.parts
	check(t, w.helper.command.Process.Signal(syscall.SIGTERM))
	_, err = io.WriteString(in, "second\n")
	check(t, err)
	<-w.service.parts
	check(t, in.Close())
	if status := <-ended; status != 200 {
		t.Errorf("the request under way: %d", status)
	}
	w.end()
	w.write("outbound.yaml", w.config("127.0.0.1:0", "profiles.yaml:shop"))
	w.begin()
	status, code, text := w.call("GET", "/v1/orders/7", nil)
	w.want("after a restart", 200, "", status, code, text)
}
