package replay_test

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/edge"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/public"
)

// verdict is what became of a request.
type verdict struct {
	door    bool            // refused before any rule was asked
	form    bool            // refused because a rule cannot read it
	refused map[string]bool // by which judge
	rules   map[string][]string
}

// panel is a layer that asks every judge, and refuses nothing.
type panel struct {
	judges map[string]pavise.Layer
	last   *verdict
}

func (p *panel) Body() int64 { return 1 << 40 }

func (p *panel) Check(r *http.Request, id *shield.Identity) error {
	p.last = &verdict{refused: map[string]bool{}, rules: map[string][]string{}}
	for name, layer := range p.judges {
		err := layer.Check(r, id)
		refusal, ok := errors.AsType[*shield.Refusal](err)
		switch {
		case err == nil:
		case !ok:
			return err
		case refusal.Code == shield.Injection:
			p.last.refused[name] = true
			for _, f := range refusal.Fields {
				p.last.rules[name] = append(p.last.rules[name], f.Rule)
			}
		default:
			p.last.form = true
		}
	}
	return nil
}

// gateway is a guard behind the edge, on a socket of its own, for one request at a time.
type gateway struct {
	panels  []*panel
	address string
}

func start(t testing.TB, judges []judge) *gateway {
	t.Helper()
	g := &gateway{}
	var endpoints []pavise.Endpoint
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		pattern := method + " /{path...}"
		p := &panel{judges: map[string]pavise.Layer{}}
		for _, j := range judges {
			p.judges[j.name] = j.layer(pattern)
		}
		g.panels = append(g.panels, p)
		endpoints = append(endpoints, pavise.Endpoint{Pattern: pattern, Shield: anybody(t), AnyScope: true, Harm: p})
	}
	guard, err := pavise.New(pavise.Policy{
		Hosts: []pavise.Host{{Name: "localhost"}}, Sink: &audit.Memory{},
		APIs: []pavise.API{{Name: "replay", Hosts: []string{"localhost"}, Endpoints: endpoints}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := edge.New(edge.Config{
		Handler: guard.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })),
		Log:     log.New(io.Discard, "", 0), Fault: func(edge.Fault) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.address = listener.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		serving.Wait()
	})
	return g
}

// send sends a request and waits until the gateway has answered.
func (g *gateway) send(t testing.TB, wire string) verdict {
	t.Helper()
	for _, p := range g.panels {
		p.last = nil
	}
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, wire) // an edge that refuses a head need not read on
	if half, ok := conn.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("no answer to %q", wire)
	}
	for _, p := range g.panels {
		if p.last != nil {
			return *p.last
		}
	}
	return verdict{door: true}
}

func anybody(t testing.TB) shield.Shield {
	t.Helper()
	s, err := (&public.Config{Reason: "the suite has no credentials"}).Open(shield.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
