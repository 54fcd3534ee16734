package vulnerable

import (
	"context"
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
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// issuer makes and verifies the API's tokens, badly where it is told to.
type issuer struct {
	*API

	key    *ecdsa.PrivateKey
	public []byte   // PEM
	signed sync.Map // tokens whose signature was verified with the key
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
	return &issuer{API: a, key: key, public: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}, nil
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
	var head head
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
	if i.users[claims.Sub] == nil || !i.verifies(&head, parts) {
		return ""
	}
	if claims.Exp < i.now().Unix() && !i.on["jwt-expired"] {
		return ""
	}
	return claims.Sub
}

// head is what a token says of itself.
type head struct {
	Alg, Kid, JKU, X5U string
	JWK                jwk
	X5C                []string
}

type jwk struct{ X, Y string }

var union = regexp.MustCompile(`' UNION SELECT '(\w+)' -- $`)

func (i *issuer) verifies(h *head, parts []string) bool {
	signed := parts[0] + "." + parts[1]
	switch h.Alg {
	case "none":
		return i.on["jwt-none"] && parts[2] == ""
	case "HS256":
		equal := func(key []byte) bool { return hmac.Equal([]byte(macOf(key, signed)), []byte(parts[2])) }
		if m := union.FindStringSubmatch(h.Kid); i.on["jwt-kid-query"] && m != nil && equal([]byte(m[1])) {
			return true
		}
		return i.on["jwt-weak-secret"] && equal([]byte("secret")) || i.on["jwt-confusion"] && equal(i.public) || i.on["jwt-kid"] && strings.HasSuffix(h.Kid, "/dev/null") && equal(nil)
	case "ES256":
		key := i.keyOf(h)
		if key == nil {
			return false
		}
		signature, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil || len(signature) != 64 {
			return false
		}
		whole := signed + "." + parts[2]
		if _, known := i.signed.Load(whole); known && key == &i.key.PublicKey {
			return true
		}
		sum := sha256.Sum256([]byte(signed))
		is := ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		if is && key == &i.key.PublicKey {
			i.signed.Store(whole, true)
		}
		return is || i.on["jwt-signature"] && key == &i.key.PublicKey
	}
	return false
}

// keyOf is the API's own key, or that which the token brings along, where it is believed; nil: none.
func (i *issuer) keyOf(h *head) *ecdsa.PublicKey {
	switch {
	case i.on["jwt-key-of-the-caller"] && h.JWK.X != "":
		return pointOf(h.JWK.X, h.JWK.Y)
	case i.on["jwt-x5c"] && len(h.X5C) > 0:
		der, err := base64.StdEncoding.DecodeString(h.X5C[0])
		if err != nil {
			return nil
		}
		return certified(der)
	case i.on["jwt-jku"] && h.JKU != "":
		var set struct{ Keys []jwk }
		if json.Unmarshal(page(h.JKU), &set) != nil || len(set.Keys) == 0 {
			return nil
		}
		return pointOf(set.Keys[0].X, set.Keys[0].Y)
	case i.on["jwt-x5u"] && h.X5U != "":
		block, _ := pem.Decode(page(h.X5U))
		if block == nil {
			return nil
		}
		return certified(block.Bytes)
	}
	return &i.key.PublicKey
}

func certified(der []byte) *ecdsa.PublicKey {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil
	}
	key, _ := certificate.PublicKey.(*ecdsa.PublicKey)
	return key
}

// page is what stands at an address: in itself, or on this machine; nil: nothing.
func page(address string) []byte {
	if _, encoded, ok := strings.Cut(address, ";base64,"); ok && strings.HasPrefix(address, "data:") {
		text, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil
		}
		return text
	}
	at, err := url.Parse(address)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	text, err := fetch(ctx, at)
	if err != nil {
		return nil
	}
	return text
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
