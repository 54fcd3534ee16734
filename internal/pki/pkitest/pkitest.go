// Package pkitest runs a certificate authority for tests: real certificates, a real server
// where programs enroll and renew (EST), and a clock that the test moves.
package pkitest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/renewed"
	"pavise.dev/pavise/internal/pki/status"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

// World is an authority with its server, which has the clients web, pay and pki.
type World struct {
	testing.TB
	URL       string // of the server
	Authority *pki.Authority
	Clock     *Clock

	registry *client.Registry
	tokens   *est.Tokens
	server   *httptest.Server

	mu    sync.Mutex
	away  bool
	asked int
}

// Clock is a time that stands still until the test moves it, unless it is to be the real one.
type Clock struct {
	mu   sync.Mutex
	now  time.Time
	real bool
}

// NewClock returns a clock that stands at the present.
func NewClock() *Clock { return &Clock{now: time.Now()} }

// Now returns the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real {
		return time.Now()
	}
	return c.now
}

// Real lets the clock go as the system's does.
func (c *Clock) Real() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.real = true
}

// Add moves the clock.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Start makes an authority whose server runs until the test ends.
func Start(t testing.TB) *World {
	t.Helper()
	w := &World{TB: t, Clock: NewClock()}
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	w.must(err)
	w.registry, err = client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: w.Clock.Now})
	w.must(err)
	refresh := func(context.Context) error { return nil }
	w.Authority, err = pki.Open(t.Context(), pki.Options{Records: w.registry.AuthorityRecords(), Registry: w.registry, Refresh: refresh, Now: w.Clock.Now, Rand: rand.Reader})
	w.must(err)
	_, err = w.Authority.Init(t.Context(), pki.Init{})
	w.must(err)
	for _, id := range []string{"web", "pay", "pki"} {
		_, err = w.registry.CreateClient(t.Context(), client.Client{ID: id, Scopes: []string{"orders:read"}})
		w.must(err)
	}
	w.tokens = est.NewTokens(w.registry.AuthorityRecords(), w.Clock.Now)
	w.serve(&est.Server{Options: est.Options{
		Authority: w.Authority, Tokens: w.tokens, Tries: patient{}, Refresh: refresh, Renewing: presented,
		Done: func(*http.Request, client.Change, string) {}, Decline: func(*http.Request, int, string, string) {},
	}})
	return w
}

// serve listens with certificates of the authority's own, a new one for each connection.
func (w *World) serve(s *est.Server) {
	mux := http.NewServeMux()
	for _, e := range s.Endpoints() {
		mux.HandleFunc(e.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			switch {
			case w.isAway():
				http.Error(rw, "away", http.StatusServiceUnavailable)
			case e.Mutual && presented(r) == "":
				http.Error(rw, "no certificate", http.StatusUnauthorized)
			default:
				e.Handler(rw, r)
			}
		})
	}
	w.server = httptest.NewUnstartedServer(mux)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away in the middle are part of tests
	w.server.Listener = tls.NewListener(w.server.Listener, &tls.Config{
		ClientAuth: tls.RequestClientCert, Time: w.Clock.Now,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return w.issue(context.Background(), pki.Request{Client: "pki", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}})
		},
	})
	w.server.Start()
	w.URL = strings.Replace(w.server.URL, "http://", "https://", 1)
	w.Cleanup(w.server.Close)
}

func (w *World) isAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.away
}

// Away lets the server refuse everything, or answer again.
func (w *World) Away(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = away
}

// Asked is how often the server was asked for something.
func (w *World) Asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// presented is the certificate that is renewed, as the gateway's guard tells it.
func presented(r *http.Request) string {
	if len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return pki.CredentialID(r.TLS.PeerCertificates[0])
}

// patient is an est.Tries that locks nobody out.
type patient struct{}

func (patient) Blocked(string, netip.Addr) time.Duration { return 0 }
func (patient) Wrong(string, netip.Addr)                 {}

// Token makes an enrolment token for a certificate.
func (w *World) Token(t est.Token) string {
	w.Helper()
	if t.Profile == "" {
		t.Profile = "service"
	}
	roots, err := w.Authority.Roots()
	w.must(err)
	_, text, err := w.tokens.Make(w.Context(), t, 0, roots[0])
	w.must(err)
	return text
}

// Issue makes a certificate with its key.
func (w *World) Issue(n pki.Request) *tls.Certificate {
	w.Helper()
	made, err := w.issue(w.Context(), n)
	w.must(err)
	return made
}

func (w *World) issue(ctx context.Context, n pki.Request) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issued, _, err := w.Authority.Issue(ctx, n, &pki.SigningRequest{Key: key.Public()})
	if err != nil {
		return nil, err
	}
	return renewed.Pair(issued.Chain, key)
}

// Rotate makes the next issuing authority, and a root for it if it is to have one. The
// clock moves by two seconds: those before are in force until the end of theirs.
func (w *World) Rotate(n pki.Rotation) {
	w.Helper()
	w.Clock.Add(time.Second)
	_, err := w.Authority.Rotate(w.Context(), n)
	w.must(err)
	w.Clock.Add(time.Second)
}

// Revoke ends a certificate.
func (w *World) Revoke(c *tls.Certificate) {
	w.Helper()
	_, err := w.registry.Revoke(w.Context(), pki.CredentialID(c.Leaf), "test")
	w.must(err)
}

// Status serves the authority's revocation lists and OCSP answers, and lets certificates that
// are issued from now on name it.
func (w *World) Status() {
	w.Helper()
	view, err := w.registry.View(w.Context(), client.ViewOptions{})
	w.must(err)
	w.Cleanup(func() { w.must(view.Close()) })
	s := status.New(status.Options{Authority: w.Authority, Records: view, Kept: w.registry.AuthorityRecords(), Now: w.Clock.Now, Rand: rand.Reader})
	listener := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := errors.Join(view.Refresh(r.Context()), s.Keep(r.Context())); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		s.ServeHTTP(rw, r)
	}))
	w.Cleanup(listener.Close)
	w.Authority.SetPolicy(pki.Policy{Status: listener.URL})
}

// Roots are the authority's.
func (w *World) Roots() []*x509.Certificate {
	w.Helper()
	roots, err := w.Authority.Roots()
	w.must(err)
	return roots
}

func (w *World) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}
