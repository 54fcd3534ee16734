package shield

import (
	"fmt"
	"net/http"
)

// Transport is an http.RoundTripper that signs every request before it sends it.
// The request that was passed in is left as it was. Redirects to another host
// are signed for that host only if the caller of Transport sends them: use a
// client whose CheckRedirect refuses to follow.
type Transport struct {
	Base    http.RoundTripper // nil: http.DefaultTransport. A [Presenter]'s certificate belongs into its TLS settings
	Signers []Signer          // applied in order; a signature over headers comes last
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	signed := r.Clone(r.Context())
	for _, s := range t.Signers {
		if err := s.Sign(signed); err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // RoundTrip always closes the body; the signing error is the one to report
			}
			return nil, fmt.Errorf("sign the request: %w", err)
		}
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	return base.RoundTrip(signed)
}
