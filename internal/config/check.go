package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
	"pavise.dev/pavise/shield"
)

// Namer is a shield's settings that refer to other parts of the file.
type Namer interface {
	// Names returns what is referred to: "issuer" → names of issuers.
	Names() map[string][]string
}

// minReason is the shortest reason for something insecure, in characters.
const minReason = 10

// check finds what decodes and cannot work.
func (l *loader) check() {
	f := l.file
	top := Pos{File: l.name(), Line: 1, Column: 1}
	if len(f.Hosts) == 0 {
		l.at(top, "hosts", "hosts: {127.0.0.1: {certificate: local}}", "no host is named, so that nothing would be answered")
	}
	if len(f.APIs) == 0 {
		l.at(top, "apis", "`pavise init` writes an example", "no API is named, so that nothing would be served")
	}
	l.checkListen(top)
	l.checkHosts(top)
	for _, name := range slices.Sorted(maps.Keys(f.Issuers)) {
		l.checkIssuer(name, f.Issuers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		l.checkAPI(name, f.APIs[name])
	}
	l.checkPatterns()
}

// name is how the main file was named by whoever loads it.
func (l *loader) name() string {
	for name := range l.sources {
		if strings.HasSuffix(l.file.Path, strings.TrimLeft(name, "./")) {
			return name
		}
	}
	return l.file.Path
}

func (l *loader) checkListen(top Pos) {
	for path, address := range map[string]string{"listen.https": l.file.Listen.HTTPS, "listen.http": l.file.Listen.HTTP} {
		if _, _, err := net.SplitHostPort(address); address != "" && err != nil {
			l.at(top, path, "write host:port, for example 127.0.0.1:8443 or :443", "%q is no address to listen on", address)
		}
	}
	if _, err := limit.ParseRate(l.file.Limits.Address); err != nil {
		l.at(top, "limits.address", "write for example 6000/minute", "%v", err)
	}
	for _, network := range l.file.Proxies.Addresses {
		if _, err := ParseNetwork(network); err != nil {
			l.at(top, "trusted_proxies.addresses", "write a network like 10.0.0.0/8 or an address", "%v", err)
		}
	}
	bounds := []struct {
		path       string
		value      time.Duration
		least, top time.Duration
	}{
		{"state.max_staleness", l.file.State.MaxStaleness.Duration, time.Second, time.Hour},
		{"limits.header_timeout", l.file.Limits.HeaderTimeout.Duration, time.Second, 5 * time.Minute},
		{"limits.body_timeout", l.file.Limits.BodyTimeout.Duration, time.Second, time.Hour},
		{"limits.idle_timeout", l.file.Limits.IdleTimeout.Duration, time.Second, time.Hour},
	}
	for _, b := range bounds {
		if b.value < b.least || b.value > b.top {
			l.at(top, b.path, fmt.Sprintf("choose between %s and %s", b.least, b.top), "%s is out of bounds", b.value)
		}
	}
}

// ParseNetwork reads an address range, or one address.
func ParseNetwork(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		if prefix.Masked() != prefix {
			return prefix, fmt.Errorf("network %s has bits beyond its length; did you mean %s", text, prefix.Masked())
		}
		return prefix, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network nor an address", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (l *loader) checkHosts(top Pos) {
	for name, host := range l.file.Hosts {
		path := "hosts." + name
		if _, err := netip.ParseAddr(name); err != nil && (!hostName.MatchString(name) || len(name) > 253) {
			l.at(top, path, "write a lower-case name without port, or an address", "%q is no host name", name)
		}
		c := host.Certificate
		switch c.Source {
		case "":
			l.at(top, path+".certificate", "certificate: local for a start; acme or {cert: …, key: …} for the world", "the host has no certificate")
		case "files":
			for setting, file := range map[string]string{"cert": c.Cert, "key": c.Key} {
				l.checkReadable(top, path+".certificate."+setting, file)
			}
		}
	}
}

func (l *loader) checkReadable(pos Pos, path, file string) {
	if file == "" {
		l.at(pos, path, "name a PEM file, relative to this one", "it is missing")
		return
	}
	handle, err := os.Open(l.file.Abs(file))
	if err != nil {
		l.at(pos, path, "check the path (it is relative to this file) and the permissions", "%v", err)
		return
	}
	_ = handle.Close() // it was only opened to see whether it can be
}

func (l *loader) checkIssuer(name string, issuer Issuer) {
	path := "issuers." + name
	parsed, err := url.Parse(issuer.URL)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.RawQuery != "" || parsed.Fragment != "" {
		l.at(issuer.Pos, path+".url", "write it exactly as it stands in the tokens' iss", "%q is no issuer's address", issuer.URL)
	}
	if issuer.Leeway.Duration > time.Minute {
		l.at(issuer.Pos, path+".leeway", "set the clocks instead", "%s is more than the 60s that are tolerated", issuer.Leeway)
	}
}

func (l *loader) checkAPI(name string, api API) {
	path := "apis." + name
	if len(api.Host) == 0 {
		l.at(api.Pos, path+".host", "host: one of "+strings.Join(slices.Sorted(maps.Keys(l.file.Hosts)), ", "), "the API names no host")
	}
	for _, host := range api.Host {
		if _, ok := l.file.Hosts[host]; !ok {
			l.at(api.Pos, path+".host", l.suggest(host, slices.Collect(maps.Keys(l.file.Hosts)), "name it under hosts"), "host %q is not named under hosts", host)
		}
	}
	l.checkUpstream(path, api)
	l.checkInsecure(path, api)
	for _, origin := range api.CORS {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Path != "" || origin != u.Scheme+"://"+u.Host {
			l.at(api.Pos, path+".cors", "write scheme and host, for example https://app.example.com", "%q is no origin", origin)
		}
	}
	if len(api.Endpoints) == 0 {
		l.at(api.Pos, path+".endpoints", "endpoints: {GET /health: {shield: {public: why}}}", "the API has no endpoint, so that everything would be refused")
	}
	if api.Shield != nil {
		l.checkShield(path+".shield", *api.Shield)
	}
	for _, pattern := range slices.Sorted(maps.Keys(api.Endpoints)) {
		l.checkEndpoint(path+".endpoints."+pattern, api, api.Endpoints[pattern])
	}
}

func (l *loader) suggest(word string, known []string, otherwise string) string {
	if near := nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return otherwise
}

func (l *loader) checkUpstream(path string, api API) {
	u := api.Upstream
	if len(u.URL) == 0 {
		l.at(api.Pos, path+".upstream", "upstream: http://127.0.0.1:3000", "the API has no upstream")
	}
	for _, address := range u.URL {
		parsed, err := url.Parse(address)
		if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Path != "" && parsed.Path != "/" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
			l.at(u.Pos, path+".upstream", "write scheme, host and port, for example http://127.0.0.1:3000", "%q is no upstream's address", address)
		}
	}
	for setting, file := range map[string]string{"ca": u.CA, "client_certificate": u.ClientCertificate} {
		if file != "" && file != "own" {
			l.checkReadable(u.Pos, path+".upstream."+setting, file)
		}
	}
}

func (l *loader) checkInsecure(path string, api API) {
	for i, allowance := range api.Allow {
		if len(strings.TrimSpace(allowance.Reason)) < minReason {
			l.at(api.Pos, fmt.Sprintf("%s.insecure_allow.%d.reason", path, i), fmt.Sprintf("say in at least %d characters why it is safe there", minReason), "%s needs a reason", allowance.What)
		}
	}
	if api.Upstream.Skip != nil && len(strings.TrimSpace(api.Upstream.Skip.Reason)) < minReason {
		l.at(api.Upstream.Pos, path+".upstream.insecure_skip_verify.reason", fmt.Sprintf("say in at least %d characters why", minReason), "it needs a reason")
	}
}

func (l *loader) checkEndpoint(path string, api API, e Endpoint) {
	effective := api.Shield
	if e.Shield != nil {
		effective = e.Shield
		l.checkShield(path+".shield", *e.Shield)
	}
	if effective == nil {
		l.at(e.Pos, path, "give it or its API a shield; {public: why} if everybody may call", "the endpoint has no shield")
		return
	}
	scopes := api.Scopes
	if len(e.Scopes) > 0 {
		scopes = e.Scopes
	}
	if len(scopes) == 0 && effective.Kind != "public" {
		l.at(e.Pos, path, "name scopes: [orders:read], or say scopes: any", "who may call is not stated")
	}
	for _, scope := range scopes {
		if scope == "any" && len(scopes) == 1 {
			continue
		}
		if _, ok := l.file.Scopes[scope]; !ok {
			l.at(e.Pos, path+".scopes", l.suggest(scope, slices.Collect(maps.Keys(l.file.Scopes)), "describe it under scopes"), "scope %q is not described under scopes", scope)
		}
	}
}

// checkShield looks at what a shield's settings refer to.
func (l *loader) checkShield(path string, s Shield) {
	for i, part := range s.Any {
		l.checkShield(fmt.Sprintf("%s.any.%d", path, i), part)
	}
	for i, part := range s.All {
		l.checkShield(fmt.Sprintf("%s.all.%d", path, i), part.Shield)
	}
	namer, ok := s.Config.(Namer)
	if !ok {
		return
	}
	for _, name := range namer.Names()["issuer"] {
		if _, ok := l.file.Issuers[name]; !ok {
			l.at(s.Pos, path+".issuer", l.suggest(name, slices.Collect(maps.Keys(l.file.Issuers)), "name it under issuers"), "issuer %q is not named under issuers", name)
		}
	}
}

// checkPatterns finds patterns that are wrong, and those that conflict on a host.
func (l *loader) checkPatterns() {
	tables := map[string]*route.Table[struct{}]{}
	for _, name := range slices.Sorted(maps.Keys(l.file.APIs)) {
		api := l.file.APIs[name]
		for _, host := range api.Host {
			if tables[host] == nil {
				tables[host] = route.New[struct{}]()
			}
			for _, pattern := range slices.Sorted(maps.Keys(api.Endpoints)) {
				if err := tables[host].Add(pattern, struct{}{}); err != nil {
					message, _, _ := strings.Cut(err.Error(), "\n")
					l.at(api.Endpoints[pattern].Pos, "apis."+name+".endpoints", "write METHOD /path/{name}; of two patterns that match the same path one must be the more special", "%s", message)
				}
			}
		}
	}
}

// Weakness is something in the file that weakens protection, with its reason.
type Weakness struct {
	Path, What, Reason string
}

// Insecure lists everything insecure that the file asks for.
func (f *File) Insecure() []Weakness {
	var found []Weakness
	for _, name := range slices.Sorted(maps.Keys(f.APIs)) {
		api := f.APIs[name]
		for _, a := range api.Allow {
			found = append(found, Weakness{"apis." + name + ".insecure_allow", a.What, a.Reason})
		}
		if api.Upstream.Skip != nil {
			found = append(found, Weakness{"apis." + name + ".upstream", "insecure_skip_verify", api.Upstream.Skip.Reason})
		}
	}
	return found
}

// Effective is the shield and the scopes that hold for an endpoint.
func (a *API) Effective(e Endpoint) (s *Shield, scopes shield.Scopes, anyScope bool) {
	s = a.Shield
	if e.Shield != nil {
		s = e.Shield
	}
	words := a.Scopes
	if len(e.Scopes) > 0 {
		words = e.Scopes
	}
	if len(words) == 0 || len(words) == 1 && words[0] == "any" {
		return s, nil, true
	}
	return s, shield.Scopes(words), false
}
