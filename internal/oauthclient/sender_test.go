package oauthclient_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/oauthclient"
)

// hand sends requests that a sender has signed, as long as it says that it helps.
func (a *api) hand(t *testing.T, s *oauthclient.Sender) (status int) {
	t.Helper()
	for range 4 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL+"/v1/orders?x=1", strings.NewReader("the body"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Sign(r); err != nil {
			t.Fatal(err)
		}
		answer, err := a.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if status = answer.StatusCode; !s.Answered(r, status, answer.Header) {
			return status
		}
	}
	t.Error("it never ends")
	return status
}

func TestSenderRenewsATokenThatIsNoLongerTaken(t *testing.T) {
	s := newServer(t)
	s.rotating()
	a := newAPI(t, "access-2")
	sender := open(t, s.settings()).Sender()
	if status := a.hand(t, sender); status != http.StatusOK || a.calls != 2 || s.asked() != 2 {
		t.Errorf("%d after %d calls, %d requests", status, a.calls, s.asked())
	}
	if status := a.hand(t, sender); status != http.StatusOK || a.calls != 3 || s.asked() != 2 {
		t.Errorf("the next one: %d after %d calls, %d requests", status, a.calls, s.asked())
	}
}

func TestSenderHelpsNoOtherRefusal(t *testing.T) {
	s := newServer(t)
	sender := open(t, s.settings()).Sender()
	r, err := http.NewRequest(http.MethodGet, "https://api.example.com/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Sign(r); err != nil || r.Header.Get("Authorization") != "bearer access-1" && r.Header.Get("Authorization") != "Bearer access-1" {
		t.Fatalf("%v, %v", r.Header, err)
	}
	before := s.asked()
	for status, challenge := range map[int]string{200: `Bearer error="invalid_token"`, 403: `Bearer error="invalid_token"`, 401: `Bearer error="insufficient_scope"`} {
		if sender.Answered(r, status, http.Header{"Www-Authenticate": {challenge}}) || s.asked() != before {
			t.Errorf("%d %s: it is sent again", status, challenge)
		}
	}
}

func TestSenderProvesPossessionAndObeysNonces(t *testing.T) {
	s := newServer(t)
	s.on("/token", says(200, with(good(), "token_type", "DPoP")))
	a := newAPI(t, "access-1")
	a.nonces = dpop.NewNonces([]byte("key"), "api")
	verifier := &dpop.Verifier{Now: time.Now, Nonces: a.nonces}
	a.judge = func(r *http.Request) error {
		_, err := verifier.Verify(r, "access-1")
		return err
	}
	settings := s.settings()
	settings.DPoP = true
	sender := open(t, settings).Sender()
	if status := a.hand(t, sender); status != http.StatusOK || a.calls != 2 || s.asked() != 1 {
		t.Errorf("%d after %d calls, %d requests", status, a.calls, s.asked())
	}
	if status := a.hand(t, sender); status != http.StatusOK || a.calls != 3 {
		t.Errorf("the next one: %d after %d calls", status, a.calls)
	}
}
