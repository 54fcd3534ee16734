package bearer

import (
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise/shield"
)

// Caller returns the caller's half: it sends the token that it was given. How a caller
// gets one from the issuer is no business of the shields'.
func Caller(c shield.Credential) (shield.Signer, error) {
	if c.Secret == "" {
		return nil, errors.New("a bearer needs a token; put the access token of the issuer into the profile")
	}
	for _, b := range []byte(c.Secret) {
		if !IsBase64URL(b) && b != '.' && b != '~' && b != '+' && b != '/' && b != '=' {
			return nil, errors.New("the token holds a character that no bearer token has; was a line break copied with it?")
		}
	}
	return caller{value: Scheme + " " + c.Secret}, nil
}

type caller struct{ value string }

// Sign sets the header Authorization (RFC 6750 §2.1).
func (b caller) Sign(r *http.Request) error {
	if len(r.Header["Authorization"]) > 0 {
		return errors.New("the request has an Authorization header already")
	}
	r.Header.Set("Authorization", b.value)
	return nil
}

// Format keeps the token out of everything that prints the signer.
func (b caller) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a bearer token")) }
