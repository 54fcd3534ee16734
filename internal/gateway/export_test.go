package gateway

import "pavise.dev/pavise/shield"

// TokenFor is the step of the request path that attaches the identity.
func TokenFor(u *Upstream, id *shield.Identity) (string, error) { return u.tokens.get(id) }

// InFlight counts the places that are taken.
func InFlight(u *Upstream) (n int64) {
	for _, a := range u.addresses {
		n += a.inFlight.Load()
	}
	return n
}
