package oauthclient_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/internal/secret"
)

const planted = "planted-client-secret"

// server is an authorization server that does what a test says.
type server struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	metadata map[string]any
	answers  map[string]http.HandlerFunc // by path; otherwise 404
	forms    []url.Values                // what came to /token
	headers  []http.Header
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, answers: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	s.metadata = map[string]any{
		"issuer": s.URL, "token_endpoint": s.URL + "/token", "authorization_endpoint": s.URL + "/authorize",
		"device_authorization_endpoint": s.URL + "/device", "revocation_endpoint": s.URL + "/revoke",
		"authorization_response_iss_parameter_supported": true,
	}
	s.on("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.metadata) })
	s.on("/token", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, good()) })
	return s
}

func good() map[string]any {
	return map[string]any{"access_token": "access-1", "token_type": "bearer", "expires_in": 300, "refresh_token": "refresh-1", "scope": "orders:read"}
}

func with(m map[string]any, name string, value any) map[string]any {
	if value == nil {
		delete(m, name)
	} else {
		m[name] = value
	}
	return m
}

func answer(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func (s *server) on(path string, f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = f
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			s.t.Error(err)
		}
		s.forms = append(s.forms, r.PostForm)
		s.headers = append(s.headers, r.Header.Clone())
	}
	f := s.answers[r.URL.Path]
	s.mu.Unlock()
	if f == nil {
		http.NotFound(w, r)
		return
	}
	f(w, r)
}

// asked is how many forms came.
func (s *server) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.forms)
}

func (s *server) last() (url.Values, http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forms[len(s.forms)-1], s.headers[len(s.headers)-1]
}

func (s *server) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// settings are those of a program with a secret.
func (s *server) settings() oauthclient.Settings {
	return oauthclient.Settings{
		Issuer: s.URL, ID: "report", Secret: secret.New([]byte(planted)), Scopes: []string{"orders:read"}, Folder: s.t.TempDir(), Roots: s.roots(),
	}
}

// person's are those of one where somebody signs in.
func (s *server) persons(grant oauthclient.Grant) oauthclient.Settings {
	settings := s.settings()
	settings.Secret, settings.Grant = secret.Value{}, grant
	return settings
}

func open(t testing.TB, s oauthclient.Settings) *oauthclient.Client {
	t.Helper()
	c, err := oauthclient.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// token gets one that has to come.
func token(t testing.TB, c *oauthclient.Client) *oauthclient.Token {
	t.Helper()
	got, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func access(t *oauthclient.Token) string { return string(t.Access.Reveal()) }

// refuses holds that an error came, that it names the reason, and that it holds nothing
// secret.
func refuses(t testing.TB, err error, reason string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), reason) {
		t.Errorf("want an error that names %q: %v", reason, err)
		return
	}
	for _, text := range []string{planted, "access-1", "refresh-1", "device-1", "code-1"} {
		if strings.Contains(err.Error(), text) {
			t.Errorf("the error holds %q: %v", text, err)
		}
	}
}

// code is the error code of the server's refusal.
func code(err error) string {
	if refused, ok := errors.AsType[*oauthclient.Error](err); ok {
		return refused.Code
	}
	return ""
}

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// wait is a Settings.Wait that passes at once.
func (c *clock) wait(ctx context.Context, d time.Duration) error {
	c.add(d)
	return ctx.Err()
}
