package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/strictjson"
)

// Bounds of a set of keys.
const (
	MaxKeys     = 100
	MaxDocument = 256 << 10 // bytes of a set of keys, and of a discovery document
	MaxKeyID    = 256       // bytes

	minRSA, maxRSA = 2048, 8192 // bits
)

// Key is a public key with the one algorithm that it may be used with (RFC 8725
// §3.1: an algorithm belongs to a key, and a key to an algorithm).
type Key struct {
	ID        string // "kid"; may be empty
	Algorithm string // "RS256", …; "EdDSA" and "Ed25519" are two names of one algorithm
	Public    crypto.PublicKey
}

// ParseKeys reads a JWK Set (RFC 7517 §5). A key that says nothing of its
// algorithm gets the one of its curve, or, if it is an RSA key, the first RSA
// algorithm of algorithms. Keys for something else (encryption, an algorithm that
// is not in the list, an unknown type) are left out; so are those that must not
// be trusted, each with a warning: private and symmetric ones, short and
// malformed ones. A set without one key that is left, with too many, or with a
// kid that stands twice, is an error.
func ParseKeys(document []byte, algorithms []string) (keys []Key, warnings []string, err error) {
	members, err := readSet(document)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for i, member := range members {
		key, err := parseKey(member, algorithms)
		switch {
		case errors.Is(err, errNotForUs):
			continue
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("key %d of the set is not used: %v", i+1, err))
			continue
		case key.ID != "" && seen[key.ID]:
			return nil, nil, fmt.Errorf("two keys of the set have the kid %q", key.ID)
		}
		seen[key.ID] = true
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, warnings, fmt.Errorf("the set holds no public key for %s%s", strings.Join(algorithms, ", "), because(warnings))
	}
	return keys, warnings, nil
}

func because(warnings []string) string {
	if len(warnings) == 0 {
		return ""
	}
	return " (" + strings.Join(warnings, "; ") + ")"
}

func readSet(document []byte) ([]any, error) {
	if len(document) > MaxDocument {
		return nil, fmt.Errorf("the set has more than %d bytes", MaxDocument)
	}
	set, err := strictjson.Object(document)
	if err != nil {
		return nil, fmt.Errorf("read the set of keys: %w", err)
	}
	members, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New(`the set has no array "keys"`)
	}
	if len(members) > MaxKeys {
		return nil, fmt.Errorf("the set holds %d keys, at most %d are read", len(members), MaxKeys)
	}
	return members, nil
}

// errNotForUs leaves a key out without a word.
var errNotForUs = errors.New("for something else")

// privateMembers are the private halves of RFC 7518 §6.2.2, §6.3.2 and §6.4.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

func parseKey(member any, algorithms []string) (Key, error) {
	jwk, ok := member.(map[string]any)
	if !ok {
		return Key{}, errors.New("not an object")
	}
	for _, name := range privateMembers {
		if _, ok := jwk[name]; ok {
			return Key{}, fmt.Errorf("it holds a secret (%s), and whoever reads the set could sign with it; publish the public half only, and replace the key", name)
		}
	}
	texts, err := textsOf(jwk, "kty", "kid", "use", "alg", "crv")
	if err != nil {
		return Key{}, err
	}
	if len(texts["kid"]) > MaxKeyID {
		return Key{}, fmt.Errorf("its kid has more than %d bytes", MaxKeyID)
	}
	if use, ok := jwk["use"]; ok && use != "sig" {
		return Key{}, errNotForUs
	}
	if err := mayVerify(jwk); err != nil {
		return Key{}, err
	}
	public, fits, err := material(jwk, texts["kty"], texts["crv"])
	if err != nil {
		return Key{}, err
	}
	algorithm, err := pin(texts["alg"], fits, algorithms)
	if err != nil {
		return Key{}, err
	}
	return Key{ID: texts["kid"], Algorithm: algorithm, Public: public}, nil
}

func textsOf(jwk map[string]any, names ...string) (map[string]string, error) {
	texts := make(map[string]string, len(names))
	for _, name := range names {
		if v, ok := jwk[name]; ok {
			text, isText := v.(string)
			if !isText {
				return nil, fmt.Errorf("%s is not a string", name)
			}
			texts[name] = text
		}
	}
	return texts, nil
}

// mayVerify looks at "key_ops" (RFC 7517 §4.3).
func mayVerify(jwk map[string]any) error {
	v, ok := jwk["key_ops"]
	if !ok {
		return nil
	}
	ops, ok := v.([]any)
	if !ok {
		return errors.New("key_ops is not an array")
	}
	if !slices.Contains(ops, any("verify")) {
		return errNotForUs
	}
	return nil
}

// material returns the public key and the algorithms that it could serve.
func material(jwk map[string]any, kty, crv string) (crypto.PublicKey, []string, error) {
	switch kty {
	case "RSA":
		key, err := rsaKey(jwk)
		return key, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, err
	case "EC":
		curve, algorithm := curveOf(crv)
		if curve == nil {
			return nil, nil, errNotForUs
		}
		key, err := ecKey(jwk, curve)
		return key, []string{algorithm}, err
	case "OKP":
		if crv != "Ed25519" {
			return nil, nil, errNotForUs
		}
		key, err := edKey(jwk)
		return key, []string{"EdDSA", "Ed25519"}, err
	case "":
		return nil, nil, errors.New("kty is missing")
	}
	return nil, nil, errNotForUs
}

// pin ties a key to one algorithm: its own, or the first that is accepted and
// that it fits.
func pin(own string, fits, accepted []string) (string, error) {
	if own != "" {
		if !slices.Contains(accepted, own) {
			return "", errNotForUs
		}
		if !slices.Contains(fits, own) {
			return "", fmt.Errorf("its alg does not fit its type")
		}
		return own, nil
	}
	for _, algorithm := range accepted {
		if slices.Contains(fits, algorithm) {
			return algorithm, nil
		}
	}
	return "", errNotForUs
}

func rsaKey(jwk map[string]any) (*rsa.PublicKey, error) {
	n, err := bytesOf(jwk, "n")
	if err != nil {
		return nil, err
	}
	e, err := bytesOf(jwk, "e")
	if err != nil {
		return nil, err
	}
	modulus := new(big.Int).SetBytes(n)
	if bits := modulus.BitLen(); bits < minRSA || bits > maxRSA {
		return nil, fmt.Errorf("an RSA key of %d bits; %d to %d are accepted", bits, minRSA, maxRSA)
	}
	if modulus.Bit(0) == 0 {
		return nil, errors.New("an even RSA modulus")
	}
	exponent := new(big.Int).SetBytes(e)
	// FIPS 186-5 §A.1.1 wants 2^16 < e; crypto/rsa wants e < 2^31.
	if exponent.BitLen() < 17 || exponent.BitLen() > 31 || exponent.Bit(0) == 0 {
		return nil, errors.New("an RSA exponent that is even, below 65537, or above 2^31")
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func curveOf(crv string) (elliptic.Curve, string) {
	switch crv {
	case "P-256":
		return elliptic.P256(), "ES256"
	case "P-384":
		return elliptic.P384(), "ES384"
	case "P-521":
		return elliptic.P521(), "ES512"
	}
	return nil, ""
}

func ecKey(jwk map[string]any, curve elliptic.Curve) (*ecdsa.PublicKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	point := []byte{4} // uncompressed, SEC 1 §2.3.3
	for _, name := range []string{"x", "y"} {
		coordinate, err := bytesOf(jwk, name)
		if err != nil {
			return nil, err
		}
		if len(coordinate) != size { // RFC 7518 §6.2.1.2: the full size
			return nil, fmt.Errorf("%s has %d bytes, not %d", name, len(coordinate), size)
		}
		point = append(point, coordinate...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("a point that is not on its curve")
	}
	return key, nil
}

func edKey(jwk map[string]any) (ed25519.PublicKey, error) {
	x, err := bytesOf(jwk, "x")
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("x has %d bytes, not %d", len(x), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), nil
}

func bytesOf(jwk map[string]any, name string) ([]byte, error) {
	text, ok := jwk[name].(string)
	if !ok || text == "" {
		return nil, fmt.Errorf("%s is missing", name)
	}
	if strings.ContainsAny(text, "\r\n") { // which encoding/base64 would skip
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64url", name)
	}
	return b, nil
}
