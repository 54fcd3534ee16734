package config

import (
	"net/url"
	"slices"

	"pavise.dev/pavise/limit"
)

// checkOAuth finds what cannot work of the authorization server.
func (l *loader) checkOAuth() {
	o := l.file.OAuth
	if o.Issuer == "" {
		return
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Hostname() == "" {
		return // the form was refused already
	}
	if _, ok := l.file.Hosts[u.Hostname()]; !ok {
		l.at("oauth.issuer", didYouMean(u.Hostname(), sortedKeys(l.file.Hosts), "name it under hosts"), "host %q is not named under hosts", u.Hostname())
	}
	if _, ok := l.file.Issuers[OwnIssuer]; ok {
		l.at("issuers."+OwnIssuer, "give it another name", "the name %q belongs to the authorization server of this installation", OwnIssuer)
	}
	if o.AccessToken.Duration > o.RefreshIdle.Duration {
		l.at("oauth.refresh_idle", "write at least as long as access_token", "a refresh token would end before the access token beside it")
	}
	if o.RefreshIdle.Duration > o.RefreshToken.Duration {
		l.at("oauth.refresh_token", "write at least as long as refresh_idle", "the grant would end before an unused refresh token")
	}
	if o.ClientCA != "" {
		l.checkFile("oauth.client_ca", o.ClientCA, nil)
		if host, ok := l.file.Hosts[u.Hostname()]; ok && host.ClientCertificates == "never" {
			l.at("oauth.client_ca", "write hosts: {"+u.Hostname()+": {client_certificates: ask}}", "the host %s never asks for a certificate", u.Hostname())
		}
	}
	if _, err := limit.ParseRate(o.Limit); err != nil {
		l.at("oauth.limit", "write it like 3000/minute", "%v", err)
	}
	l.checkSignIn()
	for name, api := range l.file.APIs {
		if (name == "oauth" || name == "sign-in") && slices.Contains(api.Host, u.Hostname()) {
			l.at("apis."+name, "give it another name", "the name %q belongs to the authorization server on this host", name)
		}
	}
}

// Host is the name of hosts at which the server answers.
func (o OAuth) Host() string {
	u, err := url.Parse(o.Issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
