package jwt

import (
	"crypto/subtle"
	"errors"
	"net/http"

	"pavise.dev/pavise/shield"
)

// possession holds that a token that is bound to a key comes with a proof by that key
// (RFC 9449 §7.1), and that nothing else comes with the scheme of bound tokens. The proof
// is judged on every use of the token, and used up by the guard.
func (t *tokens) possession(r *http.Request, id *shield.Identity, token string, proved bool) error {
	want := id.Confirm.Key
	refuse := func(code shield.Code, why string) error {
		return t.refuse(shield.Refuse(code, "%s", why).Of(id.CredentialID, id.Client, true))
	}
	switch {
	case want == "" && proved:
		return shield.Refuse(shield.InvalidCredential, "the token came with the scheme DPoP and is not bound to a key").
			Of(id.CredentialID, id.Client, true).With(t.challenges.keyed...)
	case want == "" && t.keyOnly:
		return refuse(shield.UnboundCredential, "the token is not bound to a key")
	case want == "":
		return nil
	case !proved:
		return refuse(shield.UnboundCredential, "the token is bound to a key, and was sent as Bearer")
	}
	proof, err := t.proofs.Verify(r, token)
	if err != nil {
		return t.unproved(err, id)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Key), []byte(want)) != 1 {
		return shield.Refuse(shield.UnboundCredential, "the proof is by another key than the token is bound to").
			Of(id.CredentialID, id.Client, false).With(t.challenges.keyed...)
	}
	id.Once = append(id.Once, proof.Once)
	id.Scheme = keyScheme
	return nil
}

// unproved is the refusal of a proof, with the challenge that goes with it.
func (t *tokens) unproved(err error, id *shield.Identity) error {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return err
	}
	refusal = refusal.Of(id.CredentialID, id.Client, false)
	switch refusal.Code {
	case shield.Absent:
		return shield.Refuse(shield.UnboundCredential, "the token is bound to a key, and no proof came with it").Of(id.CredentialID, id.Client, false).With(t.proof...)
	case shield.NonceRequired:
		return refusal.With(t.nonce...)
	case shield.MalformedCredential:
		return refusal.With(t.malformed)
	}
	return refusal.With(t.proof...)
}
