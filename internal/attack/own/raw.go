package own

import (
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// framing tries messages of which two readers see different ends (RFC 9112 §6, §11.2). Each is sent
// over a connection of its own, with nothing behind it: where a proxy stands before the gateway, it is
// the proxy's other callers whom it may disturb, and so it has to be allowed.
func (p *planner) framing() {
	for _, h := range p.r.hosts {
		for _, one := range framings() {
			demands := attack.Smuggles
			if len(one.head) > 16<<10 {
				demands |= attack.Floods
			}
			p.addAt(h, "framing", h.name+": "+one.name, one.row, demands, func(t *try) error { return t.framed(h, one) })
		}
	}
}

type framing struct {
	name, head string // after the request line, Host and credentials
	row        int
	bare       bool // head is the whole of it
}

const chunked = "Transfer-Encoding: chunked\r\n"

func framings() []framing {
	end := "\r\n0\r\n\r\n"
	return []framing{
		{name: "a length beside chunks", head: "Content-Length: 4\r\n" + chunked + end, row: 114},
		{name: "chunks beside a length", head: chunked + "Content-Length: 4\r\n" + end, row: 114},
		{name: "two lengths", head: "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", row: 114},
		{name: "two different lengths", head: "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", row: 114},
		{name: "a length with a plus", head: "Content-Length: +4\r\n\r\nabcd", row: 114},
		{name: "a length with blanks inside", head: "Content-Length: 4 4\r\n\r\nabcd", row: 114},
		{name: "lengths in a list", head: "Content-Length: 4, 4\r\n\r\nabcd", row: 114},
		{name: "a length in hexadecimal", head: "Content-Length: 0x4\r\n\r\nabcd", row: 114},
		{name: "another transfer coding", head: "Transfer-Encoding: xchunked\r\n" + end, row: 114},
		{name: "chunked twice", head: "Transfer-Encoding: chunked, chunked\r\n" + end, row: 114},
		{name: "chunked before identity", head: "Transfer-Encoding: chunked, identity\r\n" + end, row: 114},
		{name: "chunked behind a tab and a control character", head: "Transfer-Encoding:\x0bchunked\r\n" + end, row: 114},
		{name: "two transfer codings", head: chunked + "Transfer-Encoding: gzip\r\n" + end, row: 114},
		{name: "a chunk size with 0x", head: chunked + "\r\n0x1\r\na\r\n0\r\n\r\n", row: 114},
		{name: "a chunk size that overflows", head: chunked + "\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n", row: 114},
		{name: "a bare line feed in a chunk's extension", head: chunked + "\r\n1;a\nb\r\na\r\n0\r\n\r\n", row: 114},
		{name: "an undeclared trailer", head: chunked + "\r\n1\r\na\r\n0\r\nX-User-Id: 1\r\n\r\n", row: 160},
		{name: "a folded line", head: "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", row: 96},
		{name: "a blank before the colon", head: "X-A : b\r\nContent-Length: 0\r\n\r\n", row: 114},
		{name: "a line without a colon", head: "X-A\r\nContent-Length: 0\r\n\r\n", row: 114},
		{name: "a bare line feed", head: "X-A: b\nContent-Length: 0\r\n\r\n", row: 114},
		{name: "a bare carriage return", head: "X-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n", row: 114},
		{name: "NUL in a value", head: "X-A: b\x00c\r\nContent-Length: 0\r\n\r\n", row: 15},
		{name: "a second host", head: "Host: evil.example\r\nContent-Length: 0\r\n\r\n", row: 120},
		{name: "no host", head: "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", row: 120, bare: true},
		{name: "an empty host", head: "POST / HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\n\r\n", row: 120, bare: true},
		{name: "an absolute target of another host", head: "GET https://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", row: 120, bare: true},
		{name: "HTTP/0.9", head: "GET /\r\n\r\n", row: 114, bare: true},
		{name: "HTTP/1.2", head: "GET / HTTP/1.2\r\nHost: {host}\r\n\r\n", row: 114, bare: true},
		{name: "a megabyte of header", head: "X-A: " + strings.Repeat("a", 1<<20) + "\r\nContent-Length: 0\r\n\r\n", row: 119},
		{name: "ten thousand headers", head: strings.Repeat("X-A: b\r\n", 10_000) + "Content-Length: 0\r\n\r\n", row: 119},
	}
}

func (t *try) framed(h *host, f framing) error {
	demanded := want{code: "bad_request", any: true}
	at, proofs, err := t.entrance(h, true)
	if err != nil {
		if at, proofs, err = t.entrance(h, false); err != nil {
			return err
		}
	}
	x, err := t.until(demanded, func() (*reply, error) {
		if f.bare {
			return t.written([]byte(strings.ReplaceAll(f.head, "{host}", h.prober.Scope().Base().Host)))
		}
		r, _, err := t.signed(at, proofs)
		if err != nil {
			return nil, err
		}
		carry(r, partsOf(proofs))
		r.Header.Del("Content-Type") // of a body that is not sent
		return t.written(append(text(r, r.URL.RequestURI()), f.head...))
	})
	if err != nil {
		return err
	}
	t.judge(t.where(at), x, demanded, f.name)
	return nil
}
