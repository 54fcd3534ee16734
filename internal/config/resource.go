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
		for _, port := range f.Ports() {
			if port != "443" {
				all = append(all, "https://"+net.JoinHostPort(host, port))
			}
		}
	}
	return all
}

// Ports are those at which this installation is known to answer: 443, that of the
// listener, and those that its issuer and the resources of its APIs name. Nil, if the
// listener's is not known.
func (f *File) Ports() []string {
	_, port, err := net.SplitHostPort(f.Listen.HTTPS)
	if err != nil || port == "0" {
		return nil
	}
	all := []string{"443", port, portOf(f.OAuth.Issuer)}
	for _, api := range f.APIs {
		all = append(all, portOf(api.Resource))
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(port string) bool { return port == "" })
}

func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
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
	if _, ok := l.file.APIs[MetadataAPI]; ok {
		l.at("apis."+MetadataAPI, "give it another name", "the name %q belongs to what tells clients where to get tokens", MetadataAPI)
	}
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
