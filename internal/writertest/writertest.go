// Package writertest holds the promises of the guard's response writer, as a
// suite that runs over HTTP/1.1 and HTTP/2 sockets. A wrapper that keeps them can
// stand between any handler and any server.
package writertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// Wrap puts the writer under test around a handler. The path of every request
// is /t, the host 127.0.0.1.
type Wrap func(t *testing.T, h http.Handler) http.Handler

// Run holds the wrapper to its promises over HTTP/1.1 and HTTP/2.
func Run(t *testing.T, wrap Wrap) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := suite{wrap: wrap, http2: protocol == "HTTP/2.0"}
			t.Run("passes status, headers and body", s.plain)
			t.Run("answers 200 for a handler that says nothing", s.silent)
			t.Run("keeps the first status", s.firstStatus)
			t.Run("passes informational answers and does not take them for the final one", s.informational)
			t.Run("flushes before the handler ends", s.flushes)
			t.Run("flushes through a response controller", s.controllerFlushes)
			t.Run("copies from a reader", s.readsFrom)
			t.Run("sends declared trailers", s.trailers)
			t.Run("has no body for HEAD", s.head)
			t.Run("has no body for 204 and 304", s.bodiless)
			t.Run("aborts the answer on ErrAbortHandler", s.aborts)
			t.Run("reads and writes at once where asked", s.duplex)
			t.Run("sets deadlines through a response controller", s.deadlines)
			if protocol == "HTTP/1.1" {
				t.Run("gives the connection away", s.hijacks)
			} else {
				t.Run("refuses to give an HTTP/2 connection away", s.refusesHijack)
			}
		})
	}
}

// RunHeld holds a wrapper to its promises that keeps answers back until they are whole: when
// bytes leave, trailers, and connections that are given away are not among them.
func RunHeld(t *testing.T, wrap Wrap) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			s := suite{wrap: wrap, http2: protocol == "HTTP/2.0"}
			t.Run("passes status, headers and body", s.plain)
			t.Run("answers 200 for a handler that says nothing", s.silent)
			t.Run("keeps the first status", s.firstStatus)
			t.Run("passes informational answers and does not take them for the final one", s.informational)
			t.Run("copies from a reader", s.readsFrom)
			t.Run("has no body for HEAD", s.head)
			t.Run("has no body for 204 and 304", s.bodiless)
			t.Run("refuses to give the connection away once an answer is held", s.refusesHijackOfHeld)
		})
	}
}

type suite struct {
	wrap  Wrap
	http2 bool
}

// serve starts a server with the wrapped handler and returns its address and a
// client for it.
func (s suite) serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *http.Client) {
	t.Helper()
	server := httptest.NewUnstartedServer(s.wrap(t, h))
	server.EnableHTTP2 = s.http2
	if s.http2 {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	client := server.Client()
	client.Timeout = 10 * time.Second
	return server, client
}

func (s suite) get(t *testing.T, h http.HandlerFunc) (*http.Response, string, error) {
	t.Helper()
	server, client := s.serve(t, h)
	response, err := client.Get(server.URL + "/t")
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

func (s suite) plain(t *testing.T) {
	response, body, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Test", "a")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "tea")
	})
	if err != nil || response.StatusCode != http.StatusTeapot || response.Header.Get("X-Test") != "a" || body != "tea" {
		t.Errorf("%v %q, %v", response, body, err)
	}
	if s.http2 != (response.ProtoMajor == 2) {
		t.Errorf("the suite spoke %s", response.Proto)
	}
}

func (s suite) silent(t *testing.T) {
	response, body, err := s.get(t, func(http.ResponseWriter, *http.Request) {})
	if err != nil || response.StatusCode != http.StatusOK || body != "" {
		t.Errorf("%v %q, %v", response, body, err)
	}
}

func (s suite) firstStatus(t *testing.T) {
	response, _, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusInternalServerError)
	})
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Errorf("%v, %v", response, err)
	}
}

func (s suite) informational(t *testing.T) {
	server, client := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusCreated)
	})
	var hints []int
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		hints = append(hints, code)
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, server.URL+"/t", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusCreated || len(hints) != 1 || hints[0] != http.StatusEarlyHints {
		t.Errorf("final %d after %v, want 201 after [103]", response.StatusCode, hints)
	}
}

func (s suite) flushes(t *testing.T) {
	s.flushesWith(t, func(w http.ResponseWriter) error {
		flusher, ok := w.(http.Flusher)
		if !ok {
			return errors.New("the writer is no Flusher")
		}
		flusher.Flush()
		return nil
	})
}

func (s suite) controllerFlushes(t *testing.T) {
	s.flushesWith(t, func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() })
}

func (s suite) flushesWith(t *testing.T, flush func(http.ResponseWriter) error) {
	received := make(chan struct{})
	server, client := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		if err := flush(w); err != nil {
			t.Errorf("flush: %v", err)
		}
		select {
		case <-received:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "second\n")
	})
	response, err := client.Get(server.URL + "/t")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	first, err := lines.ReadString('\n')
	close(received)
	if err != nil || first != "first\n" {
		t.Fatalf("%q, %v before the handler ended", first, err)
	}
	if second, err := lines.ReadString('\n'); err != nil || second != "second\n" {
		t.Errorf("%q, %v", second, err)
	}
}

func (s suite) readsFrom(t *testing.T) {
	const size = 3 << 20
	_, body, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		n, err := io.Copy(w, io.LimitReader(letters{}, size))
		if n != size || err != nil {
			t.Errorf("copied %d, %v", n, err)
		}
	})
	if err != nil || len(body) != size {
		t.Errorf("%d bytes, %v; want %d", len(body), err, size)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func (s suite) trailers(t *testing.T) {
	response, _, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	if err != nil || response.Trailer.Get("X-Sum") != "42" {
		t.Errorf("trailer %v, %v", response.Trailer, err)
	}
}

func (s suite) head(t *testing.T) {
	server, client := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "body")
	})
	response, err := client.Head(server.URL + "/t")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ContentLength != 4 {
		t.Errorf("%d with length %d", response.StatusCode, response.ContentLength)
	}
}

func (s suite) bodiless(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		response, body, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if err != nil || response.StatusCode != status || body != "" {
			t.Errorf("%d: %v %q, %v", status, response, body, err)
		}
	}
}

func (s suite) aborts(t *testing.T) {
	_, _, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "part")
		panic(http.ErrAbortHandler)
	})
	if err == nil {
		t.Error("an aborted answer looked whole")
	}
}

func (s suite) duplex(t *testing.T) {
	server, client := s.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !s.http2 {
			t.Errorf("full duplex: %v", err)
		}
		_, _ = io.WriteString(w, "ready\n")
		_ = http.NewResponseController(w).Flush()
		line, _ := bufio.NewReader(r.Body).ReadString('\n')
		_, _ = io.WriteString(w, line)
	})
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	response, err := client.Post(server.URL+"/t", "text/plain", reader)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	lines := bufio.NewReader(response.Body)
	if first, err := lines.ReadString('\n'); err != nil || first != "ready\n" {
		t.Fatalf("%q, %v before the body was sent", first, err)
	}
	_, _ = io.WriteString(writer, "echo\n")
	if echo, err := lines.ReadString('\n'); err != nil || echo != "echo\n" {
		t.Errorf("%q, %v", echo, err)
	}
}

func (s suite) deadlines(t *testing.T) {
	_, _, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		controller := http.NewResponseController(w)
		if err := errors.Join(controller.SetReadDeadline(time.Time{}), controller.SetWriteDeadline(time.Time{})); err != nil {
			t.Errorf("deadlines: %v", err)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func (s suite) hijacks(t *testing.T) {
	server, _ := s.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		_, _ = fmt.Fprintf(conn, "echo %s", line)
	})
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = fmt.Fprintf(conn, "GET /t HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
	all, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 101 ") || !strings.HasSuffix(string(all), "echo hello\n") {
		t.Errorf("%q, %v", all, err)
	}
}

func (s suite) refusesHijack(t *testing.T) {
	_, _, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("an HTTP/2 connection was given away")
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func (s suite) refusesHijackOfHeld(t *testing.T) {
	response, body, err := s.get(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begun")
		if _, _, err := http.NewResponseController(w).Hijack(); err == nil {
			t.Error("the connection was given away")
		}
	})
	if err != nil || response.StatusCode != http.StatusOK || body != "begun" {
		t.Errorf("%v %q %v", response, body, err)
	}
}
