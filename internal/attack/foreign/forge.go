package foreign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"maps"
	"math/big"
	"strings"
	"time"
)

// token is a JWT that was taken apart (RFC 7515 §3.1).
type token struct {
	head, claims             map[string]any
	first, second, signature string // as they stand in it
}

// takeApart reads a JWT; nil: it is none.
func takeApart(text string) *token {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(text) > 16<<10 {
		return nil
	}
	t := &token{first: parts[0], second: parts[1], signature: parts[2]}
	for part, into := range map[string]*map[string]any{parts[0]: &t.head, parts[1]: &t.claims} {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil || json.Unmarshal(raw, into) != nil {
			return nil
		}
	}
	if t.head["alg"] == nil {
		return nil
	}
	return t
}

func (t *token) algorithm() string { return text(t.head["alg"]) }

// ends is when the token expires; zero: never.
func (t *token) ends() time.Time {
	exp, _ := t.claims["exp"].(float64)
	if exp == 0 {
		return time.Time{}
	}
	return time.Unix(int64(exp), 0)
}

func part(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("foreign: " + err.Error()) // maps of texts and numbers
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// headed is the token's head with other members.
func (t *token) headed(changes map[string]any) string {
	head := maps.Clone(t.head)
	for name, v := range changes {
		if head[name] = v; v == nil {
			delete(head, name)
		}
	}
	return part(head)
}

func hmacOf(alg string, key []byte, signed string) string {
	hashes := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	mac := hmac.New(hashes[alg], key)
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ownKey is a key of ours, with what a token says of it.
type ownKey struct {
	key         *ecdsa.PrivateKey
	public      map[string]any
	certificate string // DER, in base64
}

func newOwnKey() (*ownKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	raw, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pavise-attack"}, NotBefore: time.Unix(1700000000, 0), NotAfter: time.Unix(4000000000, 0)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &ownKey{key, map[string]any{
		"kty": "EC", "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(raw[1:33]), "y": base64.RawURLEncoding.EncodeToString(raw[33:]),
	}, base64.StdEncoding.EncodeToString(certificate)}, nil
}

// keyPage is what stands where a token says that its key is.
type keyPage struct {
	member, media string
	kid           any
	content       []byte
}

// pages are the key in a set (RFC 7517 §5), and its certificate (RFC 7515 §4.1.5).
func (k *ownKey) pages() []keyPage {
	public := maps.Clone(k.public)
	public["kid"], public["alg"], public["use"] = "pavise", "ES256", "sig"
	set, err := json.Marshal(map[string]any{"keys": []any{public}})
	if err != nil {
		panic("foreign: " + err.Error()) // maps of texts
	}
	der, err := base64.StdEncoding.DecodeString(k.certificate)
	if err != nil {
		panic("foreign: " + err.Error()) // it was encoded here
	}
	return []keyPage{
		{"jku", "application/json", "pavise", set},
		{"x5u", "application/pem-certificate-chain", nil, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})},
	}
}

// sign signs as ES256 does (RFC 7518 §3.4).
func (k *ownKey) sign(signed string) (string, error) {
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, k.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

// publicTexts are the ways in which a published key may be written where it is taken for a secret.
func publicTexts(set any) (all [][]byte) {
	object, _ := set.(map[string]any)
	keys, _ := object["keys"].([]any)
	for _, one := range keys[:min(len(keys), 4)] {
		jwk, _ := one.(map[string]any)
		key := publicOf(jwk)
		if key == nil {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			continue
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		all = append(all, text, []byte(strings.TrimSpace(string(text))), der)
		if key, isRSA := key.(*rsa.PublicKey); isRSA {
			text := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(key)})
			all = append(all, text, []byte(strings.TrimSpace(string(text))))
		}
	}
	return all
}

func publicOf(jwk map[string]any) crypto.PublicKey {
	bytesOf := func(name string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(text(jwk[name]))
		if err != nil || len(raw) > 1024 {
			return nil
		}
		return raw
	}
	switch text(jwk["kty"]) {
	case "RSA":
		if n, e := bytesOf("n"), bytesOf("e"); len(n) > 0 && len(e) > 0 && len(e) < 5 {
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		}
	case "EC":
		if x, y := bytesOf("x"), bytesOf("y"); text(jwk["crv"]) == "P-256" && len(x) == 32 && len(y) == 32 {
			if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...)); err == nil {
				return key
			}
		}
	}
	return nil
}

// weakSecrets are secrets of examples, and of those who followed them.
func weakSecrets() []string {
	return []string{
		"secret", "Secret", "SECRET", "password", "changeme", "change-me", "change_me", "changeit", "your-256-bit-secret", "your-384-bit-secret", "your-512-bit-secret", "your_jwt_secret",
		"jwt_secret", "jwt-secret", "jwtsecret", "JWT_SECRET", "jwt", "key", "mykey", "my-secret", "mysecret", "my_secret", "supersecret", "super-secret", "super_secret", "secretkey", "secret-key",
		"secret_key", "SECRET_KEY", "test", "testing", "dev", "development", "admin", "root", "default", "token", "hmac", "example", "private", "privatekey", "s3cr3t", "123456", "12345678",
		"1234567890", "qwerty", "letmein", "a-string-secret-at-least-256-bits-long", "shhhhh", "shhhhhared-secret", "keyboard cat", "thisisasecret", "this-is-a-secret", "ThisIsMySecret", "0000000000",
		"gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr9C", "c2VjcmV0", "dGVzdA==", "none", "null", "undefined", "",
	}
}
