package pavise

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// Challenges (WWW-Authenticate, RFC 9110 §11.6.1) are the shields' own. What the guard adds
// stands here: those of refusals that only it can make, and where a client learns how to
// get a token.

// challenge is that of a credential that its shield accepted and the guard does not; none
// if its scheme has no challenges.
func challenge(id *shield.Identity, code, description string) []string {
	if id.Scheme == "" {
		return nil
	}
	return []string{fmt.Sprintf(`%s error=%q, error_description=%q`, id.Scheme, code, description)}
}

// keyScheme is the authentication scheme of tokens that are bound to a key (RFC 9449 §7.1).
const keyScheme = "DPoP"

// replayed is the challenge of claims that were used up before: those of a proof of
// possession have one, since another proof would do.
func replayed(id *shield.Identity) []string {
	var found []string
	id.All(func(proof *shield.Identity) {
		if proof.Scheme == keyScheme && found == nil {
			found = challenge(proof, "invalid_dpop_proof", "the proof was used before: make one for each request")
		}
	})
	return found
}

// pointed adds to challenges for access tokens where the metadata of the API is (RFC 9728
// §5.1).
func (x *exchange) pointed(challenges []string) []string {
	if x.endpoint == nil || x.endpoint.api.Metadata == "" || len(challenges) == 0 {
		return challenges
	}
	address := x.endpoint.api.Metadata
	if strings.HasPrefix(address, "/") {
		address = "https://" + x.request.Host + address
	}
	all := slices.Clone(challenges)
	for i, text := range all {
		scheme, rest, _ := strings.Cut(text, " ")
		if scheme != "Bearer" && scheme != keyScheme {
			continue
		}
		separator := ", "
		if rest == "" {
			separator = " "
		}
		all[i] = text + separator + fmt.Sprintf("resource_metadata=%q", address)
	}
	return all
}
