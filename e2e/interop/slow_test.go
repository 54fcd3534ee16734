package interop

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
)

const slowYAML = `
limits: {wrong_tries: 100000, header_timeout: 1s, body_timeout: 1s}
hosts: {127.0.0.1: {certificate: local}}
apis:
  orders:
    host: 127.0.0.1
    upstream: "{{upstream}}"
    endpoints:
      GET /v1/catalog: {shield: api_key, scopes: [orders:read]}
      GET /v1/download: {shield: {public: a download for everybody}}
      POST /v1/upload: {shield: {public: an upload for everybody}}
scopes: {orders:read: See orders}
`

func TestSlowClientsDoNotKeepOthersOut(t *testing.T) {
	attacktest.Rows(t, 118)
	large := bytes.Repeat([]byte("a lot to read\n"), 1<<20)
	for _, test := range []struct {
		name, path string
		args       []string
		closed     bool // slowhttptest sees the end before it has read what the kernel still holds
	}{
		{"heads", "/v1/catalog", []string{"-H", "-i", "1"}, true},
		{"bodies", "/v1/upload", []string{"-B", "-i", "2", "-s", "8192"}, true},
		{"reading", "/v1/download", []string{"-X", "-w", "512", "-y", "1024", "-n", "2", "-z", "32"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := harness.Start(t, harness.Config{YAML: slowYAML, Upstream: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/v1/download" {
					_, _ = w.Write(large)
				}
			})})
			key := g.Issue("api_key", "shop")
			type ended struct {
				out string
				err error
			}
			done := make(chan ended, 1)
			go func() {
				args := append(test.args, "-c", "100", "-r", "100", "-l", "8", "-u", "https://"+g.Address+test.path)
				out, _, err := try(t.Context(), nil, "slowhttptest", args...)
				done <- ended{out, err}
			}()
			for others := 0; ; others++ {
				select {
				case slow := <-done:
					if slow.err != nil {
						t.Fatal(slow.err)
					}
					if strings.Contains(slow.out, "NO\x1b") || test.closed && !strings.Contains(slow.out, "No open connections left") {
						t.Errorf("slowhttptest says:\n%s", slow.out)
					}
					if n := len(g.Events(audit.Query{Code: "timeout"})); n < 50 {
						t.Errorf("%d slow connections of 100 left an event", n)
					}
					if others == 0 {
						t.Error("nobody else was answered meanwhile")
					}
					return
				default:
					g.Accepted(g.Send(key, "GET", "/v1/catalog", ""))
				}
			}
		})
	}
}
