package dpop

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Prover makes proofs with a key: the caller's half. It is safe for concurrent use.
type Prover struct {
	signer jose.Signer
	now    func() time.Time

	mu     sync.Mutex
	nonces map[string]string // by origin
}

// NewProver returns a prover with a private key of ECDSA P-256 or P-384, Ed25519 or RSA.
func NewProver(key crypto.Signer, algorithm string, now func() time.Time) (*Prover, error) {
	public := jose.JSONWebKey{Key: key.Public()}
	options := (&jose.SignerOptions{}).WithType("dpop+jwt").WithHeader("jwk", public)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("make proofs with this key: %w", err)
	}
	return &Prover{signer: signer, now: now, nonces: map[string]string{}}, nil
}

// Sign adds a proof to a request; token is the access token beside it, or empty.
func (p *Prover) Sign(r *http.Request, token string) error {
	if len(r.Header["Dpop"]) > 0 {
		return errors.New("the request has a DPoP proof already")
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	claims := map[string]any{
		"jti": base64.RawURLEncoding.EncodeToString(id[:]), "htm": r.Method, "iat": p.now().Unix(), "htu": address(r.URL),
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if nonce := p.nonce(r.URL); nonce != "" {
		claims["nonce"] = nonce
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return fmt.Errorf("encode a proof: %w", err)
	}
	signed, err := p.signer.Sign(payload)
	if err != nil {
		return fmt.Errorf("sign a proof: %w", err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		return fmt.Errorf("encode a proof: %w", err)
	}
	r.Header.Set("DPoP", text)
	return nil
}

func address(u *url.URL) string {
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return bare.String()
}

// Learn remembers the nonce that an answer offers for its origin, and reports whether
// there was one.
func (p *Prover) Learn(u *url.URL, h http.Header) bool {
	nonce := h.Get("DPoP-Nonce")
	if nonce == "" {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonces[u.Scheme+"://"+u.Host] = nonce
	return true
}

func (p *Prover) nonce(u *url.URL) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces[u.Scheme+"://"+u.Host]
}
