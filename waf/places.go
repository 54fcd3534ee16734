package waf

import (
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/schema"
)

// Described knows which texts of a request a description does not confine: a
// *[schema.Operation].
type Described interface {
	// Texts calls each with every such text of path, query and body, and with the names that
	// lead to it, which are valid during the call. It stops with the error of each.
	Texts(r *http.Request, each func(in string, names []string, text string) error) error
}

// Place is where a text stands in a request.
type Place struct {
	In    string   // path, query, header, cookie or body
	Names []string // what leads to it, as of a JSON pointer; valid during the call
	Head  bool     // a header of a known form, or a credential
}

// Pointer is the JSON pointer (RFC 6901) that the names make.
func (p Place) Pointer() string {
	var out strings.Builder
	for _, name := range p.Names {
		out.WriteByte('/')
		out.WriteString(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
	}
	return out.String()
}

// Walk calls each with every text of a request that somebody may interpret: what of path, query
// and body no description confines, and headers and cookies. Without a description everything
// is read strictly, and what cannot be read is refused: what nobody can read is not harmless. It
// stops with the error of each.
func Walk(r *http.Request, d Described, each func(p Place, text string) error) error {
	forward := func(in string, names []string, text string) error {
		return each(Place{In: in, Names: names}, text)
	}
	var err error
	if d != nil {
		err = d.Texts(r, forward)
	} else {
		err = schema.Texts(r, forward)
	}
	if err != nil {
		return err
	}
	var names [1]string
	for name, values := range r.Header {
		names[0] = name
		for _, value := range values {
			if name == "Cookie" {
				err = cookies(value, each)
			} else {
				err = each(Place{In: "header", Names: names[:], Head: isFormal(name)}, value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cookies calls each with the names and values of a header Cookie.
func cookies(line string, each func(p Place, text string) error) error {
	var names [1]string
	for part := range strings.SplitSeq(line, ";") {
		name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		names[0] = name
		p := Place{In: "cookie", Names: names[:]}
		for _, text := range [...]string{name, value} {
			if text == "" {
				continue
			}
			if err := each(p, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFormal reports whether a header has a form of its own, which who reads it demands, or holds
// a credential. Only what is dangerous when it is logged or put into an environment is looked
// for there.
func isFormal(name string) bool {
	switch {
	case strings.HasPrefix(name, "Accept"), strings.HasPrefix(name, "Sec-"), strings.HasPrefix(name, "If-"), strings.HasPrefix(name, "Content-"),
		strings.HasPrefix(name, "Access-Control-"), strings.HasPrefix(name, "Proxy-"), strings.HasSuffix(name, "-Key"), strings.HasSuffix(name, "-Token"), strings.HasSuffix(name, "-Signature"):
		return true
	}
	return slices.Contains(formal(), name)
}

func formal() []string {
	return []string{
		"Authorization", "Cache-Control", "Connection", "Date", "Dpop", "Expect", "Host", "Keep-Alive", "Max-Forwards", "Origin", "Pragma", "Prefer",
		"Priority", "Range", "Repr-Digest", "Digest", "Signature", "Signature-Input", "Te", "Traceparent", "Tracestate", "Trailer",
		"Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "Via", "Dnt", "Client-Cert", "Client-Cert-Chain", "X-Amz-Date", "X-Request-Id",
	}
}
