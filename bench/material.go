package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"pavise.dev/pavise/internal/tlsconf"
)

// The names that certificates are for: one host that asks for none of callers, one
// that does.
const (
	openHost   = "api.example.com"
	mutualHost = "partners.example.com"
	issuerURL  = "https://login.example.com"
)

// material is what all programs are given alike: certificates of one authority, keys
// of one issuer, and its tokens. ECDSA P-256 and RSA with 2048 bits.
type material struct {
	dir    string
	tokens map[string][]secret // by proof
}

func (m material) path(name string) string { return filepath.Join(m.dir, name) }

func makeMaterial(dir string) (material, error) {
	m := material{dir: dir, tokens: map[string][]secret{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return m, err
	}
	if err := m.certificates(); err != nil {
		return m, fmt.Errorf("make certificates: %w", err)
	}
	if err := m.issuer(); err != nil {
		return m, fmt.Errorf("make tokens: %w", err)
	}
	return m, nil
}

func (m material) certificates() error {
	ca, err := tlsconf.OpenLocal(m.path("ca"), time.Now)
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.path("ca.pem"), ca.PEM(), 0o600); err != nil {
		return err
	}
	for _, name := range []string{openHost, mutualHost, "caller"} {
		cert, err := ca.Server(name)
		if name == "caller" {
			cert, err = ca.Client(name, "spiffe://example.com/bench")
		}
		if err != nil {
			return err
		}
		chain, key, err := tlsconf.EncodePEM(cert)
		if err != nil {
			return err
		}
		for suffix, text := range map[string][]byte{".pem": chain, ".key": key, ".both": append(chain, key...)} {
			if err := os.WriteFile(m.path(name+suffix), text, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// issuer makes the issuer's keys and a thousand tokens under each.
func (m material) issuer() error {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	var set jose.JSONWebKeySet
	for name, key := range map[string]struct {
		alg     jose.SignatureAlgorithm
		private any
		public  any
	}{"rs256": {jose.RS256, rsaKey, rsaKey.Public()}, "es256": {jose.ES256, ecKey, ecKey.Public()}} {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.public, KeyID: name, Algorithm: string(key.alg), Use: "sig"})
		der, err := x509.MarshalPKIXPublicKey(key.public)
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		if err := os.WriteFile(m.path(name+".pub"), text, 0o600); err != nil {
			return err
		}
		if m.tokens[name], err = tokens(key.alg, key.private, name, 1000); err != nil {
			return err
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return os.WriteFile(m.path("keys.json"), text, 0o600)
}

// tokens makes access tokens after RFC 9068, each of another user.
func tokens(alg jose.SignatureAlgorithm, key any, kid string, n int) ([]secret, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}},
		(&jose.SignerOptions{}).WithType("at+jwt"))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	all := make([]secret, n)
	for i := range all {
		id := fmt.Sprintf("t%d", i)
		text, err := jwt.Signed(signer).Claims(map[string]any{
			"iss": issuerURL, "aud": "orders", "sub": fmt.Sprintf("user-%d", i), "client_id": "web", "jti": id,
			"iat": now.Unix(), "exp": now.Add(12 * time.Hour).Unix(), "scope": "orders:read",
		}).Serialize()
		if err != nil {
			return nil, err
		}
		all[i] = secret{id, text}
	}
	return all, nil
}
