package openapi

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// servers judges the servers that a document, a path or an operation names.
func (c *check) servers(a *at, in map[string]any) {
	for i, one := range entries(in, "servers") {
		if server, ok := one.(map[string]any); ok {
			c.server(a.to("servers", strconv.Itoa(i)), server)
		}
	}
}

func (c *check) server(a *at, server map[string]any) {
	address := textOf(server, "url")
	variables, _ := server["variables"].(map[string]any)
	authority := authorityOf(address)
	for name, v := range variables {
		variable, _ := v.(map[string]any)
		if strings.Contains(authority, "{"+name+"}") && len(entries(variable, "enum")) == 0 {
			c.report("server-variable-open", a.to("variables", name), "the variable %.80q is a part of the host, and may be anything", name)
		}
		address = strings.ReplaceAll(address, "{"+name+"}", textOf(variable, "default"))
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return // relative: where the document is
	}
	if _, has := u.User.Password(); has {
		c.report("server-with-credentials", a.to("url"), "the URL holds a user and a password")
	}
	switch inside := isInside(u.Hostname()); {
	case inside:
		c.report("internal-server", a.to("url"), "%.120q is a machine of the inside, or of a test", u.Hostname())
	case u.Scheme == "http":
		c.report("http-server", a.to("url"), "%.120q is called without TLS", u.Hostname())
	}
}

// authorityOf is the part of a URL that says whom it leads to.
func authorityOf(address string) string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	return authority
}

// isInside reports whether a host's name is one that only the inside, or a test, has.
func isInside(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	labels := strings.FieldsFunc(strings.ToLower(host), func(r rune) bool { return r == '.' || r == '-' })
	if len(labels) == 0 {
		return false
	}
	return slices.ContainsFunc(labels, func(label string) bool {
		switch label {
		case "localhost", "staging", "stage", "dev", "development", "test", "testing", "qa", "uat", "preprod", "internal", "intern", "intranet":
			return true
		}
		return false
	}) || slices.Contains([]string{"local", "lan", "corp", "home"}, labels[len(labels)-1])
}
