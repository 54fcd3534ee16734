package oauthclient_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/oauthclient"
	"pavise.dev/pavise/shield"
)

// api takes one token and says what else it wants.
type api struct {
	*httptest.Server
	mu     sync.Mutex
	good   string // the token that is taken
	nonces *dpop.Nonces
	calls  int
	bodies []string
	judge  func(r *http.Request) error // of proofs
}

func newAPI(t *testing.T, good string) *api {
	a := &api{good: good}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	body, _ := io.ReadAll(r.Body)
	a.bodies = append(a.bodies, string(body))
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case token != a.good:
		w.Header().Set("WWW-Authenticate", scheme+` realm="orders", error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	case a.judge != nil && a.judge(r) != nil:
		w.Header().Set("WWW-Authenticate", `DPoP error="use_dpop_nonce"`)
		w.Header().Set("DPoP-Nonce", a.nonces.At(time.Now()))
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = io.WriteString(w, scheme)
}

// send posts a body with the client's token.
func (a *api) send(t *testing.T, c *oauthclient.Client) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL+"/v1/orders?x=1", strings.NewReader("the body"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.Transport(a.Client().Transport).RoundTrip(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return answer, err
}

func TestARefusedTokenIsRenewedOnce(t *testing.T) {
	s := newServer(t)
	s.rotating()
	a := newAPI(t, "access-2")
	answer, err := a.send(t, open(t, s.settings()))
	if err != nil || answer.StatusCode != http.StatusOK || a.calls != 2 || a.bodies[1] != "the body" || s.asked() != 2 {
		t.Errorf("%v, %v after %d calls, %d requests: %q", answer, err, a.calls, s.asked(), a.bodies)
	}
	never := newAPI(t, "none")
	answer, err = never.send(t, open(t, s.settings()))
	if err != nil || answer.StatusCode != http.StatusUnauthorized || never.calls != 2 {
		t.Errorf("%v, %v after %d calls", answer, err, never.calls)
	}
}

func TestAnotherRefusalRenewsNothing(t *testing.T) {
	s := newServer(t)
	for _, challenge := range []string{"", `Bearer error="insufficient_scope"`, `Bearer realm="invalid_token"`} {
		refusing := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
		}))
		a := &api{Server: refusing}
		before := s.asked()
		answer, err := a.send(t, open(t, s.settings()))
		if err != nil || answer.StatusCode != http.StatusUnauthorized || s.asked() != before+1 {
			t.Errorf("%s: %v, %v, %d requests", challenge, answer, err, s.asked()-before)
		}
		refusing.Close()
	}
}

func TestTokensGoNowhereUnsafe(t *testing.T) {
	s := newServer(t)
	a := newAPI(t, "access-1")
	transport := open(t, s.settings()).Transport(a.Client().Transport)
	for name, change := range map[string]func(*http.Request){
		"plain HTTP":    func(r *http.Request) { r.URL.Scheme = "http" },
		"authorization": func(r *http.Request) { r.Header.Set("Authorization", "Basic x") },
		"proof":         func(r *http.Request) { r.Header.Set("DPoP", "x") },
	} {
		r, err := http.NewRequest(http.MethodGet, a.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		if _, err := transport.RoundTrip(r); err == nil || a.calls > 0 {
			t.Errorf("%s: %v, %d calls", name, err, a.calls)
		}
	}
}

func TestProofsOfPossessionObeyNonces(t *testing.T) {
	s := newServer(t)
	serverNonces, apiNonces := dpop.NewNonces([]byte("key"), "server"), dpop.NewNonces([]byte("key"), "api")
	atServer := &dpop.Verifier{Now: time.Now, Nonces: serverNonces}
	key := ""
	s.on("/token", func(w http.ResponseWriter, r *http.Request) {
		proof, err := atServer.Verify(r, "")
		if err != nil {
			w.Header().Set("DPoP-Nonce", serverNonces.At(time.Now()))
			answer(w, 400, map[string]any{"error": "use_dpop_nonce"})
			return
		}
		key = proof.Key
		answer(w, 200, with(good(), "token_type", "DPoP"))
	})
	a := newAPI(t, "access-1")
	a.nonces = apiNonces
	atAPI := &dpop.Verifier{Now: time.Now, Nonces: apiNonces}
	a.judge = func(r *http.Request) error {
		proof, err := atAPI.Verify(r, "access-1")
		if err == nil && proof.Key != key {
			t.Error("two keys")
		}
		return err
	}
	settings := s.settings()
	settings.DPoP = true
	answer, err := a.send(t, open(t, settings))
	if err != nil || answer.StatusCode != http.StatusOK || a.calls != 2 || s.asked() != 2 {
		t.Fatalf("%v, %v after %d calls, %d requests", answer, err, a.calls, s.asked())
	}
	answer, err = a.send(t, open(t, settings)) // another process knows key, token and nonces
	if err != nil || answer.StatusCode != http.StatusOK || a.calls != 3 || s.asked() != 2 {
		t.Errorf("%v, %v after %d calls, %d requests", answer, err, a.calls, s.asked())
	}
}

func TestANonceThatNeverSatisfiesIsTriedOnce(t *testing.T) {
	s := newServer(t)
	s.on("/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("DPoP-Nonce", "again")
		answer(w, 400, map[string]any{"error": "use_dpop_nonce"})
	})
	settings := s.settings()
	settings.DPoP = true
	_, err := open(t, settings).Token(t.Context())
	refuses(t, err, "use_dpop_nonce")
	if s.asked() != 2 {
		t.Errorf("%d requests", s.asked())
	}
	s.on("/token", says(200, with(good(), "token_type", "DPoP")))
	a := newAPI(t, "access-1")
	a.nonces = dpop.NewNonces([]byte("key"), "api")
	a.judge = func(*http.Request) error { return shield.Refuse(shield.NonceRequired, "never") }
	answer, err := a.send(t, open(t, settings))
	if err != nil || answer.StatusCode != http.StatusUnauthorized || a.calls != 2 {
		t.Errorf("%v, %v after %d calls", answer, err, a.calls)
	}
}

func TestATokenThatWasNotBoundIsRefused(t *testing.T) {
	s := newServer(t)
	settings := s.settings()
	settings.DPoP = true
	_, err := open(t, settings).Token(t.Context())
	refuses(t, err, "not bound")
}
