package hmac

import (
	"fmt"

	"pavise.dev/pavise/shield"
)

const (
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
	secret, id, err := generate(env.Rand)
	if err != nil {
		return shield.Issued{}, fmt.Errorf("make a key: %w", err)
	}
	if req.Import != "" {
		if secret, id, err = imported(req.Import, id); err != nil {
			return shield.Issued{}, fmt.Errorf("import a secret: %w", err)
		}
	}
	return shield.Issued{ID: id, Secret: secret, Material: []byte(secret), Keep: shield.KeepSealed}, nil
}

// imported takes a secret over. One that another Pavise has made keeps the id
// that stands in it, so that whoever holds it has nothing to change; any other
// gets the new one.
func imported(text, id string) (secret, its string, err error) {
	if hasForm(text) {
		if id, err = idIn(text); err != nil {
			return "", "", err
		}
	}
	return text, id, checkImported(text)
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
