package review_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/review"
)

// big is an installation with many of everything.
func big() *review.Granted {
	g := &review.Granted{}
	for i := range 300 {
		g.Endpoints = append(g.Endpoints, review.Configured{API: "orders", Pattern: fmt.Sprintf("GET /v1/things%d/{id}", i), Scopes: []string{fmt.Sprintf("s%d:read", i%60)}})
	}
	for i := range 500 {
		id := fmt.Sprintf("client%d", i)
		g.Clients = append(g.Clients, client.Client{ID: id, Scopes: []string{"s1:read", "s2:read", "s3:read"}, Created: ago(300)})
		for k := range 3 {
			g.Credentials = append(g.Credentials, client.Credential{Kind: "api_key", ID: fmt.Sprintf("K%dX%d", i, k), Client: id, Created: ago(200)})
		}
	}
	return g
}

// writeLog writes a log of n events in segments of 64 MiB, as a gateway does, without the
// hashes, which nobody here looks at.
func writeLog(b *testing.B, dir string, n int) (size int64) {
	b.Helper()
	e := audit.Event{
		Class: audit.Request, TLS: "1.3", SNI: "api.example.com", Proto: "HTTP/2.0", Method: "GET", Host: "api.example.com", UserAgent: "shop/1.7 (linux; amd64)", API: "orders",
		Step: "proxy", Decision: audit.Accepted, Status: 200, Shield: "api_key", Issuer: "pavise", Tenant: "t1", Proved: true, Upstream: "127.0.0.1:9000", UpstreamStatus: 200,
		BytesOut: 1234, Duration: 1500 * time.Microsecond, UpstreamDuration: 1200 * time.Microsecond, Trace: strings.Repeat("a1", 16), Span: strings.Repeat("b2", 8),
	}
	salt, mac := strings.Repeat("A", 22), strings.Repeat("A", 43)
	var file *os.File
	var out *bufio.Writer
	written := int64(64 << 20)
	var text []byte
	shut := func() {
		if file == nil {
			return
		}
		if err := out.Flush(); err != nil {
			b.Fatal(err)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		if written >= 64<<20 {
			shut()
			var err error
			if file, err = os.Create(filepath.Join(dir, fmt.Sprintf("events-%020d.jsonl", i+1))); err != nil {
				b.Fatal(err)
			}
			out, written = bufio.NewWriterSize(file, 1<<20), 0
		}
		c := i * 7919 % 500
		e.ID, e.Time = fmt.Sprintf("%026x", i), ago(80).Add(time.Duration(i)*600*time.Millisecond)
		e.Client, e.Subject, e.CredentialID = fmt.Sprintf("client%d", c), fmt.Sprintf("client%d", c), fmt.Sprintf("K%dX%d", c, i%3)
		e.Endpoint, e.Path = fmt.Sprintf("GET /v1/things%d/{id}", i%300), fmt.Sprintf("/v1/things%d/%d", i%300, i)
		e.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(c), byte(i % 5), byte(i)}), uint16(i))
		e.Peer = e.Remote
		if e.Decision, e.Step, e.Code = audit.Accepted, "proxy", ""; i%20 == 0 {
			e.Decision, e.Step, e.Code, e.Detail = audit.Refused, "access", "insufficient_scope", "missing s9:read; has s1:read"
		} else {
			e.Detail = ""
		}
		text = fmt.Appendf(text[:0], `{"seq":%d,"ref":%d,"event":`, i+1, i+1)
		text = fmt.Appendf(audit.AppendJSON(text, &e), `,"salt":"%s","mac":"%s"}`+"\n", salt, mac)
		if _, err := out.Write(text); err != nil {
			b.Fatal(err)
		}
		written, size = written+int64(len(text)), size+int64(len(text))
	}
	shut()
	return size
}

// BenchmarkLook reviews a log: of 100,000 events, or of as many as EVENTS says.
func BenchmarkLook(b *testing.B) {
	n := 100_000
	if text := os.Getenv("EVENTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	b.SetBytes(writeLog(b, dir, n))
	g := big()
	b.ReportAllocs()
	for b.Loop() {
		used, err := review.Read(b.Context(), []string{dir}, g, review.Window{Since: ago(90), Until: now()})
		if err != nil || used.Records != n || used.Accepted == 0 {
			b.Fatalf("%d of %d records: %v", used.Records, n, err)
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.Sys)/1e6, "MB-of-memory")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
