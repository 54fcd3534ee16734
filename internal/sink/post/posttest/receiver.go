// Package posttest has an HTTP receiver of events that can misbehave.
package posttest

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"pavise.dev/pavise/internal/sink/sinktest"
)

// Receiver takes events by POST.
type Receiver struct {
	URL string

	t      testing.TB
	take   func(w http.ResponseWriter, r *http.Request, body []byte) []string // ids
	mu     sync.Mutex
	mode   sinktest.Mode
	ids    []string
	server *httptest.Server
}

// Start starts one. Take answers a request of a receiver that is well, and returns the ids of
// the events in it.
func Start(t testing.TB, take func(w http.ResponseWriter, r *http.Request, body []byte) []string) *Receiver {
	t.Helper()
	r := &Receiver{t: t, take: take, mode: sinktest.Well}
	r.listen("127.0.0.1:0")
	t.Cleanup(func() { r.Become(sinktest.Away) })
	return r
}

// Modes are those that it can show.
func Modes() []sinktest.Mode {
	return []sinktest.Mode{sinktest.Away, sinktest.Silent, sinktest.Closes, sinktest.Garbage, sinktest.Broken, sinktest.Rejects}
}

func (r *Receiver) listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = httptest.NewUnstartedServer(r)
	_ = r.server.Listener.Close() // another one takes its place
	r.server.Listener = l
	r.server.Start()
	r.URL = r.server.URL
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	in := io.Reader(q.Body)
	if q.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(q.Body)
		if err != nil {
			r.t.Errorf("the body is no gzip: %v", err)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return // the caller has gone
	}
	r.mu.Lock()
	mode := r.mode
	r.mu.Unlock()
	switch mode {
	case sinktest.Silent:
		<-q.Context().Done()
	case sinktest.Closes:
		panic(http.ErrAbortHandler)
	case sinktest.Garbage:
		r.garbage(w)
	case sinktest.Broken:
		w.WriteHeader(http.StatusInternalServerError)
	case sinktest.Rejects:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"text":"Invalid data format","code":6}`)
	default:
		ids := r.take(w, q, body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids = append(r.ids, ids...)
	}
}

func (r *Receiver) garbage(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		r.t.Errorf("hijack: %v", err)
		return
	}
	_, _ = io.WriteString(conn, "\x00\x01 what? \r\n\r\n")
	_ = conn.Close()
}

// Got returns the ids of what has arrived.
func (r *Receiver) Got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

// Become changes how it behaves from now on.
func (r *Receiver) Become(mode sinktest.Mode) {
	r.mu.Lock()
	was := r.mode
	r.mode = mode
	r.mu.Unlock()
	if was != sinktest.Away {
		r.server.CloseClientConnections()
	}
	switch {
	case mode == sinktest.Away && was != sinktest.Away:
		r.server.Close()
	case mode != sinktest.Away && was == sinktest.Away:
		r.listen(r.server.Listener.Addr().String())
	}
}
