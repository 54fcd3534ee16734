package est

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

func certificate(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now()}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCertificatesComeBackAsTheyWere(t *testing.T) {
	for n := 1; n <= maxCertificates; n++ {
		var all []*x509.Certificate
		for range n {
			all = append(all, certificate(t))
		}
		der, err := encodeCerts(all)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := decode64(encode64(der))
		if err != nil || !bytes.Equal(plain, der) {
			t.Fatalf("base64: %v", err)
		}
		back, err := decodeCerts(plain)
		if err != nil || len(back) != n || !bytes.Equal(back[n-1].Raw, all[n-1].Raw) {
			t.Errorf("%d: %d, %v", n, len(back), err)
		}
	}
	for name, text := range map[string][]byte{"nothing": nil, "garbage": []byte("garbage"), "no certificates": {0x30, 0}} {
		if _, err := decodeCerts(text); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	var many []*x509.Certificate
	for range maxCertificates + 1 {
		many = append(many, certificate(t))
	}
	der, err := encodeCerts(many)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decodeCerts(der); err == nil {
		t.Error("too many were read")
	}
}

func FuzzDecodeCerts(f *testing.F) {
	der, err := encodeCerts([]*x509.Certificate{certificate(f)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := decodeCerts(text)
		if err != nil {
			return
		}
		again, err := encodeCerts(found)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeCerts(again); err != nil || len(back) != len(found) {
			t.Errorf("%d became %d, %v", len(found), len(back), err)
		}
	})
}
