package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"pavise.dev/pavise/internal/gateway"
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
