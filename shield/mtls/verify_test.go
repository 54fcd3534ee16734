package mtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

func TestRefusesAMissingCertificate(t *testing.T) {
	attacktest.Rows(t, 71)
	s := newScene(t)
	s.refused("no certificate", shield.Absent)
	r := requestOf()
	r.TLS = nil
	if _, err := s.shield.Verify(r); err == nil {
		t.Error("accepted a request without TLS")
	}
	s.accepted("a good one", s.ca.leaf())
}

func TestCallsStrangersForeignAndOursFinal(t *testing.T) {
	attacktest.Rows(t, 72)
	s := newScene(t)
	good := s.ca.leaf()
	s.accepted("a good one", good)
	twin := newAuthority(t, s.world.Now(), "Clients")
	s.refused("an authority of the same name", shield.Foreign, twin.leaf())
	s.refused("the same, with the twin sent along", shield.Foreign, twin.leaf(), twin.cert)
	s.refused("the same, with ours sent along", shield.Foreign, twin.leaf(), s.ca.cert)
	s.refused("an authority of another name", shield.Foreign, newAuthority(t, s.world.Now(), "Others").leaf())
	self, err := selfSigned(nil)(good)
	if err != nil {
		t.Fatal(err)
	}
	s.refused("self-signed with the same names", shield.Foreign, self.chain...)
	s.refused("self-signed, the good one behind it", shield.Foreign, self.chain[0], good)
	s.refused("the authority itself", shield.InvalidCredential, s.ca.cert)
	signing := s.ca.below("Signing", func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature })
	s.refused("an authority below it that may make signatures", shield.InvalidCredential, signing.cert)
}

func TestRefusesWhatIsNotInForce(t *testing.T) {
	attacktest.Rows(t, 73)
	s := newScene(t)
	now := s.world.Now()
	s.refused("expired", shield.ExpiredCredential, s.ca.leaf(lasting(now.Add(-2*time.Hour), now.Add(-time.Hour))))
	s.refused("not yet valid", shield.ExpiredCredential, s.ca.leaf(lasting(now.Add(time.Hour), now.Add(2*time.Hour))))
	other := newAuthority(t, now, "Others")
	s.refused("expired, of a stranger", shield.Foreign, other.leaf(lasting(now.Add(-2*time.Hour), now.Add(-time.Hour))))
	s.refused("expired, for servers", shield.InvalidCredential, s.ca.leaf(lasting(now.Add(-2*time.Hour), now.Add(-time.Hour)), forServers))

	leaf := s.ca.leaf(lasting(now.Add(-time.Hour), now.Add(time.Hour)))
	id := s.accepted("in force", leaf)
	if !id.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("expires %s, want the certificate's end", id.Expires)
	}
	s.world.Advance(time.Hour - time.Second)
	s.accepted("in its last second but one", leaf)
	s.world.Advance(time.Second)
	if r := s.refused("at its end, on a kept connection", shield.ExpiredCredential, leaf); !r.Proved || r.CredentialID == "" {
		t.Errorf("%+v: want a proved refusal that names the certificate", r)
	}
	s.world.Advance(-2*time.Hour - time.Second)
	s.refused("before its beginning", shield.ExpiredCredential, leaf)
	s.world.Advance(time.Second)
	s.accepted("at its beginning", leaf)
}

func TestRefusesWhenTheAuthorityAboveEnded(t *testing.T) {
	attacktest.Rows(t, 73)
	s := newScene(t)
	now := s.world.Now()
	short := s.ca.below("Short", lasting(now.Add(-time.Hour), now.Add(time.Hour)))
	leaf := short.leaf()
	if id := s.accepted("all in force", leaf, short.cert); !id.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("expires %s, want the end of the authority between", id.Expires)
	}
	s.world.Advance(2 * time.Hour)
	s.refused("the authority between ended", shield.ExpiredCredential, leaf, short.cert)
	s.accepted("directly signed", s.ca.leaf())
}

func TestTakesTheChainThatIsInForce(t *testing.T) {
	attacktest.Rows(t, 73)
	s := newScene(t)
	now := s.world.Now()
	short := s.ca.below("Between", lasting(now.Add(-time.Hour), now.Add(time.Hour)))
	long := s.ca.sign(s.ca.authorityTemplate("Between"), s.ca.cert, short.key.Public(), s.ca.key)
	leaf, another := short.leaf(), short.leaf()
	s.accepted("the short-lived first", leaf, short.cert, long)
	s.accepted("the long-lived first", another, long, short.cert)
	s.world.Advance(2 * time.Hour)
	s.accepted("the short-lived first, ended, on a kept connection", leaf, short.cert, long)
	s.accepted("the long-lived first", another, long, short.cert)
	s.refused("the ended one alone", shield.ExpiredCredential, leaf, short.cert)
}

func forServers(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

func TestRefusesCertificatesForOtherUses(t *testing.T) {
	attacktest.Rows(t, 74)
	s := newScene(t)
	s.refused("for servers only", shield.InvalidCredential, s.ca.leaf(forServers))
	s.refused("for encryption only", shield.InvalidCredential, s.ca.leaf(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }))
	s.refused("an unknown critical extension", shield.InvalidCredential, s.ca.leaf(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}))
	only := s.ca.below("Servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	s.refused("of an authority for servers", shield.InvalidCredential, only.leaf(), only.cert)
	s.accepted("for clients and servers", s.ca.leaf(func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) }))
}

func TestRefusesBrokenChains(t *testing.T) {
	attacktest.Rows(t, 75)
	s := newScene(t)
	between := s.ca.below("Between")
	leaf := between.leaf()
	s.accepted("by way of an authority between", leaf, between.cert)
	s.refused("which was not sent along", shield.Foreign, leaf)

	noCA := s.ca.below("No CA", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	s.refused("an authority without the flag", shield.InvalidCredential, noCA.leaf(), noCA.cert)
	client := &authority{TB: t, key: newKey(t), now: s.world.Now(), next: 7}
	client.cert = s.ca.leafFor(client.key.Public())
	s.refused("a client that signs", shield.InvalidCredential, client.leaf(), client.cert)
	noSign := s.ca.below("No sign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	s.refused("an authority that may not sign", shield.InvalidCredential, noSign.leaf(), noSign.cert)

	last := s.ca.below("Last", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	s.accepted("under a path length of 0", last.leaf(), last.cert)
	deeper := last.below("Deeper")
	s.refused("one deeper", shield.InvalidCredential, deeper.leaf(), deeper.cert, last.cert)

	bound := s.ca.below("Bound", func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"partner.example"}, true
	})
	s.refused("a name outside the constraints", shield.InvalidCredential, bound.leaf(), bound.cert)
	s.accepted("a name inside", bound.leaf(func(c *x509.Certificate) { c.DNSNames = []string{"a.partner.example"} }), bound.cert)
}

func TestTakesNamesFromTheirOwnPlaceOnly(t *testing.T) {
	attacktest.Rows(t, 76, 83)
	dns := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames, c.URIs, c.EmailAddresses = names, nil, nil }
	}
	s := newScene(t, func(s *scene) { s.config.Allow = []Rule{{DNS: "pay.internal"}} })
	s.accepted("its alternative name", s.ca.leaf(dns("pay.internal")))
	s.accepted("among others, in capitals", s.ca.leaf(dns("a.internal", "PAY.Internal")))
	common := func(c *x509.Certificate) { c.Subject.CommonName = "pay.internal" }
	s.refused("the common name only", shield.InvalidCredential, s.ca.leaf(dns(), common))
	s.refused("the common name, and another alternative", shield.InvalidCredential, s.ca.leaf(dns("evil.internal"), common))
	s.refused("a wildcard", shield.InvalidCredential, s.ca.leaf(dns("*.internal")))
	s.refused("a wildcard for all", shield.InvalidCredential, s.ca.leaf(dns("*")))
	s.refused("a longer name", shield.InvalidCredential, s.ca.leaf(dns("pay.internal.evil.example")))
	s.refused("below it", shield.InvalidCredential, s.ca.leaf(dns("x.pay.internal")))

	raw := func(names ...asn1.RawValue) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			dns()(c)
			c.ExtraExtensions = []pkix.Extension{alternatives(names...)}
		}
	}
	name := func(tag int, text string) asn1.RawValue {
		return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}
	}
	s.accepted("spelt by hand", s.ca.leaf(raw(name(tagDNS, "pay.internal"))))
	s.refused("cut by NUL", shield.InvalidCredential, s.ca.leaf(raw(name(tagDNS, "pay.internal\x00.evil.example"))))
	s.refused("the good name, and one with NUL", shield.InvalidCredential, s.ca.leaf(raw(name(tagDNS, "pay.internal"), name(tagDNS, "a\x00b"))))
	s.refused("a blank at its end", shield.InvalidCredential, s.ca.leaf(raw(name(tagDNS, "pay.internal "))))
	s.refused("a dot at its end", shield.InvalidCredential, s.ca.leaf(raw(name(tagDNS, "pay.internal."))))
	s.refused("the name as an e-mail address", shield.InvalidCredential, s.ca.leaf(raw(name(tagEmail, "pay.internal"))))
	s.refused("the name as a URI", shield.InvalidCredential, s.ca.leaf(raw(name(tagURI, "dns:pay.internal"))))
	s.refused("the name as a UPN", shield.InvalidCredential, s.ca.leaf(raw(userPrincipal(t, "pay.internal"))))
	s.refused("a homograph in Punycode", shield.InvalidCredential, s.ca.leaf(dns("xn--py-5ia.internal")))
}

func userPrincipal(t *testing.T, name string) asn1.RawValue {
	t.Helper()
	text, err := asn1.MarshalWithParams(name, "utf8,explicit,tag:0")
	if err != nil {
		t.Fatal(err)
	}
	id, err := asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: append(id, text...)}
}

func TestRulesWantEveryPartOfOne(t *testing.T) {
	attacktest.Rows(t, 83)
	address := func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 9)} }
	probe := newScene(t)
	leaf := probe.ca.leaf(address)
	n, err := namesOf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		allow []Rule
		good  bool
	}{
		{"no rule", nil, true},
		{"dns", []Rule{{DNS: "pay.internal"}}, true},
		{"another dns", []Rule{{DNS: "ship.internal"}}, false},
		{"uri", []Rule{{URI: "spiffe://example.org/pay"}}, true},
		{"a prefix of the uri", []Rule{{URI: "spiffe://example.org/"}}, false},
		{"the uri in capitals", []Rule{{URI: "SPIFFE://example.org/pay"}}, false},
		{"email", []Rule{{Email: "ops@example.com"}}, true},
		{"another email", []Rule{{Email: "OPS@example.com"}}, false},
		{"ip", []Rule{{IP: "192.0.2.9"}}, true},
		{"another ip", []Rule{{IP: "192.0.2.8"}}, false},
		{"subject", []Rule{{Subject: "CN=pay,O=Acme"}}, true},
		{"a part of the subject", []Rule{{Subject: "CN=pay"}}, false},
		{"issuer", []Rule{{Issuer: "CN=Clients"}}, true},
		{"another issuer", []Rule{{Issuer: "CN=Others"}}, false},
		{"pin", []Rule{{Pin: n.pin}}, true},
		{"another pin", []Rule{{Pin: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}, false},
		{"all parts of one", []Rule{{DNS: "pay.internal", URI: "spiffe://example.org/pay", Pin: n.pin}}, true},
		{"one part missing", []Rule{{DNS: "pay.internal", URI: "spiffe://example.org/ship"}}, false},
		{"parts of two", []Rule{{DNS: "pay.internal", IP: "192.0.2.8"}, {DNS: "ship.internal", IP: "192.0.2.9"}}, false},
		{"the second of two", []Rule{{DNS: "ship.internal"}, {IP: "192.0.2.9"}}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newScene(t, func(s *scene) {
				s.config.Allow = test.allow
				s.world.WriteFile("ca.pem", bundle(probe.ca.cert))
			})
			if test.good {
				s.accepted(test.name, leaf)
			} else if r := s.refused(test.name, shield.InvalidCredential, leaf); !r.Proved {
				t.Error("the certificate was proved, and is not marked so")
			}
		})
	}
}

func TestRefusesWeakKeysAndSignatures(t *testing.T) {
	attacktest.Rows(t, 78)
	s := newScene(t)
	rsaKey := func(bits int) crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	strong := rsaKey(2048)
	s.accepted("RSA 2048", s.ca.leafFor(strong.Public()))
	s.refused("RSA 1024", shield.InvalidCredential, s.ca.leafFor(rsaKey(1024).Public()))
	s.refused("P-224", shield.InvalidCredential, s.ca.leafFor(p224.Public()))
	weak := &authority{TB: t, key: rsaKey(1024), now: s.world.Now(), next: 3}
	weak.cert = s.ca.sign(s.ca.authorityTemplate("Weak"), s.ca.cert, weak.key.Public(), s.ca.key)
	s.refused("below an authority with RSA 1024", shield.InvalidCredential, weak.leaf(), weak.cert)
	s.refused("signed with SHA-1", shield.InvalidCredential, s.ca.leaf(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }))
	s.accepted("signed with SHA-384", s.ca.leaf(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA384 }))
	md5 := *s.ca.leaf()
	md5.SignatureAlgorithm = x509.MD5WithRSA
	s.refused("signed with MD5", shield.InvalidCredential, &md5)
	s.world.WriteFile("weak.pem", bundle(weak.cert))
	if _, err := (&Config{Trust: []string{"weak.pem"}}).Open(s.world.Env()); err == nil {
		t.Error("a bundle with an RSA-1024 authority was opened")
	}
}

func TestP192IsNotParsed(t *testing.T) {
	attacktest.Rows(t, 78)
	leaf := newScene(t).ca.leaf()
	p256, p192 := []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}, []byte{0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1}
	der := []byte(strings.Replace(string(leaf.Raw), string(p256), string(p192), 1))
	if _, err := x509.ParseCertificate(leaf.Raw); err != nil {
		t.Fatal(err)
	}
	if cert, err := x509.ParseCertificate(der); err == nil && cert.PublicKey != nil {
		t.Errorf("a certificate on P-192 was parsed, with the key %T", cert.PublicKey)
	}
}

func TestBoundsWhatIsPresented(t *testing.T) {
	attacktest.Rows(t, 84)
	s := newScene(t)
	good := s.ca.leaf()
	deep, chain := s.ca, []*x509.Certificate{}
	for i := range maxChain - 1 {
		deep = deep.below(fmt.Sprint("Depth ", i))
		chain = append(chain, deep.cert)
	}
	slices.Reverse(chain)
	s.accepted("ten certificates", append([]*x509.Certificate{deep.leaf()}, chain...)...)
	deeper := deep.below("Depth 10")
	s.refused("eleven", shield.InvalidCredential, append([]*x509.Certificate{deeper.leaf(), deeper.cert}, chain...)...)
	s.refused("two hundred", shield.InvalidCredential, slices.Repeat([]*x509.Certificate{good}, 200)...)

	mesh := []*x509.Certificate{}
	stranger := newAuthority(t, s.world.Now(), "Mesh")
	for range maxChain - 1 {
		mesh = append(mesh, stranger.sign(stranger.authorityTemplate("Mesh"), stranger.cert, stranger.key.Public(), stranger.key))
	}
	start := time.Now()
	s.refused("a mesh of authorities that sign each other", shield.Foreign, append([]*x509.Certificate{stranger.leaf()}, mesh...)...)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("a mesh took %s", took)
	}
	huge := s.ca.below("Constraints", func(c *x509.Certificate) {
		for i := range 1500 {
			c.PermittedDNSDomains = append(c.PermittedDNSDomains, fmt.Sprintf("n%d.example", i))
		}
	})
	many := huge.leaf(func(c *x509.Certificate) {
		c.DNSNames = nil
		for i := range 800 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("x.n%d.example", 1499-i))
		}
	})
	start = time.Now()
	s.refused("huge lists of constraints and names", shield.InvalidCredential, many, huge.cert)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("huge lists took %s", took)
	}
	fat := s.ca.leaf(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 5}, Value: make([]byte, maxChainBytes)}}
	})
	s.refused("more than 64 KiB", shield.InvalidCredential, fat)
	names := func(n int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.DNSNames, c.URIs, c.EmailAddresses = slices.Repeat([]string{"a.internal"}, n), nil, nil
		}
	}
	s.accepted("64 names", s.ca.leaf(names(maxNames)))
	s.refused("65 names", shield.InvalidCredential, s.ca.leaf(names(maxNames+1)))
}

func TestFindsTheClientByItsNames(t *testing.T) {
	s := newScene(t)
	leaf := s.ca.leaf()
	n, err := namesOf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	id := s.accepted("nobody's", leaf)
	if id.Client != "" || id.Scopes != nil || id.Issuer != "CN=Clients" || id.Subject != "uri:spiffe://example.org/pay" {
		t.Errorf("a caller who is no client: %+v", id)
	}
	ids := n.ids("")
	want := []string{"sha256:" + n.fingerprint, "pin:" + n.pin, "uri:spiffe://example.org/pay", "dns:pay.internal", "email:ops@example.com"}
	if !reflect.DeepEqual(ids, want) {
		t.Fatalf("looked up as %q, want %q", ids, want)
	}
	for i := range ids { // the most exact name counts, so from the back each one takes over
		name := ids[len(ids)-1-i]
		client := fmt.Sprint("client-", i)
		s.issueTo(client, name)
		id := s.accepted(name, leaf)
		if id.Client != client || id.CredentialID != name || !id.Scopes.Has("orders:read") || id.Attributes["tier"] != "gold" {
			t.Errorf("%s: %+v", name, id)
		}
		if id.Attributes["subject"] != "CN=pay,O=Acme" || id.Attributes["fingerprint"] != n.fingerprint || !reflect.DeepEqual(id.Attributes["dns"], []string{"pay.internal"}) {
			t.Errorf("%s: the certificate's attributes are %v", name, id.Attributes)
		}
	}
	other := s.ca.leaf(func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"*.internal"}; c.EmailAddresses = nil })
	if id := s.accepted("a wildcard", other); id.Client != "" || id.Subject != "subject:CN=pay,O=Acme" {
		t.Errorf("a wildcard is %q, client %q", id.Subject, id.Client)
	}
	s.refused("without any name", shield.InvalidCredential, s.ca.leaf(func(c *x509.Certificate) {
		c.Subject, c.URIs, c.DNSNames, c.EmailAddresses = pkix.Name{}, nil, nil, nil
	}))
}

func TestRefusesAsTheRecordSays(t *testing.T) {
	s := newScene(t)
	leaf := s.ca.leaf()
	now := s.world.Now()
	tests := []struct {
		name   string
		change func(*shield.Record)
		want   shield.Code
	}{
		{"revoked", func(r *shield.Record) { r.Revoked = now }, shield.RevokedCredential},
		{"expired", func(r *shield.Record) { r.Expires = now }, shield.ExpiredCredential},
		{"disabled", func(r *shield.Record) { r.Client.Disabled = true }, shield.DisabledClient},
		{"another network", func(r *shield.Record) { r.Networks = shield.Networks{netip.MustParsePrefix("10.0.0.0/8")} }, shield.ForbiddenNetwork},
	}
	for _, test := range tests {
		s.issueTo("shop", "dns:pay.internal")
		s.accepted("before "+test.name, leaf)
		s.issueTo("shop", "dns:pay.internal", test.change)
		s.refused(test.name, test.want, leaf)
	}
	s.issueTo("shop", "dns:pay.internal", func(r *shield.Record) { r.Expires = now.Add(time.Minute) })
	if id := s.accepted("a record that ends first", leaf); !id.Expires.Equal(now.Add(time.Minute)) {
		t.Errorf("expires %s", id.Expires)
	}
	s.world.SetStale(true)
	if _, err := s.verify(leaf); !errors.Is(err, shield.ErrStale) {
		t.Errorf("an old snapshot: %v", err)
	}
}

func TestKeepsNamesOfOneAuthorityFromAnother(t *testing.T) {
	partner := newAuthority(t, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), "Partner")
	s := newScene(t, func(s *scene) {
		s.world.WriteFile("partner.pem", bundle(partner.cert))
		s.config.Trust = append(s.config.Trust, "partner.pem")
	})
	s.issueTo("shop", "dns:pay.internal", func(r *shield.Record) { r.Settings = map[string]string{"ca": pinOf(s.ca.cert)} })
	if id := s.accepted("of the named authority", s.ca.leaf()); id.Client != "shop" {
		t.Errorf("client %q", id.Client)
	}
	if id := s.accepted("of the other", partner.leaf()); id.Client != "" || id.Issuer != "CN=Partner" {
		t.Errorf("a partner's certificate is client %q", id.Client)
	}
}

func TestReadsTheBundleAgain(t *testing.T) {
	s := newScene(t)
	next := newAuthority(t, s.world.Now(), "Next")
	old := s.ca.leaf()
	id := s.accepted("of the old authority", old)
	s.refused("of the next one", shield.Foreign, next.leaf())

	s.world.WriteFile("ca.pem", []byte("-----BEGIN CERT"))
	if id := s.accepted("while the file is broken", old); !slices.Contains(id.Warnings, "trust_outdated") {
		t.Errorf("warnings %v", id.Warnings)
	}
	s.world.WriteFile("ca.pem", bundle(s.ca.cert, next.cert))
	if id := s.accepted("with both", old); len(id.Warnings) > 0 {
		t.Errorf("warnings %v", id.Warnings)
	}
	s.accepted("of the next one", next.leaf())
	if id.Revocation() {
		t.Error("withdrawn while its authority is trusted")
	}
	s.world.WriteFile("ca.pem", bundle(next.cert))
	s.refused("of the authority that was taken out, on a kept connection", shield.Foreign, old)
	if !id.Revocation() {
		t.Error("a stream goes on after its authority was taken out")
	}
}

func TestOpenSaysWhatIsWrongWithABundle(t *testing.T) {
	s := newScene(t)
	key, err := x509.MarshalPKCS8PrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	damaged := []byte(strings.Replace(string(bundle(s.ca.cert)), "MII", "M*I", 1))
	for name, test := range map[string]struct {
		text []byte
		want string
	}{
		"empty":             {nil, "holds no"},
		"a private key":     {append(bundle(s.ca.cert), private...), "private key"},
		"a client":          {bundle(s.ca.leaf()), "no authority"},
		"one damaged":       {append(bundle(s.ca.cert), damaged...), "damaged"},
		"no certificate":    {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "certificate 1"},
		"another authority": {pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: s.ca.cert.Raw}), "TRUSTED"},
	} {
		s.world.WriteFile("bad.pem", test.text)
		_, err := (&Config{Trust: []string{"ca.pem", "bad.pem"}}).Open(s.world.Env())
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "bad.pem") {
			t.Errorf("%s: %v, want %q and the file", name, err, test.want)
		}
	}
	if _, err := (&Config{Trust: []string{"none.pem"}}).Open(s.world.Env()); err == nil {
		t.Error("a bundle that does not exist was opened")
	}
}

func TestTellsAuthoritiesApartInAnAny(t *testing.T) {
	first, second := newScene(t), newScene(t)
	if _, err := shield.Any(first.shield, first.shield); err == nil {
		t.Error("an any of one bundle twice")
	}
	both, err := shield.Any(first.shield, second.shield)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range []*x509.Certificate{first.ca.leaf(), second.ca.leaf()} {
		if _, err := both.Verify(requestOf(leaf)); err != nil {
			t.Errorf("any refuses a certificate of one of its bundles: %v", err)
		}
	}
	_, err = both.Verify(requestOf(first.ca.leaf(forServers)))
	if refusal, ok := err.(*shield.Refusal); !ok || refusal.Code != shield.InvalidCredential {
		t.Errorf("ours and wrong: %v, want invalid_credential and no further search", err)
	}
}

func TestSettingsThatNoCertificateMeetsAreProblems(t *testing.T) {
	for _, bad := range []Rule{
		{},
		{DNS: "*.internal"},
		{DNS: "Pay.internal"},
		{DNS: "pay.internal."},
		{DNS: "päy.internal"},
		{DNS: "a\x00b"},
		{URI: "pay"},
		{URI: "spiffe://example.org/a b"},
		{Email: "ops"},
		{IP: "10.0.0.0/8"},
		{IP: "::ffff:192.0.2.9"},
		{IP: "fe80::1%eth0"},
		{Subject: "pay"},
		{Issuer: "Acme"},
		{Pin: "AAAA"},
		{Pin: strings.Repeat("ab", 32)},
	} {
		if problems := (&Config{Trust: []string{"ca.pem"}, Allow: []Rule{bad}}).Validate(); len(problems) != 1 {
			t.Errorf("%+v: %+v, want one problem", bad, problems)
		}
	}
	if problems := (&Config{Trust: []string{""}}).Validate(); len(problems) != 1 {
		t.Errorf("an empty name of a file: %+v", problems)
	}
	if problems := (&Config{}).Validate(); len(problems) != 0 {
		t.Errorf("the own authority: %+v", problems)
	}
	var short Config
	if err := short.SetScalar("ca.pem"); err != nil || len(short.Validate()) > 0 {
		t.Errorf("the short form: %v, %+v", err, short.Validate())
	}
}

func TestIssueTakesNamesOnly(t *testing.T) {
	for name, good := range map[string]bool{
		"dns:pay.internal": true, "uri:spiffe://example.org/pay": true, "email:ops@example.com": true,
		"sha256:" + strings.Repeat("ab", 32): true, "pin:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": true,
		"": false, "pay.internal": false, "dns:": false, "dns:*.internal": false, "dns:PAY.internal": false, "uri:pay": false,
		"sha256:" + strings.Repeat("AB", 32): false, "sha256:ab": false, "pin:AAAA": false, "subject:CN=pay": false,
	} {
		issued, err := issue(shield.Env{}, shield.IssueRequest{Client: "shop", Settings: map[string]string{"name": name}})
		if (err == nil) != good || (good && (issued.ID != name || issued.Keep != shield.KeepNothing || issued.Secret != "")) {
			t.Errorf("%q: %+v, %v", name, issued, err)
		}
	}
	if _, err := issue(shield.Env{}, shield.IssueRequest{Import: "x", Settings: map[string]string{"name": "dns:a.b"}}); err == nil {
		t.Error("imported a secret")
	}
	if _, err := issue(shield.Env{}, shield.IssueRequest{Settings: map[string]string{"name": "dns:a.b", "ca": "x"}}); err == nil {
		t.Error("took a ca that is no pin")
	}
}

func TestSerialsAreOfTheirAuthority(t *testing.T) {
	attacktest.Rows(t, 77)
	var lists [2][]byte
	second := newAuthority(t, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), "Second")
	s := newScene(t, func(s *scene) {
		until := s.world.Now().Add(time.Hour)
		lists[0] = s.ca.list(1, until, s.ca.leaf(serialOf(4711)))
		lists[1] = second.list(1, until)
		s.world.WriteFile("ca.pem", bundle(s.ca.cert, second.cert))
		s.world.WriteFile("a.crl", lists[0])
		s.world.WriteFile("b.crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: lists[1]}))
		s.config.CRL = []string{"a.crl", "b.crl"}
	})
	s.refused("revoked", shield.RevokedCredential, s.ca.leaf(serialOf(4711)))
	s.accepted("the same number of another authority", second.leaf(serialOf(4711)))
	s.accepted("another number", s.ca.leaf(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4712) }))
}
