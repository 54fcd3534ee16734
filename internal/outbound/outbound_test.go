package outbound_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pavise.dev/pavise/internal/outbound"
	"pavise.dev/pavise/shield"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test that goes wrong.
const patience = 10 * time.Second

const secret = "the-secret-that-nobody-prints"

// destination is an API elsewhere, and remembers what reached it.
type destination struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

// newDestination serves a handler, or answers 200 "served by PROTOCOL".
func newDestination(t testing.TB, http2 bool, h http.HandlerFunc) *destination {
	t.Helper()
	d := &destination{}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h != nil {
			h(w, r)
			return
		}
		text, _ := io.ReadAll(r.Body) // what broke off is short
		d.mu.Lock()
		d.seen, d.body = append(d.seen, r), append(d.body, string(text))
		d.mu.Unlock()
		_, _ = io.WriteString(w, "served by "+r.Proto)
	}))
	d.Config.ErrorLog = log.New(io.Discard, "", 0)
	d.EnableHTTP2 = http2
	d.StartTLS()
	t.Cleanup(d.Close)
	return d
}

func (d *destination) last(t testing.TB) (*http.Request, string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.seen) == 0 {
		t.Fatal("nothing has reached the destination")
	}
	return d.seen[len(d.seen)-1], d.body[len(d.body)-1]
}

func (d *destination) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.seen)
}

func (d *destination) authority() string { return strings.TrimPrefix(d.URL, "https://") }

// tls trusts the destination.
func (d *destination) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(d.Certificate())
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// call is one to the destination, at any port.
func (d *destination) call(signers ...shield.Signer) outbound.Call {
	return outbound.Call{Name: "orders", Listen: "127.0.0.1:0", To: d.URL, TLS: d.tls(), Signers: signers, MaxSigned: 1 << 10, Timeout: patience}
}

// signer sets a header to what it has seen of the request.
type signer struct {
	header string
	body   bool
}

func (s signer) Sign(r *http.Request) error {
	text := r.Method + " " + r.URL.String() + " " + r.Host
	if s.body {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(strings.NewReader(string(content)))
		text += " " + string(content)
	}
	if r.Header.Get(s.header) != "" {
		return errors.New("there is a credential already")
	}
	r.Header.Set(s.header, text+" "+secret)
	return nil
}

// helper is a carrier with what it has told.
type helper struct {
	*outbound.Carrier
	t     testing.TB
	mu    sync.Mutex
	lines []string
	more  chan bool // a line has come
}

func carry(t testing.TB, calls ...outbound.Call) *helper {
	t.Helper()
	h := &helper{t: t, more: make(chan bool, 1)}
	c, err := outbound.Open(calls, outbound.Options{Log: func(line string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lines = append(h.lines, line)
		select {
		case h.more <- true:
		default: // one is enough
		}
	}})
	check(t, err)
	h.Carrier = c
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Shutdown(ctx); err != nil {
			t.Errorf("shut down: %v", err)
		}
		if text := strings.Join(h.told(), "\n"); strings.Contains(text, secret) {
			t.Errorf("a secret was told:\n%s", text)
		}
	})
	return h
}

func (h *helper) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lines := h.lines
	h.lines = nil
	return lines
}

// tells wants one line that holds all the words.
func (h *helper) tells(words ...string) {
	h.t.Helper()
	lines := h.told()
	for late := time.After(patience); len(lines) == 0; { // an answer may be there before it is told of
		select {
		case <-h.more:
			lines = h.told()
		case <-late:
			h.t.Fatalf("nothing was told, want %q", words)
		}
	}
	if len(lines) != 1 || slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(lines[0], word) }) {
		h.t.Errorf("told %q, want one line with %q", lines, words)
	}
}

func (h *helper) url() string { return h.Ways()[0].From }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got is an answer.
type got struct {
	status int
	header http.Header
	body   string
	code   string
}

// send sends a request over a connection of its own.
func send(t testing.TB, r *http.Request) got {
	t.Helper()
	// With keep-alive, as clients are: a server that refuses reads the body that is on its
	// way to its end; of one that announced to close it may reset the connection.
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	check(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	check(t, err)
	var problem struct{ Code string }
	if answer.Header.Get("Content-Type") == "application/problem+json" {
		check(t, json.Unmarshal(text, &problem))
	}
	return got{answer.StatusCode, answer.Header, string(text), problem.Code}
}

func request(t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	check(t, err)
	return r
}

func TestWhatIsSignedIsWhatIsSent(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		d := newDestination(t, http2, nil)
		h := carry(t, d.call(signer{header: "X-Api-Key"}, signer{header: "Authorization", body: true}))
		for _, target := range []string{"/", "/v1/orders/7?b=2&a=1", "/a%20b/%C3%A9?q=%2F+%20", "/?", "/x;y?a=b;c"} {
			r := request(t, http.MethodPost, h.url(), `{"item": 3}`)
			r.URL.Opaque = "//" + r.URL.Host + target // as it is, on the wire
			if path, query, ok := strings.Cut(target, "?"); true {
				r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = path, query, ok && query == ""
			}
			r.Header.Set("X-User-Id", "7")
			r.Header.Set("X-Request-Id", "mine")
			r.Header.Set("Cookie", "a=b")
			r.Header.Set("User-Agent", "shop/1.0")
			if answer := send(t, r); answer.status != 200 || !strings.HasPrefix(answer.body, "served") {
				t.Fatalf("%s: %+v %q", target, answer, h.told())
			}
			seen, body := d.last(t)
			if seen.RequestURI != target || body != `{"item": 3}` || seen.Host != d.authority() || seen.Method != http.MethodPost {
				t.Errorf("%s arrived as %s %s %q, host %s", target, seen.Method, seen.RequestURI, body, seen.Host)
			}
			want := "POST " + d.URL + target + " " + d.authority() + " "
			if got := seen.Header.Get("X-Api-Key"); got != want+secret {
				t.Errorf("signed %q, want %q", got, want)
			}
			if got := seen.Header.Get("Authorization"); got != want+`{"item": 3} `+secret {
				t.Errorf("signed %q, want %q and the body", got, want)
			}
			for name, value := range map[string]string{"X-User-Id": "7", "X-Request-Id": "mine", "Cookie": "a=b", "User-Agent": "shop/1.0", "X-Forwarded-For": "", "Forwarded": "", "X-Forwarded-Host": "", "Via": ""} {
				if got := seen.Header.Get(name); got != value {
					t.Errorf("%s arrived as %q, want %q", name, got, value)
				}
			}
		}
		if told := h.told(); told != nil {
			t.Errorf("told %q", told)
		}
	}
}

func TestCredentialOfTheServiceGivesWayToTheProfile(t *testing.T) {
	d := newDestination(t, false, nil)
	h := carry(t, d.call(signer{header: "X-Api-Key"}))
	r := request(t, http.MethodGet, h.url(), "")
	r.Header["X-Api-Key"] = []string{"old", "older"}
	r.Header["X_api_key"] = []string{"old"}
	r.Header.Set("Authorization", "Bearer of-the-user")
	send(t, r)
	seen, _ := d.last(t)
	if len(seen.Header["X-Api-Key"]) != 1 || strings.Contains(seen.Header.Get("X-Api-Key"), "old") || seen.Header["X_api_key"] != nil {
		t.Errorf("two credentials arrived: %v", seen.Header)
	}
	if seen.Header.Get("Authorization") != "Bearer of-the-user" {
		t.Error("a credential that no profile sets was removed")
	}
}

func TestTwoProfilesForOneHeaderAreRefused(t *testing.T) {
	d := newDestination(t, false, nil)
	if _, err := outbound.Open([]outbound.Call{d.call(signer{header: "Authorization"}, signer{header: "Authorization"})}, outbound.Options{}); err == nil || !strings.Contains(err.Error(), "room for one") {
		t.Errorf("%v", err)
	}
	call := d.call(signer{header: "Authorization"})
	call.Token = &token{}
	if _, err := outbound.Open([]outbound.Call{call}, outbound.Options{}); err == nil || !strings.Contains(err.Error(), "room for one") {
		t.Errorf("%v", err)
	}
}

func TestWhatABrowserSendsIsRefused(t *testing.T) {
	d := newDestination(t, false, nil)
	h := carry(t, d.call(signer{header: "X-Api-Key"}))
	_, port, err := net.SplitHostPort(strings.TrimPrefix(h.url(), "http://"))
	check(t, err)
	for name, change := range map[string]func(*http.Request){
		"a page's fetch":           func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"of no origin":             func(r *http.Request) { r.Header.Set("Origin", "null") },
		"of this address":          func(r *http.Request) { r.Header.Set("Origin", h.url()) },
		"an image of a page":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"typed into a browser":     func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") },
		"another metadata":         func(r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "navigate") },
		"a rebound name":           func(r *http.Request) { r.Host = "evil.example:" + port },
		"a rebound name, no port":  func(r *http.Request) { r.Host = "evil.example" },
		"another port":             func(r *http.Request) { r.Host = "127.0.0.1:1" },
		"no port":                  func(r *http.Request) { r.Host = "127.0.0.1" },
		"another address":          func(r *http.Request) { r.Host = "10.0.0.7:" + port },
		"a name below localhost":   func(r *http.Request) { r.Host = "localhost.evil.example:" + port },
		"the destination's, other": func(r *http.Request) { r.Host = "127.0.0.1:443" },
	} {
		r := request(t, http.MethodGet, h.url()+"/v1/orders", "")
		change(r)
		if answer := send(t, r); answer.status != 403 || answer.code == "" || answer.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %s", name, answer.status, answer.body)
		}
		h.tells("orders: GET answered with 403")
	}
	if d.count() != 0 {
		t.Errorf("%d of them reached the destination", d.count())
	}
	for _, host := range []string{"localhost:" + port, "LOCALHOST:" + port, "127.0.0.1:" + port, "127.9.9.9:" + port, "[::1]:" + port, d.authority()} {
		r := request(t, http.MethodGet, h.url()+"/v1/orders", "")
		r.Host = host
		if answer := send(t, r); answer.status != 200 {
			t.Errorf("Host %s: %d %s", host, answer.status, answer.body)
		}
	}
}

func TestBodyThatIsSignedIsBounded(t *testing.T) {
	d := newDestination(t, false, nil)
	h := carry(t, d.call(signer{header: "Authorization", body: true}))
	for _, one := range []struct {
		size, status int
		chunked      bool
	}{{1 << 10, 200, false}, {1 << 10, 200, true}, {1<<10 + 1, 413, false}, {1<<10 + 1, 413, true}, {1 << 17, 413, false}} {
		r := request(t, http.MethodPut, h.url()+"/x", strings.Repeat("a", one.size))
		if one.chunked {
			r.ContentLength = -1
		}
		answer := send(t, r)
		if answer.status != one.status {
			t.Errorf("%d bytes, chunked %v: %d %s", one.size, one.chunked, answer.status, answer.body)
		}
		if one.status == 200 {
			if _, body := d.last(t); len(body) != one.size {
				t.Errorf("%d bytes arrived of %d", len(body), one.size)
			}
			continue
		}
		h.tells("413 too_large")
	}
	if d.count() != 2 {
		t.Errorf("%d requests arrived", d.count())
	}
}

// A body that nobody signs is not waited for: each part arrives before the next is sent.
func TestBodyThatIsNotSignedStreams(t *testing.T) {
	arrived := make(chan string)
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			arrived <- lines.Text()
		}
		close(arrived)
	})
	h := carry(t, d.call(signer{header: "X-Api-Key"}))
	out, in := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url()+"/upload", out)
	check(t, err)
	ended := make(chan got, 1)
	go func() { ended <- send(t, r) }()
	for i := range 3 {
		_, err := fmt.Fprintf(in, "part %d\n", i)
		check(t, err)
		select {
		case text := <-arrived:
			if text != fmt.Sprintf("part %d", i) {
				t.Errorf("%q arrived", text)
			}
		case <-time.After(patience):
			t.Fatalf("part %d does not arrive", i)
		}
	}
	check(t, in.Close())
	<-arrived
	if answer := <-ended; answer.status != 200 {
		t.Errorf("%d %s", answer.status, answer.body)
	}
}

func TestUpgradeIsCarried(t *testing.T) {
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") == "" {
			http.Error(w, "no key", http.StatusUnauthorized)
			return
		}
		nc, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(nc, buffered)
	})
	h := carry(t, d.call(signer{header: "X-Api-Key"}))
	address := strings.TrimPrefix(h.url(), "http://")
	nc, err := net.Dial("tcp", address)
	check(t, err)
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(nc, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", address)
	check(t, err)
	reader := bufio.NewReader(nc)
	answer, err := http.ReadResponse(reader, nil)
	check(t, err)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%d", answer.StatusCode)
	}
	_, err = io.WriteString(nc, "hello")
	check(t, err)
	text := make([]byte, 5)
	if _, err := io.ReadFull(reader, text); err != nil || string(text) != "hello" {
		t.Errorf("%q came back, %v", text, err)
	}
}

func TestRedirectIsAnAnswer(t *testing.T) {
	asked := 0
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	})
	h := carry(t, d.call())
	if answer := send(t, request(t, http.MethodGet, h.url(), "")); answer.status != 302 || answer.header.Get("Location") != "https://elsewhere.example/" || asked != 1 {
		t.Errorf("%d, asked %d times", answer.status, asked)
	}
}

func TestDestinationThatFails(t *testing.T) {
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			<-r.Context().Done()
		case "/no":
			w.WriteHeader(http.StatusForbidden)
		}
	})
	short := d.call(signer{header: "X-Api-Key"})
	short.Timeout = 100 * time.Millisecond
	h := carry(t, short)
	if answer := send(t, request(t, http.MethodGet, h.url()+"/hang?token=secret-in-query", "")); answer.status != 504 || answer.code != "upstream_timeout" {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	if lines := h.told(); len(lines) != 1 || !strings.Contains(lines[0], "504 upstream_timeout") || strings.Contains(lines[0], "secret-in-query") {
		t.Errorf("%q", lines)
	}
	if answer := send(t, request(t, http.MethodGet, h.url()+"/no", "")); answer.status != 403 || answer.code != "" {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	h.tells("answered with 403 by https://127.0.0.1")

	strange := d.call()
	strange.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	stranger := carry(t, strange)
	if answer := send(t, request(t, http.MethodGet, stranger.url(), "")); answer.status != 502 || answer.code != "upstream_failed" {
		t.Errorf("a destination of another CA: %d %s", answer.status, answer.body)
	}
	stranger.tells("502 upstream_failed", "unknown authority")

	d.Close()
	if answer := send(t, request(t, http.MethodGet, h.url(), "")); answer.status != 502 || answer.code != "upstream_failed" || strings.Contains(answer.body, "127.0.0.1") {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	h.tells("502 upstream_failed", "connect")
}

func TestGrammarIsStrict(t *testing.T) {
	d := newDestination(t, false, nil)
	h := carry(t, d.call())
	address := strings.TrimPrefix(h.url(), "http://")
	for _, text := range []string{
		"POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"GET / HTTP/1.1\nHost: HOST\n\n",
		"GET / HTTP/1.0\r\n\r\n",
	} {
		nc, err := net.Dial("tcp", address)
		check(t, err)
		_ = nc.SetDeadline(time.Now().Add(patience))
		_, err = io.WriteString(nc, strings.ReplaceAll(text, "HOST", address))
		check(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil || answer.StatusCode < 400 {
			t.Errorf("%q: %v %v", text, answer, err)
		}
		_ = nc.Close()
		h.tells("orders refused with")
	}
	if d.count() != 0 {
		t.Error("one reached the destination")
	}
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	d := newDestination(t, false, nil)
	path := filepath.Join(t.TempDir(), "orders.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	left.SetUnlinkOnClose(false)
	check(t, left.Close()) // as a program leaves it that was killed
	call := d.call()
	call.Listen = "unix:" + path
	h := carry(t, call)
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %o", info.Mode().Perm())
	}
	if way := h.Ways()[0]; way.From != call.Listen || way.To != d.URL {
		t.Errorf("%+v", way)
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	answer, err := (&http.Client{Transport: transport}).Get("http://orders/v1")
	check(t, err)
	_ = answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("%d", answer.StatusCode)
	}
	if _, err := outbound.Open([]outbound.Call{call}, outbound.Options{}); err == nil || !strings.Contains(err.Error(), "another program answers there") {
		t.Errorf("a socket that is in use: %v", err)
	}
	check(t, h.Shutdown(t.Context()))
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("%v is left, %v", entries, err)
	}
	check(t, os.WriteFile(path, nil, 0o600))
	if _, err := outbound.Open([]outbound.Call{call}, outbound.Options{}); err == nil || !strings.Contains(err.Error(), "something else of this name") {
		t.Errorf("a file in its place: %v", err)
	}
}

func TestCallsAreReplacedWithoutAGap(t *testing.T) {
	began, finish := make(chan bool), make(chan bool)
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- true
			<-finish
		}
		_, _ = io.WriteString(w, r.Header.Get("X-Api-Key")+r.Header.Get("X-Other-Key"))
	})
	first := d.call(signer{header: "X-Api-Key"})
	other := d.call()
	other.Name = "pay"
	h := carry(t, first, other)
	urls := map[string]string{}
	for _, way := range h.Ways() {
		urls[way.Name] = way.From
	}
	slow := make(chan got, 1)
	go func() { slow <- send(t, request(t, http.MethodGet, urls["orders"]+"/slow", "")) }()
	<-began

	bad := d.call()
	bad.Name, bad.Listen = "bad", d.authority() // the destination has it
	broken := d.call()
	broken.To = "https://"
	for _, set := range [][]outbound.Call{{d.call(), broken}, {d.call(), bad}} {
		if err := h.Replace(set); err == nil {
			t.Fatal("a set that cannot work was taken")
		}
	}
	if len(h.Ways()) != 2 {
		t.Errorf("after a bad set: %v", h.Ways())
	}
	check(t, h.Replace([]outbound.Call{d.call(signer{header: "X-Other-Key"})}))
	if ways := h.Ways(); len(ways) != 1 || ways[0].From != urls["orders"] {
		t.Errorf("%v, want %v", ways, urls)
	}
	if answer := send(t, request(t, http.MethodGet, urls["orders"]+"/now", "")); answer.status != 200 || !strings.Contains(answer.body, "/now") {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	close(finish)
	if answer := <-slow; answer.status != 200 || !strings.Contains(answer.body, "/slow") {
		t.Errorf("the request under way: %d %s", answer.status, answer.body)
	}
}

// token is one that the API may not take.
type token struct {
	mu      sync.Mutex
	number  int
	helps   bool
	refused error
}

func (s *token) Sign(r *http.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != nil {
		return s.refused
	}
	r.Header.Set("Authorization", fmt.Sprintf("Bearer %d", s.number))
	return nil
}

func (s *token) Answered(_ *http.Request, status int, _ http.Header) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if status == http.StatusUnauthorized && s.helps {
		s.number++
		return true
	}
	return false
}

func TestTokenThatIsNoLongerTakenIsReplaced(t *testing.T) {
	good, asked := "Bearer 1", 0
	d := newDestination(t, false, func(w http.ResponseWriter, r *http.Request) {
		asked++
		text, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != good {
			w.Header().Set("X-First", "yes")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
			return
		}
		_, _ = w.Write(text)
	})
	call := d.call()
	call.Token = &token{helps: true}
	h := carry(t, call)
	if answer := send(t, request(t, http.MethodGet, h.url(), "")); answer.status != 200 || answer.header.Get("X-First") != "" || asked != 2 {
		t.Errorf("%+v, asked %d times", answer, asked)
	}
	if told := h.told(); told != nil {
		t.Errorf("told %q", told)
	}
	good, asked = "Bearer 99", 0
	if answer := send(t, request(t, http.MethodGet, h.url(), "")); answer.status != 401 || answer.body != "no" || asked != 3 {
		t.Errorf("one that never fits: %+v, asked %d times", answer, asked)
	}
	h.tells("answered with 401")
	asked = 0
	if answer := send(t, request(t, http.MethodPost, h.url(), "a body that was passed on")); answer.status != 401 || asked != 1 {
		t.Errorf("a body that is gone: %+v, asked %d times", answer, asked)
	}
	h.told()

	call.Signers = []shield.Signer{signer{header: "X-Signature", body: true}}
	call.Token = &token{helps: true}
	good, asked = "Bearer 1", 0
	held := carry(t, call)
	if answer := send(t, request(t, http.MethodPost, held.url(), "a body that is held")); answer.status != 200 || answer.body != "a body that is held" || asked != 2 {
		t.Errorf("a body that is held: %+v, asked %d times", answer, asked)
	}

	call.Token = &token{refused: errors.New("somebody has to sign in")}
	nobody := carry(t, call)
	if answer := send(t, request(t, http.MethodGet, nobody.url(), "")); answer.status != 502 {
		t.Errorf("%d %s", answer.status, answer.body)
	}
	nobody.tells("502", "somebody has to sign in")
}

// A 401 that streams leaves nothing behind: what the caller gets is the next answer, whole, and
// nobody waits for the end of the first.
func TestStreamedRefusalLeavesNothingOfItself(t *testing.T) {
	for name, stream := range map[string]func(w http.ResponseWriter, gone <-chan struct{}){
		"chunked": func(w http.ResponseWriter, _ <-chan struct{}) {
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "no")
		},
		"events with a length": func(w http.ResponseWriter, _ <-chan struct{}) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
		},
		"without an end": func(w http.ResponseWriter, gone <-chan struct{}) {
			for {
				_, _ = io.WriteString(w, strings.Repeat("no", 1<<10))
				select {
				case <-gone:
					return
				default:
				}
			}
		},
	} {
		for _, status := range []int{http.StatusForbidden, http.StatusOK} {
			for _, http2 := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, then %d, HTTP/2 %t", name, status, http2), func(t *testing.T) {
					d := newDestination(t, http2, func(w http.ResponseWriter, r *http.Request) {
						if r.Header.Get("Authorization") != "Bearer 1" {
							w.Header().Set("X-First", "yes")
							if name != "events with a length" {
								w.WriteHeader(http.StatusUnauthorized)
							}
							stream(w, r.Context().Done())
							return
						}
						w.Header().Set("X-Second", "yes")
						w.WriteHeader(status)
						_, _ = io.WriteString(w, "this is it")
					})
					call := d.call()
					call.Token = &token{helps: true}
					h := carry(t, call)
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					answer := send(t, request(t, http.MethodGet, h.url(), "").WithContext(ctx))
					if answer.status != status || answer.body != "this is it" || answer.header.Get("X-First") != "" || answer.header.Get("X-Second") != "yes" {
						t.Errorf("%+v", answer)
					}
				})
			}
		}
	}
}

// Whoever connects while a door opens waits until there is something behind it: here, what
// refuses what a browser sends.
func TestCallsThatComeWhileDoorsOpenAreAnswered(t *testing.T) {
	d := newDestination(t, false, nil)
	dir, err := os.MkdirTemp("", "doors") // a socket's path is short
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var calls []outbound.Call
	var callers sync.WaitGroup
	for i := range 200 {
		one := d.call()
		path := filepath.Join(dir, fmt.Sprint(i))
		one.Name, one.Listen = fmt.Sprint(i), "unix:"+path
		calls = append(calls, one)
		callers.Go(func() {
			nc, err := net.Dial("unix", path)
			for late := time.Now().Add(patience); err != nil && time.Now().Before(late); nc, err = net.Dial("unix", path) {
				runtime.Gosched()
			}
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = nc.Close() }()
			_, _ = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nOrigin: x\r\nConnection: close\r\n\r\n") // the answer tells
			answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil || answer.StatusCode != http.StatusForbidden {
				t.Errorf("while door %s opened: %v, %v", path, answer, err)
			}
		})
	}
	carry(t, calls...)
	callers.Wait()
}
