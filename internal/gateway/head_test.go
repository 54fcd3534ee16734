package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Whatever the strict reader of heads accepts, net/http must read alike: same
// status, same fields, same framing.
func FuzzResponseHead(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204\r\nA:b\r\na: c\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close, x-a\r\nX-A: 1\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(data), 16)
		text, err := readLines(br, nil, 4096)
		if err != nil {
			return
		}
		var h responseHead
		if h.parse(string(text)) != nil {
			return
		}
		standard, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatalf("net/http refuses what we accept: %v\n%q", err, text)
		}
		if standard.StatusCode != h.status || standard.ProtoMinor != h.minor {
			t.Fatalf("status %d 1.%d, net/http reads %d 1.%d", h.status, h.minor, standard.StatusCode, standard.ProtoMinor)
		}
		bodiless := h.status < 200 || h.status == 204 || h.status == 304
		if chunked := len(standard.TransferEncoding) > 0; chunked != h.chunked && !bodiless {
			t.Fatalf("chunked %v, net/http reads %v", h.chunked, standard.TransferEncoding)
		}
		if !bodiless && !h.chunked && standard.ContentLength != h.length {
			t.Fatalf("length %d, net/http reads %d", h.length, standard.ContentLength)
		}
		if !bodiless && (h.length >= 0 || h.chunked) && standard.Close != h.close {
			t.Fatalf("close %v, net/http reads %v", h.close, standard.Close)
		}
		compareFields(t, h.fields, standard.Header)
	})
}

func compareFields(t *testing.T, ours []field, standard http.Header) {
	t.Helper()
	read := http.Header{}
	for _, f := range ours {
		read[f.name] = append(read[f.name], f.value)
	}
	for _, name := range []string{"Transfer-Encoding", "Trailer", "Content-Length", "Connection", "Pragma", "Cache-Control"} {
		delete(read, name) // net/http takes these apart
		delete(standard, name)
	}
	for name, values := range read {
		if strings.Join(values, "\x00") != strings.Join(standard[name], "\x00") {
			t.Fatalf("field %q is %q, net/http reads %q", name, values, standard[name])
		}
	}
	if len(read) != len(standard) {
		t.Fatalf("%d fields, net/http reads %d", len(read), len(standard))
	}
}

func FuzzTrailerSection(f *testing.F) {
	f.Add([]byte("X-Sum: 1\r\n\r\n"))
	f.Add([]byte("\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text, err := readLines(bufio.NewReader(bytes.NewReader(data)), nil, 256)
		if err != nil {
			return
		}
		fields, err := parseFields(nil, string(text))
		for _, f := range fields {
			if err == nil && (!isToken(f.name) || strings.ContainsAny(f.value, "\r\n\x00")) {
				t.Fatalf("field %q: %q", f.name, f.value)
			}
		}
	})
}

func BenchmarkResponseHead(b *testing.B) {
	raw := "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
	reader := strings.NewReader(raw)
	br := bufio.NewReader(reader)
	var h responseHead
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(raw)
		br.Reset(reader)
		var err error
		if text, err = readLines(br, text[:0], 65536); err != nil && err != io.EOF {
			b.Fatal(err)
		}
		if err := h.parse(string(text)); err != nil {
			b.Fatal(err)
		}
	}
}
