package learn

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/advise/nginx"
)

// gapRule is a row of the table of what nginx's files leave open. Finds returns the directive, and
// what is to be told of it; nil: nothing is open.
type gapRule struct {
	ID    string
	On    string // passed: a location that passes on; served: one that serves something else; server
	Finds func(c *context) *nginx.Directive
	What  string
	Do    string
}

func gapRules() []gapRule {
	return []gapRule{
		{"nobody-asked", "passed", nobodyAsked, "nothing asks who is calling", "the proposed shield asks; callers need credentials before it is put in front"},
		{"plain-http", "server", plainHTTP, "it answers without TLS", "Pavise serves TLS alone"},
		{"certificate-optional", "passed", optionalCertificate, "client certificates are asked for, and nothing refuses a caller without one", "the proposed shield refuses: mtls"},
		{"certificate-unverified", "passed", value("ssl_verify_client", "optional_no_ca"), "client certificates are taken whoever signed them", "the proposed shield verifies them: mtls"},
		{"password-basic", "passed", on("auth_basic"), "passwords are sent with each request, and are not taken over", "give each application a client and a credential"},
		{"judge-elsewhere", "passed", on("auth_request"), "another service judges the caller; what it asks for is not known here", "name the issuer of its tokens, or its keys"},
		{"tokens-elsewhere", "passed", on("auth_jwt"), "tokens are verified with keys of a file", "name the issuer under issuers: with jwks: FILE if it has no address"},
		{"trusts-everybody", "passed", trustsEverybody, "any caller may say which address it has", "name the proxies alone under trusted_proxies"},
		{"variable-upstream", "passed", variablePass, "the request has a say in where it goes (SSRF)", "name the upstream"},
		{"decoded-path", "passed", decodedPath, "$uri is decoded: line breaks in it end up in what is sent on", "Pavise sends on what was checked"},
		{"alias-traversal", "served", aliasTraversal, "a location without a final slash and an alias with one: files beside the folder can be read with ..", "end both with a slash"},
		{"inside-shown", "served", insideShown, "it shows the inside of the server", "keep it to 127.0.0.1"},
		{"listing-shown", "served", value("autoindex", "on"), "it lists its files", "autoindex off"},
		{"origin-any", "passed", anyOrigin, "scripts of any site may call", "name the origins under cors"},
		{"no-rate", "passed", absent("limit_req"), "nothing bounds how often somebody calls", "a usual rate is proposed: look whether it fits"},
		{"body-unbounded", "passed", value("client_max_body_size", "0"), "bodies of any size are taken", "set max_body"},
		{"upstream-unverified", "passed", unverified, "the upstream is reached over TLS, and its certificate is not verified", "Pavise verifies it: name upstream.ca where it is your own"},
		{"old-tls", "server", oldTLS, "versions of TLS that are broken are spoken", "Pavise speaks 1.2 and 1.3: callers that cannot have to be renewed"},
		{"underscores", "passed", value("underscores_in_headers", "on"), "headers with underscores pass, which other readers take for others", "insecure_allow: underscore_headers, if the service needs it"},
		{"slashes-kept", "passed", value("merge_slashes", "off"), "paths with // pass, which other readers take for others", "the door refuses them"},
		{"headers-invalid", "passed", value("ignore_invalid_headers", "off"), "headers that are no headers pass", "the door refuses them"},
		{"version-shown", "server", notValue("server_tokens", "off"), "the server tells its version", "Pavise tells none"},
	}
}

func (t *translator) tell(c *context, on, about string) {
	for _, r := range gapRules() {
		if r.On != on {
			continue
		}
		if d := r.Finds(c); d != nil {
			t.gap(r.ID, d.Place(), about+r.What, r.Do)
		}
	}
}

func (t *translator) locationGaps(c *context, path string) {
	t.tell(c, "passed", fmt.Sprintf("%.80s: ", path))
	for _, d := range c.every("ssl_client_certificate") {
		if !t.thereIs(d.Arg(0)) {
			t.gap("file-not-here", d.Place(), fmt.Sprintf("%.120s cannot be read here, so that the proposal trusts the own authority", d.Arg(0)), "write trust: FILE behind mtls")
		}
	}
	if allowed := c.every("allow"); len(allowed) > 0 {
		t.gap("networks", allowed[0].Place(), fmt.Sprintf("%.80s: only some networks may call", path), "give credentials their networks: pavise key create --network")
	}
}

func (t *translator) servedGaps(c *context, path string) {
	t.tell(c, "served", fmt.Sprintf("%.80s: ", path))
}

func (t *translator) serverGaps(c *context, hosts []string) {
	t.tell(c, "server", hosts[0]+": ")
	if len(hosts) > 1 {
		t.gap("more-hosts", c.at.Place(), fmt.Sprintf("the server has other names: %.200s", strings.Join(hosts[1:], ", ")), "name them under hosts, and as host: [a, b] of the API")
	}
	if d := c.one("ssl_certificate"); d != nil && !t.thereIs(d.Arg(0)) {
		t.gap("file-not-here", d.Place(), fmt.Sprintf("the certificate %.120s cannot be read here, so that a local one is proposed", d.Arg(0)), "write certificate: {cert: …, key: …}, or acme")
	}
}

func on(name string) func(*context) *nginx.Directive {
	return func(c *context) *nginx.Directive {
		if d := c.one(name); d != nil && d.Arg(0) != "off" {
			return d
		}
		return nil
	}
}

func value(name, is string) func(*context) *nginx.Directive {
	return func(c *context) *nginx.Directive {
		if d := c.one(name); d != nil && d.Arg(0) == is {
			return d
		}
		return nil
	}
}

// notValue finds a setting that is not what it should be; nginx's default is not either.
func notValue(name, should string) func(*context) *nginx.Directive {
	return func(c *context) *nginx.Directive {
		d := c.one(name)
		switch {
		case d == nil:
			return c.at
		case d.Arg(0) == should:
			return nil
		}
		return d
	}
}

func absent(name string) func(*context) *nginx.Directive {
	return func(c *context) *nginx.Directive {
		if c.one(name) == nil {
			return c.at
		}
		return nil
	}
}

func nobodyAsked(c *context) *nginx.Directive {
	for _, name := range []string{"auth_basic", "auth_request", "auth_jwt", "ssl_verify_client"} {
		if c.says(name, "off") != "off" {
			return nil
		}
	}
	return c.at
}

func plainHTTP(c *context) *nginx.Directive {
	listens := c.own("listen")
	for _, d := range listens {
		if !slices.Contains(d.Args, "ssl") && !slices.Contains(d.Args, "quic") && c.says("ssl", "off") != "on" {
			return d
		}
	}
	if len(listens) == 0 {
		return c.at // nginx listens on 80
	}
	return nil
}

func optionalCertificate(c *context) *nginx.Directive {
	d := c.one("ssl_verify_client")
	if d == nil || d.Arg(0) != "optional" {
		return nil
	}
	for outer := c; outer != nil; outer = outer.outer {
		for _, test := range outer.own("if") {
			if strings.Contains(strings.Join(test.Args, " "), "$ssl_client_verify") {
				return nil
			}
		}
	}
	return d
}

func trustsEverybody(c *context) *nginx.Directive {
	for _, d := range c.every("set_real_ip_from") {
		if strings.HasSuffix(d.Arg(0), "/0") {
			return d
		}
	}
	return nil
}

func variablePass(c *context) *nginx.Directive {
	if d := first(c.own("proxy_pass")); d != nil && strings.Contains(d.Arg(0), "$") {
		return d
	}
	return nil
}

func decodedPath(c *context) *nginx.Directive {
	for _, name := range []string{"proxy_pass", "return", "proxy_set_header", "add_header"} {
		for _, d := range c.own(name) {
			for _, arg := range d.Args {
				if strings.Contains(arg, "$uri") || strings.Contains(arg, "$document_uri") {
					return d
				}
			}
		}
	}
	return nil
}

func aliasTraversal(c *context) *nginx.Directive {
	if len(c.at.Args) != 1 || strings.HasSuffix(c.at.Arg(0), "/") {
		return nil
	}
	if d := first(c.own("alias")); d != nil && strings.HasSuffix(d.Arg(0), "/") {
		return d
	}
	return nil
}

func insideShown(c *context) *nginx.Directive {
	if c.says("deny", "") == "all" {
		return nil
	}
	return first(c.own("stub_status"), c.own("api"), c.own("status"))
}

func anyOrigin(c *context) *nginx.Directive {
	for _, d := range c.every("add_header") {
		if strings.EqualFold(d.Arg(0), "Access-Control-Allow-Origin") && (d.Arg(1) == "*" || strings.Contains(d.Arg(1), "$")) {
			return d
		}
	}
	return nil
}

func unverified(c *context) *nginx.Directive {
	if d := first(c.own("proxy_pass")); d != nil && strings.HasPrefix(d.Arg(0), "https://") && c.says("proxy_ssl_verify", "off") != "on" {
		return d
	}
	return nil
}

func oldTLS(c *context) *nginx.Directive {
	if d := c.one("ssl_protocols"); d != nil && slices.ContainsFunc(d.Args, func(a string) bool { return slices.Contains([]string{"SSLv2", "SSLv3", "TLSv1", "TLSv1.1"}, a) }) {
		return d
	}
	return nil
}
