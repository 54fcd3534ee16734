package mtls

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// Rule is met by a certificate that has every part that is set, each compared
// exactly and with names of its own type only: dns is never looked for in the
// common name, nor in a URI.
type Rule struct {
	DNS     string `yaml:"dns" doc:"A DNS name, lower case. No wildcards."`
	URI     string `yaml:"uri" doc:"A URI, such as a SPIFFE ID, compared byte by byte."`
	Email   string `yaml:"email" doc:"An e-mail address, compared byte by byte."`
	IP      string `yaml:"ip" doc:"An IP address."`
	Subject string `yaml:"subject" doc:"The whole subject, as RFC 4514 writes it: CN=pay,O=Acme."`
	Issuer  string `yaml:"issuer" doc:"The whole subject of the authority that signed the certificate."`
	Pin     string `yaml:"pin" doc:"SHA-256 of the certificate's public key (SPKI), base64."`
	Above   string `yaml:"authority" doc:"SHA-256 of the public key (SPKI) of an authority between the certificate and the bundle, or of the bundle, base64."`
	Client  string `yaml:"client" doc:"The client that the certificate belongs to."`
	Profile string `yaml:"profile" doc:"The profile of a certificate of the own authority: service, server, person, device." enum:"service,server,person,device"`
}

func (r Rule) problems() []shield.Problem {
	var found []shield.Problem
	check := func(path, value string, ok func(string) bool, hint string) {
		if value != "" && !ok(value) {
			found = append(found, shield.Problem{Path: path, Message: "no certificate could have exactly this", Hint: hint})
		}
	}
	check("dns", r.DNS, isDNSName, "write a lower-case ASCII name without a wildcard and without a dot at its end; xn-- for other scripts")
	check("uri", r.URI, isURI, "write the whole URI: spiffe://example.org/pay")
	check("email", r.Email, isEmail, "write one address: ops@example.com")
	check("ip", r.IP, isIP, "write one address without a prefix length or zone")
	check("subject", r.Subject, isDistinguished, "write the whole subject: CN=pay,O=Acme")
	check("issuer", r.Issuer, isDistinguished, "write the whole subject of the authority: CN=Acme Clients,O=Acme")
	check("profile", r.Profile, isProfile, "write service, server, person or device")
	check("client", r.Client, isVisible, "write the client's id, as `pavise client list` shows it")
	check("authority", r.Above, isPin, "openssl x509 -pubkey -noout -in ca.pem | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64")
	check("pin", r.Pin, isPin, "openssl x509 -pubkey -noout -in client.pem | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64")
	if r == (Rule{}) {
		found = append(found, shield.Problem{Path: "dns", Message: "the rule is empty and would allow everybody", Hint: "leave out allow to accept every certificate of the bundle"})
	}
	return found
}

// rules is the compiled list; none allows every certificate of the bundle.
type rules []rule

type rule struct {
	Rule
	ip netip.Addr
}

func compile(list []Rule) rules {
	var compiled rules
	for _, r := range list {
		addr, _ := netip.ParseAddr(r.IP) // Validate looked at it; the zero Addr is never asked for
		compiled = append(compiled, rule{r, addr})
	}
	return compiled
}

// allow reports whether a rule may be met by a certificate. Whose it is is not known yet.
func (all rules) allow(v *verdict) bool {
	return len(all) == 0 || slices.ContainsFunc(all, func(r rule) bool { return r.met(v) })
}

// allowRecord reports whether a rule is met by a certificate with its record, nil if it
// has none.
func (all rules) allowRecord(v *verdict, record *shield.Record) bool {
	return len(all) == 0 || slices.ContainsFunc(all, func(r rule) bool { return r.metBy(record) && r.met(v) })
}

func (r rule) metBy(record *shield.Record) bool {
	if r.Client == "" && r.Profile == "" {
		return true
	}
	return record != nil && record.Client != nil && (r.Client == "" || r.Client == record.Client.ID) &&
		(r.Profile == "" || r.Profile == record.Settings["profile"])
}

func (r rule) met(v *verdict) bool {
	n := v.names
	return (r.DNS == "" || slices.Contains(n.dns, r.DNS)) &&
		(r.URI == "" || slices.Contains(n.uri, r.URI)) &&
		(r.Email == "" || slices.Contains(n.email, r.Email)) &&
		(r.IP == "" || slices.Contains(n.ip, r.ip)) &&
		(r.Subject == "" || r.Subject == n.subject) &&
		(r.Issuer == "" || r.Issuer == n.issuer) &&
		(r.Above == "" || slices.Contains(v.authorities, r.Above)) &&
		(r.Pin == "" || r.Pin == n.pin)
}

// maxName is the longest name of a certificate, in bytes, that is looked at.
const maxName = 2048

// isDNSName reports whether s is a lower-case host name of letters, digits,
// hyphens and underscores (RFC 1123 §2.1).
func isDNSName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, b := range []byte(label) {
			if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '-' && b != '_' {
				return false
			}
		}
	}
	return true
}

func isURI(s string) bool {
	if !isVisible(s) || strings.ContainsAny(s, "\"<>\\^`{|}") {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != "" || u.Path != "")
}

func isEmail(s string) bool {
	local, domain, found := strings.Cut(s, "@")
	return found && isVisible(s) && local != "" && isDNSName(strings.ToLower(domain)) && !strings.ContainsAny(local, "\"\\(),:;<>[]*")
}

func isIP(s string) bool {
	addr, err := netip.ParseAddr(s)
	return err == nil && addr.Zone() == "" && !addr.Is4In6()
}

func isProfile(s string) bool {
	return slices.Contains([]string{"service", "server", "person", "device"}, s)
}

func isPin(s string) bool {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == 32
}

func isDistinguished(s string) bool {
	return len(s) <= maxName && strings.Contains(s, "=") && !hasControl(s)
}

// isVisible reports whether s is short enough and all visible ASCII.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxName
}
