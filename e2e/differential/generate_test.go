package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// generator makes connections out of the words of HTTP, half of them wounded. The same
// seed makes the same connections.
type generator struct {
	*rand.Rand
	prefix string // of every path
	most   int    // requests of one connection
}

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0)), most: 4}
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

// ahead is how many bytes a connection has if it is more than one whole request. Of a
// caller who sends more before his answer the gateway may take leave (4 KiB), and whether
// the answer to what had arrived by then still comes is a matter of time.
const ahead = 4000

// connection returns what one caller sends on one connection.
func (g *generator) connection() string {
	text := g.request()
	for range g.IntN(g.most) {
		if next := g.request(); len(text)+len(next) <= ahead {
			text += next
		}
	}
	if len(text) <= ahead && g.one(2) {
		for range 1 + g.IntN(3) {
			text = g.wound(text)
		}
	}
	return text
}

func (g *generator) request() string {
	lines := []string{"Host: " + pick(g, "api.example.com", "API.example.com", "api.example.com:8443")}
	for range g.IntN(6) {
		lines = append(lines, g.field())
	}
	body, framing := g.body()
	if framing != "" {
		lines = append(lines, framing)
		if g.one(15) {
			lines = append(lines, "Expect: 100-continue")
		}
	}
	if g.one(15) {
		lines = append(lines, "Connection: "+pick(g, "close", "keep-alive", "x-c", "TE\r\nTe: trailers", "X-A", "keep-alive, x-c\r\nX-C: 1"))
	}
	g.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return g.method() + " " + g.prefix + g.target() + " HTTP/1.1\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

func (g *generator) method() string {
	if g.one(25) {
		return pick(g, "OPTIONS", "M-SEARCH", "get", "PRI", "CONNECT", "TRACE")
	}
	return pick(g, "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
}

func (g *generator) target() string {
	if g.one(12) {
		return pick(g, "/", "//a//b", "/a%2fb", "/%", "/a?%zz", "*", "http://a/", "/.", "/..;/a", "/a#b", "/?", "/a?b?c", "//", "/[x]", "/\\", "/a%00b", "/a%2e%2e/b", "/a/../b", "/a;b=c/d", "/%41")
	}
	var b strings.Builder
	for range 1 + g.IntN(4) {
		b.WriteByte('/')
		for range g.IntN(4) {
			b.WriteString(pick(g, "a", "Z", "0", "-", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", "=", ":", "@", "%20", "%E2%82%AC", "%3D", "%22", "%C3%A4", "b.c"))
		}
		b.WriteByte('x')
	}
	if g.one(2) {
		b.WriteByte('?')
		for range g.IntN(6) {
			b.WriteString(pick(g, "a=b", "&", "=", "+", "%20", "%2F", "/", "?", ":", "@", "x", "%2b", "&&"))
		}
	}
	return b.String()
}

func (g *generator) field() string {
	name := pick(g, "X-A", "x-b", "Accept", "accept-LANGUAGE", "Cookie", "User-Agent", "Content-Type", "If-None-Match", "Pragma", "Cache-Control")
	if g.one(12) {
		name = pick(g, "Connection", "Keep-Alive", "Upgrade", "Expect", "Te", "Trailer", "Content-Length", "Transfer-Encoding", "Host", "X_A", "X.A",
			"Proxy-Connection", "Http2-Settings", "X-Forwarded-For", "Pavise-Identity", "X-Real-Ip", "Client-Cert", "X-Http-Method-Override", "Content-Length ", " X-A")
	}
	value := pick(g, "", "a", "a, b", "\"q\"; x=1", "gzip, br", "5", "a;b=c", strings.Repeat("v", g.IntN(300)), "\xe4\xf6", "a  b", "(x) [y] {z}")
	if g.one(8) {
		value = pick(g, "close", "keep-alive", "chunked", "no-cache", "100-continue", "0", "05", "x-a", "X-A, x-b", "websocket", "trailers", "h2c", "identity", "Upgrade", "chunked, chunked", " chunked", "+5")
	}
	return name + ":" + pick(g, "", " ", "\t", "  ") + value + pick(g, "", "", " ", "\t")
}

// body returns a body with the field that frames it.
func (g *generator) body() (body, framing string) {
	content := strings.Repeat(pick(g, "a", "\r\n", "0\r\n\r\n", "\x00", "GET / HTTP/1.1\r\n", "\xff"), g.IntN(20))
	if g.one(4) {
		content = "GET /inner HTTP/1.1\r\nHost: api.example.com\r\nX-A: smuggled\r\n\r\n"
	}
	if g.one(40) {
		content = strings.Repeat(content+"x", 100)
	}
	switch g.IntN(4) {
	case 0:
		return content, "Content-Length: " + strconv.Itoa(len(content))
	case 1:
		if g.one(3) { // what is not declared is refused
			return g.chunks(content, "X-A", "x-b"), "Transfer-Encoding: chunked\r\nTrailer: x-a, X-B"
		}
		return g.chunks(content), "Transfer-Encoding: chunked"
	}
	return "", ""
}

// chunks returns content in chunks, then trailers of the declared names; without any,
// sometimes others.
func (g *generator) chunks(content string, declared ...string) string {
	var out strings.Builder
	extension := func() string {
		if g.one(30) {
			return pick(g, ";", ";a", ";a=b", ";a=\"b\"", " ;a", ";a=\"\r\n\"", ";\x00")
		}
		return ""
	}
	for content != "" {
		n := 1 + g.IntN(len(content))
		out.WriteString(fmt.Sprintf(pick(g, "%x", "%X", "0%x", "000%x"), n) + extension() + "\r\n" + content[:n] + "\r\n")
		content = content[n:]
	}
	out.WriteString(pick(g, "0", "0", "00", "000") + extension() + "\r\n")
	rarity := 3
	if declared == nil {
		rarity, declared = 8, []string{"X-A", "x-b", "Host", "Content-Length", "X_A"}
	}
	for g.one(rarity) {
		out.WriteString(pick(g, declared...) + ": " + pick(g, "", "1", "a, b") + "\r\n")
	}
	return out.String() + "\r\n"
}

// wound damages a connection in one place.
func (g *generator) wound(text string) string {
	if text == "" {
		return text
	}
	b := []byte(text)
	i := g.IntN(len(b))
	j := min(len(b), i+1+g.IntN(12))
	word := []byte(pick(g, "\r", "\n", "\r\n", "\r\n\r\n", " ", "\t", "\x00", "\x7f", "\xff", ":", ";", ",", "\r\n ", "0", "0x", "+", "-", "chunked",
		"Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "Host: a\r\n", "HTTP/1.0", "\x0b", "%", "/", "f", "Trailer: X-A\r\n", "\""))
	switch g.IntN(6) {
	case 0:
		b = slices.Insert(b, i, word...)
	case 1:
		b = slices.Delete(b, i, j)
	case 2:
		b = slices.Replace(b, i, i+1, word...)
	case 3:
		b = slices.Insert(b, i, slices.Clone(b[i:j])...)
	case 4:
		b[i] ^= 1 << g.IntN(8)
	default:
		b[i] = byte(g.IntN(256))
	}
	return string(b)
}

// classics are the shapes by which requests were smuggled past others.
func classics() []string {
	const host = "Host: api.example.com\r\n"
	inner := "GET /admin HTTP/1.1\r\n" + host + "\r\n"
	post := func(fields, body string) string { return "POST /x HTTP/1.1\r\n" + host + fields + "\r\n" + body }
	chunked := "0\r\n\r\n"
	shapes := []string{
		post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", chunked+"G"),
		post("Content-Length: "+strconv.Itoa(len(chunked+inner))+"\r\nTransfer-Encoding: chunked\r\n", chunked+inner),
		post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"+inner+"\r\n0\r\n\r\n"),
		post("Content-Length: 0\r\nContent-Length: 44\r\n", inner),
		post("Content-Length: 0, 44\r\n", inner),
		post("Content-Length: +0\r\n", inner), post("Content-Length: 0x0\r\n", inner), post("Content-Length: 0 \r\n", inner), post("Content-Length:\r\n", inner),
		post("Content-Length: 00\r\n", inner), post("Content-Length: -1\r\n", inner), post("Content-Length: 0\x0b\r\n", inner),
		post("Content-Length : 0\r\n", inner), post("Content-Length\t: 0\r\n", inner), post(" Content-Length: 0\r\n", inner), post("X-A: 1\r\n Content-Length: 0\r\n", inner),
		post("Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n", chunked), post("Transfer-Encoding : chunked\r\n", chunked), post("Transfer-Encoding:\tchunked\r\n", chunked+inner),
		post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", chunked+inner), post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", chunked+inner),
		post("Transfer-Encoding: chunked, identity\r\n", chunked+inner), post("Transfer-Encoding: identity, chunked\r\n", chunked+inner), post("Transfer-Encoding: \"chunked\"\r\n", chunked+inner),
		post("Transfer-Encoding: chunked;q=1\r\n", chunked+inner), post("transfer-encoding: CHUNKED\r\n", chunked+inner), post("Transfer-Encoding:\r\n chunked\r\n", chunked+inner), post("Transfer-Encoding: chun\x00ked\r\n", chunked+inner),
		post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", chunked+inner), post("X: y\nTransfer-Encoding: chunked\r\n", chunked+inner), post("X: y\rTransfer-Encoding: chunked\r\n", chunked+inner),
		post("Transfer-Encoding: chunked\r\n", "0;a\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "0\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "0\r\n\n"+inner), post("Transfer-Encoding: chunked\r\n", "1\r\nZ0\r\n\r\n"+inner),
		post("Transfer-Encoding: chunked\r\n", "1;\nx\r\nZ\r\n0\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "0x1\r\nZ\r\n0\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "-1\r\nZ\r\n0\r\n\r\n"+inner),
		post("Transfer-Encoding: chunked\r\n", "00000000000000000000001\r\nZ\r\n0\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "100000000000000001\r\nZ\r\n0\r\n\r\n"+inner),
		post("Transfer-Encoding: chunked\r\n", "0\r\nContent-Length: 44\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "0\r\nContent-Length: 44\r\n\r\n"+inner), post("Transfer-Encoding: chunked\r\n", "0\r\nHost: evil\r\n\r\n"+inner),
		post("Connection: Content-Length\r\nContent-Length: 3\r\n", "abc"), post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", chunked), post("Connection: close, X-A\r\nX-A: 1\r\n", ""), post("Connection: Host\r\n", ""),
		post("Expect: 100-continue\r\nContent-Length: 3\r\n", "abc"), post("Expect: 100-continue, x\r\nContent-Length: 3\r\n", "abc"), post("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", ""),
		"GET /x HTTP/1.1\r\n" + host + "Content-Length: 44\r\n\r\n" + inner[:44], "GET http://evil/x HTTP/1.1\r\n" + host + "\r\n", "GET /x HTTP/1.1\r\n" + host + "Host: evil\r\n\r\n", "GET /x HTTP/1.0\r\n" + host + "\r\n",
		"\r\nGET /x HTTP/1.1\r\n" + host + "\r\n", "GET  /x HTTP/1.1\r\n" + host + "\r\n", "GET /x\tHTTP/1.1\r\n" + host + "\r\n", "GET /x HTTP/1.1 \r\n" + host + "\r\n", "GET /x HTTP/1.1\n" + host + "\r\n", "GET /x\x00 HTTP/1.1\r\n" + host + "\r\n",
	}
	return shapes
}
