package hmac

import (
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A secret that is made here reads
//
//	pvshs_9sVbT2kQ0wXy7hRtNcV3xLp8sQfGjKw5eHuM0aBDzq4Wn6JmEiU21Ro7k
//	│     │           │                                       └ checksum, 6
//	│     │           └ secret, 40 base62 characters: 238 random bits
//	│     └ the key's id without hk_, 12 base62 characters: public
//	└ prefix, so that scanners of source code find it
//
// All of it is the HMAC key, character by character, as with secrets of other
// forms: nothing is cut off before it is used. It has 64 characters, as many as
// the hash's block (RFC 2104 §2): no secret of ours takes more work than
// another, nor than the decoy.
//
// The checksum is the CRC-32 (IEEE) of everything before it, in base62, as in an
// API key. It tells secrets from other text; it is no protection.

const (
	idPrefix     = "hk_"
	secretPrefix = "pvshs_"

	idLength       = 12 // base62 characters: 71 bits
	randomLength   = 40
	checksumLength = 6
	secretLength   = len(secretPrefix) + idLength + randomLength + checksumLength

	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// generate makes a new secret, and the id of its key.
func generate(random io.Reader) (secret, id string, err error) {
	id, err = randomText(random, idLength)
	if err != nil {
		return "", "", err
	}
	drawn, err := randomText(random, randomLength)
	if err != nil {
		return "", "", err
	}
	body := secretPrefix + id + drawn
	return body + checksum(body), idPrefix + id, nil
}

// hasForm reports whether a secret is of the form above, or is meant to be: one
// that was imported, or made before there was a form, may have any other.
func hasForm(secret string) bool { return strings.HasPrefix(secret, secretPrefix) }

// idIn returns the id of the key whose secret this is, if it is of our form and
// whole. Its errors quote nothing.
func idIn(secret string) (id string, err error) {
	body, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok || len(secret) != secretLength || !isBase62(body) {
		return "", fmt.Errorf("it has not the form of a secret of Pavise: %s and %d letters and digits", secretPrefix, secretLength-len(secretPrefix))
	}
	if end := secretLength - checksumLength; checksum(secret[:end]) != secret[end:] {
		return "", fmt.Errorf("its checksum does not match: a typing error")
	}
	return idPrefix + body[:idLength], nil
}

func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var text [checksumLength]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = base62[sum%62]
		sum /= 62
	}
	return string(text[:])
}

// randomText returns length base62 characters, each equally likely.
func randomText(random io.Reader, length int) (string, error) {
	text := make([]byte, 0, length)
	for len(text) < length {
		var b [32]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		for _, c := range b {
			if c < 248 && len(text) < length { // 4 · 62: higher bytes would favour some characters
				text = append(text, base62[c%62])
			}
		}
	}
	return string(text), nil
}

func isBase62(s string) bool {
	return strings.Trim(s, base62) == ""
}
