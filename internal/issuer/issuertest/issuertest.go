// Package issuertest is a small issuer of tokens for tests: it signs what it is
// told, good or bad, and serves discovery and keys over TLS on a loopback port.
//
//	corp := issuertest.Start(t)
//	token := corp.Token(map[string]any{"scope": "orders:read"})
//
// It lies on request: [Issuer.Answer] replaces the key set by anything, and
// [Issuer.Sign] signs any header over any claims.
package issuertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Issuer signs tokens. It is safe for concurrent use.
type Issuer struct {
	URL string           // the value of iss
	Now func() time.Time // of the tokens it makes; set it before use

	t      testing.TB
	server *httptest.Server

	mu      sync.Mutex
	keys    []signingKey
	made    int
	answer  http.HandlerFunc
	fetches int

	opaque      map[string]map[string]any
	asked       int
	answerAsked http.HandlerFunc
}

type signingKey struct {
	kid, alg string
	signer   crypto.Signer
}

// New returns an issuer with one key for ES256 that serves nothing.
func New(t testing.TB, url string) *Issuer {
	t.Helper()
	i := &Issuer{URL: url, Now: time.Now, t: t}
	i.Add("ES256")
	return i
}

// Start returns an issuer that serves its metadata and keys until the test ends.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := New(t, "")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serveMetadata)
	mux.HandleFunc("GET /keys", i.serveKeys)
	mux.HandleFunc("POST /introspect", i.serveIntrospection)
	i.server = httptest.NewUnstartedServer(mux)
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	i.server.StartTLS()
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	return i
}

// KeysURL is where the keys are.
func (i *Issuer) KeysURL() string { return i.URL + "/keys" }

// Roots holds the CA of the server's certificate.
func (i *Issuer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(i.server.Certificate())
	return pool
}

// CA returns the CA of the server's certificate, PEM.
func (i *Issuer) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.server.Certificate().Raw})
}

// Stop closes the server: the issuer is down from now on.
func (i *Issuer) Stop() { i.server.Close() }

// Answer replaces the answer at [Issuer.KeysURL]; nil restores the keys.
func (i *Issuer) Answer(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.answer = h
}

// Fetches returns how often the keys were asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"issuer": i.URL, "jwks_uri": i.KeysURL(), "introspection_endpoint": i.IntrospectionURL()})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches++
	answer := i.answer
	i.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(i.JWKS())
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// Add makes a new key for alg and returns its kid. Tokens are signed with the
// first key unless a header says otherwise.
func (i *Issuer) Add(alg string) (kid string) {
	i.t.Helper()
	signer, err := NewKey(alg)
	if err != nil {
		i.t.Fatalf("make a key for %s: %v", alg, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.made++
	kid = strings.ToLower(alg) + "-" + strconv.Itoa(i.made)
	i.keys = append(i.keys, signingKey{kid, alg, signer})
	return kid
}

// Rotate makes a new key for the algorithm of the first one and drops all others.
func (i *Issuer) Rotate() (kid string) {
	i.t.Helper()
	i.mu.Lock()
	alg := i.keys[0].alg
	i.keys = nil
	i.mu.Unlock()
	return i.Add(alg)
}

// NewKey makes a key for alg.
func NewKey(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// Public returns the public half of the key with this kid.
func (i *Issuer) Public(kid string) crypto.PublicKey { return i.key(kid).signer.Public() }

func (i *Issuer) key(kid string) signingKey {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if kid == "" || k.kid == kid {
			return k
		}
	}
	i.t.Fatalf("the test issuer has no key %q", kid)
	return signingKey{}
}

// JWKS returns the public keys as a JWK Set.
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := make([]map[string]any, 0, len(i.keys))
	for _, k := range i.keys {
		set = append(set, JWK(k.kid, k.alg, k.signer.Public()))
	}
	b, err := json.Marshal(map[string]any{"keys": set})
	if err != nil {
		i.t.Error(err)
	}
	return b
}

// JWK returns a public key as the members of a JWK.
func JWK(kid, alg string, public crypto.PublicKey) map[string]any {
	jwk := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch public := public.(type) {
	case *rsa.PublicKey:
		jwk["kty"] = "RSA"
		jwk["n"], jwk["e"] = Encode(public.N.Bytes()), Encode(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point, _ := public.Bytes() // of a curve that we chose
		half := (len(point) - 1) / 2
		jwk["kty"], jwk["crv"] = "EC", public.Curve.Params().Name
		jwk["x"], jwk["y"] = Encode(point[1:1+half]), Encode(point[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", Encode(public)
	}
	return jwk
}

// Claims returns the claims of a good access token (RFC 9068) of five minutes for
// the audience "orders", with changes: a value replaces or adds, nil removes.
func (i *Issuer) Claims(changes map[string]any) map[string]any {
	now := i.Now().Unix()
	i.mu.Lock()
	i.made++
	jti := "token-" + strconv.Itoa(i.made)
	i.mu.Unlock()
	claims := map[string]any{
		"iss": i.URL, "aud": "orders", "sub": "user-1", "client_id": "web", "jti": jti,
		"iat": now, "exp": now + 300, "scope": "orders:read orders:write",
	}
	change(claims, changes)
	return claims
}

func change(all, changes map[string]any) {
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
}

// Token returns a good access token with changed claims.
func (i *Issuer) Token(changes map[string]any) string {
	i.t.Helper()
	return i.Sign(nil, i.Claims(changes))
}

// Sign signs claims under a header with changes; it uses the key that kid names
// (the first, if it names none of ours) with the algorithm that alg names (the
// key's own, if that is none).
func (i *Issuer) Sign(changes map[string]any, claims any) string {
	i.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	return i.SignBytes(changes, payload)
}

// SignBytes is [Issuer.Sign] over a payload that need not be JSON.
func (i *Issuer) SignBytes(changes map[string]any, payload []byte) string {
	i.t.Helper()
	k := i.key("")
	if kid, ok := changes["kid"].(string); ok && i.has(kid) {
		k = i.key(kid)
	}
	header := map[string]any{"alg": k.alg, "kid": k.kid, "typ": "at+jwt"}
	change(header, changes)
	text, err := json.Marshal(header)
	if err != nil {
		i.t.Fatal(err)
	}
	alg, _ := header["alg"].(string)
	return i.SignRaw(text, payload, k.kid, alg)
}

func (i *Issuer) has(kid string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, k := range i.keys {
		if k.kid == kid {
			return true
		}
	}
	return false
}

// SignRaw signs the bytes of a header and a payload as they are, with the key kid
// and, where alg is one that the key could do, with alg.
func (i *Issuer) SignRaw(header, payload []byte, kid, alg string) string {
	i.t.Helper()
	k := i.key(kid)
	input := Encode(header) + "." + Encode(payload)
	signature, err := Signature(k.signer, alg, []byte(input))
	if err != nil {
		if signature, err = Signature(k.signer, k.alg, []byte(input)); err != nil {
			i.t.Fatal(err)
		}
	}
	return input + "." + Encode(signature)
}

// Encode is base64url without padding.
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
