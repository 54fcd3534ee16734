package edge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
)

// What the scanner accepts, net/http must read alike: the same requests, field
// by field and byte by byte, with the same ends. FuzzDifferential looks for a difference
// with coverage to guide it; TestDifferential with a grammar and mutations of its words.

func FuzzDifferential(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := compare(b); err != nil {
			t.Fatalf("%v\nin %q", err, b)
		}
	})
}

// FuzzScanner: no panic, and the same verdict for every split.
func FuzzScanner(f *testing.F) {
	for i, s := range seeds() {
		f.Add([]byte(s), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole := verdict(b, func(left int) int { return left })
		if bytewise := verdict(b, func(int) int { return 1 }); bytewise != whole {
			t.Fatalf("whole: %s\nbytewise: %s\nin %q", whole, bytewise, b)
		}
		r := rand.New(rand.NewPCG(seed, 0))
		if random := verdict(b, func(left int) int { return 1 + r.IntN(left) }); random != whole {
			t.Fatalf("whole: %s\nsplit: %s\nin %q", whole, random, b)
		}
	})
}

// verdict says where requests ended and what was refused.
func verdict(b []byte, split func(left int) int) string {
	s := scanner{lim: &testLimits}
	var out strings.Builder
	for at, from := 0, 0; at < len(b); {
		piece := b[at : at+split(len(b)-at)]
		used, done, bad := s.next(piece)
		if bad != nil {
			fmt.Fprintf(&out, "refused %s (%s) in the request at %d", bad.code, bad.detail, from)
			return out.String()
		}
		if at += used; done {
			fmt.Fprintf(&out, "[%d:%d] ", from, at)
			from = at
		}
	}
	fmt.Fprintf(&out, "%t %t %d", s.fresh(), s.inHead(), s.left)
	return out.String()
}

var testLimits = must(Limits{}.withDefaults())

func must(l Limits, err error) Limits {
	if err != nil {
		panic(err)
	}
	return l
}

// count is what a run of comparisons came to.
type count struct{ connections, requests, refused int }

// DIFFERENTIAL is the number of connections to compare; each holds up to four
// requests. `make fuzz` asks for millions.
func TestDifferential(t *testing.T) {
	n := 20000
	if v := os.Getenv("DIFFERENTIAL"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(1)
	if v := os.Getenv("DIFFERENTIAL_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	workers := runtime.GOMAXPROCS(0)
	counts := make([]count, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			g := &generator{rand.New(rand.NewPCG(seed, uint64(w)))}
			for range n / workers {
				b := g.connection()
				c, err := compare(b)
				if err != nil {
					t.Errorf("%v\nin %q", err, b)
					return
				}
				counts[w].connections++
				counts[w].requests += c.requests
				counts[w].refused += c.refused
			}
		})
	}
	wg.Wait()
	var all count
	for _, c := range counts {
		all.connections += c.connections
		all.requests += c.requests
		all.refused += c.refused
	}
	t.Logf("seed %d: %d connections: %d requests read alike, %d connections ended by a refusal", seed, all.connections, all.requests, all.refused)
	if all.requests < n/2 || all.refused < n/10 {
		t.Errorf("the generator is one-sided: %+v of %d", all, n)
	}
}

// reading is what somebody takes a request for.
type reading struct {
	Method, Target  string
	Header, Trailer map[string][]string
	Body            string
	End             int // where in the connection it ends
}

// compare reads a connection with both.
func compare(b []byte) (c count, err error) {
	c.connections = 1
	s := scanner{lim: &testLimits}
	src := bytes.NewReader(b)
	br := bufio.NewReader(src)
	for at := 0; at < len(b); {
		used, done, bad := s.next(b[at:])
		if bad != nil {
			c.refused++
			return c, nil
		}
		if !done { // complete only in part: the scanner takes all the rest
			return c, nil
		}
		ours := strictly(b[at:at+used], at)
		at += used
		theirs, err := nethttp(br)
		if err != nil {
			return c, fmt.Errorf("the scanner accepts what net/http refuses: %w", err)
		}
		theirs.End = len(b) - src.Len() - br.Buffered()
		if !reflect.DeepEqual(ours, theirs) {
			return c, fmt.Errorf("scanner: %+v\nnet/http: %+v", ours, theirs)
		}
		c.requests++
	}
	return c, nil
}

// nethttp reads as http.Server does, with its checks.
func nethttp(br *bufio.Reader) (reading, error) {
	r, err := http.ReadRequest(br)
	if err != nil {
		return reading{}, err
	}
	if !httpguts.ValidHostHeader(r.Host) {
		return reading{}, fmt.Errorf("Host %q", r.Host)
	}
	for k, vv := range r.Header {
		for _, v := range vv {
			if !httpguts.ValidHeaderFieldName(k) || !httpguts.ValidHeaderFieldValue(v) {
				return reading{}, fmt.Errorf("field %q: %q", k, v)
			}
		}
	}
	if e := r.Header.Get("Expect"); e != "" && !strings.EqualFold(e, "100-continue") {
		return reading{}, errors.New("net/http would answer to the expectation by itself")
	}
	r.Header["Host"] = []string{r.Host}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return reading{}, err
	}
	out := reading{Method: r.Method, Target: r.RequestURI, Header: r.Header, Trailer: map[string][]string{}, Body: string(body)}
	for k, v := range r.Trailer {
		if v != nil { // nil: declared and not sent
			out.Trailer[k] = v
		}
	}
	return out, nil
}

// strictly reads a request that the scanner has accepted, by the plainest reading
// of RFC 9112 there is. It panics where it cannot: then the scanner was wrong.
func strictly(b []byte, at int) reading {
	head, rest, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok {
		panic("there is no end of the head")
	}
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 {
		panic("the request line has not three words")
	}
	out := reading{Method: words[0], Target: words[1], Header: fieldsOf(lines[1:]), Trailer: map[string][]string{}, End: at + len(b)}
	if out.Header["Transfer-Encoding"] != nil {
		var body strings.Builder
		for {
			size, more, _ := strings.Cut(rest, "\r\n")
			n, err := strconv.ParseInt(size, 16, 64)
			if err != nil {
				panic(err)
			}
			if rest = more; n == 0 {
				break
			}
			body.WriteString(rest[:n])
			rest = rest[n+2:]
		}
		out.Body = body.String()
		if trailers, ok := strings.CutSuffix(rest, "\r\n\r\n"); ok {
			out.Trailer = fieldsOf(strings.Split(trailers, "\r\n"))
		} else if rest != "\r\n" {
			panic("the end of the chunks is not the end of the request")
		}
	} else {
		out.Body = rest
		if l := out.Header["Content-Length"]; l != nil && l[0] != strconv.Itoa(len(rest)) && strings.TrimLeft(l[0], "0") != strings.TrimLeft(strconv.Itoa(len(rest)), "0") {
			panic("the body is not as long as Content-Length")
		} else if l == nil && rest != "" {
			panic("there is a body without a length")
		}
	}
	// net/http keeps these elsewhere, and adds to Cache-Control what Pragma means.
	if pragma := out.Header["Pragma"]; pragma != nil && pragma[0] == "no-cache" && out.Header["Cache-Control"] == nil {
		out.Header["Cache-Control"] = []string{"no-cache"}
	}
	delete(out.Header, "Transfer-Encoding")
	delete(out.Header, "Trailer")
	return out
}

func fieldsOf(lines []string) map[string][]string {
	out := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			panic("a field has no colon")
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		out[name] = append(out[name], strings.Trim(value, " \t"))
	}
	return out
}

// generator makes connections out of the words of HTTP, some of them wrong.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, of []T) T { return of[g.IntN(len(of))] }

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

var (
	methods = []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "M-SEARCH", "get", "PRI", "CONNECT"}
	targets = []string{"/", "/a/b?c=d", "//a//b", "/a%2fb", "/%", "/a?%zz", "*", "http://a/", "/a:b", "/.", "/..;/a", "/a#b", "/?", "/a?b?c", "//", "/[x]", "/\\"}
	names   = []string{
		"X-A", "x-b", "Accept", "Cookie", "Connection", "Keep-Alive", "Upgrade", "Pragma", "Cache-Control", "Expect", "Te", "Trailer",
		"Content-Length", "content-length", "Transfer-Encoding", "transfer-encoding", "Host", "X_A", "X.A", "!#$%&'*+-.^_`|~", "Proxy-Connection", "Http2-Settings",
	}
	values = []string{
		"", "a", "a, b", "close", "keep-alive", "chunked", "no-cache", "100-continue", "5", "0", "05", "x-a", "X-A, x-b", "websocket", "\"q\"",
		" padded\t", "\xe4", "trailers", strings.Repeat("v", 300), "a;b=c", "h2c", "identity", "Upgrade",
	}
	wounds = []string{
		"\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", "\x00", "\x7f", "\xff", ":", ";", ",", "\r\n ", "0", "0x", "+", "-", "chunked", "Content-Length: 3\r\n",
		"Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "Host: a\r\n", "HTTP/1.0", "\x0b", "%", "/", "f", "Trailer: X-A\r\n", "\"",
	}
)

func (g *generator) connection() []byte {
	var b []byte
	for range 1 + g.IntN(4) {
		b = g.request(b)
	}
	if g.one(2) {
		for range 1 + g.IntN(3) {
			b = g.wound(b)
		}
	}
	return b
}

func (g *generator) request(b []byte) []byte {
	target := pick(g, targets[:3])
	if g.one(6) {
		target = pick(g, targets)
	}
	method := pick(g, methods[:7])
	if g.one(20) {
		method = pick(g, methods)
	}
	b = fmt.Appendf(b, "%s %s HTTP/1.1\r\n", method, target)
	var lines []string
	lines = append(lines, "Host: "+pick(g, []string{"a", "a.test:80", "[::1]", "[::1]:8443", "A_b-c.d"}))
	for range g.IntN(5) {
		name := pick(g, names[:9])
		if g.one(15) {
			name = pick(g, names)
		}
		lines = append(lines, name+":"+pick(g, []string{"", " ", "\t", "  "})+pick(g, values[:20]))
	}
	body, trailers := g.body(), ""
	switch g.IntN(3) {
	case 0:
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(body)))
	case 1:
		lines = append(lines, "Transfer-Encoding: chunked")
		if g.one(3) {
			lines = append(lines, "Trailer: X-A, x-b")
			for range g.IntN(3) {
				trailers += pick(g, []string{"X-A", "x-B", "X-C"}[:2]) + ": " + pick(g, values[:8]) + "\r\n"
			}
		}
		body = g.chunks(body) + trailers + "\r\n"
	default:
		body = ""
	}
	g.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return append(b, strings.Join(lines, "\r\n")+"\r\n\r\n"+body...)
}

func (g *generator) body() string {
	if g.one(4) {
		return string(g.request(nil)) // a request inside a body
	}
	return strings.Repeat(pick(g, []string{"a", "\r\n", "0\r\n\r\n", "\x00", "GET / HTTP/1.1\r\n"}), g.IntN(20))
}

func (g *generator) chunks(body string) string {
	var out strings.Builder
	for len(body) > 0 {
		n := 1 + g.IntN(len(body))
		fmt.Fprintf(&out, pick(g, []string{"%x", "%X", "0%x", "000%x"})+"\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	out.WriteString(pick(g, []string{"0", "0", "00", "000"}) + "\r\n")
	return out.String()
}

// wound damages a connection in one place.
func (g *generator) wound(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	i := g.IntN(len(b))
	j := min(len(b), i+1+g.IntN(12))
	switch g.IntN(6) {
	case 0:
		return slices.Insert(b, i, []byte(pick(g, wounds))...)
	case 1:
		return slices.Delete(b, i, j)
	case 2:
		return slices.Replace(b, i, i+1, []byte(pick(g, wounds))...)
	case 3:
		return slices.Insert(b, i, slices.Clone(b[i:j])...)
	case 4:
		b[i] ^= 1 << g.IntN(8)
		return b
	default:
		if g.one(4) && i > 0 {
			return b[:i]
		}
		b[i] = byte(g.IntN(256))
		return b
	}
}

func seeds() []string {
	out := []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n ",
		"POST /a?b=c HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 5\r\n\r\nhelloGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
	}
	g := &generator{rand.New(rand.NewPCG(7, 7))}
	for range 40 {
		out = append(out, string(g.connection()))
	}
	return out
}

// The same, through a conn and a running http.Server, with the bytes in random
// pieces: the handler sees exactly the requests that were accepted.
func TestDifferentialThroughTheServer(t *testing.T) {
	var mu sync.Mutex
	var got []reading
	var partial bool
	s, err := New(Config{Fault: func(Fault) {}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			partial = true
			return
		}
		header := maps.Clone(r.Header)
		header["Host"] = []string{r.Host}
		one := reading{Method: r.Method, Target: r.RequestURI, Header: header, Trailer: map[string][]string{}, Body: string(body)}
		for k, v := range r.Trailer {
			if v != nil {
				one.Trailer[k] = v
			}
		}
		got = append(got, one)
	})})
	if err != nil {
		t.Fatal(err)
	}
	inner := make(chan error, 1)
	go func() { inner <- s.http1.Serve(s.opened1) }()
	g := &generator{rand.New(rand.NewPCG(3, 3))}
	requests := 0
	for range 3000 {
		b := g.connection()
		mu.Lock()
		got, partial = nil, false
		mu.Unlock()
		script := &scripted{left: b, random: g.Rand, closed: make(chan struct{})}
		sock := &socket{Conn: script, server: s}
		s.opened1.put(newConn(sock, sock))
		<-script.closed

		mu.Lock()
		want := acceptedIn(b)
		if partial && len(got) == len(want) || len(got) == len(want) && reflect.DeepEqual(got, want) ||
			closedEarly(got, want) {
			requests += len(got)
		} else {
			t.Fatalf("handler: %+v\nscanner: %+v\nin %q", got, want, b)
		}
		mu.Unlock()
	}
	t.Logf("%d requests", requests)
	_ = s.http1.Close()
	<-inner
}

// acceptedIn are the readings of all complete requests before a refusal.
func acceptedIn(b []byte) (out []reading) {
	s := scanner{lim: &testLimits}
	for at := 0; at < len(b); {
		used, done, bad := s.next(b[at:])
		if bad != nil || !done {
			break
		}
		r := strictly(b[at:at+used], at)
		r.End = 0
		delete(r.Header, "") // never there
		out = append(out, r)
		at += used
	}
	return out
}

// closedEarly says that the handler saw the first requests and the client had
// asked for the end of the connection (Connection: close).
func closedEarly(got, want []reading) bool {
	if len(got) == 0 || len(got) >= len(want) || !reflect.DeepEqual(got, want[:len(got)]) {
		return false
	}
	return httpguts.HeaderValuesContainsToken(got[len(got)-1].Header["Connection"], "close")
}

// scripted is a connection that delivers its bytes in random pieces, then ends.
type scripted struct {
	mu     sync.Mutex
	left   []byte
	random *rand.Rand
	once   sync.Once
	closed chan struct{}
}

func (s *scripted) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.left[:1+s.random.IntN(len(s.left))])
	s.left = s.left[n:]
	return n, nil
}

func (s *scripted) Write(p []byte) (int, error)      { return len(p), nil }
func (s *scripted) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *scripted) SetDeadline(time.Time) error      { return nil }
func (s *scripted) SetReadDeadline(time.Time) error  { return nil }
func (s *scripted) SetWriteDeadline(time.Time) error { return nil }
