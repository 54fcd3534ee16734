package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// benchUpstream answers like a small JSON API.
func benchUpstream(b *testing.B) *httptest.Server {
	b.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"7","state":"open","items":[1,2,3]}`)
	}))
	b.Cleanup(server.Close)
	return server
}

// benchHandler calls a handler as a server would, without a server.
func benchHandler(b *testing.B, h http.Handler) {
	b.Helper()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(http.MethodGet, "/v1/orders/7?expand=items", nil)
		r.Header.Set("User-Agent", "bench/1.0")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Accept-Encoding", "gzip")
		for pb.Next() {
			w := &sink{h: http.Header{}}
			h.ServeHTTP(w, r)
			if w.status != http.StatusOK {
				b.Errorf("status %d", w.status)
			}
		}
	})
}

type sink struct {
	h      http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkUpstream(b *testing.B) {
	up, err := gateway.New(gateway.Settings{Name: "orders", Addresses: []string{benchUpstream(b).URL}})
	if err != nil {
		b.Fatal(err)
	}
	defer up.Close()
	benchHandler(b, up)
}

func BenchmarkReverseProxy(b *testing.B) {
	target, err := url.Parse(benchUpstream(b).URL)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	defer transport.CloseIdleConnections()
	benchHandler(b, &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
}

// benchSockets sends requests through a server with the handler, over kept
// connections: everything but the caller's side is what a gateway does.
func benchSockets(b *testing.B, h http.Handler, body string) {
	b.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	request := "GET /v1/orders/7?expand=items HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
	if body != "" {
		request = fmt.Sprintf("POST /v1/orders HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		buffer := make([]byte, 4096)
		for pb.Next() {
			_, _ = io.WriteString(conn, request)
			if n, err := conn.Read(buffer); err != nil || !bytes.HasPrefix(buffer[:n], []byte("HTTP/1.1 200")) {
				b.Errorf("%q, %v", buffer[:n], err)
				return
			}
		}
	})
}

// fixedUpstream answers every request with the same bytes and next to no work.
func fixedUpstream(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	b.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	answer := []byte("HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n" + `{"id":"7","state":"open","items":[1,2,3]}`)
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				buffer := make([]byte, 8192)
				for {
					n := 0
					for whole := false; !whole; {
						more, err := conn.Read(buffer[n:])
						if err != nil {
							return
						}
						n += more // head and body may come apart
						whole = bytes.HasSuffix(buffer[:n], []byte("\r\n\r\n")) && !bytes.HasPrefix(buffer, []byte("POST")) || bytes.HasSuffix(buffer[:n], []byte("xxxx"))
					}
					_, _ = conn.Write(answer)
				}
			})
		}
	})
	return "http://" + listener.Addr().String()
}

func BenchmarkSocketsUpstream(b *testing.B) {
	identity := &shield.Identity{Shield: "api_key", CredentialID: "k1", Client: "shop", Scopes: shield.Scopes{"orders:read"}}
	up, err := gateway.New(gateway.Settings{
		Name: "orders", Addresses: []string{fixedUpstream(b)}, Signer: signer(b),
		Identity: func(*http.Request) *shield.Identity { return identity }, RequestID: func(*http.Request) string { return "0123456789ABCDEF" },
	})
	if err != nil {
		b.Fatal(err)
	}
	defer up.Close()
	b.Run("get", func(b *testing.B) { benchSockets(b, up, "") })
	b.Run("post", func(b *testing.B) { benchSockets(b, up, strings.Repeat("x", 256)) })
}

func BenchmarkSocketsReverseProxy(b *testing.B) {
	target, err := url.Parse(fixedUpstream(b))
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 512}
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	b.Run("get", func(b *testing.B) { benchSockets(b, proxy, "") })
	b.Run("post", func(b *testing.B) { benchSockets(b, proxy, strings.Repeat("x", 256)) })
}

func BenchmarkToken(b *testing.B) {
	up, err := gateway.New(gateway.Settings{Name: "orders", Addresses: []string{fixedUpstream(b)}, Signer: signer(b)})
	if err != nil {
		b.Fatal(err)
	}
	defer up.Close()
	b.ReportAllocs()
	for b.Loop() {
		id := shield.Identity{Shield: "api_key", CredentialID: "k1", Client: "shop", Issuer: "pavise", Subject: "shop", Scopes: shield.Scopes{"orders:read"}}
		if token, err := gateway.TokenFor(up, &id); err != nil || token == "" {
			b.Fatal(err)
		}
	}
}
