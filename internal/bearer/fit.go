package bearer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// unfit says why a token is not for this endpoint, not now, or no access token.
func (j *Judge) unfit(t *Token, now time.Time) *shield.Refusal {
	c, issuer := t.Claims, t.Issuer
	if c.notAccess != "" {
		return shield.Refuse(shield.InvalidCredential, "the token is not an access token: %s", c.notAccess)
	}
	if refusal := times(c, issuer.Issuer, now); refusal != nil {
		return refusal
	}
	if !slices.ContainsFunc(c.audience, func(audience string) bool { return slices.Contains(issuer.audience, audience) }) {
		return shield.Refuse(shield.InvalidCredential, "the token is for another audience than %s", strings.Join(issuer.audience, ", "))
	}
	for _, want := range j.require {
		if got, ok := at(c.all, want.claim); !ok || !isValue(got, want.value) {
			return shield.Refuse(shield.InvalidCredential, "claim %s is not %q", want.claim, want.value)
		}
	}
	if c.otherBinding {
		return shield.Refuse(shield.UnboundCredential, "the token is bound to something that nobody here knows")
	}
	if j.certificate && c.confirm.Certificate == "" {
		return shield.Refuse(shield.UnboundCredential, "the token is not bound to a certificate")
	}
	return nil
}

// times tests exp, nbf and iat (RFC 7519 §4.1) with the issuer's leeway, and how
// long the token lives in all.
func times(c *Claims, issuer *shield.Issuer, now time.Time) *shield.Refusal {
	switch early := now.Add(issuer.Leeway); {
	case !now.Before(c.Ends):
		return shield.Refuse(shield.ExpiredCredential, "expired at %s", c.expires.UTC().Format(time.RFC3339))
	case early.Before(c.notBefore):
		return shield.Refuse(shield.ExpiredCredential, "not valid before %s", c.notBefore.UTC().Format(time.RFC3339))
	case early.Before(c.issued):
		return shield.Refuse(shield.ExpiredCredential, "issued in the future, at %s", c.issued.UTC().Format(time.RFC3339))
	}
	start := c.issued
	if start.IsZero() {
		start = now
	}
	if issuer.MaxAge > 0 && c.expires.Sub(start) > issuer.MaxAge {
		return shield.Refuse(shield.InvalidCredential, "the token lives longer than %s", issuer.MaxAge)
	}
	return nil
}

// isValue compares a claim with the text that the settings demand.
func isValue(got any, want string) bool {
	switch got := got.(type) {
	case string:
		return got == want
	case strictjson.Number:
		return string(got) == want
	case bool:
		return want == fmt.Sprint(got)
	}
	return false
}
