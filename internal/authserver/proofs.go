package authserver

import (
	"errors"
	"net/http"

	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/shield"
)

// Proofs judges DPoP proofs for the protocol, by the code that guards endpoints.
type Proofs struct{ Verifier *dpop.Verifier }

// Verify implements protocol.Proofs.
func (p Proofs) Verify(r *http.Request) (thumbprint string, claim shield.Once, ok bool, nonce string, err error) {
	if p.Verifier.Nonces != nil {
		nonce = p.Verifier.Nonces.At(p.Verifier.Now())
	}
	proof, err := p.Verifier.Verify(r, "") // the protocol compares the token at userinfo
	if refusal, is := errors.AsType[*shield.Refusal](err); is && refusal.Code == shield.Absent {
		return "", claim, false, "", nil
	}
	if err != nil {
		return "", claim, false, nonce, err
	}
	return proof.Key, proof.Once, true, nonce, nil
}
