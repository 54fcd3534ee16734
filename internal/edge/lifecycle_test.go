package edge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/edge"
)

// A request in progress is answered before the connection closes; idle
// connections and listeners are closed at once; nothing is left.
func TestShutdownDrains(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			started, release := make(chan struct{}), make(chan struct{})
			cert, roots := certificate(t)
			policy := tlsPolicy()
			policy.Certificates = append(policy.Certificates, cert)
			srv, err := edge.New(edge.Config{TLS: policy, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(started)
				<-release
				_, _ = io.WriteString(w, "done")
			})})
			if err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			serving := make(chan error, 1)
			go func() { serving <- srv.Serve(l) }()
			s := &served{Server: srv, Addr: l.Addr().String(), Roots: roots}
			client := s.client(t, proto)

			answer := make(chan string, 1)
			go func() {
				r, err := client.Get("https://edge.test/")
				if err != nil {
					answer <- err.Error()
					return
				}
				defer r.Body.Close()
				b, err := io.ReadAll(r.Body)
				if err != nil {
					answer <- err.Error()
					return
				}
				answer <- string(b)
			}()
			<-started
			down := make(chan error, 1)
			go func() { down <- srv.Shutdown(context.Background()) }()
			if err := <-serving; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve returned %v", err)
			}
			if c, err := net.Dial("tcp", s.Addr); err == nil {
				c.Close()
				t.Error("the listener is still open")
			}
			close(release)
			if got := <-answer; got != "done" {
				t.Errorf("the request in progress got %q", got)
			}
			client.CloseIdleConnections()
			if err := <-down; err != nil {
				t.Errorf("Shutdown returned %v", err)
			}
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve after Shutdown returned %v", err)
			}
			goleak.VerifyNone(t, before)
		})
	}
}

// When the time is up, Shutdown closes what is left: a handler that hangs, a
// hijacked connection, a handshake that does not go on.
func TestShutdownForces(t *testing.T) {
	before := goleak.IgnoreCurrent()
	srv, err := edge.New(edge.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "taken")
			_, _ = c.Read(make([]byte, 1)) // until the edge closes it
			_ = c.Close()
			return
		}
		<-r.Context().Done()
	})})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving := make(chan error, 1)
	go func() { serving <- srv.Serve(l) }()
	hung, taken := dial(t, l.Addr().String()), dial(t, l.Addr().String())
	hung.send("GET /hang HTTP/1.1\r\n" + host + "\r\n")
	taken.send("GET /hijack HTTP/1.1\r\n" + host + "\r\n")
	if _, err := io.ReadFull(taken.in, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown returned %v", err)
	}
	hung.ended()
	taken.ended()
	<-serving
	goleak.VerifyNone(t, before)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	ok := http.NotFoundHandler()
	for name, c := range map[string]edge.Config{
		"no handler":                     {},
		"a negative limit":               {Handler: ok, Limits: edge.Limits{Head: -1}},
		"a head too small":               {Handler: ok, Limits: edge.Limits{Head: 10}},
		"a negative time":                {Handler: ok, Limits: edge.Limits{Idle: -1}},
		"a request line above the head":  {Handler: ok, Limits: edge.Limits{Head: 1024, RequestLine: 2048}},
		"no connection allowed, by name": {Handler: ok, Limits: edge.Limits{PerAddress: -5}},
	} {
		if _, err := edge.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	srv, err := edge.New(edge.Config{Handler: ok})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(t.Context()); err != nil { // of a server that never served
		t.Error(err)
	}
}

// OCSP clients and old ones speak HTTP/1.0; nobody does over TLS.
func TestPlainListenerReadsHTTP10(t *testing.T) {
	open := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "asked "+string(text))
	})
	always := func(*http.Request) bool { return true }
	s := start(t, edge.Config{Handler: &edge.Plain{Open: open, IsOpen: always}, HTTP10: true})
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"no Host":         {"POST /ocsp HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", 200},
		"a Host":          {"GET /crl/a HTTP/1.0\r\n" + host + "\r\n", 200},
		"HTTP/1.1":        {"GET /crl/a HTTP/1.1\r\n" + host + "\r\n", 200},
		"1.1, no Host":    {"GET /crl/a HTTP/1.1\r\n\r\n", 400},
		"chunks":          {"POST /ocsp HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"two Hosts":       {"GET /crl/a HTTP/1.0\r\n" + host + host + "\r\n", 400},
		"HTTP/0.9":        {"GET /crl/a HTTP/0.9\r\n\r\n", 505},
		"HTTP/1.2":        {"GET /crl/a HTTP/1.2\r\n" + host + "\r\n", 505},
		"a broken target": {"GET http://a/ HTTP/1.0\r\n\r\n", 400},
	} {
		p := dial(t, s.Addr)
		p.send(c.request)
		if r, body := p.answer(); r.StatusCode != c.status {
			t.Errorf("%s: %d %q", name, r.StatusCode, body)
		}
	}
	strict := start(t, edge.Config{Handler: &edge.Plain{Open: open, IsOpen: always}})
	p := dial(t, strict.Addr)
	p.send("GET /crl/a HTTP/1.0\r\n" + host + "\r\n")
	if r, _ := p.answer(); r.StatusCode != 505 {
		t.Errorf("where it is not asked for: %d", r.StatusCode)
	}
	if _, err := edge.New(edge.Config{Handler: open, TLS: &tls.Config{}, HTTP10: true}); err == nil {
		t.Error("over TLS too")
	}
}

func TestPlainListener(t *testing.T) {
	challenges := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "token of "+r.URL.Path) })
	told := newFaults()
	open := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a list") })
	isOpen := func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/crl/") }
	s := start(t, edge.Config{Handler: &edge.Plain{Challenges: challenges, Open: open, IsOpen: isOpen, Credentials: []string{"x-api-key"}, Fault: told.add}})
	const token = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"

	p := dial(t, s.Addr)
	p.send("GET " + token + " HTTP/1.1\r\n" + host + "\r\n")
	if r, body := p.answer(); r.StatusCode != 200 || body != "token of "+token {
		t.Errorf("a challenge: %d %q", r.StatusCode, body)
	}
	p = dial(t, s.Addr)
	p.send("GET /crl/a.crl HTTP/1.1\r\n" + host + "\r\n")
	if r, body := p.answer(); r.StatusCode != 200 || body != "a list" {
		t.Errorf("what is signed by itself: %d %q", r.StatusCode, body)
	}
	blocked := start(t, edge.Config{Handler: &edge.Plain{
		Challenges: challenges, Open: open, IsOpen: isOpen, Fault: told.add,
		Blocked: func(addr netip.Addr) (time.Time, bool) { return time.Now().Add(time.Hour), addr.IsLoopback() },
	}})
	for _, target := range []string{token, "/crl/a.crl", "/v1/orders"} {
		p = dial(t, blocked.Addr)
		p.send("GET " + target + " HTTP/1.1\r\n" + host + "Cookie: a=b\r\n\r\n")
		r, body := p.answer()
		if doc, f := problemOf(t, r, body), told.next(t); r.StatusCode != 403 || doc.Code != "blocked_network" || f.Code != edge.BlockedNetwork || f.Exposed != "Cookie" || f.ID != doc.RequestID {
			t.Errorf("%s from a network that is kept out: %d %+v, fault %+v", target, r.StatusCode, doc, f)
		}
	}
	for name, c := range map[string]struct{ request, exposed string }{
		"a key with a list":           {"GET /crl/a.crl HTTP/1.1\r\n" + host + "X-Api-Key: s3cret-t0ken\r\n\r\n", "X-Api-Key"},
		"an API call":                 {"GET /v1/orders HTTP/1.1\r\n" + host + "\r\n", ""},
		"the root":                    {"GET / HTTP/1.1\r\n" + host + "\r\n", ""},
		"no token":                    {"GET /.well-known/acme-challenge/ HTTP/1.1\r\n" + host + "\r\n", ""},
		"a path below the challenges": {"GET " + token + "/../../x HTTP/1.1\r\n" + host + "\r\n", ""},
		"an escaped token":            {"GET /.well-known/acme-challenge/%41 HTTP/1.1\r\n" + host + "\r\n", ""},
		"a challenge with a query":    {"GET " + token + "?a HTTP/1.1\r\n" + host + "\r\n", ""},
		"a challenge by POST":         {"POST " + token + " HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", ""},
		"a bearer token":              {"GET /v1/orders HTTP/1.1\r\n" + host + "Authorization: Bearer s3cret-t0ken\r\n\r\n", "Authorization"},
		"an API key":                  {"GET /v1/orders HTTP/1.1\r\n" + host + "X-API-Key: s3cret-t0ken\r\n\r\n", "X-Api-Key"},
		"a cookie":                    {"GET /v1/orders HTTP/1.1\r\n" + host + "Cookie: a=s3cret-t0ken\r\n\r\n", "Cookie"},
		"a key with a challenge":      {"GET " + token + " HTTP/1.1\r\n" + host + "X-Api-Key: s3cret-t0ken\r\n\r\n", "X-Api-Key"},
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, s.Addr)
			p.send(c.request)
			r, body := p.answer()
			doc := problemOf(t, r, body)
			if r.StatusCode != 403 || doc.Code != "tls_required" || r.Header.Get("Location") != "" || !r.Close {
				t.Errorf("answered %d %+v", r.StatusCode, doc)
			}
			f := told.next(t)
			if f.Exposed != c.exposed || f.Code != edge.TLSRequired || f.Step != edge.StepPlain || f.ID != doc.RequestID || !f.Remote.IsValid() || !f.Local.IsValid() {
				t.Errorf("fault %+v", f)
			}
			if strings.Contains(f.Detail+body, "s3cret") {
				t.Errorf("the credential is in %+v or %q", f, body)
			}
		})
	}
}
