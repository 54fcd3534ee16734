package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// What arrives is compared with what was sent, for random requests within the
// canonical form. PAVISE_DIFFERENTIAL is how many (default 2000).
func TestWhatArrivesIsWhatWasChecked(t *testing.T) {
	n := 2000
	if set := os.Getenv("PAVISE_DIFFERENTIAL"); set != "" {
		var err error
		if n, err = strconv.Atoi(set); err != nil {
			t.Fatalf("PAVISE_DIFFERENTIAL: %v", err)
		}
	}
	arrived := make(chan string, 1)
	up := serveRaw(t, func(conn net.Conn, br *bufio.Reader) {
		for {
			request, err := readRequest(br)
			if err != nil {
				return
			}
			arrived <- request
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	identity := &shield.Identity{Shield: "api_key", Client: "shop", CredentialID: "k1"}
	f := guardless(t, gateway.Settings{
		Addresses: []string{up.url}, PreserveHost: true, Identity: func(*http.Request) *shield.Identity { return identity },
		PlainHeaders: map[string]string{"X-Who": "client"},
	}, false)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	conn, br := f.raw("")
	for i := range n {
		want := randomRequest(random)
		if _, err := io.WriteString(conn, want.raw); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(br, nil)
		if err != nil || response.StatusCode != 204 {
			t.Fatalf("seed %d, request %d: %v %v\n%q", seed, i, response, err, want.raw)
		}
		got, err := parseArrived(<-arrived)
		if err != nil {
			t.Fatalf("seed %d, request %d: what arrived cannot be read: %v", seed, i, err)
		}
		if difference := want.compare(got); difference != "" {
			t.Fatalf("seed %d, request %d: %s\nsent    %q\narrived %q", seed, i, difference, want.raw, got.raw)
		}
		if i%64 == 63 { // another connection now and then
			_ = conn.Close()
			conn, br = f.raw("")
		}
	}
}

// wire is a request as it stands on the wire.
type wire struct {
	raw, line string
	host      string
	fields    map[string][]string // lower case; without framing and hop-by-hop
	body      string
	trailers  map[string][]string
}

func randomRequest(random *rand.Rand) wire {
	w := wire{fields: map[string][]string{}, trailers: map[string][]string{}}
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	text := func(alphabet string, least, most int) string {
		b := make([]byte, least+random.IntN(most-least+1))
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return string(b)
	}
	method := pick("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
	var target strings.Builder
	for range 1 + random.IntN(4) {
		target.WriteByte('/')
		for range random.IntN(4) {
			target.WriteString(pick("a", "Z", "0", "-", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", "=", ":", "@", "%20", "%E2%82%AC", "%7e", "%7E", "%3B", "%3d", "%22", "%C3%A4", "b.c"))
		}
		target.WriteByte('x')
	}
	if random.IntN(2) == 0 {
		target.WriteByte('?')
		for range random.IntN(6) {
			target.WriteString(pick("a=b", "&", "=", "+", "%20", "%2F", "/", "?", "[", "]", ":", "@", "x", "%2b", "&&", "é"[:0]))
		}
	}
	w.line = method + " " + target.String() + " HTTP/1.1"
	w.host = pick("api.example.com", "API.example.com", "api.example.com:8443", "127.0.0.1", "[::1]:8443")
	var raw bytes.Buffer
	_, _ = fmt.Fprintf(&raw, "%s\r\nHost: %s\r\n", w.line, w.host)
	add := func(name, value string) {
		_, _ = fmt.Fprintf(&raw, "%s:%s%s%s\r\n", name, pick("", " ", "\t "), value, pick("", " "))
		w.fields[strings.ToLower(name)] = append(w.fields[strings.ToLower(name)], value)
	}
	for range random.IntN(8) {
		name := pick("Accept", "accept-LANGUAGE", "X-A", "X-B", "x-long-name-"+text("abc", 1, 5), "Cookie", "User-Agent", "Content-Type", "Accept-Encoding", "If-None-Match", "Traceparent", "Digest")
		add(name, pick("", "a", "b, c", "\"q\"; x=1", "gzip, br", text("abcdefghij \t;=,\"()<>@/[]?{}\x80\xff%", 0, 40)+"z", strings.Repeat("long", random.IntN(200))))
	}
	for name, values := range w.fields { // what the reader trims is no part of the value
		for i := range values {
			w.fields[name][i] = strings.Trim(values[i], " \t")
		}
	}
	if random.IntN(3) == 0 {
		_, _ = fmt.Fprintf(&raw, "%s\r\n", pick("Connection: keep-alive", "Connection: x-hop\r\nX-Hop: 1", "Keep-Alive: 5", "X-Real-Ip: 1.2.3.4", "X_A: 1"[:0]+"Pavise-Identity: f", "X-Who: forged", "TE: deflate"))
	}
	switch random.IntN(4) {
	case 0:
		w.body = text("\x00\r\nabc0123", 0, 3000)
		if random.IntN(20) == 0 {
			w.body = strings.Repeat(w.body+"x", 60)
		}
		_, _ = fmt.Fprintf(&raw, "Content-Length: %d\r\n\r\n%s", len(w.body), w.body)
	case 1:
		declared := random.IntN(2) == 0
		raw.WriteString("Transfer-Encoding: chunked\r\n")
		if declared {
			raw.WriteString("Trailer: X-Sum, X-User-Id\r\n")
		}
		raw.WriteString("\r\n")
		for range random.IntN(4) {
			chunk := text("\r\n0abc", 1, 500)
			w.body += chunk
			_, _ = fmt.Fprintf(&raw, "%x\r\n%s\r\n", len(chunk), chunk)
		}
		raw.WriteString("0\r\n")
		if declared {
			raw.WriteString("X-Sum: 1\r\nX-User-Id: planted\r\n")
			w.trailers["x-sum"] = []string{"1"}
		}
		raw.WriteString("\r\n")
	default:
		raw.WriteString("\r\n")
	}
	w.raw = raw.String()
	return w
}

// parseArrived reads what the upstream got, by hand: no reader of the gateway's
// own is trusted.
func parseArrived(raw string) (wire, error) {
	w := wire{raw: raw, fields: map[string][]string{}, trailers: map[string][]string{}}
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		return w, fmt.Errorf("no end of the head")
	}
	lines := strings.Split(head, "\r\n")
	w.line = lines[0]
	into := func(fields map[string][]string, text string) error {
		name, value, ok := strings.Cut(text, ":")
		if !ok || name == "" || strings.TrimSpace(name) != name {
			return fmt.Errorf("field line %q", text)
		}
		fields[strings.ToLower(name)] = append(fields[strings.ToLower(name)], strings.Trim(value, " \t"))
		return nil
	}
	for _, text := range lines[1:] {
		if err := into(w.fields, text); err != nil {
			return w, err
		}
	}
	if len(w.fields["host"]) != 1 || len(w.fields["content-length"])+len(w.fields["transfer-encoding"]) > 1 {
		return w, fmt.Errorf("hosts %q, lengths %q, codings %q", w.fields["host"], w.fields["content-length"], w.fields["transfer-encoding"])
	}
	w.host = w.fields["host"][0]
	w.body = body
	if w.fields["transfer-encoding"] == nil {
		return w, nil
	}
	w.body = ""
	for {
		size, rest, ok := strings.Cut(body, "\r\n")
		n, err := strconv.ParseInt(size, 16, 64)
		if !ok || err != nil || n > int64(len(rest)) {
			return w, fmt.Errorf("chunk size %q", size)
		}
		if n == 0 {
			for text := range strings.SplitSeq(strings.TrimSuffix(rest, "\r\n"), "\r\n") {
				if text == "" {
					continue
				}
				if err := into(w.trailers, text); err != nil {
					return w, err
				}
			}
			return w, nil
		}
		w.body += rest[:n]
		body = strings.TrimPrefix(rest[n:], "\r\n")
	}
}

// ours are the fields that the gateway itself sets, and those of framing.
func ours() []string {
	return []string{
		"host", "content-length", "transfer-encoding", "trailer", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded",
		"x-request-id", "x-who",
	}
}

func (w wire) compare(got wire) string {
	switch {
	case w.line != got.line:
		return fmt.Sprintf("the request line is %q", got.line)
	case w.host != got.host:
		return fmt.Sprintf("the host is %q", got.host)
	case w.body != got.body:
		return fmt.Sprintf("the body has %d bytes instead of %d, or others", len(got.body), len(w.body))
	}
	if got.fields["x-who"] == nil || got.fields["x-who"][0] != "shop" || len(got.fields["x-who"]) != 1 {
		return fmt.Sprintf("X-Who is %q", got.fields["x-who"])
	}
	for _, name := range ours() {
		delete(got.fields, name)
	}
	if isRead := strings.HasPrefix(got.line, "GET ") || strings.HasPrefix(got.line, "HEAD "); isRead && slices.Equal(got.fields["connection"], []string{"close"}) {
		delete(got.fields, "connection") // of a body that services may not look for
	}
	for _, pair := range []struct{ want, got map[string][]string }{{w.fields, got.fields}, {w.trailers, got.trailers}} {
		for name, values := range pair.want {
			if !slices.Equal(values, pair.got[name]) {
				return fmt.Sprintf("field %s is %q instead of %q", name, pair.got[name], values)
			}
		}
		for name := range pair.got {
			if pair.want[name] == nil {
				return fmt.Sprintf("field %s was added", name)
			}
		}
	}
	return ""
}
