package oauthclient

import (
	"net/http"
	"sync"
	"time"
)

// Sender puts the client's token into requests that somebody else sends: where a request
// is handed on and not sent by [Client.Transport]. It is safe for concurrent use.
type Sender struct {
	client *Client

	mu    sync.Mutex
	token *Token // that was sent last
}

// Sender returns one for the client.
func (c *Client) Sender() *Sender { return &Sender{client: c} }

// Sign adds token and proof to a request for an https address, which has neither. An error
// that [errors.Is] [ErrSignIn] says that a person has to sign in.
func (s *Sender) Sign(r *http.Request) error {
	token, err := s.current(r)
	if err != nil {
		return err
	}
	access := string(token.Access.Reveal())
	r.Header.Set("Authorization", token.Type+" "+access)
	if token.Type == dpopType {
		return s.client.prove(r, access)
	}
	return nil
}

// current returns a token that is good now, without looking at what is kept if the last
// one still is.
func (s *Sender) current(r *http.Request) (*Token, error) {
	s.mu.Lock()
	last := s.token
	s.mu.Unlock()
	if last.fresh(s.now()) {
		return last, nil
	}
	token, err := s.client.Token(r.Context())
	if err != nil {
		return nil, err
	}
	s.keep(token)
	return token, nil
}

func (s *Sender) now() time.Time { return s.client.settings.Now() }

func (s *Sender) keep(t *Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = t
}

// Answered takes what an answer to a signed request says of token and proof. It reports
// whether the request, signed anew, could fare better: the API wants a nonce in the proof,
// or no longer takes the token and there is another one.
func (s *Sender) Answered(r *http.Request, status int, h http.Header) (again bool) {
	learned := s.client.learn(r.URL, h)
	if status != http.StatusUnauthorized {
		return false
	}
	if learned && names(h, "use_dpop_nonce") {
		return true
	}
	s.mu.Lock()
	last := s.token
	s.mu.Unlock()
	if last == nil || !names(h, "invalid_token") {
		return false
	}
	if r.Header.Get("Authorization") != last.Type+" "+string(last.Access.Reveal()) {
		return true // somebody else has renewed it meanwhile
	}
	next, err := s.client.Renew(r.Context(), last)
	if err != nil {
		return false // the answer that is there says why
	}
	s.keep(next)
	return true
}
