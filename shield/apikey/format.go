package apikey

import (
	"fmt"
	"hash/crc32"
	"io"
	"strings"
)

// A key reads
//
//	pvs_live_4mXq1ZcT9dWb2kYh7RtNcV3xLp8sQfGjKw5eHuM0aBDz01Ro7k
//	│   │    │           │                              └ checksum, 6
//	│   │    │           └ secret, 28 base62 characters: 166 random bits
//	│   │    └ key id, 12 base62 characters: public, stands in events
//	│   └ environment
//	└ prefix, so that scanners of source code find it
//
// The checksum is the CRC-32 (IEEE) of everything before it, in base62. It finds
// typing errors and made-up keys without a look-up; it is no protection.

const (
	prefix         = "pvs_"
	idLength       = 12
	secretLength   = 28
	checksumLength = 6
	tailLength     = idLength + secretLength + checksumLength
	maxEnvironment = 16
	maxLength      = len(prefix) + maxEnvironment + 1 + tailLength

	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// parsed is a key whose form and checksum are right.
type parsed struct {
	environment, id string
}

// parse reads a key strictly. It keeps no copy of the secret.
func parse(key string) (parsed, error) {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok || len(key) > maxLength {
		return parsed{}, fmt.Errorf("want a key that begins with %s and has at most %d characters", prefix, maxLength)
	}
	environment, tail, ok := strings.Cut(rest, "_")
	if !ok || !isEnvironment(environment) {
		return parsed{}, fmt.Errorf("the environment is not 1 to %d lower-case letters and digits", maxEnvironment)
	}
	if len(tail) != tailLength || !isBase62(tail) {
		return parsed{}, fmt.Errorf("want %d base62 characters after the environment", tailLength)
	}
	body := key[:len(key)-checksumLength]
	if sum := checksum(body); string(sum[:]) != key[len(body):] {
		return parsed{}, fmt.Errorf("the checksum does not match: a typing error, or not one of our keys")
	}
	return parsed{environment: environment, id: tail[:idLength]}, nil
}

// generate makes a new key.
func generate(random io.Reader, environment string) (key, id string, err error) {
	if !isEnvironment(environment) {
		return "", "", fmt.Errorf("environment %q: want 1 to %d lower-case letters and digits", environment, maxEnvironment)
	}
	id, err = randomText(random, idLength)
	if err != nil {
		return "", "", err
	}
	secret, err := randomText(random, secretLength)
	if err != nil {
		return "", "", err
	}
	body := prefix + environment + "_" + id + secret
	return checked(body), id, nil
}

// randomText returns n base62 characters, each equally likely.
func randomText(random io.Reader, n int) (string, error) {
	text := make([]byte, 0, n)
	buffer := make([]byte, n)
	for len(text) < n {
		if _, err := io.ReadFull(random, buffer); err != nil {
			return "", fmt.Errorf("read randomness: %w", err)
		}
		for _, b := range buffer {
			// 248 is the largest multiple of 62 that a byte holds: above it, the
			// first characters would be likelier than the rest.
			if b < 248 && len(text) < n {
				text = append(text, alphabet[b%62])
			}
		}
	}
	return string(text), nil
}

// checked is a whole key: body and its checksum.
func checked(body string) string {
	sum := checksum(body)
	return body + string(sum[:])
}

// checksum is the CRC-32 (IEEE) of body in base62. It guards against typing errors,
// and lets scanners tell keys from other text; it is no secret.
func checksum(body string) (text [checksumLength]byte) {
	sum := ^uint32(0)
	for i := range len(body) { // crc32.ChecksumIEEE would have body copied to the heap
		sum = crc32.IEEETable[byte(sum)^body[i]] ^ sum>>8
	}
	sum = ^sum
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = alphabet[sum%62]
		sum /= 62
	}
	return text
}

func isBase62(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}

func isEnvironment(s string) bool {
	if s == "" || len(s) > maxEnvironment {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}
