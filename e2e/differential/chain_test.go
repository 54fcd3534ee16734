package differential

import (
	"context"
	"crypto/ed25519"
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

// chain is edge, guard and gateway as they are built into the program, without TLS.
type chain struct {
	addr    string
	witness witness
}

// methods are those that pass; PUT is one whose body the shield looks at.
const methods = "GET POST PUT PATCH DELETE M-SEARCH TRACE"

func startChain(t *testing.T, upstream string) *chain {
	t.Helper()
	c := &chain{witness: witness{mu: new(sync.Mutex), seen: map[string][]reading{}}}
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
		looks := c.witness
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
	c.addr = l.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		up.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		serving.Wait()
	})
	return c
}
