package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"hash"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/bearer"
	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
)

// publicForms are the ways in which a public key could be taken for a secret.
func publicForms(t testing.TB, public crypto.PublicKey) map[string][]byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	return map[string][]byte{
		"DER": der, "PEM": text, "PEM without its last line break": []byte(strings.TrimSpace(string(text))),
		"PEM with CRLF": []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), "JWK": marshal(issuertest.JWK("k", "RS256", public)),
	}
}

func hmacToken(alg, kid string, secret []byte, claims map[string]any) string {
	input := encode(marshal(map[string]any{"alg": alg, "kid": kid, "typ": "at+jwt"})) + "." + encode(marshal(claims))
	mac := hmac.New(map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[alg], secret)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// vector is one of the standards' examples, verified as the bytes that they are.
func checkVector(jwk, alg, token string) error {
	keys, _, err := issuer.ParseKeys([]byte(`{"keys":[`+jwk+`]}`), issuer.Algorithms())
	if err != nil {
		return err
	}
	dot := strings.LastIndexByte(token, '.')
	signature, err := decode(token[dot+1:])
	if err != nil {
		return err
	}
	return checkSignature(alg, keys[0].Public, []byte(token[:dot]), signature)
}

func TestStandardVectors(t *testing.T) {
	const (
		rsaKey   = `{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}`
		rsaToken = `eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw`
		ec256    = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
		ecToken  = `eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q`
		ed25519  = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		edToken  = `eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg`
	)
	for _, v := range []struct{ name, key, alg, token string }{
		{"RFC 7515 A.2", rsaKey, "RS256", rsaToken},
		{"RFC 7515 A.3", ec256, "ES256", ecToken},
		{"RFC 8037 A.4", ed25519, "EdDSA", edToken},
		{"RFC 8037 A.4 by the name of RFC 9864", ed25519, "Ed25519", edToken},
	} {
		if err := checkVector(v.key, v.alg, v.token); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if err := checkVector(v.key, v.alg, strings.Replace(v.token, ".", "A.", 1)); err == nil {
			t.Errorf("%s with other bytes: accepted", v.name)
		}
		for _, alg := range []string{"RS384", "PS256", "ES384", "HS256", "none", ""} {
			if err := checkVector(v.key, alg, v.token); err == nil {
				t.Errorf("%s as %s: accepted", v.name, alg)
			}
		}
	}
}

// TestOddSignatures goes through what Wycheproof tries with ECDSA in P1363 form.
func TestOddSignatures(t *testing.T) {
	attacktest.Rows(t, 29)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := []byte("e30.e30")
	sum := sha256.Sum256(signed)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := func(r, s *big.Int) []byte {
		b := make([]byte, 64)
		r.FillBytes(b[:32])
		s.FillBytes(b[32:])
		return b
	}
	if err := checkSignature("ES256", &key.PublicKey, signed, raw(r, s)); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		t.Fatal(err)
	}
	n, zero, one := key.Curve.Params().N, big.NewInt(0), big.NewInt(1)
	for name, signature := range map[string][]byte{
		"r and s zero":      raw(zero, zero),
		"r zero":            raw(zero, s),
		"s zero":            raw(r, zero),
		"r and s one":       raw(one, one),
		"r and s n":         raw(n, n),
		"r zero, s n":       raw(zero, n),
		"r n, s zero":       raw(n, zero),
		"n-1 and n-1":       raw(new(big.Int).Sub(n, one), new(big.Int).Sub(n, one)),
		"DER":               der,
		"DER of zeros":      {0x30, 6, 2, 1, 0, 2, 1, 0},
		"DER in 64 bytes":   append(der, make([]byte, 64)...)[:64],
		"a byte more":       append(raw(r, s), 0),
		"a byte in front":   append([]byte{0}, raw(r, s)...),
		"a byte less":       raw(r, s)[:63],
		"r only":            raw(r, s)[:32],
		"r and s exchanged": raw(s, r),
		"twice":             append(raw(r, s), raw(r, s)...),
		"of the size of P-384": append(append(make([]byte, 16), raw(r, s)[:32]...),
			append(make([]byte, 16), raw(r, s)[32:]...)...),
		"nothing": nil,
	} {
		if err := checkSignature("ES256", &key.PublicKey, signed, signature); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestAgainstGoJOSE lets a second implementation sign what we verify, and verify
// what our test issuer signs.
func TestAgainstGoJOSE(t *testing.T) {
	for _, alg := range issuer.Algorithms() {
		if alg == "Ed25519" {
			continue // not a name that go-jose knows
		}
		key, err := issuertest.NewKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(`{"iss":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		token, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		p, err := split(token)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if err := checkSignature(p.alg, key.Public(), p.signed, p.signature); err != nil {
			t.Errorf("%s: %v", alg, err)
		}

		input := encode([]byte(`{"alg":"`+alg+`"}`)) + "." + encode([]byte(`{}`))
		ours, err := issuertest.Signature(key, alg, []byte(input))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseSignedCompact(input+"."+encode(ours), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(key.Public()); err != nil {
			t.Errorf("%s: go-jose refuses ours: %v", alg, err)
		}
	}
}

// FuzzSplit holds the compact form to one spelling: whatever is read, encoded
// again, gives the same text; and go-jose reads the same header.
func FuzzSplit(f *testing.F) {
	corp := issuertest.New(f, corpURL)
	good := corp.Token(nil)
	for _, seed := range []string{good, good + "=", otherLastBits(good), "..", "e30.e30.AA", "e30.e30.", strings.Replace(good, ".", "..", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if (bearer.Presented{Token: token}).Form() != bearer.JWT {
			return
		}
		p, err := split(token)
		if err != nil {
			return
		}
		if string(p.signed)+"."+encode(p.signature) != token {
			t.Fatalf("two spellings of %q", token)
		}
		if !isSupported(p.alg) {
			return
		}
		theirs, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(p.alg)})
		if err != nil {
			return // stricter than we are in what it wants of the header
		}
		if h := theirs.Signatures[0].Header; h.Algorithm != p.alg || h.KeyID != p.kid {
			t.Fatalf("we read alg %q kid %q, go-jose %q %q", p.alg, p.kid, h.Algorithm, h.KeyID)
		}
	})
}
