package advise

import (
	"slices"
	"time"
)

// stepUpAge is how long ago a person may have signed in before money moves.
const stepUpAge = 15 * time.Minute

// candidates are the shields that a caller can use, the cheapest to run first. Each gives all that
// those before it give: what is demanded beyond one leads to the next, never sideways.
func candidates(c Caller, person bool, tokens string) []Shield {
	token, bound, fresh := Shield{Kind: tokens}, Shield{Kind: tokens, DPoP: true}, Shield{Kind: tokens, DPoP: true, MaxAge: stepUpAge}
	key, signed, certified := Shield{Kind: APIKey}, Shield{Kind: HMAC}, Shield{Kind: MTLS}
	both := Shield{Kind: All, Parts: []Shield{certified, signed}}
	switch {
	case c == ThirdParty:
		return []Shield{{Kind: Public}, key, token, bound, fresh}
	case c.IsApp():
		return []Shield{{Kind: Public}, token, bound, fresh}
	case person && c != Webhook:
		beside, signing := Shield{Kind: MTLS, Actor: true}, Shield{Kind: HMAC, Actor: true}
		recent := Shield{Kind: tokens, MaxAge: stepUpAge}
		return []Shield{{Kind: Public}, {Kind: All, Parts: []Shield{token, beside}}, {Kind: All, Parts: []Shield{recent, beside, signing}}}
	case c == Partner:
		return []Shield{{Kind: Public}, key, signed, both}
	case c == Webhook:
		return []Shield{{Kind: Public}, signed, both}
	}
	return []Shield{{Kind: Public}, certified, both}
}

// considered are the shields that an advice speaks of: what is not advised is refused, with why.
func considered(tokens string) []Shield {
	return []Shield{
		{Kind: Public},
		{Kind: APIKey},
		{Kind: tokens},
		{Kind: tokens, DPoP: true},
		{Kind: HMAC},
		{Kind: MTLS},
		{Kind: All, Parts: []Shield{{Kind: MTLS}, {Kind: HMAC}}},
	}
}

// unfit is a shield that a caller cannot use well, whatever it gives.
type unfit struct {
	ID      string
	Callers []Caller
	Kinds   []string
	Why     string
	Source  string
}

func unfits() []unfit {
	people := []Caller{Mobile, Browser}
	tokens := []string{JWT, Introspect}
	return []unfit{
		{"unfit-app-key", people, []string{APIKey}, "whoever has the page or the app has the key; Pavise refuses keys that browsers send", "RFC 8252 §8.5; OWASP API2:2023"},
		{"unfit-app-secret", people, []string{HMAC}, "a shared secret in a page or an app is everybody's", "RFC 8252 §8.5"},
		{"unfit-app-certificate", []Caller{Browser}, []string{MTLS}, "a certificate in a browser is sent along with what other sites ask for, and people cannot renew it", "RFC 8705 §1"},
		{"unfit-app-certificate", []Caller{Mobile}, []string{MTLS}, "a certificate names the phone, and says nothing about who holds it", "RFC 8705 §1"},
		{"unfit-strangers", []Caller{ThirdParty}, []string{MTLS}, "every developer would have to run a certificate's life: most will mail the key around", "RFC 8705 §1"},
		{"unfit-strangers-sign", []Caller{ThirdParty}, []string{HMAC}, "a secret names an application, and every developer would have to write a signer", "RFC 9421 §1"},
		{"unfit-webhook", []Caller{Webhook}, append(tokens, APIKey), "a sender of webhooks fetches no token and keeps no key for you: it signs what it sends", "RFC 9421 §1"},
		{"unfit-machine-token", []Caller{Device}, tokens, "a device would have to ask for tokens all its life, with a credential that could have been shown at once", "RFC 8705 §1"},
		{"unfit-machine-token", []Caller{Service}, tokens, "a service would ask for a token with a certificate that it can as well show at once", "NIST SP 800-204"},
		{"unfit-own-key", []Caller{Service, Device}, []string{APIKey}, "it lies in settings and images, travels with each request, and nobody renews it", "NIST SP 800-204; OWASP API2:2023"},
		{"unfit-device-secret", []Caller{Device}, []string{HMAC}, "whoever opens one device has its secret, and the server must hold the secrets of all", "NIST SP 800-204"},
		{"unfit-partner-token", []Caller{Partner}, tokens, "tokens by client credentials add a server that must be up, and sign nothing of what is sent", "RFC 9421 §1"},
	}
}

// unfitFor finds why a caller cannot use a shield well. Who acts for a person brings that person's
// token, whatever it thinks of tokens of its own.
func unfitFor(c Caller, person bool, s Shield) (unfit, bool) {
	for _, u := range unfits() {
		if person && slices.Contains(u.Kinds, JWT) {
			continue
		}
		if slices.Contains(u.Callers, c) && slices.ContainsFunc(u.Kinds, s.Uses) {
			return u, true
		}
	}
	return unfit{}, false
}
