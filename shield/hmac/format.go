package hmac

import (
	"fmt"
	"io"
	"strings"

	"pavise.dev/pavise/internal/secret"
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

	idLength     = 12 // base62 characters: 71 bits
	randomLength = 40
	secretLength = len(secretPrefix) + idLength + randomLength + secret.ChecksumLength
)

// generate makes a new secret, and the id of its key.
func generate(random io.Reader) (text, id string, err error) {
	id, err = secret.RandomText(random, idLength)
	if err != nil {
		return "", "", err
	}
	drawn, err := secret.RandomText(random, randomLength)
	if err != nil {
		return "", "", err
	}
	body := secretPrefix + id + drawn
	sum := secret.Checksum(body)
	return body + string(sum[:]), idPrefix + id, nil
}

// hasForm reports whether a secret is of the form above, or is meant to be: one
// that was imported, or made before there was a form, may have any other.
func hasForm(secret string) bool { return strings.HasPrefix(secret, secretPrefix) }

// idIn returns the id of the key whose secret this is, if it is of our form and
// whole. Its errors quote nothing.
func idIn(text string) (id string, err error) {
	body, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(text) != secretLength || !secret.IsBase62(body) {
		return "", fmt.Errorf("it has not the form of a secret of Pavise: %s and %d letters and digits", secretPrefix, secretLength-len(secretPrefix))
	}
	if !secret.IsChecked(text) {
		return "", fmt.Errorf("its checksum does not match: a typing error")
	}
	return idPrefix + body[:idLength], nil
}
