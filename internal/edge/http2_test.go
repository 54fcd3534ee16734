package edge_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

// framer is an HTTP/2 client that sends what it likes.
type framer struct {
	*http2.Framer
	conn *tls.Conn
	t    testing.TB
	buf  bytes.Buffer
	enc  *hpack.Encoder
	next uint32
}

func (s *served) frames(t testing.TB, settings ...http2.Setting) *framer {
	t.Helper()
	p := s.dialTLS(t, "h2")
	p.send(http2.ClientPreface)
	f := &framer{Framer: http2.NewFramer(p.Conn, p.Conn), conn: p.Conn.(*tls.Conn), t: t, next: 1}
	f.enc = hpack.NewEncoder(&f.buf)
	f.must(f.WriteSettings(settings...))
	return f
}

func (f *framer) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// block encodes pairs of names and values.
func (f *framer) block(pairs ...string) []byte {
	f.buf.Reset()
	for i := 0; i < len(pairs); i += 2 {
		f.must(f.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	return bytes.Clone(f.buf.Bytes())
}

var get = []string{":method", "GET", ":scheme", "https", ":authority", "edge.test", ":path", "/"}

// request opens a stream and ends it.
func (f *framer) request(pairs ...string) uint32 {
	id := f.next
	f.next += 2
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.block(pairs...), EndStream: true, EndHeaders: true}) // an ended connection shows at the read
	return id
}

// until reads frames until want says so, or the connection ends, which is an error.
func (f *framer) until(want func(http2.Frame) bool) error {
	for {
		fr, err := f.ReadFrame()
		if err != nil {
			return err
		}
		if want(fr) {
			return nil
		}
	}
}

// served makes sure that others are served while one peer attacks.
func (s *served) stillServes(t testing.TB) {
	t.Helper()
	r, err := s.client(t, "h2").Get("https://edge.test/")
	if err != nil {
		t.Errorf("another client: %v", err)
		return
	}
	r.Body.Close()
	if r.StatusCode != 200 {
		t.Errorf("another client got %d", r.StatusCode)
	}
}

func with(pairs []string, more ...string) []string {
	return append(append([]string(nil), pairs...), more...)
}

// Row 115: each malformed request is reset or refused, never handled, and leaves
// an event.
func TestMalformedStreams(t *testing.T) {
	attacktest.Rows(t, 115)
	for name, pairs := range map[string][]string{
		"transfer-encoding":             with(get, "transfer-encoding", "chunked"),
		"connection":                    with(get, "connection", "close"),
		"upgrade":                       with(get, "upgrade", "h2c"),
		"te: gzip":                      with(get, "te", "gzip"),
		"capitals in a name":            with(get, "X-A", "b"),
		"CR and LF in a value":          with(get, "x-a", "b\r\nx-c: d"),
		"NUL in a value":                with(get, "x-a", "b\x00"),
		"a space in a name":             with(get, "x a", "b"),
		"a pseudo-header after a field": append([]string{"x-a", "b"}, get...),
		":path with a space":            {":method", "GET", ":scheme", "https", ":authority", "edge.test", ":path", "/a b"},
		":path that is empty":           {":method", "GET", ":scheme", "https", ":authority", "edge.test", ":path", ""},
		":path without a slash":         {":method", "GET", ":scheme", "https", ":authority", "edge.test", ":path", "a"},
		"two :path":                     with(get, ":path", "/b"),
		"two :authority":                with(get, ":authority", "other.test"),
		"no :method":                    {":scheme", "https", ":authority", "edge.test", ":path", "/"},
		"an unknown pseudo-header":      with(get, ":version", "HTTP/1.1"),
		"a response's pseudo-header":    with(get, ":status", "200"),
		"a method that is no token":     {":method", "G ET", ":scheme", "https", ":authority", "edge.test", ":path", "/"},
		"content-length without a body": with(get, "content-length", "5"),
		"two content-lengths":           with(get, "content-length", "0", "content-length", "0"),
		"a list of content-lengths":     with(get, "content-length", "0, 0"),
		"content-length with a plus":    with(get, "content-length", "+0"),
		":path in asterisk-form":        {":method", "OPTIONS", ":scheme", "https", ":authority", "edge.test", ":path", "*"},
		":path in absolute-form":        {":method", "GET", ":scheme", "https", ":authority", "edge.test", ":path", "https://edge.test/"},
		"CONNECT":                       {":method", "CONNECT", ":authority", "edge.test"},
		"an empty :authority":           {":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"},
		":authority with a user":        {":method", "GET", ":scheme", "https", ":authority", "a@edge.test", ":path", "/"},
		"a credential as a trailer":     with(get, "trailer", "x-a, authorization"),
		":scheme http":                  {":method", "GET", ":scheme", "http", ":authority", "edge.test", ":path", "/"},
		":scheme HTTPS":                 {":method", "GET", ":scheme", "HTTPS", ":authority", "edge.test", ":path", "/"},
		":scheme of a file":             {":method", "GET", ":scheme", "file", ":authority", "edge.test", ":path", "/"},
		"another host":                  with(get, "host", "other.test"),
		"two hosts":                     with(get, "host", "edge.test", "host", "edge.test"),
	} {
		t.Run(name, func(t *testing.T) {
			seen := &echo{}
			s := start(t, edge.Config{Handler: seen, TLS: tlsPolicy()})
			f := s.frames(t)
			id := f.request(pairs...)
			err := f.until(func(fr http2.Frame) bool {
				switch fr := fr.(type) {
				case *http2.RSTStreamFrame:
					return fr.StreamID == id && fr.ErrCode != http2.ErrCodeNo
				case *http2.GoAwayFrame:
					return fr.ErrCode != http2.ErrCodeNo
				case *http2.HeadersFrame: // net/http answers some with 400
					status := ""
					hpack.NewDecoder(4096, func(h hpack.HeaderField) {
						if h.Name == ":status" {
							status = h.Value
						}
					}).Write(fr.HeaderBlockFragment())
					if status != "400" {
						t.Errorf("answered %s", status)
					}
					return true
				}
				return false
			})
			if err != nil && !errors.Is(err, io.EOF) {
				t.Logf("the connection ended: %v", err)
			}
			if x := s.Faults.next(t); x.Step != edge.StepHTTP2 || x.Code != edge.BadStream && x.Code != edge.BadFrames && x.Code != edge.BadHost {
				t.Errorf("fault %+v", x)
			}
			if got := seen.requests(); len(got) != 0 {
				t.Errorf("the handler saw %q", got)
			}
			s.stillServes(t)
		})
	}
}

func TestContentLengthOfAStreamMustHold(t *testing.T) {
	attacktest.Rows(t, 115)
	for name, data := range map[string]string{"too much": "hello, world", "too little": "h"} {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error, 1)
			s := start(t, edge.Config{TLS: tlsPolicy(), Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				errs <- err
			})})
			f := s.frames(t)
			f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: f.block(
				":method", "POST", ":scheme", "https", ":authority", "edge.test", ":path", "/", "content-length", "5")}))
			f.must(f.WriteData(1, true, []byte(data)))
			if err := <-errs; err == nil {
				t.Error("the handler read a whole body")
			}
		})
	}
}

// Row 116: a connection whose frames only cost work is closed, others are served.
func TestFloods(t *testing.T) {
	attacktest.Rows(t, 116)
	flood := func(n int, send func(f *framer, i int) error) func(*framer) {
		return func(f *framer) {
			for i := range n {
				if send(f, i) != nil {
					return // it was closed
				}
			}
		}
	}
	for name, c := range map[string]struct {
		attack func(*framer)
		codes  []edge.Code
	}{
		"rapid reset": {flood(20000, func(f *framer, _ int) error {
			return f.WriteRSTStream(f.request(get...), http2.ErrCodeCancel)
		}), []edge.Code{edge.Flood, edge.BadFrames}},
		"provoked resets": {flood(20000, func(f *framer, _ int) error {
			return f.WriteWindowUpdate(f.request(get...), 1<<31-1)
		}), []edge.Code{edge.Flood}},
		"PING":                   {flood(100000, func(f *framer, _ int) error { return f.WritePing(false, [8]byte{}) }), []edge.Code{edge.Flood}},
		"SETTINGS":               {flood(100000, func(f *framer, _ int) error { return f.WriteSettings() }), []edge.Code{edge.Flood}},
		"PRIORITY":               {flood(100000, func(f *framer, i int) error { return f.WritePriority(uint32(2*i+1), http2.PriorityParam{}) }), []edge.Code{edge.Flood}},
		"WINDOW_UPDATE":          {flood(100000, func(f *framer, _ int) error { return f.WriteWindowUpdate(0, 1) }), []edge.Code{edge.Flood}},
		"frames of unknown type": {flood(100000, func(f *framer, _ int) error { return f.WriteRawFrame(0xbb, 0, 0, nil) }), []edge.Code{edge.Flood}},
		"empty DATA": {func(f *framer) {
			f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(get...), EndHeaders: true}))
			flood(100000, func(f *framer, _ int) error { return f.WriteData(1, false, nil) })(f)
		}, []edge.Code{edge.Flood}},
		"CONTINUATION": {func(f *framer) {
			f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(get...)}))
			flood(100000, func(f *framer, _ int) error {
				return f.WriteContinuation(1, false, f.block("x-a", strings.Repeat("a", 1000)))
			})(f)
		}, []edge.Code{edge.BadFrames, edge.Flood, edge.HeadersTooLarge}},
		"empty CONTINUATION": {func(f *framer) {
			f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(get...)}))
			flood(100000, func(f *framer, _ int) error { return f.WriteContinuation(1, false, nil) })(f)
		}, []edge.Code{edge.Flood, edge.BadFrames}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy()})
			f := s.frames(t)
			go func() { _ = f.until(func(http2.Frame) bool { return false }) }() // reads answers, as a clever attacker does
			c.attack(f)
			x := s.Faults.next(t)
			for i := 0; i < 1000 && x.Code == edge.BadStream; i++ { // net/http's resets come before
				x = s.Faults.next(t)
			}
			found := false
			for _, code := range c.codes {
				found = found || x.Code == code
			}
			if !found || x.Step != edge.StepHTTP2 {
				t.Errorf("fault %+v, want one of %v", x, c.codes)
			}
			s.stillServes(t)
		})
	}
}

// An HPACK bomb: a small block that refers to one large field many times.
func TestHeaderBomb(t *testing.T) {
	attacktest.Rows(t, 116, 119)
	seen := &echo{}
	s := start(t, edge.Config{Handler: seen, TLS: tlsPolicy()})
	f := s.frames(t)
	pairs := get
	for range 100 {
		pairs = with(pairs, "x-bomb", strings.Repeat("a", 4000))
	}
	f.request(pairs...)
	if x := s.Faults.next(t); x.Step != edge.StepHTTP2 || x.Code != edge.HeadersTooLarge {
		t.Errorf("fault %+v", x)
	}
	if got := seen.requests(); len(got) != 0 {
		t.Errorf("the handler saw %q", got)
	}
	s.stillServes(t)
}

func TestManyFieldsOverHTTP2(t *testing.T) {
	attacktest.Rows(t, 119)
	seen := &echo{}
	s := start(t, edge.Config{Handler: seen, TLS: tlsPolicy()})
	f := s.frames(t)
	pairs := get
	for range 200 {
		pairs = with(pairs, "a", "b")
	}
	f.request(pairs...)
	if x := s.Faults.next(t); x.Step != edge.StepHTTP2 || x.Code != edge.HeadersTooLarge {
		t.Errorf("fault %+v", x)
	}
	if got := seen.requests(); len(got) != 0 {
		t.Errorf("the handler saw %q", got)
	}
}

// A client that gives no window keeps a handler waiting only for so long.
func TestWindowOfZero(t *testing.T) {
	attacktest.Rows(t, 116, 118)
	for name, answer := range map[string]int{"a large answer": 1 << 20, "a small one": 10} {
		t.Run(name, func(t *testing.T) {
			s := start(t, edge.Config{TLS: tlsPolicy(), Limits: short, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(make([]byte, answer))
			})})
			f := s.frames(t, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			id := f.request(get...)
			err := f.until(func(fr http2.Frame) bool {
				reset, ok := fr.(*http2.RSTStreamFrame)
				return ok && reset.StreamID == id
			})
			if err != nil {
				t.Errorf("the stream was not reset: %v", err)
			}
		})
	}
}

func TestSlowBodyOverHTTP2(t *testing.T) {
	attacktest.Rows(t, 118)
	errs := make(chan error, 1)
	s := start(t, edge.Config{TLS: tlsPolicy(), Limits: short, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		errs <- err
	})})
	f := s.frames(t)
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(get...), EndHeaders: true}))
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler's read ended with %v", err)
	}
	if x := s.Faults.next(t); x.Code != edge.Timeout || x.Step != edge.StepHTTP2 {
		t.Errorf("fault %+v", x)
	}
}

func TestSlowHeaderBlockOverHTTP2(t *testing.T) {
	attacktest.Rows(t, 118)
	s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy(), Limits: edge.Limits{Header: 150 * time.Millisecond}})
	f := s.frames(t)
	f.must(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block(get...)})) // without END_HEADERS
	_ = f.until(func(http2.Frame) bool { return false })                                         // until it ends
	if x := s.Faults.next(t); x.Code != edge.Timeout || x.Step != edge.StepHTTP2 {
		t.Errorf("fault %+v", x)
	}
}

func TestIdleHTTP2ConnectionIsClosed(t *testing.T) {
	attacktest.Rows(t, 118)
	s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy(), Limits: short})
	f := s.frames(t)
	f.request(get...)
	if err := f.until(func(http2.Frame) bool { return false }); err == nil {
		t.Error("the connection did not end")
	}
}
