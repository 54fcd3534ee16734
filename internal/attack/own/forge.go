package own

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

// forged is a token that says what a good one of the issuer would, under a key of ours. Where
// nobody here can have a good one, attacks begin with it: what they change is as wrong as before.
func (r *Run) forged(w wish) (*proof, error) {
	token, err := r.forgedToken(w)
	if err != nil {
		return nil, err
	}
	return signing(w.part, shield.Credential{Kind: w.part.kind.Name, ID: "forged", Secret: token, Now: r.g.Now})
}

func (r *Run) forgedToken(w wish) (string, error) {
	if w.part.kind.Name != "jwt" {
		return "pavise-attack-" + rand.Text() + rand.Text(), nil
	}
	issuer, now := r.g.File.Issuers[w.part.issuer], r.g.Now()
	audience := cmp.Or(firstWord(w.part.calling["audience"]), firstOf(issuer.Audience), w.api)
	return signedByUs(map[string]any{
		"iss": issuer.URL, "aud": audience, "sub": w.client, "client_id": w.client, "scope": strings.Join(r.holder.asked(w), " "),
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text(),
	})
}

func firstOf(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

func firstWord(text string) string { return firstOf(strings.Fields(text)) }

// signedByUs is a JWT (RFC 7515) under a key that nobody trusts.
func signedByUs(claims map[string]any) (string, error) {
	head, err := json.Marshal(map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": "pavise-attack"})
	if err != nil {
		return "", fmt.Errorf("write a token: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("write a token: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("make a key for a forged token: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	first, second, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a forged token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(fixed(first, second)), nil
}

// fixed is r‖s of RFC 7518 §3.4, for P-256.
func fixed(r, s *big.Int) []byte {
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}
