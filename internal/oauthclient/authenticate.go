package oauthclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is how long a client's assertion is good: it is made for one request.
const assertionLife = time.Minute

// authenticate says in a form, or in its request, who asks. It is called for every try,
// because an assertion is good once.
func (c *Client) authenticate(r *http.Request, form url.Values, m *metadata) error {
	s := c.settings
	form.Set("client_id", s.ID)
	switch {
	case s.Key != nil:
		if !m.takes("private_key_jwt") {
			return errors.New("the authorization server takes no private_key_jwt")
		}
		assertion, err := c.assertion(m)
		if err != nil {
			return err
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	case !s.Secret.Empty() && !s.Post && (len(m.ways) == 0 || m.takes("client_secret_basic")):
		form.Del("client_id")                                                             // said once
		r.SetBasicAuth(url.QueryEscape(s.ID), url.QueryEscape(string(s.Secret.Reveal()))) // RFC 6749 §2.3.1
	case !s.Secret.Empty():
		if !m.takes("client_secret_post") {
			return errors.New("the authorization server takes no secret in the form")
		}
		form.Set("client_secret", string(s.Secret.Reveal()))
	}
	return nil
}

// takes reports whether the server names a way, or names none at all.
func (m *metadata) takes(way string) bool { return len(m.ways) == 0 || slices.Contains(m.ways, way) }

// assertion is a JWT that the client signs for the server (RFC 7523 §3), whose name it
// carries, so that no other server can use it.
func (c *Client) assertion(m *metadata) (string, error) {
	algorithm, err := algorithmOf(c.settings.Key, m.algorithms)
	if err != nil {
		return "", err
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if c.settings.KeyID != "" {
		options = options.WithHeader("kid", c.settings.KeyID)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: c.settings.Key}, options)
	if err != nil {
		return "", fmt.Errorf("sign with the client's key: %w", err)
	}
	now := c.settings.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": c.settings.ID, "sub": c.settings.ID, "aud": c.settings.Issuer, "jti": random(),
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", fmt.Errorf("encode the assertion: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign with the client's key: %w", err)
	}
	return signed.CompactSerialize()
}

// algorithmOf chooses by the key, and for RSA by what the server takes.
func algorithmOf(key crypto.Signer, taken []string) (jose.SignatureAlgorithm, error) {
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			return jose.ES256, nil
		case 384:
			return jose.ES384, nil
		case 521:
			return jose.ES512, nil
		}
	case ed25519.PublicKey:
		return jose.EdDSA, nil
	case *rsa.PublicKey:
		if slices.Contains(taken, "PS256") || !slices.Contains(taken, "RS256") && len(taken) > 0 {
			return jose.PS256, nil
		}
		return jose.RS256, nil
	}
	return "", errors.New("the client's key is neither ECDSA, Ed25519 nor RSA")
}

// random returns 256 random bits as text.
func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// secretsOf are the values of a form that may stand in no error.
func (c *Client) secretsOf(form url.Values) []string {
	all := []string{string(c.settings.Secret.Reveal())}
	for _, name := range []string{"client_secret", "client_assertion", "refresh_token", "code", "code_verifier", "device_code", "token"} {
		all = append(all, form.Get(name))
	}
	return slices.DeleteFunc(all, func(s string) bool { return strings.TrimSpace(s) == "" })
}
