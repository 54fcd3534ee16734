package shieldtest

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"

	"pavise.dev/pavise/shield"
)

// Fuzz changes the credential of a good request in every way that the fuzzer
// finds, and holds the shield to this: it never panics, accepts only the same
// bytes (or what Fixture.Equal calls the same), and never calls Absent or
// Foreign what is ours.
//
// For a kind whose credential is a certificate the fuzzer changes the bytes of
// the leaf.
func Fuzz(f *testing.F, kind shield.Kind, fixture Fixture) {
	c := newCase(f, kind, fixture)
	good := c.signed()
	carried := c.carried()
	if _, ok := c.signer.(shield.Presenter); ok && len(carried) == 0 {
		c.fuzzCertificate(f, good)
		return
	}
	if len(carried) == 0 {
		f.Skip("the kind has no credential")
	}
	for i, name := range carried {
		value := good.Header.Get(name)
		for _, seed := range []string{value, "", strings.ToLower(value), value + " ", value + ",", strings.ReplaceAll(value, `"`, ""), value[:len(value)/2]} {
			f.Add(uint8(i), seed)
		}
	}
	again := c.rewindable(good)
	f.Fuzz(func(t *testing.T, which uint8, value string) {
		c := c.of(t)
		c.tryValue(again(), carried[int(which)%len(carried)], value)
	})
}

// of returns the case with its failures reported to t.
func (c *testCase) of(t testing.TB) *testCase {
	other := *c
	other.TB = t
	return &other
}

// tryValue sends a good request with another value in one carrier.
func (c *testCase) tryValue(r *http.Request, name, value string) {
	c.Helper()
	good := r.Header.Get(name)
	r = r.Clone(r.Context())
	r.Header.Set(name, value)
	arrived := arrive(r, c.needs)
	value = arrived.Header.Get(name) // as it comes out of the parser of HTTP
	_, err := c.ask(arrived)
	switch {
	case err == nil && value != good && !c.sameCredential(name, good, value):
		c.Errorf("accepted %s: %q instead of %q", name, value, good)
	case err != nil && value == good:
		c.Errorf("refused the good credential: %v", err)
	case passes(err) && !c.mayBeForeign(name, good, value):
		c.Errorf("%s: %q is ours and wrong, but got %v", name, value, err)
	}
}

func (c *testCase) sameCredential(name, good, value string) bool {
	return c.fixture.Equal != nil && c.fixture.Equal(name, good, value)
}

func (c *testCase) mayBeForeign(name, good, value string) bool {
	if c.fixture.Foreign != nil {
		return c.fixture.Foreign(name, value)
	}
	if name != "Authorization" {
		return false
	}
	ours, _, _ := strings.Cut(good, " ")
	theirs, _, _ := strings.Cut(value, " ")
	return !strings.EqualFold(ours, theirs)
}

func (c *testCase) fuzzCertificate(f *testing.F, good *http.Request) {
	f.Helper()
	if good.TLS == nil || len(good.TLS.PeerCertificates) == 0 {
		f.Fatal("the good caller presents no certificate")
	}
	leaf := good.TLS.PeerCertificates[0].Raw
	f.Add(leaf)
	for _, at := range []int{10, len(leaf) / 2, len(leaf) - 1} {
		changed := append([]byte(nil), leaf...)
		changed[at] ^= 1
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return // crypto/tls refuses it in the handshake
		}
		c := c.of(t)
		r := c.request()
		chain := append([]*x509.Certificate{parsed}, good.TLS.PeerCertificates[1:]...)
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, PeerCertificates: chain}
		if _, err := c.verify(r); err == nil && string(der) != string(leaf) {
			t.Errorf("accepted a certificate with changed bytes")
		}
	})
}
