package alert

import (
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of tampering with tokens.
const (
	tamperedMost = 2 // tokens of one network that no honest software makes
	tamperedOver = 10 * time.Minute
	unboundMost  = 5 // tokens of one network without their key; a client that renews its certificate sends some
	unboundOver  = 10 * time.Minute
)

// refreshReuse notices a refresh token or a code that comes a second time.
func refreshReuse(thresholds) Rule {
	return Rule{
		Name: "refresh_reuse", Severity: High, Quiet: time.Hour,
		Means: "a refresh token, or an authorization code, was used twice: two have it, and one of them stole it (RFC 9700 §4.14.2). The grant is revoked already",
		Do:    "ask the person to sign in again, and look from where the second use came (pavise log search --class grant --client NAME)",
		When:  When{Class: audit.Grant, Codes: []string{"grant.reuse"}}, Per: perIdentity,
		What: "a code or refresh token was used twice; its grant was revoked",
	}
}

// tampering notices tokens that somebody has made or changed by hand: another algorithm, no
// signature, a type or key that is not theirs. A key that is not known yet is none of these.
func tampering(t thresholds) Rule {
	return Rule{
		Name: "token_tampering", Severity: High,
		Means: "tokens come whose algorithm, key id, type or signature was changed: somebody looks for a verifier that can be deceived",
		Do:    "pavise block NETWORK --for 24h; nothing got through. If a credential is named, whoever holds it did this",
		When:  When{Class: audit.Request, Codes: []string{"invalid_credential"}, and: isTampered}, Per: PerNetwork,
		Most: t.of("token_tampering", tamperedMost), Over: tamperedOver, What: "tokens that were tampered with",
	}
}

// isTampered knows from what the shields say of a token that no issuer made it so.
func isTampered(e *audit.Event) bool {
	return slices.ContainsFunc(Tampered(), func(said string) bool { return strings.Contains(e.Detail, said) })
}

// Tampered is what the shields say of tokens that were tampered with. A test looks for these
// words in their source, so that both stay the same. An ID token where an access token should be
// is none: that is how people begin.
func Tampered() []string {
	return []string{
		"may not sign with the token's alg", "the signature does not match", "the key does not fit the token's alg", "alg is missing",
		"the signature is empty", "kid has more than", "not canonical base64url", "it names two algorithms",
	}
}

// Forged is what the shield of certificates says of one that our own authority signed without
// having issued it.
func Forged() []string {
	return []string{"another certificate is recorded under this serial number", "authority has no record of the certificate"}
}

// unbound notices tokens that are bound to a key or certificate and come without it.
func unbound(t thresholds) Rule {
	return Rule{
		Name: "unbound_token", Severity: High,
		Means: "tokens that are bound to a certificate or key (RFC 8705, RFC 9449) come from somebody who does not have it: they were stolen on the way, and are worth nothing to him",
		Do:    "look whose tokens they are (pavise log search --code unbound_credential --address NETWORK), and where they could be read; if it is the owner, he has renewed his certificate and goes on with old tokens",
		When:  When{Class: audit.Request, Codes: []string{"unbound_credential"}}, Per: PerNetwork,
		Most: t.of("unbound_token", unboundMost), Over: unboundOver, What: "tokens without the key to which they are bound",
	}
}

// forgedCertificate notices a certificate that our own authority signed and did not record.
func forgedCertificate(thresholds) Rule {
	return Rule{
		Name: "forged_certificate", Severity: Critical, Quiet: 24 * time.Hour,
		Means: "a certificate bears the signature of this installation's authority, which has not issued it: its key may have been stolen",
		Do:    "make a new authority (pavise ca), and look who could read the old one's key",
		When: When{Class: audit.Request, Codes: []string{"invalid_credential"}, and: func(e *audit.Event) bool {
			return e.Proved && slices.ContainsFunc(Forged(), func(said string) bool { return strings.Contains(e.Detail, said) })
		}},
		Per: PerCredential, What: "a certificate of our own authority that it has not issued",
	}
}
