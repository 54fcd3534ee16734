// Package dpop proves possession of a key to which a token is bound (RFC 9449): both
// halves, for endpoints that take tokens and for the server that issues them.
//
// A proof is a JWT in the header DPoP, signed by the caller's key, that names the method
// and the address of the one request that it belongs to, the moment, and the token beside
// it. [Verifier.Verify] judges all of it and returns the key's thumbprint, which the
// caller of Verify compares with what the token is bound to, and a claim that is used up
// once, so that nobody can send the proof again.
//
// [Nonces] let the server demand a recent value of its own in each proof (§8), so that
// proofs cannot be made in advance. [Prover] is the caller's half.
package dpop

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Bounds of a proof.
const (
	maxProof = 8 << 10 // bytes
	maxID    = 256     // bytes of jti
	minRSA   = 2048    // bits
	maxRSA   = 8192

	// Past is how old a proof may be; Ahead how far in the future (FAPI 2.0 §5.3.2.1).
	Past  = 60 * time.Second
	Ahead = 10 * time.Second
)

// Algorithms are what proofs may be signed with.
func Algorithms() []string { return []string{"ES256", "ES384", "PS256", "EdDSA", ed25519Name, "RS256"} }

// ed25519Name is what RFC 9864 §2.2 calls EdDSA with Ed25519. go-jose has no such name.
const ed25519Name = "Ed25519"

func algorithms() []jose.SignatureAlgorithm {
	var all []jose.SignatureAlgorithm
	for _, name := range Algorithms() {
		all = append(all, jose.SignatureAlgorithm(name))
	}
	return all
}

// Proof is a proof that was found good.
type Proof struct {
	Key  string // thumbprint of the key (RFC 7638), as in "cnf.jkt"
	Once shield.Once
}

// Verifier judges proofs. It is safe for concurrent use.
type Verifier struct {
	Now    func() time.Time
	Nonces *Nonces // nil: no nonce is demanded

	// Ports are those at which requests are answered: a proof for another one was sent to
	// somebody else on the same host. Nil: they are not known, and not looked at.
	Ports []string
}

// refuse is a refusal of a proof.
func refuse(code shield.Code, format string, args ...any) *shield.Refusal {
	return shield.Refuse(code, "DPoP proof: "+format, args...)
}

// Verify judges the proof of a request. token is the access token that it must be for;
// empty where none is sent. The request's host must be one that is configured. The error
// is a [*shield.Refusal]: [shield.Absent] if there is no proof.
func (v *Verifier) Verify(r *http.Request, token string) (*Proof, error) {
	text, err := carried(r.Header)
	if err != nil {
		return nil, err
	}
	p, err := parse(text)
	if err != nil {
		return nil, refuse(shield.InvalidCredential, "%v", err)
	}
	if err := v.judge(p, r, token); err != nil {
		return nil, err
	}
	sum, err := p.key.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, refuse(shield.InvalidCredential, "its key has no thumbprint")
	}
	thumbprint := base64.RawURLEncoding.EncodeToString(sum)
	return &Proof{Key: thumbprint, Once: shield.Once{
		Space: "dpop/" + thumbprint, Digest: sha256.Sum256([]byte(p.id)), Made: p.issued, Until: p.issued.Add(Past + Ahead),
	}}, nil
}

// carried returns the one value of the header DPoP.
func carried(h http.Header) (string, error) {
	values := h["Dpop"]
	switch {
	case len(values) == 0:
		return "", &shield.Refusal{Code: shield.Absent}
	case len(values) > 1 || strings.Contains(values[0], ","):
		return "", refuse(shield.MalformedCredential, "the header DPoP stands more than once")
	case len(values[0]) > maxProof:
		return "", refuse(shield.MalformedCredential, "%d bytes, at most %d are read", len(values[0]), maxProof)
	}
	return values[0], nil
}

// proof is what a proof says, after its signature was found good.
type proof struct {
	key                             *jose.JSONWebKey
	id, method, address, ath, nonce string
	issued                          time.Time
}

func parse(text string) (*proof, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return nil, errors.New("not three parts")
	}
	header, err := object(parts[0])
	if err != nil {
		return nil, errors.New("its header is no JSON object in base64url")
	}
	key, err := keyOf(header)
	if err != nil {
		return nil, err
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil {
		return nil, errors.New("its signature is not canonical base64url") // one proof would have several spellings
	}
	signed, err := jose.ParseSignedCompact(text, algorithms())
	if err != nil {
		return nil, errors.New("its form or its algorithm is not accepted")
	}
	if signed.Signatures[0].Header.Algorithm != header["alg"] {
		return nil, errors.New("it names two algorithms")
	}
	payload, err := verify(signed, key, parts)
	if err != nil {
		return nil, errors.New("the signature does not match its key")
	}
	return read(key, payload)
}

func verify(signed *jose.JSONWebSignature, key *jose.JSONWebKey, parts []string) ([]byte, error) {
	if signed.Signatures[0].Header.Algorithm != ed25519Name {
		return signed.Verify(key)
	}
	public, ok := key.Key.(ed25519.PublicKey)
	if !ok || !ed25519.Verify(public, []byte(parts[0]+"."+parts[1]), signed.Signatures[0].Signature) {
		return nil, jose.ErrCryptoFailure
	}
	return signed.UnsafePayloadWithoutVerification(), nil
}

func object(part string) (map[string]any, error) {
	text, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return nil, err
	}
	return strictjson.Object(text)
}

// keyOf returns the public key that a header brings (§4.2), and refuses what would change
// how the proof is read.
func keyOf(header map[string]any) (*jose.JSONWebKey, error) {
	if header["typ"] != "dpop+jwt" {
		return nil, errors.New("typ is not dpop+jwt")
	}
	for name := range header {
		switch name {
		case "typ", "alg", "jwk", "kid":
		default:
			return nil, errors.New("its header holds something else than typ, alg and jwk")
		}
	}
	members, ok := header["jwk"].(map[string]any)
	if !ok {
		return nil, errors.New("it brings no key")
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, ok := members[private]; ok {
			return nil, errors.New("its key is not a public one")
		}
	}
	plain := map[string]string{}
	for name, value := range members {
		text, ok := value.(string)
		if ok {
			plain[name] = text
		}
	}
	encoded, err := json.Marshal(plain)
	if err != nil {
		return nil, errors.New("its key cannot be read")
	}
	key := &jose.JSONWebKey{}
	if err := key.UnmarshalJSON(encoded); err != nil || !key.Valid() || !key.IsPublic() {
		return nil, errors.New("its key is no valid public key")
	}
	return key, checkSize(key)
}

func checkSize(key *jose.JSONWebKey) error {
	public, ok := key.Key.(*rsa.PublicKey) // others have one size
	if ok && (public.N.BitLen() < minRSA || public.N.BitLen() > maxRSA) {
		return errors.New("its RSA key has not 2048 to 8192 bits")
	}
	return nil
}

func read(key *jose.JSONWebKey, payload []byte) (*proof, error) {
	claims, err := strictjson.Object(payload)
	if err != nil {
		return nil, errors.New("its claims are no JSON object")
	}
	p := &proof{key: key}
	for name, into := range map[string]*string{"jti": &p.id, "htm": &p.method, "htu": &p.address, "ath": &p.ath, "nonce": &p.nonce} {
		value, ok := claims[name]
		if !ok {
			continue
		}
		if *into, ok = value.(string); !ok {
			return nil, errors.New(name + " is no string")
		}
	}
	if p.id == "" || len(p.id) > maxID {
		return nil, errors.New("jti is missing or too long")
	}
	number, ok := claims["iat"].(strictjson.Number)
	if !ok {
		return nil, errors.New("iat is no number")
	}
	seconds, err := number.Float()
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return nil, errors.New("iat is out of range")
	}
	p.issued = time.Unix(int64(seconds), 0)
	return p, nil
}

// judge compares a proof with the request that it came with (§4.3).
func (v *Verifier) judge(p *proof, r *http.Request, token string) error {
	now := v.Now()
	switch {
	case p.method != r.Method:
		return refuse(shield.InvalidCredential, "it is for another method")
	case !isAddress(p.address, r):
		return refuse(shield.InvalidCredential, "it is for another address")
	case !v.isOurs(r.Host):
		return refuse(shield.InvalidCredential, "it was sent to %q, and only the ports %s are known as ours; name another one in resource", r.Host, strings.Join(v.Ports, ", "))
	case p.issued.After(now.Add(Ahead)) || p.issued.Before(now.Add(-Past)):
		return refuse(shield.StaleRequest, "it was made at %s", p.issued.UTC().Format(time.RFC3339))
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(p.ath)) != 1 {
			return refuse(shield.InvalidCredential, "it is for another token")
		}
	}
	if v.Nonces != nil && !v.Nonces.accepts(p.nonce, now) {
		refusal := refuse(shield.NonceRequired, "it holds no recent nonce of ours")
		refusal.Header = http.Header{"Dpop-Nonce": {v.Nonces.At(now)}}
		return refusal
	}
	return nil
}

// isAddress compares htu with the address of the request, without query and fragment,
// after the normalisation of RFC 3986 §6.2.2 and §6.2.3.
func isAddress(htu string, r *http.Request) bool {
	u, err := url.Parse(htu)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.User != nil || u.Opaque != "" || u.Host == "" {
		return false
	}
	return host(u.Host) == host(r.Host) && path(u.EscapedPath()) == path(r.URL.EscapedPath())
}

// isOurs reports whether the port of a host is one of ours.
func (v *Verifier) isOurs(host string) bool {
	if v.Ports == nil {
		return true
	}
	port := (&url.URL{Host: host}).Port()
	if port == "" {
		port = "443"
	}
	return slices.Contains(v.Ports, port)
}

func host(name string) string { return strings.TrimSuffix(strings.ToLower(name), ":443") }

// path normalises escapes: those of unreserved characters are undone, the others are
// written in upper case.
func path(escaped string) string {
	if escaped == "" {
		return "/"
	}
	if !strings.Contains(escaped, "%") {
		return escaped
	}
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] != '%' || i+2 >= len(escaped) {
			b.WriteByte(escaped[i])
			continue
		}
		plain, err := url.PathUnescape(escaped[i : i+3])
		if err == nil && isUnreserved(plain[0]) {
			b.WriteString(plain)
		} else {
			b.WriteString(strings.ToUpper(escaped[i : i+3]))
		}
		i += 2
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
