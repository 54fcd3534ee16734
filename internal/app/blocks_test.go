package app

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What is had without TLS is not had from a network that an operator keeps out.
func TestBlockedNetworkIsRefusedWithoutTLSToo(t *testing.T) {
	c := newCA(t)
	c.write("listen: {http: \"127.0.0.1:0\"}" + ownHosts + "\npki: {status: http://a.example.com}\ntrusted_proxies: {addresses: [203.0.113.80/32]}\n")
	f, err := Load(c.dir + "/pavise.yaml")
	c.must(err)
	c.must(c.a.Reload(f))
	h := (&Server{app: c.a}).openly()
	ask := func(from string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, "http://a.example.com/ocsp", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const there, proxy = "203.0.113.7:4711", "203.0.113.80:4711"
	if status, body := ask(there); status == http.StatusForbidden {
		t.Fatalf("before: %d %s", status, body)
	}
	_, err = c.a.State.Registry.Block(t.Context(), netip.MustParsePrefix("203.0.113.0/24"), time.Hour, "floods")
	c.must(err)
	c.must(c.a.State.View.Refresh(t.Context()))
	if status, body := ask(there); status != http.StatusForbidden || !strings.Contains(body, "blocked_network") {
		t.Errorf("blocked: %d %s", status, body)
	}
	for what, from := range map[string]string{"another network": "198.51.100.7:4711", "a trusted proxy": proxy} {
		if status, body := ask(from); status == http.StatusForbidden {
			t.Errorf("%s: %d %s", what, status, body)
		}
	}
	if len(c.events("blocked_network")) != 1 {
		t.Error("no event tells of it")
	}
	c.forward(2 * time.Hour)
	c.must(c.a.State.View.Refresh(t.Context()))
	if status, body := ask(there); status == http.StatusForbidden {
		t.Errorf("after its end: %d %s", status, body)
	}
}
