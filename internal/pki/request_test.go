package pki_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/pki"
)

func TestSigningRequestsAreRead(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	id, err := url.Parse("spiffe://example.org/web")
	must(t, err)
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "whatever"}, DNSNames: []string{"web.internal"}, URIs: []*url.URL{id}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)}, EmailAddresses: []string{"a@example.org"},
	}
	for _, text := range [][]byte{
		request(t, newKey(t), template), request(t, p384, template), request(t, edwards, template), request(t, rsa2048, template),
	} {
		r, err := pki.ParseSigningRequest(text)
		if err != nil || len(r.Names) != 4 || r.Names.Validate() != nil {
			t.Errorf("%v, %v", r, err)
		}
		block, _ := pem.Decode(text)
		if _, err := pki.ParseSigningRequest(block.Bytes); err != nil {
			t.Errorf("DER: %v", err)
		}
	}
	plain, err := pki.ParseSigningRequest(request(t, newKey(t), &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0}}}}))
	if err != nil || len(plain.Names) != 0 {
		t.Errorf("a request that says not to be an authority: %v, %v", plain, err)
	}
}

func TestSigningRequestsThatAreRefused(t *testing.T) {
	key := newKey(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // it is to be refused
	must(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	must(t, err)
	extension := func(id asn1.ObjectIdentifier, value ...byte) *x509.CertificateRequest {
		return &x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: id, Value: value}}}
	}
	many := &x509.CertificateRequest{}
	for i := range 10_000 {
		many.DNSNames = append(many.DNSNames, fmt.Sprintf("n%d.a", i))
	}
	some := &x509.CertificateRequest{}
	for i := range 33 {
		some.DNSNames = append(some.DNSNames, fmt.Sprintf("n%d.a", i))
	}
	good := request(t, key, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}})
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"RSA of 1024 bits":        {request(t, weak, &x509.CertificateRequest{}), "1024 bits"},
		"P-224":                   {request(t, p224, &x509.CertificateRequest{}), "P-224"},
		"an authority":            {request(t, key, extension(asn1.ObjectIdentifier{2, 5, 29, 19}, 0x30, 3, 1, 1, 0xff)), "become an authority"},
		"rubbish as constraint":   {request(t, key, extension(asn1.ObjectIdentifier{2, 5, 29, 19}, 0x30, 3, 1)), "become an authority"},
		"name constraints":        {request(t, key, extension(asn1.ObjectIdentifier{2, 5, 29, 30}, 0x30, 0)), "become an authority"},
		"an unknown extension":    {request(t, key, extension(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2}, 5, 0)), "1.3.6.1.4.1.311.20.2"},
		"a wildcard":              {request(t, key, &x509.CertificateRequest{DNSNames: []string{"*.internal"}}), "no name"},
		"upper case":              {request(t, key, &x509.CertificateRequest{DNSNames: []string{"Web.internal"}}), "no name"},
		"a zero byte":             {request(t, key, &x509.CertificateRequest{DNSNames: []string{"web.internal\x00.evil.example"}}), ""},
		"33 names":                {request(t, key, some), "at most 32"},
		"10,000 names":            {request(t, key, many), "bytes"},
		"a name twice":            {request(t, key, &x509.CertificateRequest{DNSNames: []string{"a.b", "a.b"}}), "twice"},
		"an IPv4 address in IPv6": {request(t, key, &x509.CertificateRequest{EmailAddresses: []string{"a b@example.org"}}), "no name"},
		"a key":                   {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), "no signing request"},
		"two":                     {append(bytes.Clone(good), good...), "several"},
		"garbage":                 {[]byte("\x30\x82garbage"), "cannot be read"},
		"nothing":                 {nil, "cannot be read"},
		"too long":                {bytes.Repeat([]byte{'a'}, pki.MaxSigningRequest+1), "at most"},
		"another's signature":     {resigned(t, good), "not signed by the key"},
	} {
		r, err := pki.ParseSigningRequest(c.text)
		wrong, ok := errors.AsType[*pki.Fault](err)
		if !ok || !strings.Contains(wrong.Error(), c.want) || len(wrong.Error()) > 400 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// resigned is a request whose signature is another's.
func resigned(t *testing.T, good []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(good)
	other, _ := pem.Decode(request(t, newKey(t), &x509.CertificateRequest{Subject: pkix.Name{CommonName: "b"}}))
	type csr struct {
		Body      asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	var a, b csr
	_, err := asn1.Unmarshal(block.Bytes, &a)
	must(t, err)
	_, err = asn1.Unmarshal(other.Bytes, &b)
	must(t, err)
	a.Signature = b.Signature
	der, err := asn1.Marshal(a)
	must(t, err)
	return der
}

func TestNamesOfARequestStayWithinThoseOfTheClient(t *testing.T) {
	w := newWorld(t)
	w.init(pki.Init{})
	asking := func(name string) *pki.SigningRequest {
		r, err := pki.ParseSigningRequest(request(t, newKey(t), &x509.CertificateRequest{DNSNames: []string{name}}))
		must(t, err)
		return r
	}
	n := pki.Request{Client: "web", Names: pki.Names{"dns:web.internal", "dns:www.internal"}}
	issued, _, err := w.pki.Issue(t.Context(), n, asking("www.internal"))
	if err != nil || len(issued.Leaf().DNSNames) != 2 {
		t.Errorf("one of its names: %v", err)
	}
	if _, _, err := w.pki.Issue(t.Context(), n, asking("pay.internal")); err == nil || !strings.Contains(err.Error(), "may not have") {
		t.Errorf("another's name: %v", err)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	for _, name := range []string{
		"web.internal", "dns:", "dns:.internal", "dns:web..internal", "dns:-a.b", "dns:" + strings.Repeat("a", 64) + ".b", "dns:a_b.c",
		"uri:web", "uri:spiffe://Example.org/a", "uri:spiffe://example.org", "uri:spiffe://example.org/", "uri:spiffe://example.org/a//b", "uri:spiffe://example.org/a/../b",
		"uri:spiffe://example.org/a?b", "uri:spiffe://u@example.org/a", "uri:https://a.example/#x", "uri:https://a.example/ b", "uri:spiffe://example.org/a%20b",
		"ip:10.0.0.1/8", "ip:010.0.0.1", "ip:::ffff:10.0.0.1", "ip:fe80::1%eth0", "email:a", "email:a@", "email:\"a b\"@c.d", "email:a@b@c.d", "subject:CN=a", "uri:https://a.example/" + strings.Repeat("a", 2048),
	} {
		if err := (pki.Names{name}).Validate(); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
}

func FuzzParseSigningRequest(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	for _, template := range []*x509.CertificateRequest{{}, {DNSNames: []string{"a.b"}}, {ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 0}}}}} {
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
		f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := pki.ParseSigningRequest(text)
		if err != nil {
			if _, ok := errors.AsType[*pki.Fault](err); !ok {
				t.Errorf("an error that is for nobody: %v", err)
			}
			return
		}
		if r.Key == nil || r.Names.Validate() != nil {
			t.Errorf("taken: %+v", r)
		}
	})
}
