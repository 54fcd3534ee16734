package schema

import (
	"net/http"
	"slices"
	"strings"
)

// Credentials names headers that carry credentials of the operation's callers: they count as
// declared. Call it before the operation is used.
func (o *Operation) Credentials(names ...string) {
	for _, name := range names {
		o.carriers = append(o.carriers, http.CanonicalHeaderKey(name))
	}
}

// checkClosed refuses headers and cookies that nobody declares, where they are closed.
func (o *Operation) checkClosed(f *faults, h http.Header) {
	if o.options.ClosedHeaders {
		for name := range h {
			if !o.declares("header", name) && !slices.Contains(o.carriers, name) && !isStandard(name) {
				f.add("header", join("", name), undeclared)
			}
		}
	}
	if !o.options.ClosedCookies {
		return
	}
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(part, "=")
			if name = strings.Trim(name, " \t"); !o.declares("cookie", name) {
				f.add("cookie", join("", name), undeclared)
			}
		}
	}
}

// declares reports whether the operation has the parameter, or the document says that a
// credential stands there.
func (o *Operation) declares(in, name string) bool {
	for _, p := range o.parameters {
		if p.in == in && p.name == name {
			return true
		}
	}
	return slices.Contains(o.schemes, in+" "+name)
}

// schemesOf are the headers and cookies in which the document's security schemes carry keys.
func schemesOf(root map[string]any) (all []string) {
	components, _ := root["components"].(map[string]any)
	schemes, _ := components["securitySchemes"].(map[string]any)
	for _, one := range schemes {
		scheme, _ := one.(map[string]any)
		in, _ := scheme["in"].(string)
		name, _ := scheme["name"].(string)
		if in == "header" {
			name = http.CanonicalHeaderKey(name)
		}
		if scheme["type"] == "apiKey" && name != "" {
			all = append(all, in+" "+name)
		}
	}
	return all
}

// isStandard reports whether a header is one that clients and proxies send by themselves, or that
// HTTP itself gives its meaning: those of RFC 9110, 9111, 9112 and of what browsers, tracing and
// signatures add.
func isStandard(name string) bool {
	switch name {
	case "Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection",
		"Content-Digest", "Content-Encoding", "Content-Language", "Content-Length", "Content-Location", "Content-Type", "Cookie", "Date",
		"Dnt", "Dpop", "Early-Data", "Expect", "Forwarded", "From", "Host", "Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match",
		"If-Range", "If-Unmodified-Since", "Keep-Alive", "Last-Event-Id", "Max-Forwards", "Origin", "Pragma", "Prefer", "Priority",
		"Proxy-Authorization", "Proxy-Connection", "Range", "Referer", "Repr-Digest", "Save-Data", "Signature", "Signature-Input", "Te",
		"Traceparent", "Tracestate", "Baggage", "Trailer", "Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "Via",
		"Want-Content-Digest", "Want-Repr-Digest", "Warning", "X-Request-Id", "X-Requested-With":
		return true
	}
	for _, family := range []string{"Sec-", "X-Forwarded-", "Access-Control-Request-", "Client-Cert"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}
