package oauthclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Transport sends requests with the client's token over base, which presents the client's
// certificate where the token is bound to one. Where the API wants a nonce in the proof, or
// no longer takes the token, the request is sent once more, if its body can be had again.
// An error that [errors.Is] [ErrSignIn] says that nothing was sent, or that the token was
// refused, and a person has to sign in. Requests without https are refused.
func (c *Client) Transport(base http.RoundTripper) http.RoundTripper {
	return &transport{client: c, base: base}
}

type transport struct {
	client *Client
	base   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() {
		if r.Body != nil {
			_ = r.Body.Close() // RoundTrip always closes it; what is sent is a copy of it
		}
	}()
	if r.URL.Scheme != "https" {
		return nil, errors.New("a token is sent over https only")
	}
	if len(r.Header["Authorization"]) > 0 || len(r.Header["Dpop"]) > 0 {
		return nil, errors.New("the request has an Authorization header or a proof already")
	}
	token, err := t.client.Token(r.Context())
	if err != nil {
		return nil, err
	}
	nonced, renewed, news := false, false, false
	for {
		answer, err := t.send(r, token, nonced || renewed)
		if err != nil {
			return nil, err
		}
		learned := t.client.learn(r.URL, answer.Header)
		news = news || learned
		again := r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
		switch {
		case answer.StatusCode != http.StatusUnauthorized || !again:
			t.keep(r, news)
			return answer, nil
		case learned && !nonced && names(answer.Header, "use_dpop_nonce"):
			nonced = true
		case !renewed && names(answer.Header, "invalid_token"):
			renewed = true
			if token, err = t.client.Renew(r.Context(), token); err != nil {
				drop(answer)
				return nil, fmt.Errorf("the token is no longer taken: %w", err)
			}
		default:
			t.keep(r, news)
			return answer, nil
		}
		drop(answer)
	}
}

// send sends a copy of the request with the token.
func (t *transport) send(r *http.Request, token *Token, again bool) (*http.Response, error) {
	signed := r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, fmt.Errorf("send the body again: %w", err)
		}
		signed.Body = body
	} else if again {
		signed.Body = nil // there was none
	}
	access := string(token.Access.Reveal())
	signed.Header.Set("Authorization", token.Type+" "+access)
	if token.Type == dpopType {
		if err := t.client.prove(signed, access); err != nil {
			return nil, err
		}
	}
	return t.base.RoundTrip(signed)
}

// keep writes a nonce that was learned, for the next program.
func (t *transport) keep(r *http.Request, news bool) {
	if news {
		// The request was answered: that a nonce cannot be kept costs one more try, later.
		_, _ = t.client.within(r.Context(), func(*kept) (*Token, error) { return nil, nil })
	}
}

// names reports whether a challenge names an error (RFC 6750 §3, RFC 9449 §9). It decides
// only whether to try once more.
func names(h http.Header, code string) bool {
	for _, value := range h.Values("WWW-Authenticate") {
		value = strings.ReplaceAll(strings.ToLower(value), " ", "")
		if strings.Contains(value, `error="`+code+`"`) || strings.HasSuffix(value, "error="+code) || strings.Contains(value, "error="+code+",") {
			return true
		}
	}
	return false
}

func drop(answer *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10)) // so that the connection can be used again
	_ = answer.Body.Close()
}
