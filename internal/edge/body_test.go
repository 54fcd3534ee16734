package edge_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/edge"
)

const (
	chunked  = "POST /first HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"
	trailing = "POST /first HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
	second   = "GET /second HTTP/1.1\r\n" + host + "\r\n"
)

// Forms that are refused in a body: the handler's read fails, and nothing after
// is a request.
var refusedBodies = map[string]string{
	"a chunk extension":              chunked + "5;a=b\r\nhello\r\n0\r\n\r\n",
	"an extension with a bare LF":    chunked + "5;a\nhello\r\n0\r\n\r\n",
	"a size ended by a bare LF":      chunked + "5\nhello\r\n0\r\n\r\n",
	"a size ended by CR alone":       chunked + "5\rXhello\r\n0\r\n\r\n",
	"a size with 0x":                 chunked + "0x5\r\nhello\r\n0\r\n\r\n",
	"a size with a plus":             chunked + "+5\r\nhello\r\n0\r\n\r\n",
	"a size with a space before":     chunked + " 5\r\nhello\r\n0\r\n\r\n",
	"a size with a space after":      chunked + "5 \r\nhello\r\n0\r\n\r\n",
	"a size with an underscore":      chunked + "0_5\r\nhello\r\n0\r\n\r\n",
	"no size":                        chunked + "\r\nhello\r\n0\r\n\r\n",
	"a size beyond 64 bits":          chunked + "10000000000000005\r\nhello\r\n0\r\n\r\n",
	"a size of 2^63":                 chunked + "8000000000000000\r\nhello\r\n0\r\n\r\n",
	"more data than the size":        chunked + "5\r\nhelloo\r\n0\r\n\r\n",
	"less data than the size":        chunked + "5\r\nhell\r\n0\r\n\r\n",
	"data ended by a bare LF":        chunked + "5\r\nhello\n0\r\n\r\n",
	"data ended by CR alone":         chunked + "5\r\nhello\rX0\r\n\r\n",
	"a trailer that is not declared": trailing + "0\r\nX-Other: 1\r\n\r\n",
	"any trailer, none declared":     chunked + "0\r\nX-Sum: 1\r\n\r\n",
	"a trailer with a bare LF":       trailing + "0\r\nX-Sum: 1\n\r\n",
	"a folded trailer":               trailing + "0\r\nX-Sum: 1\r\n 2\r\n\r\n",
	"a control byte in a trailer":    trailing + "0\r\nX-Sum: 1\x00\r\n\r\n",
	"the end by a bare LF":           trailing + "0\r\n\n",
	"3 kB of trailers":               trailing + "0\r\n" + strings.Repeat("X-Sum: "+strings.Repeat("a", 90)+"\r\n", 30) + "\r\n",
	"40 trailers":                    trailing + "0\r\n" + strings.Repeat("X-Sum: a\r\n", 40) + "\r\n",
}

// When the fault comes before the handler runs, the edge answers.
func TestRefusedBodiesWithTheHead(t *testing.T) {
	attacktest.Rows(t, 114)
	for name, send := range refusedBodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := &echo{}
			s := start(t, edge.Config{Handler: seen})
			p := dial(t, s.Addr)
			p.send(send + second)
			r, body := p.answer()
			f := s.Faults.next(t)
			if doc := problemOf(t, r, body); doc.Code != string(f.Code) || doc.RequestID != f.ID || r.StatusCode < 400 || !r.Close {
				t.Errorf("answered %d %+v, fault %+v", r.StatusCode, doc, f)
			}
			p.ended()
			if got := seen.requests(); len(got) != 0 {
				t.Errorf("the handler saw %q", got)
			}
		})
	}
}

// When it comes while the handler reads, the read fails.
func TestRefusedBodiesBehindTheHead(t *testing.T) {
	attacktest.Rows(t, 114)
	for name, send := range refusedBodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started, errs := make(chan struct{}, 2), make(chan error, 2)
			s := start(t, edge.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/first" {
					t.Errorf("the handler saw %s", r.URL.Path)
				}
				started <- struct{}{}
				_, err := io.ReadAll(r.Body)
				errs <- err
			})})
			p := dial(t, s.Addr)
			head, body, _ := strings.Cut(send, "\r\n\r\n")
			p.send(head + "\r\n\r\n")
			<-started
			p.send(body + second)
			p.answer() // what the handler makes of it
			p.ended()
			err := <-errs
			e, ok := errors.AsType[*edge.Error](err)
			if !ok {
				t.Fatalf("the handler's read ended with %v", err)
			}
			f := s.Faults.next(t)
			if f != e.Fault {
				t.Errorf("reported %+v, the handler got %+v", f, e.Fault)
			}
			if f.Step != edge.StepHTTP1 || f.Status != 0 {
				t.Errorf("fault %+v", f)
			}
		})
	}
}

// A handler that does not read the body at all does not hide the fault in it, nor
// the request behind it.
func TestFaultInAnUnreadBody(t *testing.T) {
	attacktest.Rows(t, 114)
	started, release := make(chan struct{}, 2), make(chan struct{})
	s := start(t, edge.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			t.Errorf("the handler saw %s", r.URL.Path)
		}
		started <- struct{}{}
		<-release
		w.WriteHeader(http.StatusUnauthorized)
	})})
	p := dial(t, s.Addr)
	p.send(chunked)
	<-started
	p.send("5;a=b\r\nhello\r\n0\r\n\r\n" + second)
	close(release)
	if r, _ := p.answer(); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("answered %d", r.StatusCode)
	}
	p.ended()
	if f := s.Faults.next(t); f.Code != edge.BadFraming {
		t.Errorf("fault %+v", f)
	}
}

// The classic: a server that believes Content-Length would read the second
// request as a body, one that believes the chunks serves it.
func TestSmuggledRequestIsNotServed(t *testing.T) {
	attacktest.Rows(t, 114)
	for name, send := range map[string]string{
		"CL.TE":  "POST / HTTP/1.1\r\n" + host + "Content-Length: 49\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
		"TE.CL":  "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2b\r\n" + second + "\r\n0\r\n\r\n",
		"TE.TE":  "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n" + second,
		"TE. CL": "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + second,
	} {
		t.Run(name, func(t *testing.T) {
			seen := &echo{}
			s := start(t, edge.Config{Handler: seen})
			p := dial(t, s.Addr)
			p.send(send)
			if r, _ := p.answer(); r.StatusCode != 400 {
				t.Errorf("answered %d", r.StatusCode)
			}
			p.ended()
			if got := seen.requests(); len(got) != 0 {
				t.Errorf("the handler saw %q", got)
			}
		})
	}
}

func TestPipelinedRequestsAreServedInOrder(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}})
	p := dial(t, s.Addr)
	var send, want strings.Builder
	for i := range 50 {
		body := strings.Repeat("x", i*7)
		if i%2 == 0 {
			fmt.Fprintf(&send, "POST /%d HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", i, host, len(body), body)
		} else {
			fmt.Fprintf(&send, "POST /%d HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, host, len(body), body)
		}
		fmt.Fprintf(&want, "POST /%d %s\n", i, body)
	}
	p.send(send.String())
	var got strings.Builder
	for range 50 {
		_, body := p.answer()
		got.WriteString(body + "\n")
	}
	if got.String() != want.String() {
		t.Errorf("got %q", got.String())
	}
}

// While one request is being answered, a fault in the next must neither disturb
// it nor be answered in the middle of its answer.
func TestFaultBehindARequestInProgress(t *testing.T) {
	attacktest.Rows(t, 114)
	for name, next := range map[string]string{
		"its first byte is wrong": "\r\nGET / HTTP/1.1\r\n" + host + "\r\n",
		"a later byte is wrong":   "GET /x HTTP/1.0\r\n" + host + "\r\n",
		"much more than a buffer": strings.Repeat("\x00", 3000),
	} {
		t.Run(name, func(t *testing.T) {
			started, release := make(chan struct{}), make(chan struct{})
			s := start(t, edge.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(started)
				<-release
				if err := r.Context().Err(); err != nil {
					t.Errorf("the request's context ended: %v", err)
				}
				_, _ = io.WriteString(w, "good")
			})})
			p := dial(t, s.Addr)
			p.send("GET / HTTP/1.1\r\n" + host + "\r\n")
			<-started
			p.send(next)
			if f := s.Faults.list(); len(f) != 0 {
				t.Errorf("a fault before its time: %+v", f)
			}
			close(release)
			if r, body := p.answer(); r.StatusCode != 200 || body != "good" {
				t.Errorf("answered %d %q", r.StatusCode, body)
			}
			if r, body := p.answer(); r.StatusCode < 400 || problemOf(t, r, body).Code == "" {
				t.Errorf("answered %d %q", r.StatusCode, body)
			}
			p.ended()
		})
	}
}

func TestClientThatGoesAwayEndsTheContext(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	s := start(t, edge.Config{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(ended)
	})})
	p := dial(t, s.Addr)
	p.send("GET / HTTP/1.1\r\n" + host + "\r\n")
	<-started
	p.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the handler's context did not end")
	}
}

func TestExpectContinue(t *testing.T) {
	s := start(t, edge.Config{Handler: &echo{}})
	p := dial(t, s.Addr)
	for range 2 {
		p.send("POST / HTTP/1.1\r\n" + host + "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
		line, err := p.in.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		if line, err = p.in.ReadString('\n'); err != nil || line != "\r\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		p.send("hello")
		if _, body := p.answer(); body != "POST / hello" {
			t.Errorf("answered %q", body)
		}
	}
}

// After a handler took the connection over, bytes pass that are no HTTP, in both
// directions, those too that came with the request.
func TestHijackedConnectionPassesEverything(t *testing.T) {
	for name, early := range map[string]string{"nothing early": "", "bytes with the request": "\x81\x00\n", "a method's first byte": "G\x00\n"} {
		t.Run(name, func(t *testing.T) {
			s := start(t, edge.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c, buffered, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				go tunnel(t, c, buffered)
			})})
			p := dial(t, s.Addr)
			p.send("GET / HTTP/1.1\r\n" + host + "Connection: upgrade\r\nUpgrade: frogs\r\n\r\n" + early)
			r, err := http.ReadResponse(p.in, nil)
			if err != nil || r.StatusCode != 101 {
				t.Fatalf("answered %v, %v", r, err)
			}
			const noHTTP = "\x00\x01GET / HTTP/9\n\r\x82\n"
			p.send(noHTTP)
			got := make([]byte, len(early)+len(noHTTP))
			if _, err := io.ReadFull(p.in, got); err != nil || string(got) != early+noHTTP {
				t.Errorf("came back %q, %v", got, err)
			}
			p.Close()
			if f := s.Faults.list(); len(f) != 0 {
				t.Errorf("faults: %+v", f)
			}
		})
	}
}

func tunnel(t *testing.T, c net.Conn, buffered *bufio.ReadWriter) {
	defer c.Close()
	if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: frogs\r\n\r\n"); err != nil {
		t.Error(err)
		return
	}
	_, _ = io.Copy(c, buffered) // until the client goes
}
