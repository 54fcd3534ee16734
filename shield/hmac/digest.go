package hmac

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	maxDigestField = 512 // bytes of Content-Digest
	maxDigests     = 4
	digestHeader   = "Content-Digest"
)

// digest is the body's digest as Content-Digest claims it (RFC 9530 §2): one
// that is secure, or two that must both hold.
type digest struct {
	field          string // the header's value
	sha256, sha512 []byte // nil: not given
}

// digestOf reads Content-Digest, which must stand there once.
func digestOf(h http.Header) (digest, error) {
	values := h[digestHeader]
	switch len(values) {
	case 0:
		return digest{}, fmt.Errorf("there is no %s; a signed request carries one even without a body", digestHeader)
	case 1:
		return parseDigest(values[0])
	}
	return digest{}, fmt.Errorf("header %s stands %d times", digestHeader, len(values))
}

// parseDigest reads a dictionary of structured fields (RFC 8941 §3.2) whose
// members are byte sequences, more strictly than the standard: no key twice, no
// parameters, canonical base64. Digests of unsafe algorithms are passed over
// (RFC 9530 §5) but do not suffice.
func parseDigest(field string) (digest, error) {
	d := digest{field: field}
	if len(field) > maxDigestField {
		return d, fmt.Errorf("%s has %d bytes, at most %d are read", digestHeader, len(field), maxDigestField)
	}
	var seen [maxDigests]string
	rest, more := field, true
	for i := 0; more; i++ {
		if i == maxDigests {
			return d, fmt.Errorf("%s holds more than %d digests", digestHeader, maxDigests)
		}
		var member string
		member, rest, more = strings.Cut(rest, ",")
		key, text, err := cutMember(strings.Trim(member, " \t"))
		if err != nil {
			return d, err
		}
		if slices.Contains(seen[:i], key) {
			return d, fmt.Errorf("%s holds two digests %s", digestHeader, key)
		}
		seen[i] = key
		if err := d.keep(key, text); err != nil {
			return d, err
		}
	}
	if d.sha256 == nil && d.sha512 == nil {
		return d, fmt.Errorf("%s holds neither sha-256 nor sha-512", digestHeader)
	}
	return d, nil
}

// cutMember reads key=:base64: and leaves the base64 as it is.
func cutMember(member string) (key, text string, err error) {
	key, value, ok := strings.Cut(member, "=")
	if !ok || !isKey(key) {
		return "", "", fmt.Errorf("%s does not have the form sha-256=:…: of a digest", digestHeader)
	}
	if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
		return "", "", fmt.Errorf("the digest %s does not stand between colons", key)
	}
	return key, value[1 : len(value)-1], nil
}

// isKey reports whether s is a key of structured fields of a usual length.
func isKey(s string) bool {
	if s == "" || len(s) > 32 || !(s[0] >= 'a' && s[0] <= 'z' || s[0] == '*') {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_-.*", c) >= 0) {
			return false
		}
	}
	return true
}

// keep decodes the digests that are safe. Of others only the form is checked.
func (d *digest) keep(key, text string) error {
	size := 0
	switch key {
	case "sha-256":
		size = sha256.Size
	case "sha-512":
		size = sha512.Size
	}
	if size > 0 && len(text) != base64.StdEncoding.EncodedLen(size) {
		return fmt.Errorf("the digest %s has %d characters, want %d of standard base64 with padding", key, len(text), base64.StdEncoding.EncodedLen(size))
	}
	sum := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(sum, []byte(text))
	if err != nil || base64.StdEncoding.EncodedLen(n) != len(text) { // the decoder passes over line ends
		return fmt.Errorf("the digest %s is not canonical standard base64 with padding", key)
	}
	switch key {
	case "sha-256":
		d.sha256 = sum[:n]
	case "sha-512":
		d.sha512 = sum[:n]
	}
	return nil
}

// matches reports whether every digest that is given is the content's.
func (d *digest) matches(content []byte) bool {
	if d.sha256 != nil {
		if sum := sha256.Sum256(content); !bytes.Equal(sum[:], d.sha256) {
			return false
		}
	}
	if d.sha512 != nil {
		if sum := sha512.Sum512(content); !bytes.Equal(sum[:], d.sha512) {
			return false
		}
	}
	return d.sha256 != nil || d.sha512 != nil
}

// digestField returns the value of Content-Digest for content.
func digestField(key string, content []byte) (string, error) {
	var sum []byte
	switch key {
	case "sha-256", "":
		key = "sha-256"
		s := sha256.Sum256(content)
		sum = s[:]
	case "sha-512":
		s := sha512.Sum512(content)
		sum = s[:]
	default:
		return "", fmt.Errorf("digest %q: want sha-256 or sha-512", key)
	}
	return key + "=:" + base64.StdEncoding.EncodeToString(sum) + ":", nil
}
