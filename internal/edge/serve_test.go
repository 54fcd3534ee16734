package edge_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a running server and what it reported.
type served struct {
	*edge.Server
	Addr   string
	Faults *faults
	Roots  *x509.CertPool
}

// faults collects what a server reports.
type faults struct {
	mu  sync.Mutex
	all []edge.Fault
	ch  chan edge.Fault
}

func newFaults() *faults { return &faults{ch: make(chan edge.Fault, 1024)} }

func (f *faults) add(x edge.Fault) {
	f.mu.Lock()
	f.all = append(f.all, x)
	f.mu.Unlock()
	select {
	case f.ch <- x:
	default:
	}
}

func (f *faults) list() []edge.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]edge.Fault(nil), f.all...)
}

// next waits for a fault.
func (f *faults) next(t testing.TB) edge.Fault {
	t.Helper()
	select {
	case x := <-f.ch:
		return x
	case <-time.After(10 * time.Second):
		t.Fatal("no fault was reported")
		return edge.Fault{}
	}
}

// start runs a server on a free port until the test ends.
func start(t testing.TB, c edge.Config) *served {
	t.Helper()
	s := &served{Faults: newFaults()}
	c.Fault = s.Faults.add
	c.Log = log.New(t.Output(), "", 0)
	if c.TLS != nil {
		cert, roots := certificate(t)
		c.TLS.Certificates = []tls.Certificate{cert}
		s.Roots = roots
	}
	srv, err := edge.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = srv
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_ = srv.Shutdown(ctx) // tests leave connections open
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return s
}

func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"edge.test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// peer is a client that sends bytes.
type peer struct {
	net.Conn
	in *bufio.Reader
	t  testing.TB
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, c)
}

func (s *served) dialTLS(t testing.TB, protos ...string) *peer {
	t.Helper()
	c, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Roots, ServerName: "edge.test", NextProtos: protos})
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, c)
}

func newPeer(t testing.TB, c net.Conn) *peer {
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &peer{c, bufio.NewReader(c), t}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// answer reads one answer with its body.
func (p *peer) answer() (*http.Response, string) {
	p.t.Helper()
	r, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.t.Fatalf("read the answer: %v", err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatalf("read the answer's body: %v", err)
	}
	return r, string(body)
}

// ended fails the test if anything but the end of the connection comes.
func (p *peer) ended() {
	p.t.Helper()
	rest, err := io.ReadAll(p.in)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		p.t.Errorf("the connection did not end: %v", err)
	}
	if len(rest) > 0 {
		p.t.Errorf("after the last answer came %q", rest)
	}
}

// refusal is what a problem document says.
type refusal struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

func problemOf(t testing.TB, r *http.Response, body string) refusal {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type is %q", got)
	}
	var p refusal
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("problem document %q: %v", body, err)
	}
	if p.Status != r.StatusCode {
		t.Errorf("the document says %d, the status line %d", p.Status, r.StatusCode)
	}
	return p
}

// echo answers with what it read, and counts.
type echo struct {
	mu   sync.Mutex
	seen []string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	e.mu.Lock()
	e.seen = append(e.seen, r.Method+" "+r.RequestURI)
	e.mu.Unlock()
	if err != nil {
		http.Error(w, "the body failed", http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
}

func (e *echo) requests() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.seen...)
}
