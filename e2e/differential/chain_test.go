package differential

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
)

// witness is a shield that lets everybody pass, and remembers what it was asked to
// judge: that is what was checked.
type witness struct {
	body int64 // bytes of a body that it looks at; 0: it does not

	mu   *sync.Mutex
	seen map[string][]reading // by the caller's address
}

// Verify implements shield.Shield.
func (w witness) Verify(r *http.Request) (*shield.Identity, error) {
	checked := reading{Method: r.Method, Target: r.RequestURI, Host: r.Host, Fields: map[string][]string{}}
	for name, values := range r.Header {
		checked.Fields[strings.ToLower(name)] = append([]string(nil), values...)
	}
	if w.body > 0 {
		body, err := shield.BodyOf(r)
		if err != nil {
			return nil, err
		}
		text, err := body.Bytes()
		if err != nil {
			return nil, err
		}
		checked.Body = digest(string(text))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[r.RemoteAddr] = append(w.seen[r.RemoteAddr], checked)
	return &shield.Identity{Shield: "witness", CredentialID: "k1", Client: "shop"}, nil
}

// Needs implements shield.Needer.
func (w witness) Needs() shield.Needs { return shield.Needs{Body: w.body} }

// take returns what was checked of a caller's connection, and forgets it.
func (w witness) take(addr string) []reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen[addr]
	delete(w.seen, addr)
	return seen
}

// nowhere is a sink: events are not what is looked at here.
type nowhere struct{}

func (nowhere) Begin(*audit.Event) error { return nil }
func (nowhere) Complete(*audit.Event)    {}

// door is where callers come in.
type door struct {
	dial    func() (net.Conn, error)
	witness *witness // nil: what was checked is not looked at
}

// methods are those that pass; PUT is one whose body the shield looks at.
const methods = "GET POST PUT PATCH DELETE M-SEARCH TRACE"

// startChain is edge, guard and gateway as they are built into the program, without TLS.
func startChain(t *testing.T, upstream string) door {
	t.Helper()
	w := witness{mu: new(sync.Mutex), seen: map[string][]reading{}}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gateway.NewSigner(gateway.SignerSettings{Issuer: "pavise", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	up, err := gateway.New(gateway.Settings{
		Name: "orders", Addresses: []string{upstream}, PreserveHost: true, Signer: signer, Retry: gateway.Retry{Max: -1},
		Breaker: gateway.Breaker{Failures: 1 << 30}, Fail: pavise.Fail,
		Identity:  func(r *http.Request) *shield.Identity { return pavise.IdentityOf(r.Context()) },
		RequestID: func(r *http.Request) string { return pavise.RequestID(r.Context()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	api := pavise.API{Name: "orders", Hosts: []string{"api.example.com"}, Lenient: pavise.Lenient{InsecureTrailers: true}}
	for method := range strings.FieldsSeq(methods) {
		looks := w
		if method == "PUT" {
			looks.body = 1 << 20
		}
		api.Endpoints = append(api.Endpoints, pavise.Endpoint{Pattern: method + " /{rest...}", Shield: looks, AnyScope: true, MaxBody: 1 << 20})
	}
	guard, err := pavise.New(pavise.Policy{Hosts: []pavise.Host{{Name: "api.example.com"}}, Sink: nowhere{}, APIs: []pavise.API{api}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := edge.New(edge.Config{
		Handler: guard.Wrap(up), Log: log.New(io.Discard, "", 0), Fault: func(edge.Fault) {},
		Limits: edge.Limits{Connections: 1 << 20, PerAddress: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		up.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		serving.Wait()
	})
	return door{func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }, &w}
}

// startProgram is the whole program over TLS, with one API for each upstream.
func startProgram(t *testing.T, upstreams map[string]upstream) door {
	t.Helper()
	var yaml strings.Builder
	yaml.WriteString("limits: {address: 100000000/minute, wrong_tries: 100000, connections_per_address: 10000}\nhosts: {api.example.com: {certificate: local}}\nscopes: {}\napis:\n")
	for prefix, u := range upstreams {
		fmt.Fprintf(&yaml, `  %s:
    host: api.example.com
    upstream: {url: "%s", preserve_host: true, retries: 0, breaker_failures: 1000}
    insecure_allow: [{what: trailers, reason: they are compared too}]
    shield: {public: nobody is asked for a credential here}
    endpoints:
`, prefix[1:], u.url)
		for method := range strings.FieldsSeq("GET POST PUT PATCH DELETE") {
			fmt.Fprintf(&yaml, "      %s %s/{rest...}: {scopes: any}\n", method, prefix)
		}
	}
	g := harness.Start(t, harness.Config{YAML: yaml.String()})
	config := g.TLS()
	config.ServerName = "api.example.com"
	return door{dial: func() (net.Conn, error) { return tls.Dial("tcp", g.Address, config) }}
}
