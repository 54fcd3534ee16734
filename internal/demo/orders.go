// Package demo is what `pavise demo` shows: a small orders API that knows nothing
// of security, a configuration that puts a different shield on each of its
// endpoints, and a client with one credential for each.
package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
)

// Order is what the API sells.
type Order struct {
	ID    int    `json:"id"`
	Item  string `json:"item"`
	Count int    `json:"count"`

	owner string // the person who placed it; empty: it is there to be looked at by everybody
}

// Orders returns the API: an ordinary handler without any protection. Every
// answer names who called, as Pavise told it.
func Orders() http.Handler {
	shop := &shop{orders: map[int]Order{7: {ID: 7, Item: "umbrella", Count: 1}, 8: {ID: 8, Item: "boots", Count: 2}}, next: 9}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{"status": "up"}) })
	mux.HandleFunc("GET /v1/catalog", shop.catalog)
	mux.HandleFunc("GET /v1/orders/{id}", shop.get)
	mux.HandleFunc("POST /v1/orders", shop.create)
	mux.HandleFunc("POST /v1/payments", accept("payment"))
	mux.HandleFunc("GET /v1/reports", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"report": "two orders today", "for": caller(r)})
	})
	mux.HandleFunc("POST /v1/transfers", accept("transfer"))
	return mux
}

type shop struct {
	mu     sync.Mutex
	orders map[int]Order
	next   int
}

func (s *shop) catalog(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]any{"items": []string{"umbrella", "boots", "coat"}, "for": caller(r)})
}

func (s *shop) get(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	s.mu.Lock()
	order, ok := s.orders[id]
	s.mu.Unlock()
	if err != nil || !ok || !order.isOf(userOf(r)) {
		answer(w, http.StatusNotFound, map[string]any{"error": "no such order"})
		return
	}
	answer(w, http.StatusOK, map[string]any{"order": order, "for": caller(r)})
}

// isOf reports whether a person may see the order. Programs without a person are the shop's own.
func (o Order) isOf(person string) bool { return o.owner == "" || person == "" || o.owner == person }

// maxOrders is how many orders the demo remembers.
const maxOrders = 10_000

func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	var order Order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&order); err != nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": "the body is no order"})
		return
	}
	s.mu.Lock()
	order.ID, order.owner = s.next, userOf(r)
	s.next++
	if len(s.orders) < maxOrders {
		s.orders[order.ID] = order
	}
	s.mu.Unlock()
	answer(w, http.StatusCreated, map[string]any{"order": order, "for": caller(r)})
}

// accept answers a command that the demo only pretends to carry out.
func accept(what string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var command map[string]any
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&command); err != nil {
			answer(w, http.StatusBadRequest, map[string]any{"error": "the body is no JSON object"})
			return
		}
		answer(w, http.StatusAccepted, map[string]any{what: command, "for": caller(r)})
	}
}

// caller is who Pavise says has called.
func caller(r *http.Request) string {
	if client := r.Header.Get("Pavise-Client"); client != "" {
		return client
	}
	return "nobody in particular"
}

// userOf is for whom the caller asks, as Pavise says; empty: for itself. Two issuers may each have
// somebody of the same name.
func userOf(r *http.Request) string {
	name := r.Header.Get("Pavise-User")
	if name == "" {
		return ""
	}
	return r.Header.Get("Pavise-Issuer") + " " + name
}

func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, fmt.Sprintf("encode the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the caller may be gone
}
