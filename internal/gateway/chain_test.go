package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// The whole chain: edge, guard and gateway, over TLS sockets.

// bearer is a shield of one token that can be withdrawn.
type bearer struct{ revoked *atomic.Bool }

func (b bearer) Verify(r *http.Request) (*shield.Identity, error) {
	if r.Header.Get("Authorization") != "Bearer planted-secret" || b.revoked.Load() {
		return nil, &shield.Refusal{Code: shield.InvalidCredential}
	}
	return &shield.Identity{Shield: "bearer", CredentialID: "b1", Client: "shop", Scopes: shield.Scopes{"all"}, Revocation: b.revoked.Load}, nil
}

func (bearer) Needs() shield.Needs { return shield.Needs{Carries: []string{"Authorization"}} }

// events keeps what was recorded.
type events struct {
	mu   sync.Mutex
	done []audit.Event
}

func (e *events) Begin(*audit.Event) error { return nil }

func (e *events) Complete(event *audit.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = append(e.done, *event)
}

func (e *events) list() []audit.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]audit.Event(nil), e.done...)
}

type chain struct {
	t       *testing.T
	addr    string
	config  *tls.Config
	events  *events
	up      *gateway.Upstream
	revoked atomic.Bool
}

func startChain(t *testing.T, s gateway.Settings) *chain {
	t.Helper()
	c := &chain{t: t, events: &events{}}
	s.Name, s.Signer = "orders", signer(t)
	s.Identity = func(r *http.Request) *shield.Identity { return pavise.IdentityOf(r.Context()) }
	s.RequestID = func(r *http.Request) string { return pavise.RequestID(r.Context()) }
	s.Fail = pavise.Fail
	s.Report = func(r *http.Request, result gateway.Result) {
		pavise.Report(r.Context(), pavise.Outcome{Address: result.Addr, Status: result.Status, Duration: result.Duration, Note: result.Note})
	}
	var err error
	if c.up, err = gateway.New(s); err != nil {
		t.Fatal(err)
	}
	var endpoints []pavise.Endpoint
	for _, pattern := range []string{"GET /{rest...}", "POST /{rest...}"} {
		endpoints = append(endpoints, pavise.Endpoint{Pattern: pattern, Shield: bearer{&c.revoked}, AnyScope: true, MaxBody: 1 << 30})
	}
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "api.example.com"}}, Sink: c.events,
		APIs: []pavise.API{{Name: "orders", Hosts: []string{"api.example.com"}, Endpoints: endpoints}},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert := selfSigned(t, "api.example.com")
	server, err := edge.New(edge.Config{
		Handler: guard.Wrap(c.up), Log: quietLog(), Fault: func(edge.Fault) {},
		TLS: &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		c.up.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = server.Shutdown(ctx)
		serving.Wait()
	})
	c.addr = listener.Addr().String()
	c.config = &tls.Config{RootCAs: roots(cert.Leaf), ServerName: "api.example.com"}
	return c
}

func (c *chain) raw(request string) (*tls.Conn, *bufio.Reader) {
	c.t.Helper()
	conn, err := tls.Dial("tcp", c.addr, c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		c.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// event waits for the n-th event.
func (c *chain) event(n int) audit.Event {
	c.t.Helper()
	waitFor(c.t, "an event", func() bool { return len(c.events.list()) >= n })
	return c.events.list()[n-1]
}

const credential = "Host: api.example.com\r\nAuthorization: Bearer planted-secret\r\n"

func TestTheChainPassesWhatWasCheckedAndRecordsIt(t *testing.T) {
	attacktest.Rows(t, 19, 150)
	up := scripted(t, hello)
	c := startChain(t, gateway.Settings{Addresses: []string{up.url}})
	_, br := c.raw("GET /v1/a%20b?x=1 HTTP/1.1\r\n" + credential + "Connection: keep-alive\r\nX-Request-Id: forged\r\n\r\n")
	response, err := http.ReadResponse(br, nil)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	h := fieldsOf(up.requests()[0])
	event := c.event(1)
	if strings.Contains(up.requests()[0], "planted") || !strings.HasPrefix(up.requests()[0], "GET /v1/a%20b?x=1 HTTP/1.1\r\n") {
		t.Errorf("the upstream got %q", up.requests()[0])
	}
	if id := response.Header.Get("X-Request-Id"); id == "" || id != h.Get("X-Request-Id") || id != event.ID {
		t.Errorf("request IDs %q, %q, %q", id, h.Get("X-Request-Id"), event.ID)
	}
	if h["Pavise-Identity"] == nil || event.Upstream != up.url || event.UpstreamStatus != 200 || event.Decision != audit.Accepted {
		t.Errorf("%v %+v", h, event)
	}
}

func TestTheChainSaysWhyAnUpstreamFailed(t *testing.T) {
	c := startChain(t, gateway.Settings{Addresses: []string{deadAddress(t)}})
	_, br := c.raw("GET / HTTP/1.1\r\n" + credential + "\r\n")
	response, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	event := c.event(1)
	if response.StatusCode != 502 || !strings.Contains(string(body), "upstream_failed") || strings.Contains(string(body), "127.0.0.1") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	if event.Code != string(shield.UpstreamFailed) || event.Decision != audit.Failed || !strings.Contains(event.Detail, "connection refused") {
		t.Errorf("%+v", event)
	}
}

func TestTheChainUpgradesAndEndsWhatIsRevoked(t *testing.T) {
	attacktest.Rows(t, 125)
	up := echoing(t)
	c := startChain(t, gateway.Settings{Addresses: []string{up.url}})
	_, br := c.raw("GET /chat HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if response, err := http.ReadResponse(br, nil); err != nil || response.StatusCode != 401 || len(up.requests()) != 0 {
		t.Errorf("without a credential: %v, %v", response, err)
	}
	conn, br := c.raw("GET /chat HTTP/1.1\r\n" + credential + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if head, err := readHeadOnly(br); err != nil || !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Fatalf("%q, %v", head, err)
	}
	if got := readLine(t, br); got != "welcome" {
		t.Errorf("%q", got)
	}
	_, _ = fmt.Fprint(conn, "hello\n")
	if got := readLine(t, br); got != "echo hello" {
		t.Errorf("%q", got)
	}
	c.revoked.Store(true)
	began := time.Now()
	if _, err := br.ReadByte(); err == nil {
		t.Error("the tunnel outlived its credential")
	}
	if took := time.Since(began); took > 5*time.Second { // a second, on a machine that is not starved
		t.Errorf("it took %s", took)
	}
	if event := c.event(2); event.Status != 101 || !strings.Contains(event.Note, "revoked") {
		t.Errorf("%+v", event)
	}
}

func TestTheChainEndsAStreamThatIsRevoked(t *testing.T) {
	s := gateway.Settings{}
	startService(t, "http1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}), &s)
	c := startChain(t, s)
	_, br := c.raw("GET /events HTTP/1.1\r\n" + credential + "\r\n")
	response, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(response.Body)
	if got := readLine(t, body); got != "data: 1" {
		t.Errorf("%q", got)
	}
	c.revoked.Store(true)
	if _, err := io.ReadAll(body); err == nil {
		t.Error("the stream looked whole")
	}
	c.event(1)
}

// Found on 2026-11-30: a body of known length went on for as long as its caller liked, whatever became of the
// credential.
func TestTheChainEndsAnUploadThatIsRevoked(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n4\r\n"} {
		began, whole := make(chan struct{}, 1), make(chan error, 1)
		s := gateway.Settings{}
		startService(t, "http1", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			began <- struct{}{}
			_, err := io.Copy(io.Discard, r.Body)
			whole <- err
		}), &s)
		c := startChain(t, s)
		_, br := c.raw("POST /upload HTTP/1.1\r\n" + credential + framing + "some")
		<-began
		c.revoked.Store(true)
		if _, err := br.ReadByte(); err == nil {
			t.Error("the upload was answered")
		}
		if err := <-whole; err == nil {
			t.Error("the service took a piece for the whole")
		}
		if event := c.event(1); !strings.Contains(event.Note, "revoked") {
			t.Errorf("%+v", event)
		}
	}
}

// The same of a short body, of which nothing is sent before it is whole.
func TestAShortBodyThatComesSlowlyEndsWithItsCredential(t *testing.T) {
	up := scripted(t, hello)
	now, revoked, looked := newClock(), atomic.Bool{}, make(chan struct{}, 1)
	id := &shield.Identity{Shield: "api_key", Client: "shop", Revocation: revoked.Load, Expires: now.Now().Add(time.Hour)}
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, Identity: func(*http.Request) *shield.Identity { return id },
		Tick: func(time.Duration) (<-chan time.Time, func()) { return nil, func() {} },
		Now: func() time.Time {
			at := now.Now()
			select {
			case looked <- struct{}{}:
			default:
			}
			return at
		},
	}, false)
	for _, c := range []struct {
		then func()
		code shield.Code
	}{
		{func() {}, ""},
		{func() { revoked.Store(true) }, ""}, // a moment later
		{func() { now.advance(time.Second) }, shield.RevokedCredential},
		{func() { revoked.Store(false); now.advance(time.Hour) }, shield.ExpiredCredential},
	} {
		select {
		case <-looked: // of the request before
		default:
		}
		before := len(up.requests())
		conn, br := f.raw("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
		<-looked // it waits for the rest
		c.then()
		_, _ = io.WriteString(conn, "b")
		answer, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.code == "" {
			if answer.StatusCode != http.StatusOK {
				t.Errorf("%d", answer.StatusCode)
			}
			continue
		}
		if refusal := f.refusal(); answer.StatusCode != http.StatusUnauthorized || refusal == nil || refusal.Code != c.code || len(up.requests()) != before {
			t.Errorf("%d %v, want %s; %d requests reached the service", answer.StatusCode, refusal, c.code, len(up.requests())-before)
		}
	}
}

func TestTheChainAnswersEarlyAndClosesCleanly(t *testing.T) {
	up := scriptedHeads(t, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
	c := startChain(t, gateway.Settings{Addresses: []string{up.url}})
	conn, br := c.raw("POST /big HTTP/1.1\r\n" + credential + "Content-Length: 1000000\r\n\r\nsome of it")
	response, err := http.ReadResponse(br, nil)
	if err != nil || response.StatusCode != 413 {
		t.Fatalf("%v, %v", response, err)
	}
	_, _ = io.WriteString(conn, strings.Repeat("x", 1000)+"GET /smuggled HTTP/1.1\r\n"+credential+"\r\n")
	_, _ = io.Copy(io.Discard, br)
	c.event(1)
	if n := len(c.events.list()); n != 1 {
		t.Errorf("%d events: the rest of a body became a request", n)
	}
}

// A body whose framing goes wrong after its head has passed on: the caller, who is
// still there, is told, nothing whole arrives, and the event says why.
func TestTheChainTellsOfFramingThatGoesWrongLate(t *testing.T) {
	began := make(chan struct{}, 1)
	rest := make(chan string, 1)
	up := serveRaw(t, func(_ net.Conn, br *bufio.Reader) {
		if _, err := readHeadOnly(br); err != nil {
			return
		}
		began <- struct{}{}
		text, _ := io.ReadAll(br)
		rest <- string(text)
	})
	c := startChain(t, gateway.Settings{Addresses: []string{up.url}})
	conn, br := c.raw("POST /big HTTP/1.1\r\n" + credential + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	<-began
	if _, err := io.WriteString(conn, "3;extension=1\r\nabc\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(br, nil)
	if err != nil || response.StatusCode != http.StatusBadRequest || !response.Close {
		t.Fatalf("%+v, %v", response, err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), `"bad_framing"`) {
		t.Errorf("%s, %v", body, err)
	}
	if text := <-rest; strings.Contains(text, "\r\n0\r\n") {
		t.Errorf("the upstream got a whole body: %q", text)
	}
	if e := c.event(1); e.Code != "bad_framing" || e.Decision != audit.Failed || e.Status != http.StatusBadRequest {
		t.Errorf("event %+v", e)
	}
}
