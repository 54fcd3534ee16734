package advise

import (
	"fmt"
	"slices"
	"strings"
)

// Risk is what remains although all that is advised is done.
type Risk struct {
	Rule string `json:"rule"`
	What string `json:"what"`
	Do   string `json:"do"` // what lessens it
}

// riskRule tells of a guarantee that is not given, from some data or harm on; or of what no shield
// guarantees.
type riskRule struct {
	Risk
	Lacks Guarantees
	Data  Data
	Harm  Harm
	When  func(*Advice) bool
}

func riskRules() []riskRule {
	public := func(a *Advice) bool { return a.Public() }
	uses := func(kinds ...string) func(*Advice) bool {
		return func(a *Advice) bool { return slices.ContainsFunc(kinds, a.Shield.Uses) }
	}
	object := func(a *Advice) bool { return strings.Contains(a.Path(), "{") }
	return []riskRule{
		{Risk{"risk-everybody", "anybody may ask, and as often as there are addresses", "keep answers cheap, or cached; watch limits"}, 0, "", "", public},
		{Risk{"risk-object", "whose object it is that the path names, no shield knows", "have the service compare the owner, or write a condition: when: principal.user == …"}, 0, User, "", object},
		{Risk{"risk-copied-key", "whoever copies a key may call until it is revoked", "restrict keys to networks, rotate them, watch pavise log replay"}, Bound, "", "", uses(APIKey)},
		{Risk{"risk-stolen-token", "a stolen token is good until it ends", "keep its life short (minutes); dpop: require, once the callers can"}, Bound, "", "", uses(JWT, Introspect)},
		{Risk{"risk-page", "script that gets into the page can have the app's own key sign for it", "a strict Content-Security-Policy; tokens kept by a backend for the frontend"}, 0, User, "", func(a *Advice) bool {
			return slices.Contains(a.Answers.Callers, Browser) && uses(JWT, Introspect)(a)
		}},
		{Risk{"risk-issuer", "whoever rules the issuer of tokens rules the API", "may_grant bounds which scopes its tokens may carry"}, 0, "", "", uses(JWT, Introspect)},
		{Risk{"risk-shared-secret", "both sides hold the secret: neither can prove to a third who sent a request", "where that matters: all: [mtls, hmac]"}, Sole, "", "", uses(HMAC)},
		{Risk{"risk-key-on-machine", "a program on the same machine that can use the key is taken for the caller", "keep keys in hardware or a key store; short lives"}, 0, "", "", uses(MTLS)},
		{Risk{"risk-tls-end", "whoever ends TLS on the way can change a request: nothing in it is signed", "end TLS at Pavise; let amounts and receivers be confirmed by the person"}, Intact, "", Change, nil},
		{Risk{"risk-repeat", "a request can be sent again by whoever overheard it behind TLS", "end TLS at Pavise; idempotency where it matters"}, Once, "", Change, nil},
		{Risk{"risk-no-person", "for which person the caller works is known to the caller alone", "on_behalf: true, if each call is for a person"}, Person, User, "", nil},
		{Risk{"risk-one-proof", "one theft is enough", "limits, detections, and short lives of credentials"}, Two, "", Money, nil},
		{Risk{"risk-no-contract", "no document describes the input: whatever comes reaches the service", "write one, or learn one: pavise init --learn"}, 0, "", Change, func(a *Advice) bool { return !a.Facts.Described }},
		{Risk{"risk-foreign-signer", "a sender with a signature of its own form (as payment providers have) cannot sign as Pavise's hmac asks", "a shield of its own kind where there is one; else its networks, a secret path, and asking back"}, 0, "", "", func(a *Advice) bool {
			return slices.Contains(a.Answers.Callers, Webhook) && !a.Public()
		}},
		{Risk{"risk-device-lost", "a lost device calls until somebody misses it", "revoke its certificate: felt within a second; a life of days"}, 0, "", "", func(a *Advice) bool {
			return slices.Contains(a.Answers.Callers, Device) && !a.Public()
		}},
	}
}

func risksOf(a *Advice) (all []Risk) {
	given := a.Shield.Gives()
	for _, r := range riskRules() {
		lacks := r.Lacks == 0 || !given.Has(r.Lacks)
		enough := (r.Data == "" || a.Answers.Data.level() >= r.Data.level()) && (r.Harm == "" || a.Answers.Harm.level() >= r.Harm.level())
		if lacks && enough && (r.When == nil || r.When(a)) {
			all = append(all, r.Risk)
		}
	}
	return all
}

// cost is what one shield takes to run.
func cost(s Shield) string {
	switch s.Kind {
	case Public:
		return "nothing"
	case APIKey:
		return "a client and a key for each application, handed over once, rotated"
	case JWT:
		return "an authorization server (Pavise can be it), registered apps, people who sign in" + bindingCost(s)
	case Introspect:
		return "an authorization server that is asked about each new token, so that it must be up" + bindingCost(s)
	case HMAC:
		return "a shared secret for each caller, a signer at the caller, clocks that agree within seconds, a durable memory of what was seen"
	case MTLS:
		return "a certificate authority (pavise ca init), certificates that renew themselves, a host that asks for them"
	}
	parts := make([]string, len(s.Parts))
	for i, part := range s.Parts {
		parts[i] = cost(part)
	}
	return strings.Join(parts, "; ")
}

func bindingCost(s Shield) string {
	text := ""
	if s.DPoP {
		text += ", a proof by the app's key with each request (DPoP)"
	}
	if s.MaxAge > 0 {
		text += ", and people who sign in again after " + short(s.MaxAge)
	}
	return text
}

func costsOf(a *Advice) []string {
	var all []string
	parts := []Shield{a.Shield}
	if len(a.Shield.Parts) > 0 {
		parts = a.Shield.Parts
	}
	for _, s := range parts {
		all = append(all, s.String()+": "+cost(s))
	}
	if a.Layer(LayerAudit).Setting != "" {
		all = append(all, "audit: required: another place for events, which must be up or catch up")
	}
	return all
}

// notes are what is open for an API as a whole.
func notes(p *Plan) (all []string) {
	guessed, browsers := 0, false
	for i := range p.Advice {
		a := &p.Advice[i]
		if len(a.Guessed) > 0 {
			guessed++
		}
		browsers = browsers || slices.Contains(a.Answers.Callers, Browser) && !a.Public()
	}
	if guessed > 0 {
		all = append(all, fmt.Sprintf("answers for %d of %d endpoints are guessed from the document: look at them (--ask), and keep them (--save-answers)", guessed, len(p.Advice)))
	}
	if browsers && len(p.API.Origins) == 0 {
		all = append(all, "browsers call, and no origin is named: scripts of other origins than the API's own cannot call until `origins` names theirs")
	}
	return all
}
