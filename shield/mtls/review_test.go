package mtls

import (
	"crypto/x509"
	"net"
	"testing"
	"time"

	"pavise.dev/pavise/shield"
)

// What an authority below ours may not say about itself or others.
func TestConstraintsOfAuthoritiesHold(t *testing.T) {
	s := newScene(t)
	below := func(name string, change func(*x509.Certificate)) *authority { return s.ca.below(name, change) }
	short := below("Short", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	under := short.below("Under")
	s.accepted("path length 0, directly below", short.leaf(), short.cert)
	s.refused("path length 0, an authority below", shield.InvalidCredential, under.leaf(), under.cert, short.cert)

	servers := below("Servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	s.refused("an authority for servers", shield.InvalidCredential, servers.leaf(), servers.cert)

	names := below("Names", func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"internal"}
		c.PermittedURIDomains, c.PermittedEmailAddresses = []string{"example.org"}, []string{"example.com"}
		c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}}
	})
	s.accepted("names within the constraints", names.leaf(), names.cert)
	for what, change := range map[string]func(*x509.Certificate){
		"another DNS name":            func(c *x509.Certificate) { c.DNSNames = []string{"pay.internal", "pay.example.com"} },
		"a DNS name in capitals":      func(c *x509.Certificate) { c.DNSNames = []string{"PAY.EXAMPLE.COM"} },
		"another e-mail domain":       func(c *x509.Certificate) { c.EmailAddresses = []string{"ops@example.net"} },
		"an IP address":               func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} },
		"an IP address as a DNS name": func(c *x509.Certificate) { c.DNSNames = []string{"10.0.0.1"} },
	} {
		s.refused(what, shield.InvalidCredential, names.leaf(change), names.cert)
	}
}

// The same key under other names is another caller, also on a connection kept in
// memory.
func TestTheSameKeyUnderOtherNamesIsAnotherCaller(t *testing.T) {
	s := newScene(t)
	s.issueTo("shop", "dns:pay.internal")
	key := newKey(t).Public()
	pay := s.ca.leafFor(key)
	other := s.ca.leafFor(key, func(c *x509.Certificate) { c.DNSNames, c.URIs = []string{"other.internal"}, nil })
	for range 2 {
		if id := s.accepted("pay", pay); id.Client != "shop" {
			t.Errorf("pay is %q", id.Client)
		}
		if id := s.accepted("other", other); id.Client != "" {
			t.Errorf("other is %q", id.Client)
		}
	}
}

// A list by somebody of the same name, and one of the future, decide nothing; one
// of an authority that was renewed with its key speaks for both certificates.
func TestWhoseRevocationListItIs(t *testing.T) {
	list := func(s *scene, by *authority, certs ...*x509.Certificate) {
		s.world.WriteFile("ca.crl", by.list(2, s.world.Now().Add(time.Hour), certs...))
	}
	s := newScene(t, func(s *scene) {
		list(s, s.ca)
		s.config.CRL = []string{"ca.crl"}
	})
	leaf := s.ca.leaf()
	s.accepted("its own", leaf)
	list(s, newAuthority(t, s.world.Now(), "Clients"))
	s.undecided("one of another key", leaf)

	future := *s.ca
	future.now = s.world.Now().Add(10 * time.Minute)
	list(s, &future)
	s.undecided("one of the future", leaf)

	renewed := *s.ca
	template := renewed.authorityTemplate("Clients")
	renewed.cert = renewed.sign(template, template, renewed.key.Public(), renewed.key)
	s.world.WriteFile("ca.pem", bundle(renewed.cert, s.ca.cert))
	list(s, &renewed, leaf)
	s.refused("one of the renewed authority", shield.RevokedCredential, leaf)
}
