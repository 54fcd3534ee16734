package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"

	"pavise.dev/pavise/internal/secret"
)

// Algorithms are those of the authority's own keys.
func Algorithms() []string { return []string{"ES256", "ES384", "EdDSA"} }

// NewKey makes a key for an authority, in PEM, for a root that is to be kept elsewhere.
func NewKey(algorithm string, random io.Reader) (secret.Value, error) {
	_, private, err := newKey(algorithm, random)
	if err != nil {
		return secret.Value{}, err
	}
	return secret.New(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), nil
}

func newKey(algorithm string, random io.Reader) (key crypto.Signer, private []byte, err error) {
	switch algorithm {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), random)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(random)
	default:
		return nil, nil, unknownAlgorithm(algorithm)
	}
	if err == nil {
		private, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	return key, private, nil
}

func unknownAlgorithm(name string) error {
	return fault("there are ES256, ES384 and EdDSA", "the algorithm %.20q is none", name)
}

// rootKey is the key of a new root: one that is given and not kept, or else one that is.
func (a *Authority) rootKey(algorithm string, given secret.Value) (key crypto.Signer, kept []byte, err error) {
	if given.Empty() {
		return newKey(algorithm, a.options.Rand)
	}
	if key, err = readKey(given); err != nil {
		return nil, nil, err
	}
	if got := algorithmOf(key.Public()); got != algorithm {
		return nil, nil, fault("`pavise ca show` says which the authority has", "the root's key is for %s, and the authority's keys are %s", got, algorithm)
	}
	return key, nil, nil
}

func algorithmOf(key crypto.PublicKey) string {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return "EdDSA"
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "ES256"
		case elliptic.P384():
			return "ES384"
		}
	}
	return "another algorithm"
}

// readKey reads the key of a root that was kept elsewhere.
func readKey(given secret.Value) (crypto.Signer, error) {
	block, _ := pem.Decode(given.Reveal())
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fault("give the file that `pavise ca init --root-key` wrote", "the root's key is no PEM block of type PRIVATE KEY")
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, fault("", "the root's key cannot be read: %v", err)
	}
	return key, nil
}

func parseKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}

// IsKeyOf reports whether a private key is that of a certificate.
func IsKeyOf(c *x509.Certificate, key crypto.PrivateKey) bool {
	signer, ok := key.(crypto.Signer)
	public, comparable := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable && public.Equal(signer.Public())
}
