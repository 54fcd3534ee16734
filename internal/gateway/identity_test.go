package gateway_test

import (
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/upstream"
)

func signer(t testing.TB) *gateway.Signer {
	t.Helper()
	return signerAt(t, time.Now)
}

func signerAt(t testing.TB, now func() time.Time) *gateway.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := gateway.NewSigner(gateway.SignerSettings{Issuer: "gw1", Key: key, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanos.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// captured runs requests through an upstream and shows the identity header that
// arrives.
type captured struct {
	f   *front
	id  atomic.Pointer[shield.Identity]
	got http.Header
}

func capture(t *testing.T, s *gateway.Signer, name string, plain map[string]string) *captured {
	t.Helper()
	c := &captured{}
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { c.got = r.Header }))
	t.Cleanup(service.Close)
	c.f = guardless(t, gateway.Settings{
		Name: name, Addresses: []string{service.URL}, Signer: s, PlainHeaders: plain,
		Identity: func(*http.Request) *shield.Identity { return c.id.Load() },
	}, false)
	return c
}

func (c *captured) send(id *shield.Identity) string {
	c.id.Store(id)
	c.f.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	if values := c.got["Pavise-Identity"]; len(values) == 1 {
		return values[0]
	}
	return ""
}

func verifier(t *testing.T, s *gateway.Signer, audience string, now func() time.Time) *upstream.Verifier {
	t.Helper()
	v, err := upstream.NewVerifier(upstream.Options{Audience: audience, Issuer: "gw1", Keys: s.JWKS(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func carrying(tokens ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Pavise-Identity"] = tokens
	return r
}

func shop() *shield.Identity {
	return &shield.Identity{
		Shield: "api_key", CredentialID: "k1", Issuer: "pavise", Subject: "shop", Client: "shop", User: "ann", Tenant: "acme",
		Scopes: shield.Scopes{"orders:read"}, With: []*shield.Identity{{Shield: "mtls", CredentialID: "c1", Client: "shop"}},
	}
}

func TestTheUpstreamLearnsWhoCalled(t *testing.T) {
	time1 := newClock()
	s := signerAt(t, time1.Now)
	c := capture(t, s, "orders", nil)
	caller, err := verifier(t, s, "orders", time1.Now).Verify(carrying(c.send(shop())))
	if err != nil {
		t.Fatal(err)
	}
	if caller.Gateway != "gw1" || caller.Origin != "pavise" || caller.Subject != "shop" || caller.Client != "shop" || caller.User != "ann" ||
		caller.Tenant != "acme" || !slices.Equal(caller.Scopes, []string{"orders:read"}) || caller.Shield != "api_key" ||
		caller.CredentialID != "k1" || len(caller.With) != 1 || caller.With[0].CredentialID != "c1" || caller.TokenID == "" {
		t.Errorf("%+v", caller)
	}
	if life := caller.Expires.Sub(caller.Issued); life > time.Minute || life <= 0 {
		t.Errorf("the token lives %s", life)
	}
	if c.send(nil) != "" {
		t.Error("a request without identity got a token")
	}
}

func TestAnIdentityTokenIsGoodForOneUpstreamOnly(t *testing.T) {
	attacktest.Rows(t, 161)
	time1 := newClock()
	s := signerAt(t, time1.Now)
	a, b := capture(t, s, "a", nil), capture(t, s, "b", nil)
	forA := a.send(shop())
	if _, err := verifier(t, s, "a", time1.Now).Verify(carrying(forA)); err != nil {
		t.Errorf("a refused its own: %v", err)
	}
	if _, err := verifier(t, s, "b", time1.Now).Verify(carrying(forA)); err == nil {
		t.Error("b took a token for a")
	}
	// Sent to the gateway it does not pass to b either: what comes from outside is replaced.
	b.id.Store(nil)
	b.f.ask("GET / HTTP/1.1\r\nHost: h\r\nPavise-Identity: " + forA + "\r\n\r\n")
	if b.got["Pavise-Identity"] != nil {
		t.Error("a token from outside passed the gateway")
	}
	// After revocation nobody gets a new one, and the old one ends within its minute.
	time1.advance(66 * time.Second)
	if _, err := verifier(t, s, "a", time1.Now).Verify(carrying(forA)); err == nil {
		t.Error("an old token was taken")
	}
}

func TestATokenIsUsedAgainForHalfItsLife(t *testing.T) {
	time1 := newClock()
	c := capture(t, signerAt(t, time1.Now), "orders", nil)
	first := c.send(shop())
	time1.advance(29 * time.Second)
	if c.send(shop()) != first {
		t.Error("a token of 29 s was signed anew")
	}
	time1.advance(2 * time.Second)
	if c.send(shop()) == first {
		t.Error("a token of 31 s was used again")
	}
}

func TestATokenIsNeverUsedForAnotherIdentity(t *testing.T) {
	c := capture(t, signer(t), "orders", nil)
	seen := map[string]string{c.send(shop()): "the original"}
	for name, change := range map[string]func(*shield.Identity){
		"client": func(id *shield.Identity) { id.Client = "other" }, "user": func(id *shield.Identity) { id.User = "bob" },
		"tenant": func(id *shield.Identity) { id.Tenant = "other" }, "scopes": func(id *shield.Identity) { id.Scopes = nil },
		"more scopes": func(id *shield.Identity) { id.Scopes = shield.Scopes{"orders:read", "orders:write"} },
		"credential":  func(id *shield.Identity) { id.CredentialID = "k2" }, "shield": func(id *shield.Identity) { id.Shield = "jwt" },
		"issuer": func(id *shield.Identity) { id.Issuer = "x" }, "subject": func(id *shield.Identity) { id.Subject = "x" },
		"with": func(id *shield.Identity) { id.With = nil }, "expiry": func(id *shield.Identity) { id.Expires = time.Now().Add(time.Hour) },
		"inside with": func(id *shield.Identity) {
			id.With = []*shield.Identity{{Shield: "mtls", CredentialID: "c1", Client: "x"}}
		},
	} {
		id := shop()
		change(id)
		token := c.send(id)
		if other, again := seen[token]; again || token == "" {
			t.Errorf("%s: the token of %s", name, other)
		}
		seen[token] = name
	}
}

func TestATokenEndsWithItsCredential(t *testing.T) {
	time1 := newClock()
	s := signerAt(t, time1.Now)
	c := capture(t, s, "orders", nil)
	id := shop()
	id.Expires = time1.Now().Add(10 * time.Second)
	caller, err := verifier(t, s, "orders", time1.Now).Verify(carrying(c.send(id)))
	if err != nil || caller.Expires.After(id.Expires) {
		t.Errorf("%+v, %v", caller, err)
	}
}

func TestKeysCanBeExchanged(t *testing.T) {
	s := signer(t)
	c := capture(t, s, "orders", nil)
	before := c.send(shop())
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Rotate(key); err != nil {
		t.Fatal(err)
	}
	after := c.send(shop())
	if before == after {
		t.Fatal("the old key signs on")
	}
	v := verifier(t, s, "orders", time.Now)
	for _, token := range []string{before, after} {
		if _, err := v.Verify(carrying(token)); err != nil {
			t.Errorf("with both keys served: %v", err)
		}
	}
}

func TestPlainHeadersSayOneSafeThing(t *testing.T) {
	c := capture(t, nil, "orders", map[string]string{"X-Client": "client", "X-Person": "user", "X-Scopes": "scopes", "X-Cred": "credential", "X-Issuer": "issuer"})
	id := shop()
	id.Issuer = "https://login.example.com"
	id.User = "ann\r\nX-Admin: 1, \xc3\xa9%"
	id.Scopes = shield.Scopes{"a", "b"}
	c.send(id)
	if got := c.got.Get("X-Person"); got != "ann%0D%0AX-Admin: 1%2C %C3%A9%25" {
		t.Errorf("user %q", got)
	}
	if c.got["X-Admin"] != nil || c.got.Get("X-Client") != "shop" || c.got.Get("X-Scopes") != "a b" || c.got.Get("X-Issuer") != "https://login.example.com" || c.got["Pavise-Identity"] != nil {
		t.Errorf("%v", c.got)
	}
	id.User = ""
	c.id.Store(id)
	c.f.ask("GET / HTTP/1.1\r\nHost: h\r\nX-Person: forged\r\nx_person: forged\r\n\r\n")
	if strings.Contains(strings.Join(c.got["X-Person"], ""), "forged") || c.got["X_person"] != nil {
		t.Errorf("%v", c.got)
	}
}
