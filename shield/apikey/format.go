package apikey

import (
	"fmt"
	"io"
	"strings"

	"pavise.dev/pavise/internal/secret"
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
	checksumLength = secret.ChecksumLength
	tailLength     = idLength + secretLength + checksumLength
	maxEnvironment = 16
	maxLength      = len(prefix) + maxEnvironment + 1 + tailLength
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
	if len(tail) != tailLength || !secret.IsBase62(tail) {
		return parsed{}, fmt.Errorf("want %d base62 characters after the environment", tailLength)
	}
	if !secret.IsChecked(key) {
		return parsed{}, fmt.Errorf("the checksum does not match: a typing error, or not one of our keys")
	}
	return parsed{environment: environment, id: tail[:idLength]}, nil
}

// generate makes a new key.
func generate(random io.Reader, environment string) (key, id string, err error) {
	if !isEnvironment(environment) {
		return "", "", fmt.Errorf("environment %q: want 1 to %d lower-case letters and digits", environment, maxEnvironment)
	}
	id, err = secret.RandomText(random, idLength)
	if err != nil {
		return "", "", err
	}
	drawn, err := secret.RandomText(random, secretLength)
	if err != nil {
		return "", "", err
	}
	body := prefix + environment + "_" + id + drawn
	return checked(body), id, nil
}

// checked is a whole key: body and its checksum.
func checked(body string) string {
	sum := secret.Checksum(body)
	return body + string(sum[:])
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
