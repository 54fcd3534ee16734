package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const maxPermit = 64

// constrain writes name constraints (RFC 5280 §4.2.1.10). A type of names of which none is
// permitted is not limited.
func constrain(t *x509.Certificate, permit []string) error {
	if len(permit) > maxPermit {
		return fault("", "%d constraints, at most %d", len(permit), maxPermit)
	}
	t.PermittedDNSDomainsCritical = len(permit) > 0
	for _, one := range permit {
		kind, text, _ := strings.Cut(one, ":")
		plain := strings.TrimPrefix(text, ".")
		switch {
		case kind == "dns" && isDNS(plain):
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, text)
		case kind == "uri" && isDNS(plain):
			t.PermittedURIDomains = append(t.PermittedURIDomains, text)
		case kind == "email" && isDNS(plain):
			t.PermittedEmailAddresses = append(t.PermittedEmailAddresses, text)
		case kind == "ip":
			prefix, err := netip.ParsePrefix(text)
			if err != nil || prefix != prefix.Masked() {
				return fault("write ip:10.0.0.0/8", "%.80q is no network", text)
			}
			t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())})
		default:
			return fault("write dns:internal, uri:example.org, ip:10.0.0.0/8 or email:example.org", "%.80q is no name constraint", one)
		}
	}
	return nil
}

// permits refuses names that the authority may not certify. It is as strict as the strictest
// of those who will verify: Go takes a host for a domain, and RFC 5280 §4.2.1.10 does not.
func (s *Setup) permits(names Names) error {
	for _, name := range names {
		kind, text, _ := strings.Cut(name, ":")
		if s.limits(kind) && !slices.ContainsFunc(s.Permit, func(one string) bool {
			limited, base, _ := strings.Cut(one, ":")
			return limited == kind && isWithin(kind, text, base)
		}) {
			return fault("it may certify "+strings.Join(s.Permit, " "), "the authority's name constraints forbid %.80q", name)
		}
	}
	return nil
}

// limits reports whether a type of names is limited.
func (s *Setup) limits(kind string) bool {
	return slices.ContainsFunc(s.Permit, func(one string) bool { return strings.HasPrefix(one, kind+":") })
}

func isWithin(kind, text, base string) bool {
	switch kind {
	case "dns": // the name itself, or with more labels before it
		return text == base || strings.HasSuffix(text, "."+strings.TrimPrefix(base, "."))
	case "uri": // a host that has a name
		u, err := url.Parse(text)
		return err == nil && isDNS(strings.ToLower(u.Hostname())) && isHost(u.Hostname(), base)
	case "email":
		_, host, _ := strings.Cut(text, "@")
		return isHost(host, base)
	case "ip":
		addr, err := netip.ParseAddr(text)
		network, also := netip.ParsePrefix(base)
		return err == nil && also == nil && network.Contains(addr)
	}
	return false
}

// isHost reports whether a host is the one that is permitted, or, if a domain is, which
// begins with a dot, one within.
func isHost(host, base string) bool {
	host = strings.ToLower(host)
	if strings.HasPrefix(base, ".") {
		return strings.HasSuffix(host, base)
	}
	return host == base
}

// oidUserID is the attribute uid (RFC 4519 §2.39).
var oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// subject names the client. Who verifies strictly takes a common name that looks like a DNS
// name for one, if there is no other, and holds it to the constraints (openssl does): such a
// client is named by its uid.
func (s *Setup) subject(client string, names Names) pkix.Name {
	if s.limits("dns") && !names.has("dns") && strings.Contains(client, ".") && s.permits(Names{"dns:" + client}) != nil {
		return pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: client}}}
	}
	return pkix.Name{CommonName: client}
}
