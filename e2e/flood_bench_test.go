package e2e

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"
)

const floodedYAML = `
limits: {address: 10000000/minute}
hosts: {127.0.0.1: {certificate: local}}
apis:
  files:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    shield: api_key
    scopes: any
    limit: 100000000/minute per client
    endpoints:
      GET /files/{name}: {}
scopes: {}
`

// BenchmarkAcceptedBesideAFlood measures how long accepted requests take, a thousand a second,
// while another address sends what is refused: four times as many, and as many as its connections
// take. Compare the p99 of the first with the others. Those who flood share the processors with
// the gateway, so that "as many as they can" is worse than an attack from elsewhere.
//
//	go test -run '^$' -bench AcceptedBesideAFlood -benchtime 5000x ./e2e
func BenchmarkAcceptedBesideAFlood(b *testing.B) {
	const guess = "GET /files/a HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: pvs_live_000000000000000000000000000000000000\r\n\r\n"
	const query = "GET /files/a?x=1;y=2 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	for _, flood := range []struct {
		name, request string
		each          time.Duration // between requests of a connection; 0: none
		connections   int
	}{
		{"quiet", "", 0, 0},
		{"4000 guessed keys a second", guess, 4 * time.Millisecond, 16},
		{"4000 broken queries a second", query, 4 * time.Millisecond, 16},
		{"as many guessed keys as 16 connections take", guess, 0, 16},
	} {
		b.Run(flood.name, func(b *testing.B) {
			g := harness.Start(b, harness.Config{YAML: floodedYAML})
			key := g.Issue("api_key", "shop")
			wanted := "GET /files/a HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: " + key.Secret + "\r\n\r\n"
			var over atomic.Bool
			var refused atomic.Int64
			var all sync.WaitGroup
			for range flood.connections {
				all.Go(func() {
					var conn *kept
					for !over.Load() {
						if conn == nil {
							var err error
							if conn, err = from(b, g, "127.0.0.66"); err != nil {
								time.Sleep(time.Millisecond) // the way from elsewhere
								continue
							}
						}
						if asked(conn, flood.request) < 400 {
							_ = conn.Close()
							conn = nil // begin again
							continue
						}
						refused.Add(1)
						time.Sleep(flood.each)
					}
				})
			}
			defer func() { over.Store(true); all.Wait() }()
			conn, err := from(b, g, "127.0.0.1")
			if err != nil {
				b.Fatal(err)
			}
			for range 100 { // to get warm
				asked(conn, wanted)
			}
			times := make([]time.Duration, 0, b.N)
			began, before := time.Now(), refused.Load()
			for b.Loop() {
				begin := time.Now()
				if status := asked(conn, wanted); status != http.StatusOK {
					b.Fatalf("an accepted request is answered %d", status)
				}
				times = append(times, time.Since(begin))
				time.Sleep(time.Millisecond - time.Since(begin)%time.Millisecond)
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(refused.Load()-before)/time.Since(began).Seconds(), "refused/s")
		})
	}
}

// kept is a kept connection.
type kept struct {
	net.Conn
	answers *bufio.Reader
}

// from opens a connection from an address.
func from(b *testing.B, g *harness.Gateway, address string) (*kept, error) {
	plain, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext(b.Context(), "tcp", g.Address)
	if err != nil {
		return nil, err
	}
	config := g.TLS()
	config.ServerName = "127.0.0.1"
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(b.Context()); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return &kept{conn, bufio.NewReader(conn)}, nil
}

// asked sends a request and returns the status of its answer; 0 if there is none.
func asked(k *kept, request string) int {
	if _, err := io.WriteString(k, request); err != nil {
		return 0
	}
	answer, err := http.ReadResponse(k.answers, nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode
}
