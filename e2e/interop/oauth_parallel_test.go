package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/e2e/harness"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/e2e/person"
	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/dpop"
)

const tries = 50

// winners tries something many times at once, and returns how often each status came.
func winners(try func() int) map[int]int {
	var mu sync.Mutex
	all := map[int]int{}
	start := make(chan struct{})
	var running sync.WaitGroup
	for range tries {
		running.Go(func() {
			<-start
			status := try()
			mu.Lock()
			defer mu.Unlock()
			all[status]++
		})
	}
	close(start)
	running.Wait()
	return all
}

// quiet sends a request without a test: it may be called from any goroutine.
func quiet(c *http.Client, r *http.Request, err error) int {
	if err != nil {
		return 0
	}
	answer, err := c.Do(r)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// Whatever may be used once is used once, and what was issued for it ends when somebody
// tries again (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
func TestOfFiftyRedemptionsAtOnceOneWins(t *testing.T) {
	attacktest.Rows(t, 49, 54)
	s := startOAuth(t)
	redeem := person.Redeeming(s.browse("openid offline_access orders:read"))
	client := s.Client()
	got := winners(func() int {
		r, err := s.Form("/token", "web", redeem)
		return quiet(client, r, err)
	})
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != tries-1 {
		t.Errorf("a code: %v", got)
	}
	redeem.Set("code", s.browse("openid offline_access orders:read"))
	first, status := s.token(redeem)
	refresh, _ := first["refresh_token"].(string)
	if status != http.StatusOK || refresh == "" || s.call(first["access_token"]) != http.StatusOK {
		t.Fatalf("%d %v", status, first)
	}
	again := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	got = winners(func() int {
		r, err := s.Form("/token", "web", again)
		return quiet(client, r, err)
	})
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != tries-1 {
		t.Errorf("a refresh token: %v", got)
	}
	if status := s.call(first["access_token"]); status != http.StatusUnauthorized {
		t.Errorf("what was issued under a grant that was misused is taken: %d", status)
	}
	reused := 0
	for _, e := range s.Events(audit.Query{Class: audit.Grant, Client: "web"}) {
		if e.Action == "grant.reuse" {
			reused++
		}
	}
	if reused != 2 {
		t.Errorf("%d events of reuse, want one for each grant", reused)
	}
}

func TestOfFiftyUsesOfAPushedRequestOneBegins(t *testing.T) {
	attacktest.Rows(t, 59)
	s := startOAuth(t)
	pushed, status := s.Post("/par", "web", asking())
	uri, _ := pushed["request_uri"].(string)
	if status != http.StatusCreated || uri == "" {
		t.Fatalf("%d %v", status, pushed)
	}
	client := s.Client()
	address := s.URL + "/authorize?" + url.Values{"client_id": {"web"}, "request_uri": {uri}}.Encode()
	got := winners(func() int {
		r, err := http.NewRequest(http.MethodGet, address, nil)
		return quiet(client, r, err)
	})
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != tries-1 {
		t.Errorf("a pushed request: %v", got)
	}
}

func TestOfFiftyUsesOfAProofOneIsTaken(t *testing.T) {
	attacktest.Rows(t, 86)
	s := startOAuth(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	prover, err := dpop.NewProver(key, "ES256", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	client := s.Client()
	form := url.Values{"grant_type": {"client_credentials"}}

	// At the token endpoint: the first answer says the nonce.
	ask := func() *http.Request {
		r, err := s.Form("/token", "machine", form)
		if err != nil {
			t.Fatal(err)
		}
		if err := prover.Sign(r, ""); err != nil {
			t.Fatal(err)
		}
		return r
	}
	learned, err := client.Do(ask())
	if err != nil {
		t.Fatal(err)
	}
	_ = learned.Body.Close()
	if !prover.Learn(learned.Request.URL, learned.Header) {
		t.Fatalf("no nonce: %d", learned.StatusCode)
	}
	proof := ask().Header.Get("DPoP")
	got := winners(func() int {
		r, err := s.Form("/token", "machine", form)
		if err == nil {
			r.Header.Set("DPoP", proof)
		}
		return quiet(client, r, err)
	})
	if got[http.StatusOK] != 1 || got[http.StatusBadRequest] != tries-1 {
		t.Errorf("a proof at the token endpoint: %v", got)
	}

	// At the API.
	token := s.bound(t, client, ask())
	call := func() *http.Request {
		r, err := http.NewRequest(http.MethodGet, s.URL+"/v1/orders/7", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "DPoP "+token)
		if err := prover.Sign(r, token); err != nil {
			t.Fatal(err)
		}
		return r
	}
	learned, err = client.Do(call())
	if err != nil {
		t.Fatal(err)
	}
	_ = learned.Body.Close()
	prover.Learn(learned.Request.URL, learned.Header)
	proof = call().Header.Get("DPoP")
	got = winners(func() int {
		r, err := http.NewRequest(http.MethodGet, s.URL+"/v1/orders/7", nil)
		if err == nil {
			r.Header.Set("Authorization", "DPoP "+token)
			r.Header.Set("DPoP", proof)
		}
		return quiet(client, r, err)
	})
	if got[http.StatusOK] != 1 || got[http.StatusUnauthorized]+got[http.StatusConflict] != tries-1 {
		t.Errorf("a proof at the API: %v", got)
	}
}

// bound asks for a token and returns it.
func (s *oauthServer) bound(t *testing.T, client *http.Client, r *http.Request) string {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	all := harness.Decoded(t, answer)
	token, _ := all["access_token"].(string)
	if token == "" {
		t.Fatalf("%d %v", answer.StatusCode, all)
	}
	s.Plant(token)
	return token
}
