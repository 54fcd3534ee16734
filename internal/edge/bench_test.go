package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// heads as clients send them: curl with a token, and a browser.
var heads = map[string]string{
	"curl": "GET /v1/orders/42?expand=items HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n" +
		"Authorization: Bearer " + strings.Repeat("eyJhbGciOiJSUzI1NiJ9", 30) + "\r\n\r\n",
	"browser": "GET /v1/orders?page=2&size=50 HTTP/1.1\r\nHost: api.example.com\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36\r\n" +
		"Accept: application/json\r\nsec-ch-ua: \"Chromium\";v=\"150\", \"Not)A;Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n" +
		"Origin: https://app.example.com\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n" +
		"Referer: https://app.example.com/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: de-DE,de;q=0.9,en;q=0.8\r\n\r\n",
}

func BenchmarkScanHead(b *testing.B) {
	for name, head := range heads {
		b.Run(name, func(b *testing.B) {
			s := scanner{lim: &testLimits}
			p := []byte(head)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if _, done, bad := s.next(p); !done || bad != nil {
					b.Fatal(bad)
				}
			}
		})
	}
}

func BenchmarkScanChunks(b *testing.B) {
	s := scanner{lim: &testLimits}
	p := []byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("x", 1024)+"\r\n", 16) + "0\r\n\r\n")
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, done, bad := s.next(p); !done || bad != nil {
			b.Fatal(bad)
		}
	}
}

// BenchmarkKeptConnection measures a request and its answer over loopback, under
// the edge and under net/http alone: the difference is what the edge costs. Both
// sides' work is in it.
func BenchmarkKeptConnection(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	serve := map[string]func(net.Listener) func(){
		"bare": func(l net.Listener) func() {
			s := &http.Server{Handler: handler}
			go func() { _ = s.Serve(l) }()
			return func() { _ = s.Close() }
		},
		"edge": func(l net.Listener) func() {
			s, err := New(Config{Handler: handler})
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = s.Serve(l) }()
			return func() { _ = s.Shutdown(b.Context()) }
		},
	}
	for name, start := range serve {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			stop := start(l)
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			in := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := io.WriteString(c, heads["curl"]); err != nil {
					b.Fatal(err)
				}
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						b.Fatal(err)
					}
					if len(line) == 2 {
						break
					}
				}
			}
			c.Close()
			stop()
		})
	}
}
