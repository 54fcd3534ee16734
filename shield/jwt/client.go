package jwt

import (
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise/shield"
)

// client returns the caller's half: it sends the token that it was given. How a
// caller gets one from the issuer is no business of the shield's.
func client(c shield.Credential) (shield.Signer, error) {
	if c.Secret == "" {
		return nil, errors.New("a bearer needs a token; put the access token of the issuer into the profile")
	}
	for _, b := range []byte(c.Secret) {
		if !isBase64URL(b) && b != '.' && b != '~' && b != '+' && b != '/' && b != '=' {
			return nil, errors.New("the token holds a character that no bearer token has; was a line break copied with it?")
		}
	}
	return bearer{value: scheme + " " + c.Secret}, nil
}

type bearer struct{ value string }

// Sign sets the header Authorization (RFC 6750 §2.1).
func (b bearer) Sign(r *http.Request) error {
	if len(r.Header["Authorization"]) > 0 {
		return errors.New("the request has an Authorization header already")
	}
	r.Header.Set("Authorization", b.value)
	return nil
}

// Format keeps the token out of everything that prints the signer.
func (b bearer) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("a bearer token")) }

// issue maps a client of an issuer to one of ours. Nothing is made: the secret is
// the issuer's business.
func issue(env shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if req.Import != "" {
		return shield.Issued{}, errors.New("there is nothing to import: the issuer makes the tokens")
	}
	name, theirs := req.Settings["issuer"], req.Settings["client_id"]
	if name == "" || !isText(theirs) {
		return shield.Issued{}, errors.New("settings issuer and client_id are needed: which client of which issuer is this one?")
	}
	if env.Issuers == nil {
		return shield.Issued{}, errors.New("no issuers are configured")
	}
	if _, err := env.Issuers.Issuer(name); err != nil {
		return shield.Issued{}, fmt.Errorf("map a client: %w", err)
	}
	return shield.Issued{ID: mappingID(name, theirs), Keep: shield.KeepNothing}, nil
}
