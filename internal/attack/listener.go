package attack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Listener is an address of the tester's own that a target may be given to call: who fetches what a
// caller names, without telling what was there, is found by that alone. It answers what it was told to
// hold at an address that nobody guesses, and nothing else. It is safe for concurrent use.
type Listener struct {
	base   string // "http://192.0.2.7:8099", as the target reaches it
	server *http.Server
	served chan struct{}

	mu    sync.Mutex
	pages map[string]*page
}

// page is what stands at one address.
type page struct {
	media   string
	content []byte
	from    string // who called first; empty: nobody has
}

// Bounds of a listener: who calls it may be hostile.
const (
	maxPages   = 20_000
	maxCallers = 64 // connections at a time
)

// ErrListener is the error of an address at which nobody can be called back.
var ErrListener = errors.New("no target can call back there")

// Listen listens at an address of this machine, host:port. The target reaches it there, or at as,
// where that is not empty: http://tester.example.com:8099, which something forwards.
func Listen(ctx context.Context, address, as string) (*Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen at %.100q: %w: write HOST:PORT", address, ErrListener)
	}
	addr, err := netip.ParseAddr(host)
	if as == "" && (host == "" || err == nil && addr.IsUnspecified()) {
		return nil, fmt.Errorf("listen at %s: %w: name the address by which the target reaches this machine", address, ErrListener)
	}
	if as != "" {
		if u, err := url.Parse(as); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("%.100q: %w: write http://tester.example.com:8099", as, ErrListener)
		}
	}
	var config net.ListenConfig
	inner, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for calls of the target: %w", err)
	}
	if as == "" {
		as = "http://" + inner.Addr().String()
		if err != nil || !addr.IsValid() { // a name stays a name
			_, port, _ := net.SplitHostPort(inner.Addr().String())
			as = "http://" + net.JoinHostPort(host, port)
		}
	}
	l := &Listener{base: strings.TrimSuffix(as, "/"), served: make(chan struct{}), pages: map[string]*page{}}
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	l.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(l.served)
		_ = l.server.Serve(netutil.LimitListener(inner, maxCallers)) // it ends with Close
	}()
	return l, nil
}

// Hold puts something at an address that nobody has been told yet, and returns it. Where too much is
// held already the address is one at which nothing is seen.
func (l *Listener) Hold(media string, content []byte) (address string) {
	word := strings.ToLower(rand.Text())
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pages) < maxPages {
		l.pages["/"+word] = &page{media: media, content: content}
	}
	return l.base + "/" + word
}

// Called is who fetched what is held at an address; empty: nobody did.
func (l *Listener) Called(address string) (from string) {
	path, ok := strings.CutPrefix(address, l.base)
	if !ok {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.pages[path]; p != nil {
		return p.from
	}
	return ""
}

// ServeHTTP answers whoever was given an address.
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if at := strings.LastIndexByte(path, '/'); at > 0 {
		path = path[at:] // below the path of an address that something forwards
	}
	l.mu.Lock()
	p := l.pages[path]
	if p != nil && p.from == "" {
		if p.from = r.RemoteAddr; p.from == "" {
			p.from = "somewhere"
		} else if host, _, err := net.SplitHostPort(p.from); err == nil {
			p.from = host
		}
	}
	l.mu.Unlock()
	if p == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", p.media)
	_, _ = w.Write(p.content) // the caller may be gone
}

// Close ends it.
func (l *Listener) Close() error {
	err := l.server.Close()
	<-l.served
	if err != nil {
		return fmt.Errorf("end the listener: %w", err)
	}
	return nil
}
