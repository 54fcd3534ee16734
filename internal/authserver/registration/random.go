package registration

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
)

// Random returns 256 random bits as 43 letters and digits.
func Random(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	var b [32]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
