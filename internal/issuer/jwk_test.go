package issuer_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/issuer"
	"pavise.dev/pavise/internal/issuer/issuertest"
)

func document(t testing.TB, keys ...any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func jwk(t testing.TB, alg string, changes map[string]any) map[string]any {
	t.Helper()
	signer, err := issuertest.NewKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	k := issuertest.JWK("k", alg, signer.Public())
	for name, v := range changes {
		k[name] = v
		if v == nil {
			delete(k, name)
		}
	}
	return k
}

func TestReadsEveryKindOfKey(t *testing.T) {
	for _, alg := range issuer.Algorithms() {
		keys, warnings, err := issuer.ParseKeys(document(t, jwk(t, alg, nil)), issuer.Algorithms())
		if err != nil || len(warnings) > 0 || len(keys) != 1 || keys[0].ID != "k" || keys[0].Algorithm != alg {
			t.Errorf("%s: %v, %v, %v", alg, keys, warnings, err)
		}
	}
}

func TestAKeyWithoutAlgGetsOne(t *testing.T) {
	for _, tc := range []struct {
		kind, want string
		accepted   []string
	}{
		{"RS256", "RS256", issuer.DefaultAlgorithms()},
		{"RS256", "PS256", []string{"ES256", "PS256", "RS256"}},
		{"ES384", "ES384", issuer.Algorithms()},
		{"EdDSA", "EdDSA", issuer.DefaultAlgorithms()},
	} {
		keys, _, err := issuer.ParseKeys(document(t, jwk(t, tc.kind, map[string]any{"alg": nil})), tc.accepted)
		if err != nil || len(keys) != 1 || keys[0].Algorithm != tc.want {
			t.Errorf("%+v: %v, %v", tc, keys, err)
		}
	}
}

func TestLeavesOutKeysForSomethingElse(t *testing.T) {
	good := jwk(t, "ES256", map[string]any{"kid": "good"})
	for name, other := range map[string]any{
		"encryption":         jwk(t, "ES256", map[string]any{"use": "enc"}),
		"other operation":    jwk(t, "ES256", map[string]any{"key_ops": []string{"deriveKey"}}),
		"other algorithm":    jwk(t, "ES256", map[string]any{"alg": "ECDH-ES"}),
		"not accepted":       jwk(t, "ES512", nil),
		"unknown type":       map[string]any{"kty": "AKP", "kid": "x"},
		"unknown curve":      map[string]any{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
		"unknown OKP":        map[string]any{"kty": "OKP", "crv": "X25519", "x": "AA"},
		"same kid, not ours": jwk(t, "ES256", map[string]any{"kid": "good", "use": "enc"}),
	} {
		keys, warnings, err := issuer.ParseKeys(document(t, other, good), issuer.DefaultAlgorithms())
		if err != nil || len(keys) != 1 || keys[0].ID != "good" || len(warnings) != 0 {
			t.Errorf("%s: %v, %v, %v", name, keys, warnings, err)
		}
	}
}

func TestWarnsOfKeysThatMustNotBeTrusted(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	big8193 := new(big.Int).SetBit(big.NewInt(1), 8192, 1)
	good := jwk(t, "ES256", map[string]any{"kid": "good"})
	off := jwk(t, "ES256", nil)["x"]
	for name, bad := range map[string]any{
		"not an object":    "key",
		"private EC":       jwk(t, "ES256", map[string]any{"d": "canary"}),
		"private RSA":      jwk(t, "RS256", map[string]any{"p": "canary"}),
		"symmetric":        map[string]any{"kty": "oct", "k": "canary", "alg": "HS256"},
		"RSA 1024":         issuertest.JWK("k", "RS256", &short.PublicKey),
		"RSA 8193":         issuertest.JWK("k", "RS256", &rsa.PublicKey{N: big8193, E: 65537}),
		"RSA even":         issuertest.JWK("k", "RS256", &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}),
		"RSA exponent 1":   jwk(t, "RS256", map[string]any{"e": "AQ"}),
		"RSA exponent 3":   jwk(t, "RS256", map[string]any{"e": "Aw"}),
		"RSA exponent big": jwk(t, "RS256", map[string]any{"e": "AQAAAAE"}),
		"RSA no modulus":   jwk(t, "RS256", map[string]any{"n": nil}),
		"padded":           jwk(t, "RS256", map[string]any{"e": "AQAB="}),
		"new line":         jwk(t, "RS256", map[string]any{"e": "AQ\nAB"}),
		"not canonical":    jwk(t, "ES256", map[string]any{"x": strings.Repeat("A", 42) + "B"}),
		"off the curve":    jwk(t, "ES256", map[string]any{"x": off}),
		"short coordinate": jwk(t, "ES256", map[string]any{"x": "AAAA"}),
		"other curve":      jwk(t, "ES256", map[string]any{"crv": "P-384"}),
		"Ed25519 short":    jwk(t, "EdDSA", map[string]any{"x": "AAAA"}),
		"alg of others":    jwk(t, "ES256", map[string]any{"alg": "RS256"}),
		"kid no string":    jwk(t, "ES256", map[string]any{"kid": 7}),
		"kid too long":     jwk(t, "ES256", map[string]any{"kid": strings.Repeat("k", 257)}),
		"key_ops a string": jwk(t, "ES256", map[string]any{"key_ops": "verify"}),
		"no kty":           map[string]any{"kid": "x"},
	} {
		keys, warnings, err := issuer.ParseKeys(document(t, bad, good), issuer.DefaultAlgorithms())
		if err != nil || len(keys) != 1 || keys[0].ID != "good" || len(warnings) != 1 {
			t.Errorf("%s: %v, %v, %v", name, keys, warnings, err)
		}
		if strings.Contains(fmt.Sprint(warnings), "canary") {
			t.Errorf("%s: the warning shows a secret", name)
		}
	}
}

func TestRefusesSets(t *testing.T) {
	good := jwk(t, "ES256", nil)
	many := make([]any, issuer.MaxKeys+1)
	for i := range many {
		k := jwk(t, "EdDSA", nil)
		k["kid"] = fmt.Sprint(i)
		many[i] = k
	}
	for name, doc := range map[string][]byte{
		"nothing":       nil,
		"HTML":          []byte("<html></html>"),
		"no keys":       []byte(`{}`),
		"keys a string": []byte(`{"keys":"a"}`),
		"empty":         document(t),
		"a kid twice":   document(t, good, jwk(t, "EdDSA", nil)),
		"keys twice":    []byte(`{"keys":[],"keys":[]}`),
		"too many":      document(t, many...),
		"too long":      append(document(t, good), make([]byte, issuer.MaxDocument)...),
		"only private":  document(t, jwk(t, "ES256", map[string]any{"d": "AA"})),
	} {
		if keys, _, err := issuer.ParseKeys(doc, issuer.DefaultAlgorithms()); err == nil {
			t.Errorf("%s: read %d keys", name, len(keys))
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(document(f, jwk(f, "ES256", nil), jwk(f, "EdDSA", nil), jwk(f, "RS256", nil)))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		keys, _, err := issuer.ParseKeys(doc, issuer.Algorithms())
		if err != nil {
			return
		}
		if len(keys) == 0 || len(keys) > issuer.MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		for _, k := range keys {
			switch public := k.Public.(type) {
			case *rsa.PublicKey:
				if public.N.BitLen() < 2048 {
					t.Fatal("a short key")
				}
			case *ecdsa.PublicKey:
				if _, err := public.ECDH(); err != nil {
					t.Fatal("a point that is not on its curve")
				}
			}
		}
	})
}
