package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNames is how many alternative names a certificate may have.
const maxNames = 64

// names are a certificate's, by type and as its bytes have them; only DNS names
// are folded to lower case. Wildcards are left out: they match nothing here.
type names struct {
	dns, uri, email []string
	ip              []netip.Addr
	subject, issuer string // RFC 4514
	pin             string // base64 SHA-256 of the SPKI
	fingerprint     string // hex SHA-256 of the DER
}

// namesOf reads the names, or says which of them nobody could agree about.
func namesOf(c *x509.Certificate) (*names, error) {
	fingerprint, pin := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	n := &names{
		fingerprint: hex.EncodeToString(fingerprint[:]),
		pin:         base64.StdEncoding.EncodeToString(pin[:]),
	}
	var err error
	if n.subject, err = distinguished(c.RawSubject); err != nil {
		return nil, fmt.Errorf("read the subject: %w", err)
	}
	if n.issuer, err = distinguished(c.RawIssuer); err != nil {
		return nil, fmt.Errorf("read the issuer: %w", err)
	}
	for _, extension := range c.Extensions {
		if extension.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			if err := n.readAlternatives(extension.Value); err != nil {
				return nil, err
			}
		}
	}
	return n, nil
}

// Tags of GeneralName (RFC 5280 §4.2.1.6).
const (
	tagEmail = 1
	tagDNS   = 2
	tagURI   = 6
	tagIP    = 7
)

// readAlternatives reads the extension subjectAltName. Names of other types
// (directory names, Microsoft's UPN) are left out: no rule can ask for them.
func (n *names) readAlternatives(der []byte) error {
	var list asn1.RawValue
	rest, err := asn1.Unmarshal(der, &list)
	if err != nil || len(rest) > 0 || list.Class != asn1.ClassUniversal || list.Tag != asn1.TagSequence {
		return fmt.Errorf("the alternative names are no sequence")
	}
	rest = list.Bytes
	for count := 1; len(rest) > 0; count++ {
		var name asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return fmt.Errorf("read alternative name %d: %w", count, err)
		}
		if count > maxNames {
			return fmt.Errorf("it has more than %d alternative names", maxNames)
		}
		if name.Class != asn1.ClassContextSpecific || (name.IsCompound && isText(name.Tag)) {
			return fmt.Errorf("alternative name %d is not encoded as the standard has it", count)
		}
		if err := n.add(name.Tag, name.Bytes); err != nil {
			return err
		}
	}
	return nil
}

// isText reports whether names of this type are read, all of which are primitive.
func isText(tag int) bool {
	return tag == tagDNS || tag == tagURI || tag == tagEmail || tag == tagIP
}

func (n *names) add(tag int, value []byte) error {
	text := string(value)
	switch tag {
	case tagDNS:
		text = lower(text)
		if !isDNSName(strings.TrimPrefix(text, "*.")) {
			return fmt.Errorf("the DNS name %.64q is none", text)
		}
		if !strings.HasPrefix(text, "*") {
			n.dns = append(n.dns, text)
		}
	case tagURI:
		if !isURI(text) {
			return fmt.Errorf("the URI %.64q is none", text)
		}
		n.uri = append(n.uri, text)
	case tagEmail:
		if !isEmail(text) {
			return fmt.Errorf("the e-mail address %.64q is none", text)
		}
		n.email = append(n.email, text)
	case tagIP:
		addr, ok := netip.AddrFromSlice(value)
		if !ok || addr.Is4In6() {
			return fmt.Errorf("an IP address of %d bytes is none", len(value))
		}
		n.ip = append(n.ip, addr)
	}
	return nil
}

// lower folds ASCII only: nothing else may become a letter of a DNS name.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// ids are the names under which a client may be known, most exact first; twin is
// the certificate's other fingerprint, if it has one.
func (n *names) ids(twin string) []string {
	ids := []string{"sha256:" + n.fingerprint}
	if twin != "" {
		ids = append(ids, "sha256:"+twin)
	}
	ids = append(ids, "pin:"+n.pin)
	for _, list := range []struct {
		prefix string
		names  []string
	}{{"uri:", n.uri}, {"dns:", n.dns}, {"email:", n.email}} {
		for _, name := range list.names {
			ids = append(ids, list.prefix+name)
		}
	}
	return ids
}

// first is the name by which a caller goes who is no client of ours: its first
// URI, DNS name, e-mail or IP address, or its subject; empty if it has none.
func (n *names) first() string {
	switch {
	case len(n.uri) > 0:
		return "uri:" + n.uri[0]
	case len(n.dns) > 0:
		return "dns:" + n.dns[0]
	case len(n.email) > 0:
		return "email:" + n.email[0]
	case len(n.ip) > 0:
		return "ip:" + n.ip[0].String()
	case n.subject != "":
		return "subject:" + n.subject
	}
	return ""
}

// distinguished returns a name in the order and with all the parts that its
// bytes have. (pkix.Name sorts them, so that different names look the same.)
func distinguished(der []byte) (string, error) {
	var sequence pkix.RDNSequence
	rest, err := asn1.Unmarshal(der, &sequence)
	if err != nil || len(rest) > 0 {
		return "", fmt.Errorf("it is no distinguished name")
	}
	for _, set := range sequence {
		for _, part := range set {
			if text, ok := part.Value.(string); ok && hasControl(text) {
				return "", fmt.Errorf("it holds control characters")
			}
		}
	}
	text := sequence.String()
	if len(text) > maxName {
		return "", fmt.Errorf("it is longer than %d bytes", maxName)
	}
	return text, nil
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) })
}
