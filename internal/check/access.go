package check

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/shield/apikey"
	"pavise.dev/pavise/shield/hmac"
	"pavise.dev/pavise/shield/introspect"
	"pavise.dev/pavise/shield/jwt"
)

func rulesOfAccess() []rule {
	return []rule{
		says("user-data-behind-key", medium, "API1 ASVS-8.2.2 ASVS-13.2.1 REC-API-12", "Data of people behind an API key alone", "A key says which application calls, not for whom: whoever has it reads and changes the data of every person.", "demand a token of the person: shield: {jwt: …}, alone or in an all", userDataBehindKey),
		says("payment-by-bearer", medium, "API2 ASVS-4.1.5 ASVS-10.3.5 REC-API-11", "Money moved by whoever holds a word", "A key or token that was copied moves money until somebody notices: nothing binds the request to who made it.", "demand a signature or a certificate too ({all: [{jwt: …}, hmac]}), or tokens that are bound: dpop: require", paymentByBearer),
		says("public-writing", medium, "API2 ASVS-8.2.1 REC-API-11", "Anybody may change something", "A public endpoint with a method that writes can be called by every program of the internet, as often as its limits let it.", "name a shield; where strangers must be able to send something, give it a contract and a tight limit per address, and waive this", publicWriting),
		says("admin-public", high, "API5 ASVS-8.2.1 ASVS-13.4.5 REC-API-12", "Anybody may administer", "The path speaks of administration or of the inside, and nobody is asked who is calling.", "name a shield and a scope of its own, or do not serve it here", adminPublic),
		says("admin-any-scope", high, "API5 ASVS-8.2.1 REC-API-12", "Every caller may administer", "The path speaks of administration or of the inside, and any caller who is known at all may call it.", "demand a scope of its own", adminAnyScope),
		says("admin-by-key", medium, "API5 ASVS-8.2.1 ASVS-13.2.1 REC-API-11", "Administration by an API key alone", "Keys live long, are copied into scripts and name no person: nobody knows who did it.", "demand a token of a person, a certificate, or both", adminByKey),
		says("admin-scope-shared", medium, "API5 ASVS-8.2.1 REC-API-12", "Administration with an ordinary scope", "The scopes that open the path of administration are demanded of ordinary endpoints too: whoever may call those may administer.", "give it a scope of its own", adminScopeShared),
		says("writing-any-scope", medium, "API5 ASVS-8.2.1 REC-API-12", "Every caller may write", "The endpoint changes something and demands no scope: whoever is known at all may do it.", "demand a scope; or a condition (when), if the right depends on more than scopes", writingAnyScope),
		says("scope-reads-and-writes", info, "API5 ASVS-8.2.2 REC-API-12", "One scope for reading and writing", "Whoever only has to read can write as well.", "demand a scope of its own of what writes", scopeReadsAndWrites),
		says("scope-unused", low, "API9 ASVS-8.1.1 REC-API-4", "A scope that no endpoint demands", "It is granted, shown to people and asked about, and opens nothing; or an endpoint forgot it.", "take it out of scopes, or demand it", scopeUnused),
		says("scope-unobtainable", medium, "API5 ASVS-10.3.2 REC-API-12", "Scopes that nobody can have", "The endpoint takes tokens of issuers alone, none of which may grant what it demands: it is closed to everybody, and somebody will open it in a hurry.", "add the scope to may_grant of the issuer, or mend its name", scopeUnobtainable),
		says("weakest-of-any", medium, "API2 ASVS-6.3.4 REC-API-11", "A strong proof beside a weak one", "One of an any is enough: a certificate or a signature protects nothing where an API key opens the same door.", "give the callers with keys an endpoint of their own, or write all", weakestOfAny),
		says("catch-all-weaker", medium, "API9 ASVS-8.2.1 REC-API-4", "What nobody listed is open to more than what is", "Paths that no more special pattern matches fall to one that asks for less: a slip of the pen, or a new path of the service, is open.", "let the pattern for all else demand at least as much as those below it", catchAllWeaker),
		says("catch-all", info, "API9 ASVS-15.2.3 REC-API-4", "Whatever the service has", "The pattern lets every path through, also those that nobody knows of.", "list the paths of the service, or give the API its description (openapi)", catchAll),
		says("pattern-shadowed", low, "API9 ASVS-8.1.1 REC-API-4", "Another API takes a part of its paths", "Requests that look as if they went to one API go to the other, with its shield and its upstream.", "give the two APIs hosts or prefixes of their own", patternShadowed),
		says("pattern-twin", low, "API9 ASVS-8.1.1 REC-API-4", "Two patterns that differ in case alone", "Services often do not tell case apart: the stricter of the two is passed by writing the other.", "keep one", patternTwin),
		says("host-unused", low, "API9 ASVS-15.2.3 REC-API-4", "A host without an API", "It is answered for, has a certificate, and serves nothing.", "take it out", hostUnused),
		says("certificate-asked-needlessly", low, "API8 ASVS-12.1.3 REC-API-9", "Certificates are asked for and not looked at", "Browsers pester people with a choice, and readers of the file believe that it matters.", "take client_certificates: ask away, or name a shield that looks", askedNeedlessly),
		says("hmac-window-wide", medium, "API2 ASVS-4.1.5 REC-API-11", "Signatures that stay good for long", "A signed request that somebody caught can be held back and sent when it hurts.", "window: 60s; clocks are easily kept within seconds", hmacWindow),
		says("test-keys-accepted", info, "API2 ASVS-13.2.3 REC-API-11", "Keys of every environment", "A key that was made for a test opens this door as well.", "environment: live", anyEnvironment),
		says("key-from-browser", medium, "API2 ASVS-10.1.1 REC-API-11", "API keys in browsers", "Scripts of websites may call with an API key: whoever opens the page can read the key.", "use tokens of people (jwt) where browsers call", keyFromBrowser),
		says("token-unbound", info, "API2 ASVS-10.3.5 REC-API-11", "Tokens that any holder may use", "A token that was copied is good until it ends: nothing binds it to its client.", "dpop: require, or certificate_bound: true", tokenUnbound),
		says("sign-in-too-old", low, "API6 ASVS-10.3.4 REC-API-11", "Money moved long after the sign-in", "A session that somebody left open is enough: nothing asks when the person last proved who they are.", "max_age: 15m and acr at the shield of what moves money", signInTooOld),
		says("introspection-remembered", low, "API2 ASVS-10.4.9 REC-API-11", "Revocations that take minutes", "What an issuer said of a token is believed for long: a revoked one goes on.", "remember: 10s", introspectionRemembered),
	}
}

func userDataBehindKey(l *look) {
	l.each(func(e *config.Resolved, path string) {
		word := speaksOf(e.Path, personal())
		if word == "" {
			return
		}
		if slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool { return w.only("api_key") }) {
			l.found(path, "%s speaks of %s, and an API key alone opens it", e.Pattern, word)
		}
	})
}

func paymentByBearer(l *look) {
	l.each(func(e *config.Resolved, path string) {
		word := speaksOf(e.Path, paying())
		if word == "" || !writes(e) {
			return
		}
		for _, w := range l.waysOf(e.Shield) {
			if w.only("api_key", "jwt", "introspect") && !slices.ContainsFunc(w, isBound) {
				l.found(path, "%s speaks of %s, and %s alone opens it", e.Pattern, word, w.named())
				return
			}
		}
	})
}

// named are the kinds of a way.
func (w way) named() string {
	var kinds []string
	for _, p := range w {
		if !slices.Contains(kinds, p.Kind) {
			kinds = append(kinds, p.Kind)
		}
	}
	return strings.Join(kinds, " with ")
}

// isBound reports whether tokens must be bound to a key or a certificate.
func isBound(p config.Proof) bool {
	switch c := p.Config.(type) {
	case *jwt.Config:
		return c.Bound || c.DPoP == "require"
	case *introspect.Config:
		return c.Bound || c.DPoP == "require"
	}
	return false
}

func publicWriting(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if isPublic(e) && writes(e) {
			l.found(path, "%s is public", e.Pattern)
		}
	})
}

func adminPublic(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if word := speaksOf(e.Path, administrative()); word != "" && isPublic(e) {
			l.found(path, "%s speaks of %s, and is public", e.Pattern, word)
		}
	})
}

func adminAnyScope(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if word := speaksOf(e.Path, administrative()); word != "" && e.Any && !isPublic(e) && e.When == "" {
			l.found(path, "%s speaks of %s, and demands no scope", e.Pattern, word)
		}
	})
}

func adminByKey(l *look) {
	l.each(func(e *config.Resolved, path string) {
		word := speaksOf(e.Path, administrative())
		if word != "" && slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool { return w.only("api_key") }) {
			l.found(path, "%s speaks of %s, and an API key alone opens it", e.Pattern, word)
		}
	})
}

func adminScopeShared(l *look) {
	ordinary := map[string]string{}
	l.each(func(e *config.Resolved, _ string) {
		if speaksOf(e.Path, administrative()) == "" {
			for _, scope := range e.Scopes {
				ordinary[scope] = e.Pattern
			}
		}
	})
	l.each(func(e *config.Resolved, path string) {
		if speaksOf(e.Path, administrative()) == "" || len(e.Scopes) == 0 || e.When != "" {
			return
		}
		for _, scope := range e.Scopes {
			if ordinary[scope] == "" {
				return
			}
		}
		l.found(path, "%s is opened by %s, as %s is", e.Pattern, e.Scopes[0], ordinary[e.Scopes[0]])
	})
}

func writingAnyScope(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if writes(e) && e.Any && !isPublic(e) && e.When == "" && e.GraphQL == nil && len(l.File.Policies) == 0 {
			l.found(path, "%s demands no scope, and no condition", e.Pattern)
		}
	})
}

func scopeReadsAndWrites(l *look) {
	read := map[string]string{}
	l.each(func(e *config.Resolved, _ string) {
		if !writes(e) {
			for _, scope := range e.Scopes {
				read[e.API+" "+scope] = e.Pattern
			}
		}
	})
	l.each(func(e *config.Resolved, path string) {
		if !writes(e) || len(e.Scopes) == 0 {
			return
		}
		for _, scope := range e.Scopes {
			if read[e.API+" "+scope] == "" {
				return
			}
		}
		l.found(path, "%s demands %s, as %s does", e.Pattern, e.Scopes[0], read[e.API+" "+e.Scopes[0]])
	})
}

// demanded are the scopes that anything demands.
func (l *look) demanded() map[string]bool {
	all := map[string]bool{}
	note := func(scopes ...string) {
		for _, scope := range scopes {
			all[scope] = true
		}
	}
	l.each(func(e *config.Resolved, _ string) {
		note(e.Scopes...)
		if e.Candidate != nil {
			note(e.Candidate.Scopes...)
		}
		if e.GraphQL != nil {
			for _, scopes := range e.GraphQL.Scopes {
				note(scopes...)
			}
		}
		for scope := range l.File.Scopes { // conditions may ask for them by name
			if e.When != "" && strings.Contains(e.When, `"`+scope+`"`) {
				note(scope)
			}
		}
	})
	return all
}

func scopeUnused(l *look) {
	if len(l.File.Policies) > 0 {
		return // policy files may ask for them
	}
	demanded := l.demanded()
	for _, scope := range sorted(l.File.Scopes) {
		if !demanded[scope] {
			l.found("scopes."+scope, "no endpoint demands %s", scope)
		}
	}
}

func scopeUnobtainable(l *look) {
	l.each(func(e *config.Resolved, path string) {
		for _, scope := range e.Scopes {
			possible := slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool {
				return !slices.ContainsFunc(w, func(p config.Proof) bool { return !l.mayCarry(p.Shield, scope) })
			})
			if !possible {
				l.found(path+".scopes", "%s demands %s, which no issuer of its tokens may grant", e.Pattern, scope)
				return
			}
		}
	})
}

// mayCarry reports whether a proof can come with a scope, as far as the file says.
func (l *look) mayCarry(s *config.Shield, scope string) bool {
	for _, name := range issuersOf(s) {
		if name == config.OwnIssuer && l.File.OAuth.Issuer != "" {
			return true
		}
		if grants(l.File.Issuers[name].MayGrant, scope) {
			return true
		}
	}
	return len(issuersOf(s)) == 0
}

// issuersOf names the issuers whose tokens a shield takes; nil: it takes none.
func issuersOf(s *config.Shield) []string {
	switch c := s.Config.(type) {
	case *jwt.Config:
		if len(c.Issuer) == 0 {
			return []string{config.OwnIssuer}
		}
		return c.Issuer
	case *introspect.Config:
		if c.Issuer == "" {
			return []string{config.OwnIssuer}
		}
		return []string{c.Issuer}
	}
	return nil
}

func weakestOfAny(l *look) {
	l.each(func(e *config.Resolved, path string) {
		strong, weak := "", false
		for _, w := range l.waysOf(e.Shield) {
			if w.has("mtls", "hmac") || slices.ContainsFunc(w, isBound) {
				strong = w.named()
			}
			weak = weak || w.only("api_key")
		}
		if strong != "" && weak {
			at := path + ".shield"
			if !l.File.Says(at) {
				at = "apis." + e.API + ".shield"
			}
			l.found(at, "%s would be proof, and api_key is enough", strong)
		}
	})
}

// less reports whether an endpoint asks for less than another.
func less(a, b *config.Resolved) bool {
	switch {
	case isPublic(a):
		return !isPublic(b)
	case a.Any:
		return !b.Any && !isPublic(b)
	}
	return false
}

func catchAllWeaker(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if !isCatchAll(e) {
			return
		}
		prefix := e.Path[:strings.LastIndexByte(e.Path, '{')]
		for i := range l.endpoints {
			other := &l.endpoints[i]
			if other.Method == e.Method && other.Path != e.Path && strings.HasPrefix(other.Path, prefix) && shareHost(e, other) && less(e, other) {
				l.found(path, "%s asks for less than %s below it", e.Pattern, other.Pattern)
				return
			}
		}
	})
}

func shareHost(a, b *config.Resolved) bool {
	return slices.ContainsFunc(a.Hosts, func(host string) bool { return slices.Contains(b.Hosts, host) })
}

func catchAll(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if isCatchAll(e) && e.OpenAPI == nil {
			l.found(path, "%s is for whatever the service has there", e.Pattern)
		}
	})
}

func patternShadowed(l *look) {
	open := map[string][]*config.Resolved{}
	l.each(func(e *config.Resolved, _ string) {
		if strings.Contains(e.Path, "{") {
			for _, host := range e.Hosts {
				open[host+" "+e.Method] = append(open[host+" "+e.Method], e)
			}
		}
	})
	l.each(func(e *config.Resolved, path string) {
		for _, host := range e.Hosts {
			for _, wide := range open[host+" "+e.Method] {
				if wide.API != e.API && covers(wide.Path, e.Path) {
					l.found(path, "%s takes paths that %s of the API %s would match", e.Pattern, wide.Pattern, wide.API)
					return
				}
			}
		}
	})
}

// covers reports whether a pattern's path matches all that another one does.
func covers(wide, narrow string) bool {
	a, b := strings.Split(wide, "/"), strings.Split(narrow, "/")
	for i, segment := range a {
		if strings.HasSuffix(segment, "...}") {
			return len(b) > i && wide != narrow
		}
		if i >= len(b) || !strings.HasPrefix(segment, "{") && segment != b[i] || strings.HasSuffix(b[i], "...}") {
			return false
		}
	}
	return len(a) == len(b) && wide != narrow
}

func patternTwin(l *look) {
	known := map[string]*config.Resolved{}
	l.each(func(e *config.Resolved, path string) {
		for _, host := range e.Hosts {
			key := host + " " + e.Method + " " + strings.ToLower(e.Path)
			if other := known[key]; other != nil && other.Path != e.Path {
				l.found(path, "%s and %s differ in case alone", e.Pattern, other.Pattern)
			}
			known[key] = e
		}
	})
}

func hostUnused(l *look) {
	used := map[string]bool{l.File.PKI.Host: true}
	l.each(func(e *config.Resolved, _ string) {
		for _, host := range e.Hosts {
			used[host] = true
		}
	})
	for _, name := range sorted(l.File.Hosts) {
		if !used[name] && !strings.Contains(l.File.OAuth.Issuer+"/", "//"+name+"/") && !strings.Contains(l.File.OAuth.Issuer, "//"+name+":") {
			l.found("hosts."+name, "no API is on %s", name)
		}
	}
}

func askedNeedlessly(l *look) {
	used := map[string]bool{}
	if l.File.OAuth.ClientCA != "" || l.File.PKI.Host != "" || len(l.File.Proxies.Terminators) > 0 {
		return
	}
	l.each(func(e *config.Resolved, _ string) {
		leaves(e.Shield, "", func(s *config.Shield, _ string) {
			if user, ok := s.Config.(config.CertificateUser); ok && user.UsesCertificate() || s.Kind == "jwt" || s.Kind == "introspect" {
				for _, host := range e.Hosts { // tokens may be bound to a certificate
					used[host] = true
				}
			}
		})
		if l.File.APIs[e.API].Identity.Certificate {
			for _, host := range e.Hosts {
				used[host] = true
			}
		}
	})
	for _, name := range sorted(l.File.Hosts) {
		if l.File.Hosts[name].ClientCertificates == "ask" && !used[name] {
			l.found("hosts."+name+".client_certificates", "no shield on %s looks at certificates", name)
		}
	}
}

// environmentOf is the environment whose keys alone a shield accepts.
func environmentOf(s *config.Shield) string {
	if c, ok := s.Config.(*apikey.Config); ok {
		return c.Environment
	}
	return ""
}

func hmacWindow(l *look) {
	l.shields(func(s *config.Shield, path string) {
		if c, ok := s.Config.(*hmac.Config); ok && c.Window.Minutes() > 5 {
			l.found(path+".window", "a signature is good for %s", c.Window)
		}
	})
}

func anyEnvironment(l *look) {
	l.shields(func(s *config.Shield, path string) {
		if c, ok := s.Config.(*apikey.Config); ok && c.Environment == "" {
			l.found(path, "keys of every environment are accepted")
		}
	})
}

func keyFromBrowser(l *look) {
	l.each(func(e *config.Resolved, _ string) {
		if len(e.Origins) > 0 && slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool { return w.only("api_key") }) {
			l.found("apis."+e.API+".cors", "scripts of %s may call %s, which an API key alone opens", e.Origins[0], e.Pattern)
		}
	})
}

func tokenUnbound(l *look) {
	l.shields(func(s *config.Shield, path string) {
		if (s.Kind == "jwt" || s.Kind == "introspect") && !isBound(config.Proof{Shield: s}) {
			l.found(path, "tokens need not be bound")
		}
	})
}

func signInTooOld(l *look) {
	l.each(func(e *config.Resolved, path string) {
		word := speaksOf(e.Path, paying())
		if word == "" || !writes(e) {
			return
		}
		leaves(e.Shield, path, func(s *config.Shield, _ string) {
			switch c := s.Config.(type) {
			case *jwt.Config:
				if c.MaxAge == 0 && len(c.ACR) == 0 {
					l.found(path, "%s speaks of %s, and takes tokens of a sign-in of any age", e.Pattern, word)
				}
			case *introspect.Config:
				if c.MaxAge == 0 && len(c.ACR) == 0 {
					l.found(path, "%s speaks of %s, and takes tokens of a sign-in of any age", e.Pattern, word)
				}
			}
		})
	})
}

func introspectionRemembered(l *look) {
	l.shields(func(s *config.Shield, path string) {
		if c, ok := s.Config.(*introspect.Config); ok && c.Remember.Minutes() > 1 {
			l.found(path+".remember", "an answer is believed for %s", c.Remember)
		}
	})
}

// unknownTo are the scopes of a list that nothing demands.
func unknownTo(demanded map[string]bool, scopes shield.Scopes) (unknown []string) {
	for _, scope := range scopes {
		if !demanded[scope] {
			unknown = append(unknown, scope)
		}
	}
	return unknown
}

// some names a few of many.
func some(names []string) string {
	if len(names) > 4 {
		return strings.Join(names[:4], ", ") + fmt.Sprintf(" and %d more", len(names)-4)
	}
	return strings.Join(names, ", ")
}
