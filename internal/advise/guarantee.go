package advise

import (
	"strings"
	"time"
)

// Guarantees is a set of what a shield can guarantee about a request that it accepts. A shield is
// at least as strong as another one if it gives all that the other one gives.
type Guarantees uint16

// The guarantees.
const (
	Known  Guarantees = 1 << iota // which application calls
	Person                        // which person it is about can be told, by somebody who asked them
	Short                         // what was stolen ends by itself, and is good for this API alone
	Bound                         // a copy of what travels is not enough
	Sole                          // nobody but the caller holds the secret, we neither
	Intact                        // nobody between caller and gateway changed the request, whoever ends TLS too
	Once                          // it was not sent before
	Two                           // two proofs that are stolen in two ways
	Fresh                         // the person has shown a moment ago to be there
)

// meaning has a row for each guarantee.
func meaning() []struct {
	Is   Guarantees
	Name string
	Says string // what is lacking without it
} {
	return []struct {
		Is   Guarantees
		Name string
		Says string
	}{
		{Known, "known", "it does not say who calls"},
		{Person, "person", "it names an application, never a person"},
		{Short, "short", "what was stolen is good until somebody notices"},
		{Bound, "bound", "a copy of it is as good as the original"},
		{Sole, "sole", "both sides hold the secret, so that neither can show who sent a request"},
		{Intact, "intact", "whoever ends TLS on the way can change the request"},
		{Once, "once", "a request that was overheard can be sent again"},
		{Two, "two", "one theft is enough"},
		{Fresh, "fresh", "whoever finds an open session is taken for the person"},
	}
}

// Has reports whether all of others are in the set.
func (g Guarantees) Has(others Guarantees) bool { return g&others == others }

// Names lists the set in words.
func (g Guarantees) Names() []string {
	names := []string{}
	for _, m := range meaning() {
		if g.Has(m.Is) {
			names = append(names, m.Name)
		}
	}
	return names
}

func (g Guarantees) String() string { return strings.Join(g.Names(), ", ") }

// The kinds of shields, as configurations name them, and the combinations.
const (
	Public     = "public"
	APIKey     = "api_key"
	JWT        = "jwt"
	Introspect = "introspect"
	HMAC       = "hmac"
	MTLS       = "mtls"
	Any        = "any"
	All        = "all"
)

// Shield is one shield, or a combination, with those of its settings that bear on what it
// guarantees.
type Shield struct {
	Kind  string
	Parts []Shield // of any and all
	Actor bool     // in an all: the proof of another client

	DPoP     bool          // tokens: only such as are bound to a key
	CertOnly bool          // tokens: only such as are bound to a certificate
	MaxAge   time.Duration // tokens: how long ago the person may have signed in; 0: any time

	Other Guarantees // of kinds that this package does not know: what they give
}

// maxFresh is how long ago a person may have signed in to count as there.
const maxFresh = time.Hour

// Gives is what the shield guarantees of every request that it accepts.
func (s Shield) Gives() Guarantees {
	switch s.Kind {
	case APIKey:
		return Known
	case JWT, Introspect:
		g := Known | Person | Short
		if s.DPoP {
			g |= Bound | Sole | Once
		}
		if s.CertOnly {
			g |= Bound | Sole
		}
		if s.MaxAge > 0 && s.MaxAge <= maxFresh {
			g |= Fresh
		}
		return g
	case HMAC:
		return Known | Bound | Intact | Once
	case MTLS:
		return Known | Bound | Sole
	case Any:
		return s.every()
	case All:
		return s.together()
	}
	return s.Other
}

// every is what all alternatives give: an attacker chooses the weakest.
func (s Shield) every() (g Guarantees) {
	for i, part := range s.Parts {
		if i == 0 {
			g = part.Gives()
		}
		g &= part.Gives()
	}
	return g
}

// together is what the proofs of an all give. Two are two if they are of different kinds.
func (s Shield) together() (g Guarantees) {
	kinds := map[string]bool{}
	for _, part := range s.Parts {
		given := part.Gives()
		if given.Has(Known) {
			kinds[part.Kind] = true
		}
		g |= given
	}
	if len(kinds) > 1 {
		g |= Two
	}
	return g
}

// String writes the shield as a configuration does, in one line.
func (s Shield) String() string {
	switch s.Kind {
	case Any, All:
		parts := make([]string, len(s.Parts))
		for i, part := range s.Parts {
			parts[i] = part.String()
		}
		return "{" + s.Kind + ": [" + strings.Join(parts, ", ") + "]}"
	}
	var settings []string
	if s.DPoP {
		settings = append(settings, "dpop: require")
	}
	if s.CertOnly {
		settings = append(settings, "certificate_bound: true")
	}
	if s.MaxAge > 0 {
		settings = append(settings, "max_age: "+short(s.MaxAge))
	}
	switch text := "{" + s.Kind + ": {" + strings.Join(settings, ", ") + "}"; {
	case s.Actor && len(settings) == 0:
		return "{" + s.Kind + ": {}, actor: true}"
	case s.Actor:
		return text + ", actor: true}"
	case len(settings) > 0:
		return text + "}"
	}
	return s.Kind
}

func short(d time.Duration) string {
	text := d.String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Uses reports whether the shield, or a part of it, is of a kind.
func (s Shield) Uses(kind string) bool {
	if s.Kind == kind {
		return true
	}
	for _, part := range s.Parts {
		if part.Uses(kind) {
			return true
		}
	}
	return false
}
