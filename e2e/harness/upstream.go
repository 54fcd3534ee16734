package harness

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Upstream is the service behind the gateway. It remembers what reached it.
type Upstream struct {
	URL string

	mu       sync.Mutex
	requests []Seen
}

// Seen is a request that reached the upstream.
type Seen struct {
	Method, Target string // the target as it stood in the request line
	Header         http.Header
	Trailer        http.Header
	Body           []byte
}

func startUpstream(t testing.TB, next http.Handler) *Upstream {
	u := &Upstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next != nil {
			u.add(Seen{Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone()})
			next.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body) // what arrived is what counts
		u.add(Seen{Method: r.Method, Target: r.RequestURI, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Body: body})
		_, _ = io.WriteString(w, "served")
	}))
	t.Cleanup(server.Close)
	u.URL = server.URL
	return u
}

func (u *Upstream) add(s Seen) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.requests) == remembered {
		u.requests = append(u.requests[:0], u.requests[remembered/2:]...)
	}
	u.requests = append(u.requests, s)
}

// remembered is how many requests are kept, the newest.
const remembered = 4096

// Requests returns what reached the upstream so far.
func (u *Upstream) Requests() []Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]Seen(nil), u.requests...)
}

// Last returns the newest request, and fails the test if there is none.
func (u *Upstream) Last(t testing.TB) Seen {
	t.Helper()
	all := u.Requests()
	if len(all) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	return all[len(all)-1]
}

// Saw reports whether any request carried the text, anywhere.
func (u *Upstream) Saw(text string) bool {
	for _, s := range u.Requests() {
		if bytes.Contains(s.Body, []byte(text)) || bytes.Contains([]byte(s.Target), []byte(text)) {
			return true
		}
		for name, values := range s.Header {
			for _, value := range append(values, name) {
				if bytes.Contains([]byte(value), []byte(text)) {
					return true
				}
			}
		}
	}
	return false
}
