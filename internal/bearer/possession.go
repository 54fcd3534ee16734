package bearer

import (
	"crypto/subtle"
	"errors"
	"net/http"

	"pavise.dev/pavise/shield"
)

// possession holds that a token that is bound to a key comes with a proof by that key
// (RFC 9449 §7.1), and that nothing else comes with the scheme of bound tokens. The proof
// is judged on every use of the token, and used up by the guard.
func (j *Judge) possession(r *http.Request, id *shield.Identity, p Presented) error {
	want := id.Confirm.Key
	refuse := func(code shield.Code, why string) error {
		return p.Refuse(shield.Refuse(code, "%s", why).Of(id.CredentialID, id.Client, true))
	}
	switch {
	case want == "" && p.proved:
		return refuse(shield.InvalidCredential, "the token came with the scheme DPoP and is not bound to a key")
	case want == "" && j.keyOnly:
		return refuse(shield.UnboundCredential, "the token is not bound to a key")
	case want == "":
		return nil
	case !p.proved:
		return refuse(shield.UnboundCredential, "the token is bound to a key, and was sent as Bearer")
	}
	proof, err := j.proofs.Verify(r, p.Token)
	if err != nil {
		return j.unproved(err, id)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Key), []byte(want)) != 1 {
		return shield.Refuse(shield.UnboundCredential, "the proof is by another key than the token is bound to").
			Of(id.CredentialID, id.Client, false).With(j.keyed...)
	}
	id.Once = append(id.Once, proof.Once)
	id.Scheme = keyScheme
	return nil
}

// unproved is the refusal of a proof, with the challenge that goes with it.
func (j *Judge) unproved(err error, id *shield.Identity) error {
	refusal, ok := errors.AsType[*shield.Refusal](err)
	if !ok {
		return err
	}
	refusal = refusal.Of(id.CredentialID, id.Client, false)
	switch refusal.Code {
	case shield.Absent:
		return shield.Refuse(shield.UnboundCredential, "the token is bound to a key, and no proof came with it").Of(id.CredentialID, id.Client, false).With(j.proof...)
	case shield.NonceRequired:
		return refusal.With(j.nonce...)
	case shield.MalformedCredential:
		return refusal.With(j.malformed)
	}
	return refusal.With(j.proof...)
}
