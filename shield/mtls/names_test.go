package mtls

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

// FuzzNames holds our reader of alternative names to Go's: whatever both read,
// they read alike, and nothing that a rule could not ask for comes out.
func FuzzNames(f *testing.F) {
	attacktest.Rows(f, 83)
	for _, names := range [][]asn1.RawValue{
		{{Class: 2, Tag: tagDNS, Bytes: []byte("pay.internal")}, {Class: 2, Tag: tagURI, Bytes: []byte("spiffe://a/b")}},
		{{Class: 2, Tag: tagDNS, Bytes: []byte("*.internal")}, {Class: 2, Tag: tagIP, Bytes: []byte{192, 0, 2, 1}}},
		{{Class: 2, Tag: tagEmail, Bytes: []byte("a@b.c")}, {Class: 2, Tag: 0, IsCompound: true, Bytes: []byte{6, 1, 42}}},
		{{Class: 2, Tag: tagDNS, Bytes: []byte("a\x00b")}},
	} {
		f.Add(alternatives(names...).Value)
	}
	ca := newScene(f).ca
	key := newKey(f)
	f.Fuzz(func(t *testing.T, der []byte) {
		var ours names
		err := ours.readAlternatives(der)
		if err != nil {
			return
		}
		for _, name := range ours.dns {
			if !isDNSName(name) {
				t.Errorf("DNS name %q", name)
			}
		}
		if len(ours.uri)+len(ours.email)+len(ours.ip)+len(ours.dns) > maxNames {
			t.Error("more names than are allowed")
		}
		theirs := parsedByGo(t, ca, key.Public(), der)
		if theirs == nil {
			return
		}
		var dns []string
		for _, name := range theirs.DNSNames {
			if !strings.HasPrefix(name, "*") {
				dns = append(dns, strings.ToLower(name))
			}
		}
		if strings.Join(dns, " ") != strings.Join(ours.dns, " ") || strings.Join(theirs.EmailAddresses, " ") != strings.Join(ours.email, " ") {
			t.Errorf("Go reads %q %q, we read %q %q", dns, theirs.EmailAddresses, ours.dns, ours.email)
		}
		if len(theirs.URIs) != len(ours.uri) || len(theirs.IPAddresses) != len(ours.ip) {
			t.Errorf("Go reads %v %v, we read %v %v", theirs.URIs, theirs.IPAddresses, ours.uri, ours.ip)
		}
	})
}

func parsedByGo(t *testing.T, ca *authority, public any, der []byte) *x509.Certificate {
	t.Helper()
	extension := alternatives()
	extension.Value = der
	template := ca.authorityTemplate("Names")
	template.ExtraExtensions = append(template.ExtraExtensions, extension)
	made, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return nil
	}
	parsed, err := x509.ParseCertificate(made)
	if err != nil {
		return nil
	}
	return parsed
}
