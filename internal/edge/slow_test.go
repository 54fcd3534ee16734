package edge_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

var short = edge.Limits{
	Handshake: 150 * time.Millisecond, Header: 150 * time.Millisecond, Idle: 150 * time.Millisecond,
	Stall: 150 * time.Millisecond, Rate: 1 << 20,
}

// trickle sends a byte every few milliseconds until the connection ends: each
// byte comes soon, all of them never.
func trickle(p *peer, s string, stop <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if _, err := io.WriteString(p, s[i%len(s):i%len(s)+1]); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

func TestSlowHead(t *testing.T) {
	attacktest.Rows(t, 118)
	s := start(t, edge.Config{Handler: &echo{}, Limits: short})
	p := dial(t, s.Addr)
	stop := make(chan struct{})
	defer close(stop)
	p.send("GET / HTTP/1.1\r\n" + host)
	go trickle(p, "X-A: b\r\n", stop)
	r, body := p.answer()
	if r.StatusCode != 408 || problemOf(t, r, body).Code != "timeout" {
		t.Errorf("answered %d %q", r.StatusCode, body)
	}
	p.ended()
	if f := s.Faults.next(t); f.Code != edge.Timeout || f.Step != edge.StepHTTP1 {
		t.Errorf("fault %+v", f)
	}
}

func TestSlowBody(t *testing.T) {
	attacktest.Rows(t, 118)
	for name, c := range map[string]struct{ head, body string }{
		"Content-Length": {"POST / HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n", "a"},
		"chunks":         {chunked, "1\r\na\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := make(chan error, 1)
			s := start(t, edge.Config{Limits: short, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				errs <- err
			})})
			p := dial(t, s.Addr)
			stop := make(chan struct{})
			defer close(stop)
			p.send(c.head)
			go trickle(p, c.body, stop)
			if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the handler's read ended with %v", err)
			}
			if f := s.Faults.next(t); f.Code != edge.Timeout {
				t.Errorf("fault %+v", f)
			}
			p.answer()
			p.ended()
		})
	}
}

// A handler that expects a slow body says so with a deadline of its own.
func TestHandlersOwnDeadlineReplacesTheLimit(t *testing.T) {
	const n = 40 // bytes, 10 ms each: more than the limit in all
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			got := make(chan error, 1)
			s := start(t, edge.Config{TLS: tlsPolicy(), Limits: short, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Error(err)
				}
				_, err := io.ReadFull(r.Body, make([]byte, n))
				got <- err
			})})
			body, send := io.Pipe()
			go func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for range n {
					if _, err := send.Write([]byte("a")); err != nil {
						return
					}
					<-tick.C
				}
				send.Close()
			}()
			client := s.client(t, proto)
			r, err := client.Post("https://edge.test/", "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if err := <-got; err != nil {
				t.Errorf("the body ended with %v", err)
			}
			if f := s.Faults.list(); len(f) != 0 {
				t.Errorf("faults: %+v", f)
			}
		})
	}
}

func TestSlowReader(t *testing.T) {
	attacktest.Rows(t, 118)
	errs := make(chan error, 1)
	s := start(t, edge.Config{Limits: short, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, io.LimitReader(zeros{}, 1<<30))
		errs <- err
	})})
	p := dial(t, s.Addr)
	p.send("GET / HTTP/1.1\r\n" + host + "\r\n") // and never reads
	if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the handler's write ended with %v", err)
	}
	if f := s.Faults.next(t); f.Code != edge.Timeout {
		t.Errorf("fault %+v", f)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestIdleConnectionIsClosedSilently(t *testing.T) {
	attacktest.Rows(t, 118)
	s := start(t, edge.Config{Handler: &echo{}, Limits: short})
	kept := dial(t, s.Addr)
	kept.send("GET / HTTP/1.1\r\n" + host + "\r\n")
	kept.answer()
	kept.ended()
	dial(t, s.Addr).ended() // one that never said a word
	if f := s.Faults.list(); len(f) != 0 {
		t.Errorf("faults: %+v", f)
	}
}

func TestEndInsideAHeadIsAFault(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}})
	p := dial(t, s.Addr)
	p.send("GET / HTTP/1.1\r\nHos")
	if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if r, body := p.answer(); r.StatusCode != 400 || problemOf(t, r, body).Code != "incomplete_request" {
		t.Errorf("answered %d %q", r.StatusCode, body)
	}
	p.ended()
}

func TestConnectionLimits(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}, Limits: edge.Limits{PerAddress: 2}})
	one, two := dial(t, s.Addr), dial(t, s.Addr)
	for _, p := range []*peer{one, two} {
		p.send("GET / HTTP/1.1\r\n" + host + "\r\n")
		p.answer()
	}
	three := dial(t, s.Addr)
	three.ended()
	if f := s.Faults.next(t); f.Code != edge.TooManyConnections || f.Step != edge.StepLimit || !strings.Contains(f.Detail, "127.0.0.1/32") {
		t.Errorf("fault %+v", f)
	}
	one.Close()
	for { // the server sees the end a moment later
		p := dial(t, s.Addr)
		if _, err := io.WriteString(p, "GET / HTTP/1.1\r\n"+host+"\r\n"); err != nil {
			continue
		}
		if _, err := http.ReadResponse(p.in, nil); err == nil {
			return
		}
	}
}

func TestHandshakesThatMayNotBeginAreClosedBeforeAnyWork(t *testing.T) {
	var asked []netip.Addr
	may := atomic.Bool{}
	may.Store(true)
	s := start(t, edge.Config{Handler: &echo{}, TLS: tlsPolicy(), Limits: edge.Limits{PerAddress: 2, Handshake: 2 * time.Second}, Handshake: func(a netip.Addr) bool {
		asked = append(asked, a)
		return may.Load()
	}})
	conn, err := tls.Dial("tcp", s.Addr, &tls.Config{RootCAs: s.Roots, ServerName: "edge.test"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	may.Store(false)
	for range 5 { // each gives its place among the connections back
		dial(t, s.Addr).ended()
		f := s.Faults.next(t)
		if f.Code != edge.TooManyHandshakes || f.Step != edge.StepLimit || !strings.Contains(f.Detail, "127.0.0.1/32") {
			t.Errorf("fault %+v", f)
		}
	}
	if len(asked) != 6 || asked[0].String() != "127.0.0.1" {
		t.Errorf("asked for %v", asked)
	}
}
