package mtls

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/shield"
)

// undecided wants an error that is no refusal: the guard answers 503.
func (s *scene) undecided(what string, chain ...*x509.Certificate) {
	s.Helper()
	id, err := s.verify(chain...)
	if _, refusal := err.(*shield.Refusal); id != nil || err == nil || refusal {
		s.Errorf("%s: %v, %v; want an error that is no refusal", what, id, err)
	}
}

func TestRevocationListsAreAskedOnEveryRequest(t *testing.T) {
	attacktest.Rows(t, 77)
	s := newScene(t, func(s *scene) {
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour)))
		s.config.CRL = []string{"ca.crl"}
	})
	leaf, other := s.ca.leaf(), s.ca.leaf()
	id := s.accepted("not revoked", leaf)
	if id.Revocation() {
		t.Error("withdrawn, but nothing was revoked")
	}
	s.world.WriteFile("ca.crl", s.ca.list(2, s.world.Now().Add(time.Hour), leaf))
	if r := s.refused("revoked, on a kept connection", shield.RevokedCredential, leaf); !r.Proved {
		t.Error("the certificate was proved, and is not marked so")
	}
	if !id.Revocation() {
		t.Error("a stream goes on after its certificate was revoked")
	}
	s.accepted("another one", other)

	s.world.WriteFile("ca.crl", []byte("half a fi"))
	s.undecided("the list is broken", other)
	s.world.WriteFile("ca.crl", newAuthority(t, s.world.Now(), "Clients").list(3, s.world.Now().Add(time.Hour)))
	s.undecided("the list is a stranger's", other)
	s.world.WriteFile("ca.crl", s.ca.list(4, s.world.Now().Add(time.Hour)))
	s.accepted("the list is whole again", other)
	s.world.Advance(time.Hour - time.Second)
	s.accepted("before its end", other)
	s.world.Advance(time.Second)
	s.undecided("at its end", other)
	s.world.Advance(-2 * time.Hour)
	s.world.Advance(90 * time.Second)
	s.undecided("before its beginning", s.ca.leaf(lasting(s.world.Now().Add(-time.Hour), s.world.Now().Add(time.Hour))))
}

func TestEveryAuthorityOfAChainNeedsAList(t *testing.T) {
	attacktest.Rows(t, 77)
	var between *authority
	s := newScene(t, func(s *scene) {
		between = s.ca.below("Between")
		s.world.WriteFile("ca.crl", s.ca.list(1, s.world.Now().Add(time.Hour)))
		s.config.CRL = []string{"ca.crl"}
	})
	s.accepted("directly below", s.ca.leaf())
	s.undecided("no list of the one between", between.leaf(), between.cert)
	s.world.WriteFile("ca.crl", s.ca.list(2, s.world.Now().Add(time.Hour), between.cert))
	s.accepted("directly below", s.ca.leaf())
	s.undecided("and it is revoked itself", between.leaf(), between.cert)
}

func TestRevokedAuthorityBetween(t *testing.T) {
	attacktest.Rows(t, 77)
	var between *authority
	s := newScene(t, func(s *scene) {
		between = s.ca.below("Between")
		until := s.world.Now().Add(time.Hour)
		s.world.WriteFile("ca.pem", bundle(s.ca.cert, between.cert))
		s.world.WriteFile("ca.crl", s.ca.list(1, until))
		s.world.WriteFile("between.crl", between.list(1, until))
		s.config.CRL = []string{"ca.crl", "between.crl"}
	})
	leaf := between.leaf()
	s.accepted("both have lists", leaf, between.cert)
	s.accepted("the same, not sent along", leaf)
	s.world.WriteFile("ca.crl", s.ca.list(2, s.world.Now().Add(time.Hour), between.cert))
	s.refused("the one between is revoked", shield.RevokedCredential, leaf, between.cert)
	s.refused("the same, not sent along: the bundle has it", shield.RevokedCredential, leaf)
}

// Two lists of one second, as an authority makes them that revokes twice within
// it: the order of the files must not bring a certificate back.
func TestOfTwoListsOfOneMomentTheHigherNumberCounts(t *testing.T) {
	attacktest.Rows(t, 77)
	for _, order := range [][]string{{"1.crl", "2.crl"}, {"2.crl", "1.crl"}} {
		var leaf *x509.Certificate
		s := newScene(t, func(s *scene) {
			leaf = s.ca.leaf()
			until := s.world.Now().Add(time.Hour)
			s.world.WriteFile("1.crl", s.ca.list(1, until))
			s.world.WriteFile("2.crl", s.ca.list(2, until, leaf))
			s.config.CRL = order
		})
		s.refused(strings.Join(order, ", "), shield.RevokedCredential, leaf)
		s.accepted("another", s.ca.leaf())
	}
}

func TestListsThatDoNotSpeakForAllAreRefused(t *testing.T) {
	attacktest.Rows(t, 77)
	make := func(t *testing.T, s *scene, change func(*x509.RevocationList)) []byte {
		t.Helper()
		template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: s.world.Now(), NextUpdate: s.world.Now().Add(time.Hour)}
		change(template)
		der, err := x509.CreateRevocationList(rand.Reader, template, s.ca.cert, s.ca.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0}}
	for name, test := range map[string]struct {
		change func(*x509.RevocationList)
		want   string
	}{
		"complete":        {func(*x509.RevocationList) {}, ""},
		"of a part":       {func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{critical} }, "distribution point"},
		"signed by SHA-1": {func(l *x509.RevocationList) { l.SignatureAlgorithm = x509.ECDSAWithSHA1 }, "SHA1"},
		"indirect entries": {func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(5), RevocationTime: l.ThisUpdate, ExtraExtensions: []pkix.Extension{critical}}}
		}, "critical"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.world.WriteFile("ca.crl", make(t, s, test.change))
			_, err := (&Config{Trust: []string{"ca.pem"}, CRL: []string{"ca.crl"}}).Open(s.world.Env())
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	s := newScene(t)
	if _, err := (&Config{Trust: []string{"ca.pem"}, CRL: []string{"none.crl"}}).Open(s.world.Env()); err == nil {
		t.Error("a list that does not exist was opened")
	}
}
