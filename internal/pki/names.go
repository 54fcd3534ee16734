package pki

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what a certificate says.
const (
	maxNames = 32
	maxName  = 2048 // bytes
	maxText  = 64   // bytes of a name in a subject (RFC 5280, ub-common-name)
)

// Fault is something wrong with what was asked for; its message is for whoever asked.
type Fault struct{ Message, Hint string }

// Error is the message.
func (f *Fault) Error() string {
	if f.Hint == "" {
		return f.Message
	}
	return f.Message + "; " + f.Hint
}

func fault(hint, format string, args ...any) error {
	return &Fault{fmt.Sprintf(format, args...), hint}
}

// Names are the alternative names of a certificate (RFC 5280 §4.2.1.6), written with their
// type: "dns:pay.internal", "uri:spiffe://example.org/pay", "ip:10.0.0.1", "email:a@b.c".
type Names []string

const nameHint = "write dns:pay.internal, uri:spiffe://example.org/pay, ip:10.0.0.1 or email:ops@example.com"

// Validate refuses names that nobody could agree about.
func (n Names) Validate() error {
	if len(n) > maxNames {
		return fault("make several certificates", "%d names, at most %d", len(n), maxNames)
	}
	for i, name := range n {
		kind, text, _ := strings.Cut(name, ":")
		check := map[string]func(string) bool{"dns": isDNS, "uri": isURI, "ip": isIP, "email": isEmail}[kind]
		if check == nil || len(text) > maxName || !check(text) {
			return fault(nameHint, "%.80q is no name for a certificate", name)
		}
		if slices.Contains(n[:i], name) {
			return fault("", "the name %.80q stands twice", name)
		}
	}
	return nil
}

// has reports whether there is a name of one of the types.
func (n Names) has(kinds ...string) bool {
	return slices.ContainsFunc(n, func(name string) bool {
		kind, _, _ := strings.Cut(name, ":")
		return slices.Contains(kinds, kind)
	})
}

// put writes valid names into a certificate.
func (n Names) put(t *x509.Certificate) error {
	for _, name := range n {
		kind, text, _ := strings.Cut(name, ":")
		switch kind {
		case "dns":
			t.DNSNames = append(t.DNSNames, text)
		case "email":
			t.EmailAddresses = append(t.EmailAddresses, text)
		case "ip":
			t.IPAddresses = append(t.IPAddresses, net.ParseIP(text))
		case "uri":
			u, err := url.Parse(text)
			if err != nil {
				return fmt.Errorf("write the name %.80q: %w", name, err)
			}
			if u.String() != text {
				return fault("write it as it would be printed again", "the URI %.80q has more than one spelling", text)
			}
			t.URIs = append(t.URIs, u)
		}
	}
	return nil
}

// namesOf reads the names that a signing request asks for.
func namesOf(r *x509.CertificateRequest) (n Names) {
	for _, name := range r.DNSNames {
		n = append(n, "dns:"+name)
	}
	for _, u := range r.URIs {
		n = append(n, "uri:"+u.String())
	}
	for _, ip := range r.IPAddresses {
		n = append(n, "ip:"+ip.String())
	}
	for _, name := range r.EmailAddresses {
		n = append(n, "email:"+name)
	}
	return n
}

func isDNS(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' {
				return false
			}
		}
	}
	return true
}

func isURI(s string) bool {
	u, err := url.Parse(s)
	if err != nil || !isVisible(s) || u.Scheme == "" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme != "spiffe" {
		return true
	}
	return isDNS(u.Host) && u.RawQuery == "" && isSPIFFEPath(u.EscapedPath())
}

// isSPIFFEPath holds SPIFFE-ID §2.2: segments of letters, digits, '.', '-' and '_'.
func isSPIFFEPath(path string) bool {
	if path == "" {
		return false // a trust domain is no workload
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
		for _, b := range []byte(segment) {
			if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '.' && b != '_' {
				return false
			}
		}
	}
	return true
}

func isIP(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Zone() == "" && !addr.Is4In6() && addr.String() == s
}

func isEmail(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && local != "" && isVisible(local) && isDNS(domain) && !strings.ContainsAny(local, "\"\\(),:;<>[]*@")
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte("\"<>\\^`{|}", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

func isText(s string) bool {
	return len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && strings.TrimSpace(s) == s && s != ""
}

// withDefaults fills in what nobody said.
func (s Setup) withDefaults() Setup {
	if s.Name == "" {
		s.Name = "Pavise"
	}
	if s.Domain == "" {
		s.Domain = "pavise.internal"
	}
	if s.Algorithm == "" {
		s.Algorithm = "ES256"
	}
	return s
}

func (s Setup) validate() error {
	switch {
	case !isText(s.Name) || len(s.Name) > 32:
		return fault("write up to 32 printable ASCII characters", "the name %.80q cannot stand in a certificate", s.Name)
	case !isDNS(s.Domain):
		return fault("write a lower-case DNS name, such as example.org", "%.80q is no domain", s.Domain)
	case !slices.Contains(Algorithms(), s.Algorithm):
		return unknownAlgorithm(s.Algorithm)
	}
	return constrain(&x509.Certificate{}, s.Permit)
}
