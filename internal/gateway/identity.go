package gateway

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/shield"
)

// TokenType is the typ of identity tokens. Every shield refuses it (invariant 4).
const TokenType = "pavise-identity+jwt"

// Life of an identity token, and how long one is used again.
const (
	tokenLife  = 60 * time.Second
	tokenReuse = 30 * time.Second
)

// Signer signs the tokens by which upstreams learn who called. One serves all
// upstreams of a gateway. It is safe for concurrent use.
type Signer struct {
	issuer string
	now    func() time.Time
	rand   io.Reader

	mu       sync.RWMutex
	key      ed25519.PrivateKey
	header   string // of every token, encoded
	previous []ed25519.PublicKey
}

// SignerSettings are what a Signer is made of. Issuer and Key are required.
type SignerSettings struct {
	Issuer   string // name of this gateway: the iss of its tokens
	Key      ed25519.PrivateKey
	Previous []ed25519.PublicKey // served beside the key's own, so that tokens of before a rotation verify
	Now      func() time.Time    // nil: time.Now
	Rand     io.Reader           // of token IDs; nil: crypto/rand
}

// NewSigner returns a signer.
func NewSigner(s SignerSettings) (*Signer, error) {
	if s.Issuer == "" {
		return nil, errors.New("identity tokens need an issuer: the name of this gateway")
	}
	if len(s.Key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("the key of identity tokens has %d bytes, an Ed25519 key has %d", len(s.Key), ed25519.PrivateKeySize)
	}
	signer := &Signer{issuer: s.Issuer, now: s.Now, rand: s.Rand, previous: slices.Clone(s.Previous)}
	if signer.now == nil {
		signer.now = time.Now
	}
	if signer.rand == nil {
		signer.rand = rand.Reader
	}
	signer.use(s.Key)
	return signer, nil
}

// Rotate signs with another key from now on. Serve [Signer.JWKS] anew first.
func (s *Signer) Rotate(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return fmt.Errorf("the key of identity tokens has %d bytes, an Ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.previous = append(s.previous, public(s.key))
	s.use(key)
	return nil
}

func (s *Signer) use(key ed25519.PrivateKey) {
	s.key = key
	s.header = encode([]byte(`{"alg":"EdDSA","kid":"` + thumbprint(public(key)) + `","typ":"` + TokenType + `"}`))
}

func public(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// thumbprint names a key (RFC 7638, RFC 8037 §2).
func thumbprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + encode(key) + `"}`))
	return encode(sum[:])
}

// JWKS returns the document with the public keys (RFC 7517), for upstreams.
func (s *Signer) JWKS() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	type jwk struct {
		Type      string `json:"kty"`
		Curve     string `json:"crv"`
		X         string `json:"x"`
		ID        string `json:"kid"`
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
	}
	var keys struct {
		Keys []jwk `json:"keys"`
	}
	for _, key := range append([]ed25519.PublicKey{public(s.key)}, s.previous...) {
		keys.Keys = append(keys.Keys, jwk{"OKP", "Ed25519", encode(key), thumbprint(key), "sig", "EdDSA"})
	}
	document, err := json.Marshal(keys)
	if err != nil {
		panic(fmt.Sprintf("strings do not marshal: %v", err))
	}
	return document
}

// claims of an identity token.
type claims struct {
	Issuer       string   `json:"iss"`
	Audience     string   `json:"aud"`
	Subject      string   `json:"sub"`
	Origin       string   `json:"origin,omitempty"` // who vouches for Subject
	Client       string   `json:"client,omitempty"`
	User         string   `json:"user,omitempty"`
	Tenant       string   `json:"tenant,omitempty"`
	Scopes       []string `json:"scopes"`
	Shield       string   `json:"shield"`
	CredentialID string   `json:"credential,omitempty"`
	With         []proof  `json:"with,omitempty"`
	Issued       int64    `json:"iat"`
	Expires      int64    `json:"exp"`
	ID           string   `json:"jti"`
}

// proof is one more that an `all` demanded.
type proof struct {
	Shield       string `json:"shield"`
	Subject      string `json:"sub,omitempty"`
	Client       string `json:"client,omitempty"`
	User         string `json:"user,omitempty"`
	CredentialID string `json:"credential,omitempty"`
}

// sign makes a token, at most a minute long and never longer than the credential.
func (s *Signer) sign(audience string, id *shield.Identity, now time.Time) (token string, expires time.Time, err error) {
	expires = now.Add(tokenLife)
	id.All(func(p *shield.Identity) {
		if !p.Expires.IsZero() && p.Expires.Before(expires) {
			expires = p.Expires
		}
	})
	var random [16]byte
	if _, err := io.ReadFull(s.rand, random[:]); err != nil {
		return "", expires, fmt.Errorf("randomness for a token ID: %w", err)
	}
	c := claims{
		Issuer: s.issuer, Audience: audience, Subject: id.Subject, Origin: id.Issuer, Client: id.Client, User: id.User,
		Tenant: id.Tenant, Scopes: slices.Clone(id.Scopes), Shield: id.Shield, CredentialID: id.CredentialID,
		Issued: now.Unix(), Expires: expires.Unix(), ID: encode(random[:]),
	}
	if c.Scopes == nil {
		c.Scopes = []string{}
	}
	for _, other := range id.With {
		other.All(func(p *shield.Identity) {
			c.With = append(c.With, proof{p.Shield, p.Subject, p.Client, p.User, p.CredentialID})
		})
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", expires, fmt.Errorf("encode the identity: %w", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	signed := s.header + "." + encode(payload)
	return signed + "." + encode(ed25519.Sign(s.key, []byte(signed))), expires, nil
}

// tokens remembers the tokens for one upstream. A token is found again only by
// an identity that says the same in everything that the token says; whether that
// identity still holds was decided by the guard, for this very request.
type tokens struct {
	signer   *Signer
	audience string
	seed     maphash.Seed
	shards   [16]tokenShard
}

type tokenShard struct {
	mu   sync.Mutex
	kept map[uint64]*keptToken
}

type keptToken struct {
	id    shield.Identity // a copy: what the token says
	token string
	key   string // header of the token: which key signed it
	until time.Time
}

// shardMax bounds the tokens of a shard; a full one starts anew.
const shardMax = 1024

func newTokens(signer *Signer, audience string) *tokens {
	t := &tokens{signer: signer, audience: audience, seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].kept = map[uint64]*keptToken{}
	}
	return t
}

// get returns a token for the identity, signed now or at most half its life ago.
func (t *tokens) get(id *shield.Identity) (string, error) {
	now := t.signer.now()
	sum := t.hash(id)
	shard := &t.shards[sum%uint64(len(t.shards))]
	shard.mu.Lock()
	kept := shard.kept[sum]
	shard.mu.Unlock()
	if kept != nil && now.Before(kept.until) && sameIdentity(&kept.id, id) && t.signer.signsWith(kept.key) {
		return kept.token, nil
	}
	token, expires, err := t.signer.sign(t.audience, id, now)
	if err != nil {
		return "", err
	}
	header, _, _ := strings.Cut(token, ".")
	kept = &keptToken{id: *id, token: token, key: header, until: now.Add(min(tokenReuse, expires.Sub(now)/2))}
	kept.id.Attributes, kept.id.Revocation = nil, nil // not said by the token, and not to be held on to
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if len(shard.kept) >= shardMax {
		clear(shard.kept)
	}
	shard.kept[sum] = kept
	return token, nil
}

func (s *Signer) signsWith(header string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.header == header
}

func (t *tokens) hash(id *shield.Identity) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, word := range [...]string{id.Shield, id.CredentialID, id.Issuer, id.Subject, id.Client, id.User} {
		_, _ = h.WriteString(word)
		_ = h.WriteByte(0)
	}
	for _, other := range id.With {
		_, _ = h.WriteString(other.CredentialID)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// sameIdentity compares everything that a token says.
func sameIdentity(a, b *shield.Identity) bool {
	return a.Shield == b.Shield && a.CredentialID == b.CredentialID && a.Issuer == b.Issuer && a.Subject == b.Subject &&
		a.Client == b.Client && a.User == b.User && a.Tenant == b.Tenant && a.Expires.Equal(b.Expires) &&
		slices.Equal(a.Scopes, b.Scopes) && slices.EqualFunc(a.With, b.With, sameIdentity)
}

// plainHeader is one identity header without a signature, for upstreams that
// trust their network.
type plainHeader struct {
	name string
	of   func(*shield.Identity) string
}

func plainHeaders(configured map[string]string) []plainHeader {
	var headers []plainHeader
	for name, what := range configured {
		headers = append(headers, plainHeader{http.CanonicalHeaderKey(name), plainValue(what)})
	}
	slices.SortFunc(headers, func(a, b plainHeader) int { return strings.Compare(a.name, b.name) })
	return headers
}

// plainValue returns how a word of an identity is read; nil for an unknown word.
func plainValue(what string) func(*shield.Identity) string {
	switch what {
	case "client":
		return func(id *shield.Identity) string { return id.Client }
	case "user":
		return func(id *shield.Identity) string { return id.User }
	case "tenant":
		return func(id *shield.Identity) string { return id.Tenant }
	case "subject":
		return func(id *shield.Identity) string { return id.Subject }
	case "scopes":
		return func(id *shield.Identity) string { return strings.Join(id.Scopes, " ") }
	case "issuer":
		return func(id *shield.Identity) string { return id.Issuer }
	case "credential":
		return func(id *shield.Identity) string { return id.CredentialID }
	case "shield":
		return func(id *shield.Identity) string { return id.Shield }
	}
	return nil
}

func (p *plainHeader) value(id *shield.Identity) string {
	if id == nil {
		return ""
	}
	return sanitise(p.of(id))
}

// sanitise escapes what cannot stand in a field value, and what readers trim or
// split: everything but printable ASCII, and the percent sign itself. An upstream
// that unescapes percent signs gets the name back.
func sanitise(s string) string {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '%' || c == ',' || c == ' ' && (i == 0 || i == len(s)-1) {
			out := make([]byte, 0, len(s)+16)
			for i := range len(s) {
				c := s[i]
				if c < ' ' || c > '~' || c == '%' || c == ',' || c == ' ' && (i == 0 || i == len(s)-1) {
					out = append(out, '%', hex[c>>4], hex[c&15])
					continue
				}
				out = append(out, c)
			}
			return string(out)
		}
	}
	return s
}

// clientCert writes a certificate as RFC 9440 §2 says: a byte sequence of
// structured fields.
func clientCert(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}
