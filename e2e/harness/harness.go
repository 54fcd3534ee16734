// Package harness runs a whole gateway for end-to-end tests: the real wiring, real
// sockets, a clock that the test moves, an upstream that remembers what reached
// it, and the event log to look things up in.
//
//	g := harness.Start(t, harness.Config{YAML: …})
//	key := g.Issue("api_key", "shop", "orders:read")
//	answer := g.Send(key, "GET", "/v1/orders/7", "")
//	g.Accepted(answer)
//
// Every answer that is judged must have left exactly one event with its request ID;
// no planted secret may stand in an answer, an event, or (when the test ends) in any
// file that the gateway wrote.
package harness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/tlsconf"
	"pavise.dev/pavise/shield"
)

// Config says what gateway to start.
type Config struct {
	// YAML is the configuration. {{upstream}} stands for the upstream's address, and
	// {{ca}} for the file of the local CA. Listeners are added by the harness.
	YAML string
	// Clients to create, with their scopes; nil: shop with every scope of the YAML.
	Clients []client.Client
	// Upstream serves accepted requests; nil: a handler that answers 200 "served".
	Upstream http.Handler
	// Now is the first moment of the clock; zero: the present.
	Now time.Time
	// Files are written beside the configuration before the start.
	Files map[string]string
	// Authority is made before the start; nil: there is none.
	Authority *pki.Init
}

// Gateway is a gateway that runs for one test.
type Gateway struct {
	T        testing.TB
	App      *app.App
	Clock    *Clock
	Dir      string
	Address  string // host:port of the TLS listener
	Plain    string // host:port of the plain listener
	Upstream *Upstream
	CA       *tlsconf.Local
	Warnings *Lines

	server  *app.Server
	mu      sync.Mutex
	secrets []string
}

// Clock is a time that the test moves. It also runs by itself, as the real one.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now returns the gateway's present.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Lines gathers text from many goroutines.
type Lines struct {
	mu    sync.Mutex
	lines []string
}

// Add adds a line.
func (l *Lines) Add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// All returns the lines.
func (l *Lines) All() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// Start runs a gateway until the test ends.
func Start(t testing.TB, c Config) *Gateway {
	t.Helper()
	g := &Gateway{T: t, Clock: &Clock{}, Dir: t.TempDir(), Warnings: &Lines{}}
	if !c.Now.IsZero() {
		g.Clock.offset = time.Until(c.Now)
	}
	g.Upstream = startUpstream(t, c.Upstream)
	g.write(c)
	if c.Authority != nil {
		g.makeAuthority(*c.Authority)
	}
	g.open()
	t.Cleanup(g.stop)
	if c.Clients == nil {
		c.Clients = []client.Client{{ID: "shop", Scopes: scopesOf(t, g)}}
	}
	for _, one := range c.Clients {
		if _, err := g.App.State.Registry.CreateClient(t.Context(), one); err != nil {
			t.Fatalf("create client %s: %v", one.ID, err)
		}
	}
	g.refresh()
	return g
}

func scopesOf(t testing.TB, g *Gateway) shield.Scopes {
	t.Helper()
	file, err := app.Load(g.path("pavise.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var scopes shield.Scopes
	for scope := range file.Scopes {
		scopes = append(scopes, scope)
	}
	return scopes
}

func (g *Gateway) path(name string) string { return filepath.Join(g.Dir, name) }

// write writes the configuration and its files. The local CA is made first, so that
// settings can name its file.
func (g *Gateway) write(c Config) {
	g.T.Helper()
	ca, err := tlsconf.OpenLocal(g.path("pavise-data/local-ca"), g.Clock.Now)
	if err != nil {
		g.T.Fatal(err)
	}
	g.CA = ca
	for name, text := range c.Files {
		g.WriteFile(name, text)
	}
	g.Configure(c.YAML)
}

// Advance moves the gateway's clock and lets it confirm its snapshot at the new time.
func (g *Gateway) Advance(d time.Duration) {
	g.T.Helper()
	g.Clock.Add(d)
	g.refresh()
}

// WriteFile writes a file beside the configuration.
func (g *Gateway) WriteFile(name, text string) {
	g.T.Helper()
	if err := os.MkdirAll(filepath.Dir(g.path(name)), 0o700); err != nil {
		g.T.Fatal(err)
	}
	if err := os.WriteFile(g.path(name), []byte(text), 0o600); err != nil {
		g.T.Fatal(err)
	}
}

// Configure writes the configuration file, with its placeholders filled in.
func (g *Gateway) Configure(yaml string) {
	g.T.Helper()
	yaml = strings.NewReplacer("{{upstream}}", g.Upstream.URL, "{{ca}}", "pavise-data/local-ca/ca.pem").Replace(yaml)
	if !strings.Contains(yaml, "listen:") {
		yaml = "listen: {https: 127.0.0.1:0, http: 127.0.0.1:0}\n" + yaml
	}
	g.WriteFile("pavise.yaml", yaml)
}

func (g *Gateway) open() {
	g.T.Helper()
	file, err := app.Load(g.path("pavise.yaml"))
	if err != nil {
		g.T.Fatalf("load the configuration:\n%v", err)
	}
	g.App, err = app.Open(context.Background(), file, app.Options{
		Now: g.Clock.Now, Warn: func(err error) { g.Warnings.Add(err.Error()) },
		Flood: audit.Flood{Rate: 1 << 20}, // every event is looked at
	})
	if err != nil {
		g.T.Fatalf("open the gateway: %v", err)
	}
	if g.server, err = g.App.Listen(); err != nil {
		g.T.Fatalf("listen: %v", err)
	}
	g.Address = g.server.HTTPS.String()
	if g.server.HTTP != nil {
		g.Plain = g.server.HTTP.String()
	}
}

// Restart closes the gateway as SIGTERM does and opens it again.
func (g *Gateway) Restart() {
	g.T.Helper()
	g.close()
	g.open()
}

// Reload reads the configuration file again.
func (g *Gateway) Reload() error {
	file, err := app.Load(g.path("pavise.yaml"))
	if err != nil {
		return err
	}
	return g.App.Reload(file)
}

func (g *Gateway) close() {
	g.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.server.Shutdown(ctx); err != nil {
		g.T.Errorf("shut down: %v", err)
	}
	if err := g.App.Close(); err != nil {
		g.T.Errorf("close: %v", err)
	}
}

func (g *Gateway) stop() {
	g.close()
	g.searchFiles()
}

func (g *Gateway) refresh() {
	g.T.Helper()
	if err := g.App.State.View.Refresh(g.T.Context()); err != nil {
		g.T.Fatalf("refresh: %v", err)
	}
}

// Plant says that a secret may appear nowhere but where it is sent.
func (g *Gateway) Plant(secret string) {
	if len(secret) < 8 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.secrets = append(g.secrets, secret)
}

func (g *Gateway) searchText(where string, text []byte) {
	g.T.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, secret := range g.secrets {
		if bytes.Contains(text, []byte(secret)) {
			g.T.Errorf("a planted secret stands in %s", where)
		}
	}
}

// searchFiles looks for planted secrets in everything that the gateway wrote.
func (g *Gateway) searchFiles() {
	err := filepath.WalkDir(g.path("pavise-data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(path, "local-ca") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			g.searchText(path, text)
		}
		return err
	})
	if err != nil {
		g.T.Errorf("search the files: %v", err)
	}
	g.searchText("the warnings", []byte(strings.Join(g.Warnings.All(), "\n")))
}

// Issue makes a credential for a client and returns the caller's half. Scopes
// none: all of the client's. Settings are those of the kind's Issue.
func (g *Gateway) Issue(kind, owner string, scopes ...string) shield.Credential {
	g.T.Helper()
	return g.IssueWith(client.Credential{Kind: kind, Client: owner, Scopes: scopes})
}

// IssueWith makes a credential with more than scopes.
func (g *Gateway) IssueWith(c client.Credential) shield.Credential {
	g.T.Helper()
	made := g.IssueUnplanted(c)
	g.Plant(made.Secret)
	return made
}

// IssueUnplanted makes a credential whose secret is not searched for at the end, for
// tests that make thousands.
func (g *Gateway) IssueUnplanted(c client.Credential) shield.Credential {
	g.T.Helper()
	k := g.Kind(c.Kind)
	if c.Environment == "" {
		c.Environment = "test"
	}
	issued, err := k.Issue(shield.Env{Now: g.Clock.Now, Rand: rand.Reader}, shield.IssueRequest{Client: c.Client, Environment: c.Environment, Settings: c.Settings})
	if err != nil {
		g.T.Fatalf("issue a credential of kind %s: %v", c.Kind, err)
	}
	if _, _, err = g.App.State.Registry.AddCredential(g.T.Context(), c, issued); err != nil {
		g.T.Fatalf("add a credential of kind %s: %v", c.Kind, err)
	}
	g.refresh()
	return shield.Credential{Kind: c.Kind, ID: issued.ID, Secret: issued.Secret, Settings: c.Settings, Now: g.Clock.Now}
}

// Kind returns a kind by its name.
func (g *Gateway) Kind(name string) shield.Kind {
	g.T.Helper()
	for _, k := range app.Kinds() {
		if k.Name == name {
			return k
		}
	}
	g.T.Fatalf("there is no kind %s", name)
	return shield.Kind{}
}

// Revoke revokes a credential, as the administration does.
func (g *Gateway) Revoke(id string) {
	g.T.Helper()
	if _, err := g.App.State.Registry.Revoke(g.T.Context(), id, "test"); err != nil {
		g.T.Fatalf("revoke: %v", err)
	}
	g.refresh()
}

// Signer returns what signs requests with a credential.
func (g *Gateway) Signer(c shield.Credential) shield.Signer {
	g.T.Helper()
	if c.Kind == "" {
		return shield.Unsigned()
	}
	signer, err := g.Kind(c.Kind).Client(c)
	if err != nil {
		g.T.Fatalf("signer of kind %s: %v", c.Kind, err)
	}
	return signer
}

// Answer is what a caller got.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Code   string // of a problem document
	ID     string // request ID
}

// Request makes a request to the gateway, to be changed and then sent with Do.
func (g *Gateway) Request(method, target, body string) *http.Request {
	g.T.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(g.T.Context(), method, "https://"+g.Address+target, reader)
	if err != nil {
		g.T.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// Send signs a request with a credential (the zero one: unsigned) and sends it.
func (g *Gateway) Send(c shield.Credential, method, target, body string) Answer {
	g.T.Helper()
	r := g.Request(method, target, body)
	if err := g.Signer(c).Sign(r); err != nil {
		g.T.Fatalf("sign: %v", err)
	}
	return g.Do(r, c.Certificates...)
}

// Do sends a request as it is, on a connection of its own, over HTTP/1.1, with the
// client certificate if one is given.
func (g *Gateway) Do(r *http.Request, certificates ...tls.Certificate) Answer {
	g.T.Helper()
	c := g.Client(certificates...)
	defer c.CloseIdleConnections()
	response, err := c.Do(r)
	if err != nil {
		g.T.Fatalf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return g.read(response)
}

// Client returns an HTTP/1.1 client that trusts the gateway.
func (g *Gateway) Client(certificates ...tls.Certificate) *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: g.TLS(certificates...), DisableCompression: true,
		},
	}
}

// TLS returns a client's TLS settings that trust the gateway. A certificate is sent
// whatever CAs the server names.
func (g *Gateway) TLS(certificates ...tls.Certificate) *tls.Config {
	config := &tls.Config{RootCAs: g.CA.Pool(), Time: g.Clock.Now}
	if len(certificates) > 0 {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
	}
	return config
}

func (g *Gateway) read(response *http.Response) Answer {
	g.T.Helper()
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		g.T.Fatalf("read the answer: %v", err)
	}
	a := Answer{Status: response.StatusCode, Header: response.Header, Body: body, ID: response.Header.Get("X-Request-Id")}
	if response.Header.Get("Content-Type") == "application/problem+json" && response.Request.Method != http.MethodHead {
		var p struct {
			Code      string
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(body, &p); err != nil {
			g.T.Errorf("problem %q: %v", body, err)
		}
		a.Code = p.Code
		if a.ID == "" {
			a.ID = p.RequestID
		}
	}
	g.searchText("an answer's body", body)
	g.searchText("an answer's header", fmt.Append(nil, response.Header))
	return a
}

// Raw sends bytes over a TLS connection of its own and returns the answers' bytes
// until the gateway closes the connection or falls silent for a while.
func (g *Gateway) Raw(request string, certificates ...tls.Certificate) string {
	g.T.Helper()
	conn, err := tls.Dial("tcp", g.Address, g.TLS(certificates...))
	if err != nil {
		g.T.Fatalf("dial: %v", err)
	}
	return g.exchange(conn, request)
}

// RawPlain is Raw over the plain listener.
func (g *Gateway) RawPlain(request string) string {
	g.T.Helper()
	conn, err := net.Dial("tcp", g.Plain)
	if err != nil {
		g.T.Fatalf("dial: %v", err)
	}
	return g.exchange(conn, request)
}

func (g *Gateway) exchange(conn net.Conn, request string) string {
	g.T.Helper()
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	go func() { _, _ = io.WriteString(conn, request) }()
	answer, _ := io.ReadAll(conn) // a deadline ends a connection that is kept open
	g.searchText("an answer", answer)
	return string(answer)
}

// RawAnswer sends bytes and reads one answer.
func (g *Gateway) RawAnswer(request string, certificates ...tls.Certificate) Answer {
	g.T.Helper()
	conn, err := tls.Dial("tcp", g.Address, g.TLS(certificates...))
	if err != nil {
		g.T.Fatalf("dial: %v", err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		g.T.Fatalf("write: %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodGet})
	if err != nil {
		g.T.Fatalf("read an answer to %.60q: %v", request, err)
	}
	return g.read(response)
}

// Accepted holds that the request reached the upstream, with one event.
func (g *Gateway) Accepted(a Answer) audit.Event {
	g.T.Helper()
	e := g.Event(a.ID)
	if a.Status >= 400 || e.Decision != audit.Accepted {
		g.T.Errorf("%d %s, event %s %s at %s (%s); want it accepted", a.Status, a.Code, e.Decision, e.Code, e.Step, e.Detail)
	}
	return e
}

// Refused holds that the answer has the status and code, that exactly one event
// tells of it with the same code, and that no secret stands in either.
func (g *Gateway) Refused(a Answer, status int, code shield.Code) audit.Event {
	g.T.Helper()
	if a.Status != status || a.Code != string(code) {
		g.T.Errorf("answer %d %s, want %d %s", a.Status, a.Code, status, code)
	}
	e := g.Event(a.ID)
	if e.Code != string(code) || e.Status != status || e.Decision == audit.Accepted {
		g.T.Errorf("event %s %d %s (%s), want %s %d", e.Code, e.Status, e.Decision, e.Detail, code, status)
	}
	return e
}

// Event returns the only event with this request ID.
func (g *Gateway) Event(id string) audit.Event {
	g.T.Helper()
	if id == "" {
		g.T.Fatal("the answer has no request ID")
	}
	found := g.Events(audit.Query{ID: id})
	if len(found) != 1 {
		g.T.Fatalf("%d events with request ID %s, want one", len(found), id)
	}
	return found[0]
}

// Events returns the events that a query selects, after everything that was begun
// has been completed.
func (g *Gateway) Events(q audit.Query) []audit.Event {
	g.T.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if err := g.App.State.Log.Flush(); err != nil {
			g.T.Fatalf("flush the log: %v", err)
		}
		found, err := audit.Search(g.T.Context(), g.path("pavise-data/log"), q)
		if err != nil {
			g.T.Fatalf("search the log: %v", err)
		}
		if len(found) > 0 || time.Now().After(deadline) {
			events := make([]audit.Event, 0, len(found))
			for _, f := range found {
				g.searchText("an event", f.JSON)
				events = append(events, f.Event)
			}
			return events
		}
	}
}

// Body returns a request body.
func Body(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }
