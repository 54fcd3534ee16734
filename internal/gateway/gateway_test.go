package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

// front is a gateway in front of something, as a caller sees it.
type front struct {
	t       testing.TB
	server  *httptest.Server
	up      *gateway.Upstream
	mu      sync.Mutex
	results []gateway.Result
	failed  []*shield.Refusal
}

// guardless serves an upstream without a guard, over HTTP/1.1, or over TLS with
// HTTP/2 where http2 is set.
func guardless(t testing.TB, s gateway.Settings, http2 bool) *front {
	t.Helper()
	f := &front{t: t}
	if s.Name == "" {
		s.Name = "orders"
	}
	if s.RequestID == nil {
		s.RequestID = func(*http.Request) string { return "REQUESTID0000001" }
	}
	s.Report = func(_ *http.Request, r gateway.Result) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.results = append(f.results, r)
	}
	s.Fail = func(w http.ResponseWriter, _ *http.Request, refusal *shield.Refusal) {
		f.mu.Lock()
		f.failed = append(f.failed, refusal)
		f.mu.Unlock()
		for name, values := range refusal.Header {
			w.Header()[name] = values
		}
		http.Error(w, string(refusal.Code), refusal.HTTPStatus())
	}
	up, err := gateway.New(s)
	if err != nil {
		t.Fatalf("gateway: %v", err)
	}
	f.up = up
	f.server = httptest.NewUnstartedServer(up)
	f.server.Config.ErrorLog = quietLog()
	f.server.EnableHTTP2 = http2
	if http2 {
		f.server.StartTLS()
	} else {
		f.server.Start()
	}
	f.server.Client().Transport = &baseURL{f.server.Client().Transport, f.server.URL}
	t.Cleanup(func() {
		f.up.Close()
		f.server.Client().CloseIdleConnections()
		f.server.Close()
	})
	return f
}

// last returns what the event of the last request would have learned.
func (f *front) last() gateway.Result {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.results) == 0 {
		return gateway.Result{}
	}
	return f.results[len(f.results)-1]
}

// settled waits until the last result has a note that holds the word.
func (f *front) settled(word string) {
	f.t.Helper()
	waitFor(f.t, "note "+word, func() bool { return strings.Contains(f.last().Note, word) })
}

func (f *front) refusal() *shield.Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.failed) == 0 {
		return nil
	}
	return f.failed[len(f.failed)-1]
}

// waitFor polls: what it waits for is another goroutine's doing.
func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// raw sends bytes to the gateway and returns the connection.
func (f *front) raw(request string) (net.Conn, *bufio.Reader) {
	f.t.Helper()
	conn, err := net.Dial("tcp", f.server.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		f.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// ask sends bytes and reads one answer.
func (f *front) ask(request string) (*http.Response, string) {
	f.t.Helper()
	_, br := f.raw(request)
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		f.t.Fatalf("read the answer to %q: %v", request, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatalf("read the body of the answer: %v", err)
	}
	return response, string(body)
}

// rawUpstream is a service that shows the bytes that it gets and answers with
// bytes.
type rawUpstream struct {
	listener net.Listener
	url      string
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
	seen     []string
}

// serveRaw hands every connection to serve.
func serveRaw(t testing.TB, serve func(net.Conn, *bufio.Reader)) *rawUpstream {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawUpstream{listener: listener, url: "http://" + listener.Addr().String()}
	s.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			s.wg.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *rawUpstream) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for _, conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// accepted counts connections.
func (s *rawUpstream) accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *rawUpstream) saw(request string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, request)
}

// requests returns what has come so far.
func (s *rawUpstream) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// scripted answers each request, on whatever connection, with the next answer;
// the last one again and again.
func scripted(t testing.TB, answers ...string) *rawUpstream {
	t.Helper()
	var s *rawUpstream
	ready := make(chan struct{})
	s = serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		<-ready
		for {
			request, err := readRequest(br)
			if err != nil {
				return
			}
			s.saw(request)
			n := min(len(s.requests()), len(answers)) - 1
			if answers[n] == "" {
				return
			}
			_, _ = io.WriteString(conn, answers[n])
			if strings.Contains(answers[n], "Connection: close") {
				return
			}
		}
	})
	close(ready)
	return s
}

// readRequest reads one request as it stands on the wire.
func readRequest(br *bufio.Reader) (string, error) {
	var raw bytes.Buffer
	length, chunked := 0, false
	for {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		raw.WriteString(text)
		lower := strings.ToLower(text)
		if strings.HasPrefix(lower, "content-length:") {
			_, _ = fmt.Sscanf(lower, "content-length: %d", &length)
		}
		chunked = chunked || strings.HasPrefix(lower, "transfer-encoding: chunked")
		if text == "\r\n" {
			break
		}
	}
	if !chunked {
		_, err := io.CopyN(&raw, br, int64(length))
		return raw.String(), err
	}
	for {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		raw.WriteString(text)
		var size int64
		_, _ = fmt.Sscanf(text, "%x", &size)
		if size == 0 {
			for {
				text, err := br.ReadString('\n')
				if err != nil {
					return "", err
				}
				raw.WriteString(text)
				if text == "\r\n" {
					return raw.String(), nil
				}
			}
		}
		if _, err := io.CopyN(&raw, br, size+2); err != nil {
			return "", err
		}
	}
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestPassesARequestAndItsAnswer(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	response, body := f.ask("GET /v1/orders/7?x=1&y=%20 HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\n\r\n")
	if response.StatusCode != 200 || body != "hello" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	got := up.requests()[0]
	for _, want := range []string{
		"GET /v1/orders/7?x=1&y=%20 HTTP/1.1\r\n", "\r\nHost: " + strings.TrimPrefix(up.url, "http://") + "\r\n", "\r\nAccept: */*\r\n",
		"\r\nX-Forwarded-For: 127.0.0.1\r\n", "\r\nX-Forwarded-Proto: http\r\n", "\r\nX-Forwarded-Host: api.example.com\r\n",
		"\r\nForwarded: for=127.0.0.1;host=\"api.example.com\";proto=http\r\n", "\r\nX-Request-Id: REQUESTID0000001\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the upstream got %q, want in it %q", got, want)
		}
	}
	if r := f.last(); r.Status != 200 || r.Addr != up.url || r.Duration <= 0 {
		t.Errorf("result %+v", r)
	}
}

func TestUsesAConnectionAgain(t *testing.T) {
	up := scripted(t, hello)
	f := guardless(t, gateway.Settings{Addresses: []string{up.url}}, false)
	for range 5 {
		f.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
	}
	if n := up.accepted(); n != 1 {
		t.Errorf("5 requests took %d connections", n)
	}
}

func get(t testing.TB, client *http.Client, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}
