package config

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/limit"
)

// check finds what can be read and cannot work. Bounds, forms and words that the
// tags state were checked when the value was read.
func (l *loader) check() {
	unreadable := slices.Clone(l.problems)
	defer func() { l.problems = append(unreadable, without(l.problems[len(unreadable):], unreadable)...) }()
	if len(l.file.Hosts) == 0 {
		l.at("hosts", "write hosts: {127.0.0.1: {certificate: local}}", "no host is named, so that nothing would be answered")
	}
	if len(l.file.APIs) == 0 {
		l.at("apis", "pavise init writes one to begin with", "no API is described, so that nothing would be served")
	}
	l.checkListen()
	l.checkMetrics()
	l.checkState()
	l.checkProxies()
	for _, name := range sortedKeys(l.file.Hosts) {
		l.checkHost(name, l.file.Hosts[name])
	}
	l.checkOAuth()
	l.checkPKI()
	l.checkSinks()
	l.checkDetecting("alerts", &l.file.Alerts.Detecting)
	l.checkTraces()
	l.checkWaivers()
	l.checkSchedule()
	l.checkTelling()
	l.checkResources()
	l.checkLoad()
	l.checkHoneypots()
	for _, name := range sortedKeys(l.file.Issuers) {
		l.checkIssuer(name, l.file.Issuers[name])
	}
	for _, name := range sortedKeys(l.file.APIs) {
		l.checkAPI(name, l.file.APIs[name])
	}
	l.checkScopes()
	for i, name := range l.file.Policies {
		l.checkFile(fmt.Sprintf("policies.%d", i), name, nil)
	}
	_, problems := l.file.resolve()
	l.problems = append(l.problems, problems...)
}

// without leaves out problems of settings that could not be read in the first
// place: they follow from that.
func without(problems, unreadable Problems) Problems {
	return slices.DeleteFunc(problems, func(p Problem) bool {
		return slices.ContainsFunc(unreadable, func(u Problem) bool {
			return u.Path != "" && (p.Path == u.Path || strings.HasPrefix(p.Path, u.Path+"."))
		})
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// each calls f for every word of a list with the word's own path.
func each(path string, list Words, f func(path, word string)) {
	for i, word := range list {
		f(fmt.Sprintf("%s.%d", path, i), word)
	}
}

func (l *loader) checkListen() {
	listen := l.file.Listen
	for path, address := range map[string]string{"listen.https": listen.HTTPS, "listen.http": listen.HTTP} {
		if address != "" && !isAddress(address) {
			l.at(path, "write host:port, for example 127.0.0.1:8443, or :443 for every address", "%q is no address to listen on", address)
		}
	}
	if listen.HTTP == listen.HTTPS && !strings.HasSuffix(listen.HTTP, ":0") {
		l.at("listen.http", "give it a port of its own, for example :80", "%s is the address of the TLS listener", listen.HTTP)
	}
	if _, err := limit.ParseRate(l.file.Limits.Address); err != nil {
		f := limitFault(err)
		l.at("limits.address", f.hint, "%s", f.message)
	}
	if limits := l.file.Limits; limits.ConnectionsPer > limits.Connections {
		l.at("limits.connections_per_address", "one address could take them all", "%d connections of one address are more than the %d of all", limits.ConnectionsPer, limits.Connections)
	}
}

// isAddress reports whether text is host:port, where the host is an address, a
// name, or empty.
func isAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return false
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return false
	}
	_, err = netip.ParseAddr(host)
	return host == "" || err == nil || hostName.MatchString(host)
}

func (l *loader) checkState() {
	state := l.file.State
	if inside, err := filepath.Rel(state.Folder, state.MasterKey); err == nil && filepath.IsLocal(inside) {
		l.at("state.master_key", "keep it elsewhere: who copies the folder must not have the key", "the master key lies in the data folder that it protects")
	}
	if len(state.KeyCommand) > 0 && !filepath.IsAbs(state.KeyCommand[0]) {
		l.at("state.master_key_command", "write the whole path, for example /usr/local/bin/show-key", "%q would be looked for in whatever PATH the program is started with", state.KeyCommand[0])
	}
	if l.file.Log.Kept != "" && l.file.Log.Kept == l.file.Log.Folder {
		l.at("log.checkpoints", "name a folder elsewhere", "checkpoints beside the log that they prove prove nothing more")
	}
}

func (l *loader) checkProxies() {
	each("trusted_proxies.addresses", l.file.Proxies.Addresses, func(path, word string) {
		network, err := ParseNetwork(word)
		switch {
		case err != nil:
			l.at(path, "write a network like 10.0.0.0/8, or an address", "%v", err)
		case network.Bits() == 0:
			l.at(path, "name the networks of your proxies alone", "with %s, every caller could say which address it has", word)
		}
	})
	each("trusted_proxies.terminators", l.file.Proxies.Terminators, func(path, word string) {
		l.checkFile(path, word, authorities)
	})
	each("fetch.allow", l.file.Upstream.Allow, l.checkFetchAllowed)
}

// checkFetchAllowed wants a network, an address or a host; one of the last two behind
// http://, with a port or without, may be asked without TLS if it is this machine.
func (l *loader) checkFetchAllowed(path, word string) {
	host, plain := strings.CutPrefix(word, "http://")
	if u, err := url.Parse(word); plain && err == nil && word == "http://"+u.Host {
		host = u.Hostname()
	}
	if _, err := ParseNetwork(host); err != nil && !isHost(host) || plain && strings.Contains(host, "/") {
		l.at(path, "write a host, an address, or a network like 10.1.0.0/16", "%q is neither a host nor a network", word)
		return
	}
	if plain && !isLoopback(host) {
		l.at(path, "use https, and the setting ca of the issuer if its certificate is your own", "%q would be asked over plain HTTP, where anybody could answer", word)
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
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network nor an address", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// isHost reports whether name is a host as the guard compares it: lower case,
// without port and final dot, or an address in its shortest form.
func isHost(name string) bool {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String() == name && addr.Zone() == "" && !addr.Is4In6()
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	_, err := strconv.Atoi(last)
	return len(name) <= 253 && hostName.MatchString(name) && err != nil
}

func (l *loader) checkHost(name string, host Host) {
	path := "hosts." + name
	if !isHost(name) {
		hint := "write a lower-case name without port, or an address"
		if strings.Contains(name, "*") {
			hint = "list every name; one certificate file may serve several hosts"
		}
		l.atKey(path, hint, "%q is no host name", name)
		return
	}
	l.checkCertificate(path+".certificate", name, host.Certificate)
}

func (l *loader) checkCertificate(path, host string, c Certificate) {
	refuse := func(setting, value string) {
		if value != "" {
			l.at(path+"."+setting, "remove it, or choose another source", "%s has no meaning for a certificate from %s", setting, c.Source)
		}
	}
	switch c.Source {
	case "files":
		refuse("email", c.Email)
		refuse("directory", c.Directory)
		refuse("roots", c.Roots)
		l.checkPair(path, host, c)
		return
	case "acme":
		l.checkACME(path, host, c)
	case "local", "own":
		refuse("email", c.Email)
		refuse("directory", c.Directory)
		refuse("roots", c.Roots)
	}
	refuse("cert", c.Cert)
	refuse("key", c.Key)
}

func (l *loader) checkACME(path, host string, c Certificate) {
	if c.Roots != "" {
		l.checkFile(path+".roots", c.Roots, authorities)
	}
	if u, err := url.Parse(c.Directory); c.Directory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		l.at(path+".directory", "write https://…/directory", "%q is no address of an ACME directory", c.Directory)
	}
	switch {
	case c.Directory == "" && !isCertifiable(host):
		l.at(path, "use local, or {cert: …, key: …}", "no public authority certifies %s", host)
	case l.file.Listen.HTTP == "":
		l.at(path, "write listen: {http: \":80\"}; challenges are all that is answered there", "the authority asks for a proof over HTTP (RFC 8555 §8.3), and there is no plain listener")
	}
}

// isCertifiable reports whether a public authority could certify a host.
func isCertifiable(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return !addr.IsPrivate() && !addr.IsLoopback()
	}
	return strings.Contains(host, ".")
}

func (l *loader) checkIssuer(name string, issuer Issuer) {
	path := "issuers." + name
	u, err := url.Parse(issuer.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		l.at(path+".url", "write it exactly as it stands in the tokens' iss", "%q is no issuer's address", issuer.URL)
	} else if issuer.JWKS == "" {
		l.checkFetched(path+".url", issuer.URL)
	}
	switch {
	case strings.Contains(issuer.JWKS, "://"):
		l.checkFetched(path+".jwks", issuer.JWKS)
	case issuer.JWKS != "":
		l.checkFile(path+".jwks", issuer.JWKS, nil)
	}
	if issuer.CA != "" {
		l.checkFile(path+".ca", issuer.CA, authorities)
	}
	if asked := issuer.Introspect; asked != nil {
		l.checkFile(path+".introspection.client_secret_file", asked.Secret, nil)
		if asked.URL != "" {
			l.checkFetched(path+".introspection.url", asked.URL)
		}
	}
	each(path+".may_grant", issuer.MayGrant, func(path, word string) {
		at := strings.IndexByte(word, '*')
		if at >= 0 && word != "*" && (at != len(word)-1 || at == 0 || word[at-1] != ':' && word[at-1] != '.') {
			l.at(path, "write a scope, or a prefix with its separator: orders:*", "%q is no ceiling of scopes", word)
		}
	})
	for _, attribute := range sortedKeys(issuer.Claims) {
		if attribute == "" || issuer.Claims[attribute] == "" {
			l.at(path+".claims."+attribute, "write attribute: claim", "an attribute or claim without a name")
		}
	}
}

// checkFetched refuses addresses from which keys would come in the clear, so that
// whoever stands between could put in their own.
func (l *loader) checkFetched(path, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http":
		l.at(path, "write https://…", "%q is no address from which keys could be fetched", address)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		l.at(path, "use https, or give the keys in a file: jwks: keys.json", "keys fetched over plain HTTP could be anybody's")
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (l *loader) checkAPI(name string, api API) {
	path := "apis." + name
	hosts := sortedKeys(l.file.Hosts)
	each(path+".host", api.Host, func(path, word string) {
		if _, ok := l.file.Hosts[word]; !ok {
			l.at(path, didYouMean(word, hosts, "name it under hosts"), "host %q is not named under hosts", word)
		}
	})
	l.checkUpstream(path+".upstream", api.Upstream)
	l.checkAbout(path, &api.About)
	if api.Audit == "required" && len(l.file.Log.Sinks) == 0 {
		l.at(path+".audit", "name one under log.sinks, or remove it: whatever is answered is in the local log first, or refused", "there is no other place to which events go, so that nothing more could be required")
	}
	each(path+".cors", api.CORS, l.checkOrigin)
	for _, header := range sortedKeys(api.Identity.Headers) {
		l.checkIdentityHeader(path+".identity.headers."+header, header)
	}
	if len(api.Endpoints) == 0 {
		l.at(path+".endpoints", "write GET /health: {shield: {public: load-balancer probe}}", "the API has no endpoint, so that everything would be refused")
	}
	seen := map[string]bool{}
	for i, a := range api.Allow {
		if seen[a.What] {
			l.at(fmt.Sprintf("%s.insecure_allow.%d", path, i), "remove one", "%s stands twice", a.What)
		}
		seen[a.What] = true
	}
}

func (l *loader) checkOrigin(path, origin string) {
	u, err := url.Parse(origin)
	switch {
	case origin == "*" || origin == "null":
		l.at(path, "list the origins, for example https://app.example.com", "%q would let the scripts of every site call", origin)
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || !isHost(u.Hostname()) || origin != u.Scheme+"://"+u.Host:
		l.at(path, "write scheme and host in lower case without a path, for example https://app.example.com", "%q is no origin", origin)
	case u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http":
		l.at(path, "leave the port out, as browsers do", "no browser sends the origin %s", origin)
	}
}

// checkKept refuses headers that callers can never send: only the gateway says them.
func (l *loader) checkKept(path string, kept []Kept) {
	for i, one := range kept {
		name := strings.ToLower(one.What)
		if name == "client-cert" || name == "client-cert-chain" || strings.HasPrefix(name, "pavise-") {
			l.at(fmt.Sprintf("%s.%d.header", path, i), "remove it; trusted_proxies.terminators names who may say Client-Cert", "callers may never send %s to the upstream", one.What)
		}
	}
}

func (l *loader) checkUpstream(path string, u Upstream) {
	schemes := map[string]bool{}
	each(path+".url", u.URL, func(own, word string) {
		if _, ok := l.file.places[own]; !ok {
			own = path + strings.TrimPrefix(own, path+".url") // written without a block
		}
		if parsed, message := parseUpstream(word); message != "" {
			l.at(own, "write scheme, host and port, for example http://127.0.0.1:3000", "%q %s", printable(word), message)
		} else {
			schemes[parsed.Scheme] = true
		}
	})
	if schemes["http"] && schemes["https"] {
		l.at(path+".url", "make two APIs of it", "one upstream cannot be reached both with and without TLS")
	}
	if u.Protocol == "h2c" && schemes["https"] {
		l.at(path+".protocol", "remove it: TLS agrees on HTTP/2 by itself", "h2c is HTTP/2 without TLS")
	}
	if !schemes["https"] && schemes["http"] {
		l.checkPlainUpstream(path, u)
	}
	if u.Health == "" {
		for _, setting := range []string{"health_interval", "health_timeout"} {
			if _, given := l.file.places[path+"."+setting]; given {
				l.at(path+"."+setting, "write health: /path, or remove it", "no path is asked, so that it has no meaning")
			}
		}
	}
	l.checkKept(path+".insecure_keep_headers", u.KeepHeaders)
	if u.CA != "" {
		l.checkFile(path+".ca", u.CA, authorities)
	}
	if u.ClientCertificate != "" && u.ClientCertificate != "own" && u.ClientCertificate != "local" {
		l.checkFile(path+".client_certificate", u.ClientCertificate, keyPair)
	}
}

// checkPlainUpstream refuses settings of TLS where there is none: who wrote them
// believes that there is.
func (l *loader) checkPlainUpstream(path string, u Upstream) {
	for setting, given := range map[string]bool{
		"ca": u.CA != "", "client_certificate": u.ClientCertificate != "", "server_name": u.ServerName != "", "insecure_skip_verify": u.Skip != nil,
	} {
		if given {
			l.at(path+"."+setting, "write https:// in its address", "%s needs TLS, and the upstream's address is http://", setting)
		}
	}
}

// parseUpstream reads an address; message says why it is none, without what may
// be a password.
func parseUpstream(text string) (_ *url.URL, message string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || !strings.Contains(text, "://"):
		return nil, "is no upstream's address"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "is neither http:// nor https://"
	case u.User != nil:
		return nil, "holds a user or password, which have no place in it"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "holds a query or fragment"
	case u.Path != "" && u.Path != "/":
		return nil, "holds a path; requests keep the path that was matched"
	case u.Host == "" || !isHost(strings.ReplaceAll(strings.ToLower(u.Hostname()), "_", "-")) || !isPort(u.Port()):
		return nil, "has no host and port that could be reached"
	}
	return u, ""
}

// IsUpstream reports whether a text can be the address of an upstream.
func IsUpstream(text string) bool {
	_, why := parseUpstream(text)
	return why == ""
}

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,63}$`)

func (l *loader) checkIdentityHeader(path, name string) {
	switch lower := strings.ToLower(name); {
	case !headerName.MatchString(name):
		l.at(path, "use letters, digits and -, for example X-Client", "%q is no header name", name)
	case slices.Contains([]string{"authorization", "connection", "content-length", "content-type", "cookie", "host", "te", "trailer", "transfer-encoding", "upgrade", "pavise-identity", "client-cert", "client-cert-chain", "forwarded", "via"}, lower),
		strings.HasPrefix(lower, "x-forwarded-"), strings.HasPrefix(lower, "proxy-"):
		l.at(path, "use a header of its own, for example X-Client", "%s has another meaning", name)
	}
}

func (l *loader) checkScopes() {
	for _, name := range sortedKeys(l.file.Scopes) {
		path := "scopes." + name
		switch {
		case name == anyScope:
			l.at(path, "choose another name", "any means that no scope is demanded")
		case strings.Contains(name, "*"):
			l.at(path, "describe each scope", "%q is no scope; * stands for scopes in may_grant alone", name)
		case strings.TrimSpace(l.file.Scopes[name]) == "":
			l.at(path, "write what it allows, for example See your orders", "the scope is not described")
		}
	}
}
