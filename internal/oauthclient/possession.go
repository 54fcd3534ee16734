package oauthclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/dpop"
)

// Bounds of nonces that are kept.
const (
	maxNonces = 16  // origins
	maxNonce  = 256 // bytes
)

// newKey makes the key that tokens are bound to.
func newKey() (*jose.JSONWebKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &jose.JSONWebKey{Key: key, Algorithm: "ES256"}, nil
}

// hold makes proofs with a kept key from now on.
func (c *Client) hold(key *jose.JSONWebKey, nonces map[string]string) error {
	private, ok := key.Key.(*ecdsa.PrivateKey)
	if !ok {
		return errors.New("the kept key is no private key of ours")
	}
	thumb, err := thumbprint(key)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.thumbprint == thumb {
		return nil
	}
	prover, err := dpop.NewProver(private, "ES256", c.settings.Now)
	if err != nil {
		return err
	}
	for origin, nonce := range nonces {
		if u, err := url.Parse(origin); err == nil {
			prover.Learn(u, http.Header{"Dpop-Nonce": {nonce}})
			c.nonces[origin] = nonce
		}
	}
	c.prover, c.thumbprint = prover, thumb
	return nil
}

// thumbprint names the key to which an authorization code is to be bound (RFC 9449 §10).
func thumbprint(key *jose.JSONWebKey) (string, error) {
	sum, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name the key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// prove adds a proof to a request.
func (c *Client) prove(r *http.Request, token string) error {
	c.mu.Lock()
	prover := c.prover
	c.mu.Unlock()
	if prover == nil {
		return errors.New("there is no key to prove possession of")
	}
	return prover.Sign(r, token)
}

// learn remembers the nonce that an answer offers, and reports whether there was one.
func (c *Client) learn(u *url.URL, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" || len(nonce) > maxNonce || !isPlain(nonce) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prover == nil {
		return false
	}
	if len(c.nonces) >= maxNonces {
		clear(c.nonces)
	}
	c.nonces[u.Scheme+"://"+u.Host] = nonce
	return c.prover.Learn(u, h)
}
