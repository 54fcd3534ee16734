package check

import (
	"net/netip"
	"net/url"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

func rulesOfTransport() []rule {
	return []rule{
		says("upstream-plain", medium, "API10 ASVS-12.3.3 CWE-319 REC-API-9", "A service that is called without TLS", "Between gateway and service everything can be read and changed, identities too, by whoever is on that network.", "https:// in the upstream's address, with ca", upstreamPlain),
		says("upstream-plain-public", high, "API10 ASVS-12.3.1 CWE-319 REC-API-9", "A service on the internet that is called without TLS", "Requests, answers and identities cross the internet in the clear.", "https:// in the upstream's address", upstreamPlainPublic),
		says("upstream-unverified", high, "API10 ASVS-12.3.2 CWE-295 REC-API-9", "A service of which nobody asks who it is", "Whoever stands between answers in its name, and reads everything.", "ca: the file with its authority, or own, instead of insecure_skip_verify", upstreamUnverified),
		says("upstream-open", low, "API8 ASVS-12.3.5 REC-API-9", "A service that cannot tell the gateway from others", "Whoever reaches the service goes around the gateway: it presents no certificate, and sends no token.", "client_certificate: own, or identity: {token: true}, which the service verifies", upstreamOpen),
		says("identity-unverifiable", medium, "API2 ASVS-4.1.3 REC-API-11", "An identity that the service has to believe", "Plain headers say who called: whoever reaches the service writes what he likes into them.", "identity: {token: true}, and have the service verify it; or a client certificate", identityUnverifiable),
		says("banners-kept", low, "API8 ASVS-13.4.6 REC-API-23", "The service tells what it runs", "Names and versions in Server and X-Powered-By say which known faults to try.", "take keep_banners away", bannersKept),
		says("total-time-long", low, "API4 ASVS-13.2.6 REC-API-16", "Exchanges that may take hours", "Who reads slowly holds a connection to the service for so long.", "total_timeout: 15m", totalTimeLong),
		says("proxies-wide", high, "API8 ASVS-15.3.4 CWE-348 REC-API-15", "Many may say which address they have", "Whoever is in that network writes into X-Forwarded-For what he likes: limits, blocks and the log count somebody else.", "name the addresses of the proxies alone", proxiesWide),
		says("proxies-public", medium, "API8 ASVS-15.3.4 CWE-348 REC-API-15", "Proxies on the internet", "The network is one that others have machines in, of the same provider perhaps.", "name the addresses of the proxies alone; or have them prove themselves: terminators", proxiesPublic),
		says("cors-plain", medium, "API8 ASVS-3.4.2 CWE-942 REC-API-9", "Scripts of pages without TLS may call", "Whoever is on the network of the person puts a script of his own into the page.", "https:// in the origin", corsPlain),
		says("cors-local", low, "API8 ASVS-3.4.2 ASVS-15.2.3 REC-API-4", "Scripts of a developer's machine may call", "Every program on the person's machine that serves a page is such an origin.", "take it out where the API is in use", corsLocal),
		says("cors-many", info, "API8 ASVS-3.4.2 REC-API-4", "Many origins", "Each is a site whose scripts speak for the person, and one fault in one of them is enough.", "an API, or a gateway of its own, for what so many use", corsMany),
		says("fetch-metadata", high, "API7 ASVS-13.2.4 CWE-918 REC-API-13", "The cloud's own address may be fetched", "At 169.254.169.254 clouds hand out credentials of the machine.", "take it out of fetch.allow", fetchMetadata),
		says("fetch-wide", medium, "API7 ASVS-13.2.4 CWE-918 REC-API-13", "Much of the inside may be fetched", "An issuer's metadata that names another address makes the gateway call machines of the inside.", "name the hosts of the issuers", fetchWide),
		says("tls-host-unlimited", info, "API4 ASVS-2.4.1 REC-API-10", "Handshakes without a close bound", "A handshake costs the gateway more than the caller.", "limits.handshakes: 600/minute", handshakesLoose),
	}
}

func placeOf(pos config.Pos, path string) finding.Place {
	return finding.Place{File: pos.File, Line: pos.Line, Column: pos.Column, Path: path}
}

// upstreams visits each address behind an API.
func (l *look) upstreams(visit func(name, path string, api config.API, u *url.URL)) {
	for _, name := range sorted(l.File.APIs) {
		api := l.File.APIs[name]
		for _, address := range api.Upstream.URL {
			if u, err := url.Parse(address); err == nil {
				visit(name, "apis."+name+".upstream", api, u)
			}
		}
	}
}

// isInternet reports whether an address is one of the internet: not of a private network, and
// a name that such networks do not have.
func isInternet(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return !addr.IsLoopback() && !addr.IsPrivate() && !addr.IsLinkLocalUnicast()
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch last {
	case "internal", "local", "lan", "corp", "home", "cluster", "svc", "intranet", "consul":
		return false
	}
	return strings.Contains(host, ".")
}

func upstreamPlain(l *look) {
	l.upstreams(func(_, path string, _ config.API, u *url.URL) {
		if u.Scheme == "http" && !isHere(u.Hostname()) && !isInternet(u.Hostname()) {
			l.found(path, "%s is called without TLS", u.Host)
		}
	})
}

func upstreamPlainPublic(l *look) {
	l.upstreams(func(_, path string, _ config.API, u *url.URL) {
		if u.Scheme == "http" && isInternet(u.Hostname()) {
			l.found(path, "%s is called without TLS", u.Host)
		}
	})
}

func upstreamUnverified(l *look) {
	l.upstreams(func(_, path string, api config.API, u *url.URL) {
		if api.Upstream.Skip != nil {
			l.found(path+".insecure_skip_verify", "%s may be anybody", u.Host)
		}
	})
}

func upstreamOpen(l *look) {
	l.upstreams(func(_, path string, api config.API, u *url.URL) {
		if !isHere(u.Hostname()) && api.Upstream.ClientCertificate == "" && !api.Identity.Token {
			l.found(path, "%s gets neither a certificate nor a token of the gateway", u.Host)
		}
	})
}

func identityUnverifiable(l *look) {
	l.upstreams(func(name, _ string, api config.API, u *url.URL) {
		if len(api.Identity.Headers) > 0 && !api.Identity.Token && api.Upstream.ClientCertificate == "" && !isHere(u.Hostname()) {
			l.found("apis."+name+".identity", "%s learns from plain headers who called", u.Host)
		}
	})
}

func bannersKept(l *look) {
	l.upstreams(func(_, path string, api config.API, _ *url.URL) {
		if api.Upstream.KeepBanners {
			l.found(path+".keep_banners", "banners are handed on")
		}
	})
}

func totalTimeLong(l *look) {
	l.upstreams(func(_, path string, api config.API, _ *url.URL) {
		if t := api.Upstream.TotalTimeout.Duration; t.Hours() > 1 {
			l.found(path+".total_timeout", "an exchange may take %s", api.Upstream.TotalTimeout)
		}
	})
}

func (l *look) proxies(visit func(path string, network netip.Prefix)) {
	for _, word := range l.File.Proxies.Addresses {
		if network, err := config.ParseNetwork(word); err == nil {
			visit("trusted_proxies.addresses", network)
		}
	}
}

func proxiesWide(l *look) {
	l.proxies(func(path string, network netip.Prefix) {
		least := 8
		if network.Addr().Is6() {
			least = 32
		}
		if network.Bits() < least {
			l.found(path, "%s are believed", network)
		}
	})
}

func proxiesPublic(l *look) {
	l.proxies(func(path string, network netip.Prefix) {
		wide := network.Addr().BitLen() - network.Bits()
		if addr := network.Addr(); wide > 8 && !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() {
			l.found(path, "%s is a network of the internet", network)
		}
	})
}

func (l *look) origins(visit func(api, path, origin string)) {
	for _, name := range sorted(l.File.APIs) {
		for _, origin := range l.File.APIs[name].CORS {
			visit(name, "apis."+name+".cors", origin)
		}
	}
}

func corsPlain(l *look) {
	l.origins(func(_, path, origin string) {
		if u, err := url.Parse(origin); err == nil && u.Scheme == "http" && !isHere(u.Hostname()) {
			l.found(path, "scripts of %s may call", origin)
		}
	})
}

func corsLocal(l *look) {
	l.origins(func(api, path, origin string) {
		u, err := url.Parse(origin)
		if err != nil || !isHere(u.Hostname()) {
			return
		}
		for _, host := range l.File.APIs[api].Host {
			if !isHere(host) {
				l.found(path, "scripts of %s may call %s", origin, host)
			}
		}
	})
}

func corsMany(l *look) {
	for _, name := range sorted(l.File.APIs) {
		if n := len(l.File.APIs[name].CORS); n > 20 {
			l.found("apis."+name+".cors", "scripts of %d origins may call", n)
		}
	}
}

// allowed visits the networks that may be fetched from although they are private.
func (l *look) allowed(visit func(path string, network netip.Prefix)) {
	for _, word := range l.File.Upstream.Allow {
		if network, err := config.ParseNetwork(strings.TrimPrefix(word, "http://")); err == nil {
			visit("fetch.allow", network)
		}
	}
}

func fetchMetadata(l *look) {
	l.allowed(func(path string, network netip.Prefix) {
		for _, text := range []string{"169.254.169.254", "fd00:ec2::254"} {
			if network.Contains(netip.MustParseAddr(text)) {
				l.found(path, "%s holds %s", network, text)
			}
		}
	})
}

func fetchWide(l *look) {
	l.allowed(func(path string, network netip.Prefix) {
		if network.Addr().BitLen()-network.Bits() > 16 && !network.Addr().IsLoopback() {
			l.found(path, "%s may be fetched from", network)
		}
	})
}
