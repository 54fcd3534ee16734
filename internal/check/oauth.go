package check

import (
	"net/url"
	"time"

	"pavise.dev/pavise/internal/config"
)

func rulesOfOAuth() []rule {
	return []rule{
		says("access-token-long", medium, "API2 ASVS-9.2.1 REC-API-11", "Access tokens for hours", "What was copied is good for so long; only what asks the server each time notices that it was revoked.", "oauth.access_token: 10m; refresh tokens do the rest", accessTokenLong),
		says("refresh-token-long", low, "API2 ASVS-10.4.8 REC-API-11", "Refresh tokens for months", "A program that the person forgot goes on in their name for so long.", "oauth.refresh_token: 30d", refreshTokenLong),
		says("signing-key-long", low, "API2 ASVS-13.3.4 REC-API-11", "A key that signs for months", "Whoever copied it signs tokens until it changes.", "oauth.rotate_keys: 30d", signingKeyLong),
		says("registration-open", low, "API2 ASVS-10.4.7 REC-API-11", "Programs may register themselves", "Each invitation that leaks is a new client, with a name that people will believe.", "take oauth.registration away when it is not needed, and withdraw invitations (pavise client invite --list)", registrationOpen),
		says("passwords-short", medium, "API2 ASVS-6.2.1 REC-API-11", "Short passwords", "They are tried through, or are in a list already.", "oauth.sign_in.min_password: 15, and a second factor", passwordsShort),
		says("sign-in-long", low, "API2 ASVS-7.3.2 REC-API-11", "Sign-ins that last for days", "Who sits down at the browser is the person, for so long.", "oauth.sign_in: {idle: 8h, longest: 24h}", signInLong),
		says("accounts-created", medium, "API2 ASVS-6.8.1 REC-API-11", "Everybody with an account elsewhere gets one here", "At a provider that is open to all, all are let in.", "accounts: existing, or require: {hd: [example.com]}", accountsCreated),
		says("token-limit-loose", low, "API2 ASVS-6.3.1 REC-API-15", "Clients' secrets may be tried fast", "One address may ask for tokens thousands of times a second.", "oauth.limit: 3000/minute", tokenLimitLoose),
		says("certificate-life-long", medium, "API2 ASVS-13.3.4 REC-API-11", "The authority issues certificates for years", "A key that a machine lost is good for so long, unless somebody notices and revokes it.", "pki.profiles: {service: {max_life: 30d}}; programs renew by themselves", certificateLifeLong),
		says("oauth-rsa", info, "API2 ASVS-11.2.3 REC-API-11", "Tokens signed with RSA of the old form", "RS256 holds; but its padding has had many faults in those who verify.", "oauth.algorithm: ES256, if all who verify can", oauthRSA),
	}
}

// server reports whether there is an authorization server of ours.
func (l *look) server() bool { return l.File.OAuth.Issuer != "" }

func accessTokenLong(l *look) {
	if t := l.File.OAuth.AccessToken; l.server() && t.Duration > time.Hour {
		l.found("oauth.access_token", "they live for %s", t)
	}
}

func refreshTokenLong(l *look) {
	if t := l.File.OAuth.RefreshToken; l.server() && t.Duration > 90*day {
		l.found("oauth.refresh_token", "they live for %s", t)
	}
}

func signingKeyLong(l *look) {
	if t := l.File.OAuth.RotateKeys; l.server() && t.Duration > 90*day {
		l.found("oauth.rotate_keys", "a key signs for %s", t)
	}
}

func registrationOpen(l *look) {
	if l.server() && l.File.OAuth.Registration {
		l.found("oauth.registration", "with an initial access token they may")
	}
}

func passwordsShort(l *look) {
	if s := l.File.OAuth.SignIn; l.server() && s.Passwords && s.MinPassword < 12 {
		l.found("oauth.sign_in.min_password", "%d characters are enough", s.MinPassword)
	}
}

func signInLong(l *look) {
	s := l.File.OAuth.SignIn
	if !l.server() {
		return
	}
	if s.Longest.Duration > 7*day {
		l.found("oauth.sign_in.longest", "a sign-in lasts for %s", s.Longest)
	}
	if s.Idle.Duration > 3*day {
		l.found("oauth.sign_in.idle", "a browser may be silent for %s", s.Idle)
	}
}

func accountsCreated(l *look) {
	s := l.File.OAuth.SignIn
	for _, name := range sorted(s.Providers) {
		if p := s.Providers[name]; p.Accounts == "create" && len(p.Require) == 0 && !isOfHere(p.Issuer) {
			l.found("oauth.sign_in.providers."+name+".accounts", "whoever signs in at %s gets an account", name)
		}
	}
}

// isOfHere reports whether an address is of this machine.
func isOfHere(address string) bool {
	u, err := url.Parse(address)
	return err == nil && isHere(u.Hostname())
}

func tokenLimitLoose(l *look) {
	if !l.server() {
		return
	}
	if n, ok := rateOf(l.File.OAuth.Limit); ok && n > plenty {
		l.found("oauth.limit", "%s are allowed", l.File.OAuth.Limit)
	}
}

func certificateLifeLong(l *look) {
	for _, name := range sorted(l.File.PKI.Profiles) {
		most := 90 * day
		if name == "device" {
			most = 398 * day
		}
		if p := l.File.PKI.Profiles[name]; p.MaxLife.Duration > most || p.Life.Duration > most {
			l.found("pki.profiles."+name, "%s may live for %s", name, config.Duration{Duration: max(p.Life.Duration, p.MaxLife.Duration)})
		}
	}
}

func oauthRSA(l *look) {
	if l.server() && l.File.OAuth.Algorithm == "RS256" {
		l.found("oauth.algorithm", "RS256 signs")
	}
}
