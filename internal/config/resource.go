package config

import (
	"net"
	"net/url"
	"slices"
)

// Resources are the identifiers by which clients may ask for tokens for an API (RFC 8707):
// the one that it names; otherwise the addresses of its hosts, with and without the ports
// at which this installation is known to answer.
func (f *File) Resources(api string) []string {
	settings := f.APIs[api]
	if settings.Resource != "" {
		return []string{settings.Resource}
	}
	var all []string
	for _, host := range settings.Host {
		all = append(all, "https://"+bracketed(host))
		for _, port := range f.ports() {
			all = append(all, "https://"+net.JoinHostPort(host, port))
		}
	}
	return all
}

// ports are those other than 443 at which this installation is known to answer.
func (f *File) ports() []string {
	var all []string
	add := func(port string) {
		if port != "" && port != "443" && port != "0" && !slices.Contains(all, port) {
			all = append(all, port)
		}
	}
	if _, port, err := net.SplitHostPort(f.Listen.HTTPS); err == nil {
		add(port)
	}
	if u, err := url.Parse(f.OAuth.Issuer); err == nil {
		add(u.Port())
	}
	return all
}

// bracketed is a host as it stands in an address.
func bracketed(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// checkResources finds resource identifiers that cannot be asked for.
func (l *loader) checkResources() {
	named := map[string]string{}
	for _, name := range sortedKeys(l.file.APIs) {
		api := l.file.APIs[name]
		u, err := url.Parse(api.Resource)
		if api.Resource == "" || err != nil || u.Hostname() == "" {
			continue // nothing, or its form was refused already
		}
		if !slices.Contains(api.Host, u.Hostname()) {
			l.at("apis."+name+".resource", didYouMean(u.Hostname(), api.Host, "name one of the API's hosts"), "host %q is none of the API's", u.Hostname())
		}
		if other, ok := named[api.Resource]; ok {
			l.at("apis."+name+".resource", "add a path: https://"+u.Host+"/"+name, "is that of the API %s, too, and tokens for one would open the other", other)
		}
		named[api.Resource] = name
	}
}
