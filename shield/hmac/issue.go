package hmac

import (
	"encoding/base64"
	"fmt"
	"io"

	"pavise.dev/pavise/shield"
)

const (
	idPrefix    = "hk_"
	idLength    = 16 // base62 characters: 95 bits
	secretBytes = 32
	maxImported = 256 // bytes
	minBits     = 128 // of an imported secret
)

// issue makes a key, or takes over the secret of another system. What is shown
// once is also the HMAC key, character by character: nobody has to decode it.
// Settings["algorithm"] is hmac-sha256 (default) or hmac-sha512; whoever keeps
// the record keeps the settings with it.
func issue(env shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if name := req.Settings["algorithm"]; name != "" {
		if _, ok := algorithmOf(name); !ok {
			return shield.Issued{}, fmt.Errorf("algorithm %q: want %s or %s", name, sha256Name, sha512Name)
		}
	}
	id, err := randomText(env.Rand, idLength)
	if err != nil {
		return shield.Issued{}, fmt.Errorf("make a key id: %w", err)
	}
	secret := req.Import
	if secret == "" {
		if secret, err = randomSecret(env.Rand); err != nil {
			return shield.Issued{}, fmt.Errorf("make a secret: %w", err)
		}
	} else if err := checkImported(secret); err != nil {
		return shield.Issued{}, fmt.Errorf("import a secret: %w", err)
	}
	return shield.Issued{ID: idPrefix + id, Secret: secret, Material: []byte(secret), Keep: shield.KeepSealed}, nil
}

func randomSecret(random io.Reader) (string, error) {
	b := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// randomText returns length base62 characters, each equally likely.
func randomText(random io.Reader, length int) (string, error) {
	text := make([]byte, 0, length)
	for len(text) < length {
		var b [32]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return "", err
		}
		for _, c := range b {
			if c < 248 && len(text) < length { // 4 · 62: higher bytes would favour some characters
				text = append(text, base62[c%62])
			}
		}
	}
	return string(text), nil
}

// checkImported refuses what cannot hold 128 bits. It counts what the characters
// could carry, so it finds short secrets and simple ones; that a long one was
// drawn at random it cannot know.
func checkImported(secret string) error {
	if len(secret) > maxImported {
		return fmt.Errorf("it has %d bytes, at most %d are kept", len(secret), maxImported)
	}
	distinct := map[byte]bool{}
	for i := range len(secret) {
		if c := secret[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("character %d is not visible ASCII; import the text that the callers use as the key", i+1)
		}
		distinct[secret[i]] = true
	}
	bits, fewest := 6.0, 12 // a character of base64
	if isHexadecimal(secret) {
		bits, fewest = 4, 8
	}
	if float64(len(secret))*bits < minBits {
		return fmt.Errorf("%d characters hold less than %d bits; make a new key, or import at least 32 hexadecimal or 22 other characters", len(secret), minBits)
	}
	if len(distinct) < fewest {
		return fmt.Errorf("only %d different characters stand in it, so it was not drawn at random; make a new key", len(distinct))
	}
	return nil
}
