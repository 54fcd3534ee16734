package check

import (
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield/mtls"
)

func rulesOfStore() []rule {
	return ofStore(
		says("client-without-owner", info, "API9 ASVS-15.1.5 REC-API-4", "A client that nobody answers for", "When its key turns up somewhere, there is nobody to ask, and nobody dares to revoke it.", "pavise client update ID --contact team@example.com", clientWithoutOwner),
		says("client-idle", low, "API9 ASVS-13.2.2 REC-API-4", "A client that nobody uses", "What nobody uses nobody watches.", "pavise client disable ID", clientIdle),
		says("client-all-scopes", medium, "API5 ASVS-13.2.2 REC-API-12", "A client that may do everything", "One key that leaks is the whole API.", "pavise client update ID --scope …; pavise review proposes what it uses", clientAllScopes),
		says("grant-dead", low, "API5 ASVS-13.2.2 REC-API-12", "A scope that was granted and that nothing demands", "When an endpoint of that scope comes, the client is in already.", "take it from the client", grantDead),
		says("scope-unheld", info, "API5 ASVS-13.2.2 REC-API-12", "A scope that no client has", "The endpoint is closed to everybody, or is forgotten.", "grant it, or take the endpoint out", scopeUnheld),
		says("credential-old", medium, "API2 ASVS-13.3.4 REC-API-11", "A credential that was never changed", "It has been in backups, terminals and heads of people who left.", "pavise key rotate ID --overlap 7d", credentialOld),
		says("credential-endless", info, "API2 ASVS-13.3.4 REC-API-11", "A credential without an end", "It goes on when the program that had it is long gone.", "--expires 365d when it is made", credentialEndless),
		says("credential-never-used", low, "API2 ASVS-13.2.2 REC-API-11", "A credential that was never used", "It was lost on the way, or lies somewhere.", "pavise revoke ID", credentialNeverUsed),
		says("credential-idle", low, "API2 ASVS-13.2.2 REC-API-11", "A credential that nobody uses any more", "Whoever finds it comes in unnoticed.", "pavise revoke ID", credentialIdle),
		says("credential-expiring", medium, "API2 ASVS-13.3.4 REC-API-11", "A credential in use that ends soon", "On that day its client is refused, and somebody will make one in a hurry.", "pavise key rotate ID", credentialExpiring),
		says("credential-expired", info, "API9 ASVS-13.3.4 REC-API-4", "A credential that is over", "It opens nothing, and hides those that do.", "pavise revoke ID", credentialExpired),
		says("rotation-unfinished", medium, "API2 ASVS-13.3.4 REC-API-11", "The old credential goes on beside its successor", "It was replaced because somebody might have it.", "pavise revoke ID", rotationUnfinished),
		says("credential-useless", low, "API9 ASVS-13.2.2 REC-API-4", "A credential that no endpoint takes", "No shield of its kind is left: it waits for one to come back.", "pavise revoke ID", credentialUseless),
		says("credentials-many", low, "API2 ASVS-13.3.2 REC-API-11", "One client with many credentials", "Nobody knows any more which of them is where.", "revoke those that are not used; a client for each program", credentialsMany),
		says("credential-anywhere", info, "API2 ASVS-13.2.2 REC-API-11", "A credential that is good from everywhere", "Where it was copied to does not matter.", "--network 192.0.2.0/24 for programs that have a fixed address", credentialAnywhere),
		says("test-credential-live", low, "API2 ASVS-13.2.3 REC-API-11", "A key for tests opens what is in use", "Keys for tests are handed around.", "environment: live at the shield", testCredentialLive),
		says("disabled-client-credentials", info, "API9 ASVS-13.2.2 REC-API-4", "Credentials of a client that is disabled", "They are good again the moment somebody enables it.", "pavise revoke --client ID", disabledClientCredentials),
		says("authority-missing", high, "API8 ASVS-12.3.4 REC-API-9", "The own authority is asked for, and there is none", "The gateway does not start with it, and one that runs keeps the configuration before.", "pavise ca init, then pavise reload", authorityMissing),
		says("authority-expiring", medium, "API8 ASVS-12.3.4 REC-API-9", "The own authority ends soon", "Nothing that it vouches for is accepted after that day.", "pavise ca rotate", authorityExpiring),
		says("authority-root-online", info, "API8 ASVS-13.3.3 REC-API-9", "The root's key is on this machine", "Who takes over the machine can issue for ever; with a root elsewhere, only what stands below it is lost.", "pavise ca init with a root key that is kept elsewhere (pavise ca key)", authorityRootOnline),
	)
}

// live visits the credentials that are good today.
func (l *look) live(visit func(c *client.Credential, name string)) {
	disabled := map[string]bool{}
	for _, c := range l.Held.Clients {
		disabled[c.ID] = c.Disabled
	}
	for i := range l.Held.Credentials {
		c := &l.Held.Credentials[i]
		if c.Revoked.IsZero() && !disabled[c.Client] && (c.End().IsZero() || l.Now.Before(c.End())) {
			visit(c, nameOf(c))
		}
	}
}

// nameOf is how a credential is called in findings: kind and id.
func nameOf(c *client.Credential) string { return c.Kind + " " + c.ID }

// isOwn reports whether a credential is one that the installation keeps by itself: certificates
// of its own authority, which are short and renewed.
func isOwn(c *client.Credential) bool { return c.Settings["profile"] != "" }

func clientWithoutOwner(l *look) {
	for _, c := range l.Held.Clients {
		if c.Contact == "" && !c.Disabled && !isGateway(c.ID) {
			l.held("client "+c.ID, "%s has no contact", c.ID)
		}
	}
}

// isGateway reports whether a client is the installation itself.
func isGateway(id string) bool { return id == "pavise" || id == "pavise-gateway" }

func clientIdle(l *look) {
	last := map[string]time.Time{}
	has := map[string]bool{}
	for i := range l.Held.Credentials {
		c := &l.Held.Credentials[i]
		has[c.Client] = has[c.Client] || c.Revoked.IsZero()
		if c.LastUsed.After(last[c.Client]) {
			last[c.Client] = c.LastUsed
		}
	}
	for _, c := range l.Held.Clients {
		if c.Disabled || isGateway(c.ID) || l.Now.Sub(c.Created) < 90*day {
			continue
		}
		switch at := last[c.ID]; {
		case !has[c.ID]:
			l.held("client "+c.ID, "%s has no credential", c.ID)
		case at.IsZero():
			l.held("client "+c.ID, "%s has never called", c.ID)
		case l.Now.Sub(at) > 180*day:
			l.held("client "+c.ID, "%s last called %s ago", c.ID, days(l.Now.Sub(at)))
		}
	}
}

func clientAllScopes(l *look) {
	if len(l.File.Scopes) < 8 { // so few are soon all needed
		return
	}
	for _, c := range l.Held.Clients {
		all := !c.Disabled
		for scope := range l.File.Scopes {
			all = all && c.Scopes.Has(scope)
		}
		if all {
			l.held("client "+c.ID, "%s has all %d scopes", c.ID, len(l.File.Scopes))
		}
	}
}

func grantDead(l *look) {
	if len(l.File.Policies) > 0 {
		return
	}
	demanded := l.demanded()
	for _, c := range l.Held.Clients {
		if dead := unknownTo(demanded, c.Scopes); len(dead) > 0 && !c.Disabled {
			l.held("client "+c.ID, "%s has %s, which nothing demands", c.ID, some(dead))
		}
	}
}

func scopeUnheld(l *look) {
	if len(l.Held.Clients) == 0 {
		return
	}
	l.each(func(e *config.Resolved, path string) {
		for _, scope := range e.Scopes {
			held := slices.ContainsFunc(l.Held.Clients, func(c client.Client) bool { return !c.Disabled && c.Scopes.Has(scope) })
			if !held && !slices.ContainsFunc(l.waysOf(e.Shield), func(w way) bool { return w.has("jwt", "introspect") }) {
				l.found(path+".scopes", "no client has %s", scope)
			}
		}
	})
}

func credentialOld(l *look) {
	l.live(func(c *client.Credential, name string) {
		if age := l.Now.Sub(c.Created); age > 365*day && !isOwn(c) && c.Kind != client.CertificateKind {
			l.held(name, "of %s, made %s ago", c.Client, days(age))
		}
	})
}

func credentialEndless(l *look) {
	l.live(func(c *client.Credential, name string) {
		if c.End().IsZero() && (c.Kind == "api_key" || c.Kind == "hmac") {
			l.held(name, "of %s", c.Client)
		}
	})
}

func credentialNeverUsed(l *look) {
	l.live(func(c *client.Credential, name string) {
		if c.LastUsed.IsZero() && l.Now.Sub(c.Created) > 90*day && !isOwn(c) && c.Kind != "oauth" {
			l.held(name, "of %s, made %s ago", c.Client, days(l.Now.Sub(c.Created)))
		}
	})
}

func credentialIdle(l *look) {
	l.live(func(c *client.Credential, name string) {
		if idle := l.Now.Sub(c.LastUsed); !c.LastUsed.IsZero() && idle > 180*day {
			l.held(name, "of %s, last used %s ago", c.Client, days(idle))
		}
	})
}

func credentialExpiring(l *look) {
	l.live(func(c *client.Credential, name string) {
		end := c.End()
		if !end.IsZero() && !isOwn(c) && c.ReplacedBy == "" && !c.LastUsed.IsZero() && l.Now.Sub(c.LastUsed) < 30*day && end.Sub(l.Now) < min(14*day, end.Sub(c.Created)/3) {
			l.held(name, "of %s, in use, ends in %s", c.Client, days(end.Sub(l.Now)))
		}
	})
}

func credentialExpired(l *look) {
	for i := range l.Held.Credentials {
		c := &l.Held.Credentials[i]
		if end := c.End(); c.Revoked.IsZero() && !end.IsZero() && l.Now.Sub(end) > 30*day && !isOwn(c) {
			l.held(nameOf(c), "of %s, ended %s ago", c.Client, days(l.Now.Sub(end)))
		}
	}
}

func rotationUnfinished(l *look) {
	made := map[string]time.Time{}
	for i := range l.Held.Credentials {
		made[l.Held.Credentials[i].ID] = l.Held.Credentials[i].Created
	}
	l.live(func(c *client.Credential, name string) {
		if at, ok := made[c.ReplacedBy]; ok && c.ReplacedBy != "" && l.Now.Sub(at) > 30*day {
			l.held(name, "of %s, replaced by %s %s ago", c.Client, c.ReplacedBy, days(l.Now.Sub(at)))
		}
	})
}

func credentialUseless(l *look) {
	kinds := map[string]bool{"oauth": l.server()}
	l.each(func(e *config.Resolved, _ string) {
		leaves(e.Shield, "", func(s *config.Shield, _ string) {
			kinds[s.Kind] = true
			if s.Kind == "jwt" || s.Kind == "introspect" { // tokens may be of, or bound to, these
				kinds["jwt"], kinds["introspect"], kinds["oauth"], kinds[client.CertificateKind] = true, true, true, true
			}
		})
	})
	l.live(func(c *client.Credential, name string) {
		if !kinds[c.Kind] && !isOwn(c) {
			l.held(name, "of %s: no endpoint has the shield %s", c.Client, c.Kind)
		}
	})
}

func credentialsMany(l *look) {
	counts := map[string]int{}
	l.live(func(c *client.Credential, _ string) {
		if !isOwn(c) {
			counts[c.Client+" "+c.Kind]++
		}
	})
	for _, c := range l.Held.Clients {
		for _, kind := range []string{"api_key", "hmac"} {
			if n := counts[c.ID+" "+kind]; n > 5 {
				l.held("client "+c.ID, "%s has %d of the kind %s", c.ID, n, kind)
			}
		}
	}
}

func credentialAnywhere(l *look) {
	l.live(func(c *client.Credential, name string) {
		if len(c.Networks) == 0 && (c.Kind == "api_key" || c.Kind == "hmac") {
			l.held(name, "of %s", c.Client)
		}
	})
}

func testCredentialLive(l *look) {
	environments := map[string]bool{}
	l.live(func(c *client.Credential, _ string) { environments[c.Environment] = true })
	if !environments["live"] {
		return
	}
	open := ""
	l.each(func(e *config.Resolved, _ string) {
		leaves(e.Shield, "", func(s *config.Shield, _ string) {
			if s.Kind == "api_key" && environmentOf(s) == "" {
				open = e.Pattern
			}
		})
	})
	l.live(func(c *client.Credential, name string) {
		if open != "" && slices.Contains([]string{"test", "dev", "staging", "sandbox", "qa"}, c.Environment) {
			l.held(name, "of %s, for %s, opens %s", c.Client, c.Environment, open)
		}
	})
}

func disabledClientCredentials(l *look) {
	for _, c := range l.Held.Clients {
		n := 0
		for i := range l.Held.Credentials {
			if one := &l.Held.Credentials[i]; one.Client == c.ID && one.Revoked.IsZero() {
				n++
			}
		}
		if c.Disabled && n > 0 {
			l.held("client "+c.ID, "%s", fmt.Sprintf("%s is disabled, and has %d that are not revoked", c.ID, n))
		}
	}
}

// authorityMissing finds what trusts or shows certificates of an authority that was not made.
func authorityMissing(l *look) {
	if len(l.Held.Authority) > 0 {
		return
	}
	for _, name := range sorted(l.File.Hosts) {
		if l.File.Hosts[name].Certificate.Source == "own" {
			l.found("hosts."+name+".certificate", "%s is to show a certificate of the own authority", name)
		}
	}
	for _, name := range sorted(l.File.APIs) {
		if l.File.APIs[name].Upstream.ClientCertificate == "own" {
			l.found("apis."+name+".upstream.client_certificate", "%s is to be shown a certificate of the own authority", name)
		}
	}
	l.shields(func(s *config.Shield, path string) {
		if c, ok := s.Config.(*mtls.Config); ok && c.TrustsOwn() {
			l.found(path, "callers are to have certificates of the own authority")
		}
	})
}

func authorityExpiring(l *look) {
	for _, a := range l.Held.Authority {
		left := a.NotAfter.Sub(l.Now)
		if a.Active && left < min(180*day, a.NotAfter.Sub(a.NotBefore)/4) {
			l.held("authority "+a.Subject, "%s ends in %s", a.Subject, days(left))
		}
	}
}

func authorityRootOnline(l *look) {
	for _, a := range l.Held.Authority {
		if a.Role == "root" && a.Active && !a.Offline {
			l.held("authority "+a.Subject, "%s is kept here", a.Subject)
		}
	}
}
