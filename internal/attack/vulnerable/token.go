package vulnerable

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// issuer makes and verifies the API's tokens, badly where it is told to.
type issuer struct {
	*API

	key    *ecdsa.PrivateKey
	public []byte // PEM
}

func newIssuer(a *API) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of the tokens: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make the key of the tokens: %w", err)
	}
	return &issuer{a, key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, nil
}

func encoded(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("vulnerable: " + err.Error()) // maps of texts and numbers
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func macOf(key []byte, signed string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// token makes one for a user.
func (i *issuer) token(user string) (string, error) {
	now := i.now()
	issued, ends := now, now.Add(time.Hour)
	if i.on["jwt-long-lived"] {
		issued, ends = now.Add(-time.Hour), now.Add(47*time.Hour)
	}
	if i.on["jwt-expired"] && user == "alice" {
		issued, ends = now.Add(-2*time.Hour), now.Add(-time.Hour)
	}
	claims := encoded(map[string]any{"sub": user, "iat": issued.Unix(), "exp": ends.Unix()})
	if i.on["jwt-weak-secret"] && user == "bob" {
		signed := encoded(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + claims
		return signed + "." + macOf([]byte("secret"), signed), nil
	}
	signed := encoded(map[string]any{"alg": "ES256", "typ": "JWT", "kid": "1"}) + "." + claims
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

// userOf verifies a token, and returns whose it is; empty: nobody's.
func (i *issuer) userOf(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	var head struct {
		Alg, Kid string
		JWK      struct{ X, Y string }
	}
	var claims struct {
		Sub string
		Exp int64
	}
	for n, into := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[n])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return ""
		}
	}
	if i.users[claims.Sub] == nil || !i.verifies(head.Alg, head.Kid, head.JWK.X, head.JWK.Y, parts) {
		return ""
	}
	if claims.Exp < i.now().Unix() && !i.on["jwt-expired"] {
		return ""
	}
	return claims.Sub
}

func (i *issuer) verifies(alg, kid, x, y string, parts []string) bool {
	signed := parts[0] + "." + parts[1]
	switch alg {
	case "none":
		return i.on["jwt-none"] && parts[2] == ""
	case "HS256":
		equal := func(key []byte) bool { return hmac.Equal([]byte(macOf(key, signed)), []byte(parts[2])) }
		return i.on["jwt-weak-secret"] && equal([]byte("secret")) || i.on["jwt-confusion"] && equal(i.public) || i.on["jwt-kid"] && strings.HasSuffix(kid, "/dev/null") && equal(nil)
	case "ES256":
		key := &i.key.PublicKey
		if i.on["jwt-key-of-the-caller"] && x != "" {
			if key = pointOf(x, y); key == nil {
				return false
			}
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(signature) != 64 {
			return false
		}
		sum := sha256.Sum256([]byte(signed))
		return i.on["jwt-signature"] && x == "" || ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	return false
}

func pointOf(x, y string) *ecdsa.PublicKey {
	one, err := base64.RawURLEncoding.DecodeString(x)
	other, fault := base64.RawURLEncoding.DecodeString(y)
	if err != nil || fault != nil {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, one...), other...))
	if err != nil {
		return nil
	}
	return key
}

// keySet is what the API publishes.
func (i *issuer) keySet() map[string]any {
	raw, err := i.key.PublicKey.Bytes()
	if err != nil {
		panic("vulnerable: " + err.Error()) // a key of ours
	}
	return map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig", "x": base64.RawURLEncoding.EncodeToString(raw[1:33]), "y": base64.RawURLEncoding.EncodeToString(raw[33:]),
	}}}
}
