// Package vulnerable is a small shop's API with faults: what penetration tests must find. Each of the
// [Faults] has a switch, and without its fault the API does the same thing as it should be done.
// Everything is in memory; commands, files, queries and templates are played, so that nothing of the
// machine can be reached through it, but for the addresses that the fault ssrf fetches: those of
// this machine alone.
//
//	faults.go      the faults
//	document.yaml  the API's description
//	shop.go        its operations; play.go what they play
//	token.go       its tokens
//	graph.go       its GraphQL; xml.go its XML
//
// It must never be reachable by others. `go run ./internal/attack/vulnerable/serve` listens on this
// machine alone.
package vulnerable

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed document.yaml
var document []byte

// Document is the API's OpenAPI document.
func Document() []byte { return document }

// API is the shop.
type API struct {
	// Wait passes the time where the API plays that something takes long; nil: on the real clock.
	Wait func(ctx context.Context, d time.Duration) error

	on     map[string]bool
	now    func() time.Time
	issuer *issuer
	mux    *http.ServeMux

	mu     sync.Mutex
	users  map[string]*user
	orders map[string]*order
	made   int
	keys   map[string]string // Idempotency-Key → order
	spent  map[string]*spent
	wrong  map[string]int // passwords of a user
}

type user struct {
	id, name, account, role, hash string

	language string
	lent     int // what the shop lends
}

type order struct{ id, owner, item, note, status string }

// spent are the requests of a caller in a second.
type spent struct {
	second int64
	count  int
}

// New makes the API with some of its faults; now is its clock, nil: time.Now.
func New(now func() time.Time, faults ...string) (*API, error) {
	if now == nil {
		now = time.Now
	}
	a := &API{on: map[string]bool{}, now: now, orders: map[string]*order{}, keys: map[string]string{}, spent: map[string]*spent{}, wrong: map[string]int{}}
	known := map[string]bool{}
	for _, f := range Faults() {
		known[f.Name] = true
	}
	var errs []error
	for _, name := range faults {
		if !known[name] {
			errs = append(errs, fmt.Errorf("there is no fault %q", name))
		}
		a.on[name] = true
	}
	a.users = map[string]*user{
		"alice": {"5f0c1e9a-3b7d-4c21-9e55-a1c3d5e7f901", "Alice", "AC-5501-7731", "customer", "$2b$12$Qm1kT4bqv0mJYb7Zs6sC2eM6yVv1Xo0mJfC2j0xkPq9s0n3b1aZ7K", "en", 100},
		"bob":   {"b81d2f64-90ce-4a3e-8d17-c4e6f80a2b13", "Bob", "AC-8842-1190", "customer", "$2b$12$Zx9kT4bqv0mJYb7Zs6sC2eM6yVv1Xo0mJfC2j0xkPq9s0n3b1aZ7L", "en", 100},
		"root":  {"0d9e8c7b-6a5f-4e3d-8c1b-a09f8e7d6c5b", "Root", "AC-0001-0001", "admin", "$2b$12$Aa9kT4bqv0mJYb7Zs6sC2eM6yVv1Xo0mJfC2j0xkPq9s0n3b1aZ7M", "en", 100},
	}
	for i, owner := range []string{"alice", "alice", "bob", "bob"} {
		a.place(owner, []string{"umbrella", "boots"}[i%2], "blue", []string{"open", "sent"}[i%2])
	}
	var err error
	if a.issuer, err = newIssuer(a); err != nil {
		errs = append(errs, err)
	}
	a.routes()
	return a, errors.Join(errs...)
}

// Token is the credential of a user: alice and bob are customers, root is an administrator.
func (a *API) Token(name string) (string, error) {
	if a.users[name] == nil {
		return "", fmt.Errorf("there is no user %q: alice, bob and root", name)
	}
	return a.issuer.token(name)
}

// place makes an order; the lock is held, or nobody else is there yet.
func (a *API) place(owner, item, note, status string) *order {
	a.made++
	o := &order{fmt.Sprintf("%08x-77aa-4c0d-9b1e-%012x", uint32(a.made)*2654435761, a.made*7919), owner, item, note, status}
	a.orders[o.id] = o
	return o
}

// ServeHTTP does what happens before every operation, and the operation.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if a.on["version-told"] {
		h.Set("Server", "CornerShop/2.4.1")
	}
	if a.on["method-override"] && r.Header.Get("X-HTTP-Method-Override") != "" {
		r = r.Clone(r.Context())
		r.Method = r.Header.Get("X-HTTP-Method-Override")
	}
	switch {
	case r.Method == http.MethodTrace && a.on["trace-method"]:
		h.Set("Content-Type", "message/http")
		_ = r.Write(w) // the caller may be gone
		return
	case !a.on["no-rate-limit"] && a.tooMany(r):
		h.Set("Retry-After", "1")
		problem(w, http.StatusTooManyRequests)
		return
	}
	if a.on["header-injection-path"] && strings.ContainsAny(r.URL.Path, "\r\n") {
		splitHead(w, "302 Found", "Location: "+r.URL.Path)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// maxPerSecond is what one caller may ask for.
const maxPerSecond = 150

func (a *API) tooMany(r *http.Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	caller, second := r.Header.Get("Authorization"), a.now().Unix()
	s := a.spent[caller]
	if s == nil || s.second != second {
		s = &spent{second: second}
		a.spent[caller] = s
	}
	s.count++
	return s.count > maxPerSecond
}

// caller is who asks; empty: nobody.
func (a *API) caller(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != "Bearer" {
		token = ""
	}
	if token == "" && a.on["credential-in-query"] {
		token = r.URL.Query().Get("access_token")
	}
	return a.issuer.userOf(token)
}
