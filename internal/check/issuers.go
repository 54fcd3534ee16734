package check

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/introspect"
	"pavise.dev/pavise/shield/jwt"
)

const day = 24 * time.Hour

func rulesOfIssuers() []rule {
	return []rule{
		says("audience-shared", medium, "API2 ASVS-10.3.1 REC-API-12", "One audience for several APIs", "A token that was got for one API is good at the others: whoever runs one of them can call the rest with what callers send.", "give each API an audience of its own: leave audience away, and name the API in the token", audienceShared),
		says("issuer-grants-all", medium, "API5 ASVS-10.4.11 REC-API-12", "An issuer that may grant everything", "Whoever breaks into it, or runs it, can give out every scope there is, and each one that is added.", "name the scopes or prefixes that it is there for in may_grant", issuerGrantsAll),
		says("issuer-grants-unknown", low, "API5 ASVS-10.4.11 REC-API-12", "An issuer may grant what no endpoint demands", "The name is wrong, or was meant for later: when an endpoint of that name comes, it is open already.", "take it out of may_grant", issuerGrantsUnknown),
		says("issuer-unused", low, "API9 ASVS-15.2.3 REC-API-4", "An issuer that no shield names", "It is fetched from, and trusted as soon as somebody writes its name.", "take it out", issuerUnused),
		says("token-life-long", medium, "API2 ASVS-9.2.1 REC-API-11", "Tokens that live for days", "What was copied is good for so long, and its rights are those of the day on which it was made.", "max_age: 1h, and refresh tokens at the issuer", tokenLifeLong),
		says("token-types-open", low, "API2 ASVS-9.2.2 REC-API-11", "Tokens of other kinds are accepted", "A token that says it is just a JWT may be an ID token or one for another purpose: it was never meant for an API.", "types: at+jwt, if the issuer can (RFC 9068)", tokenTypesOpen),
		says("keys-kept-long", low, "API2 ASVS-9.1.3 REC-API-11", "Keys of an issuer that serve for long without it", "A key that the issuer took back because somebody has it goes on being believed while the issuer cannot be reached.", "keys_max_age: 24h", keysKeptLong),
		says("jwks-weak-key", high, "API2 ASVS-11.2.3 REC-API-11", "A weak key signs tokens", "A key of this size can be computed: whoever does signs tokens for everybody.", "have the issuer sign with ES256, EdDSA, or RSA of 3072 bits", jwksWeakKey),
		says("jwks-private", high, "API2 ASVS-13.3.1 REC-API-11", "A key set with private keys", "The file is meant to hold public keys: whoever can read it signs tokens.", "take the private members out, and make new keys", jwksPrivate),
		says("jwks-stale", low, "API2 ASVS-13.3.4 REC-API-11", "Keys of an issuer in an old file", "Keys that never change are those that somebody has copied by now; and when they do change, tokens stop.", "name the address of its key set in jwks, or leave jwks away", jwksStale),
	}
}

// audiencesOf are the accepted values of aud where a shield takes an issuer's tokens.
func (l *look) audiencesOf(s *config.Shield, issuer, api string) []string {
	var own []string
	switch c := s.Config.(type) {
	case *jwt.Config:
		own = c.Audience
	case *introspect.Config:
		own = c.Audience
	}
	switch {
	case len(own) > 0:
		return own
	case len(l.File.Issuers[issuer].Audience) > 0:
		return l.File.Issuers[issuer].Audience
	}
	return []string{api}
}

func audienceShared(l *look) {
	type key struct{ issuer, audience string }
	first := map[key]string{}
	l.each(func(e *config.Resolved, _ string) {
		leaves(e.Shield, "", func(s *config.Shield, _ string) {
			for _, issuer := range issuersOf(s) {
				for _, audience := range l.audiencesOf(s, issuer, e.API) {
					k := key{issuer, audience}
					if other := first[k]; other != "" && other != e.API {
						l.found("issuers."+issuer+".audience", "tokens for %s are good at %s and at %s", audience, other, e.API)
					}
					first[k] = e.API
				}
			}
		})
	})
}

func (l *look) issuers(visit func(name, path string, i config.Issuer)) {
	for _, name := range sorted(l.File.Issuers) {
		visit(name, "issuers."+name, l.File.Issuers[name])
	}
}

func issuerGrantsAll(l *look) {
	l.issuers(func(_, path string, i config.Issuer) {
		if slices.Contains(i.MayGrant, "*") {
			l.found(path+".may_grant", "it may grant *")
		}
	})
}

func issuerGrantsUnknown(l *look) {
	if len(l.File.Policies) > 0 {
		return // policy files may ask for them
	}
	demanded := l.demanded()
	l.issuers(func(_, path string, i config.Issuer) {
		for _, ceiling := range i.MayGrant {
			known := ceiling == "*"
			for scope := range demanded {
				known = known || grants([]string{ceiling}, scope)
			}
			if !known {
				l.found(path+".may_grant", "no endpoint demands %s", ceiling)
			}
		}
	})
}

func issuerUnused(l *look) {
	used := map[string]bool{}
	l.each(func(e *config.Resolved, _ string) {
		leaves(e.Shield, "", func(s *config.Shield, _ string) {
			for _, name := range issuersOf(s) {
				used[name] = true
			}
		})
	})
	l.issuers(func(name, path string, _ config.Issuer) {
		if !used[name] {
			l.found(path, "no shield names %s", name)
		}
	})
}

func tokenLifeLong(l *look) {
	l.issuers(func(_, path string, i config.Issuer) {
		if i.MaxAge.Duration > day {
			l.found(path+".max_age", "tokens may live for %s", days(i.MaxAge.Duration))
		}
	})
}

func tokenTypesOpen(l *look) {
	l.issuers(func(_, path string, i config.Issuer) {
		for _, typ := range i.Types {
			if strings.EqualFold(typ, "JWT") {
				l.found(path+".types", "tokens of the type %s are accepted", typ)
			}
		}
	})
}

func keysKeptLong(l *look) {
	l.issuers(func(_, path string, i config.Issuer) {
		if i.KeysMaxAge.Duration > 7*day {
			l.found(path+".keys_max_age", "kept keys serve for %s", days(i.KeysMaxAge.Duration))
		}
	})
}

// jwk is what is looked at of a key in a key set (RFC 7517).
type jwk struct {
	Type    string `json:"kty"`
	ID      string `json:"kid"`
	N       string `json:"n"`
	Private string `json:"d"`
	Secret  string `json:"k"`
}

// keySets visits the keys of issuers that lie in files.
func (l *look) keySets(visit func(path string, k jwk)) {
	l.issuers(func(_, path string, i config.Issuer) {
		if i.JWKS == "" || strings.Contains(i.JWKS, "://") {
			return
		}
		var set struct {
			Keys []jwk `json:"keys"`
		}
		if text, err := readFile(l.File.Abs(i.JWKS)); err == nil && json.Unmarshal(text, &set) == nil {
			for _, k := range set.Keys {
				visit(path+".jwks", k)
			}
		}
	})
}

func jwksWeakKey(l *look) {
	l.keySets(func(path string, k jwk) {
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if k.Type == "RSA" && err == nil && len(n)*8 < 2048 {
			l.found(path, "the RSA key %.40q has %d bits", k.ID, len(n)*8)
		}
	})
}

func jwksPrivate(l *look) {
	l.keySets(func(path string, k jwk) {
		if k.Private != "" || k.Secret != "" {
			l.found(path, "the key %.40q stands there with its private half", k.ID)
		}
	})
}

func jwksStale(l *look) {
	l.issuers(func(_, path string, i config.Issuer) {
		if i.JWKS == "" || strings.Contains(i.JWKS, "://") {
			return
		}
		if info, err := os.Stat(l.File.Abs(i.JWKS)); err == nil && l.Now.Sub(info.ModTime()) > 365*day {
			l.found(path+".jwks", "%s was written %s ago", i.JWKS, days(l.Now.Sub(info.ModTime())))
		}
	})
}
