package app

import (
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/review"
	"pavise.dev/pavise/shield"
)

// Two kinds may have the same id: what is proposed of one is not done to the other.
func TestAProposalRevokesTheCredentialOfItsKindAlone(t *testing.T) {
	w := withServer(t)
	for _, kind := range []string{"api_key", "hmac"} {
		_, _, err := w.State.Registry.AddCredential(t.Context(), client.Credential{Kind: kind, Client: "shop"}, shield.Issued{ID: "same", Material: []byte("of " + kind), Keep: shield.KeepSealed})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := Take(t.Context(), w.administered(), &review.Change{What: review.RevokeCredential, Client: "shop", Kind: "hmac", ID: "same"}); err != nil {
		t.Fatal(err)
	}
	known, err := w.administered().Credentials(t.Context(), "shop", "")
	if err != nil {
		t.Fatal(err)
	}
	over := map[string]bool{}
	for _, c := range known {
		over[c.Kind+" "+c.ID] = !c.Revoked.IsZero()
	}
	if !over["hmac same"] || over["api_key same"] {
		t.Errorf("over are %v", over)
	}
}
