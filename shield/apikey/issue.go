package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/shield"
)

// An imported key is somebody else's and has no id of ours in it: it gets a
// random one and is found by the keyed hash of its SHA-256, so that it can be
// imported as a digest too, and so that neither store nor log holds a digest
// that could be searched offline.
const (
	importedPrefix = "imp"
	importedHash   = "sha256:"
)

// issue makes a key, or takes one over: in plain, or as "sha256:<hex>" where
// only its digest is known.
func issue(env shield.Env, req shield.IssueRequest) (shield.Issued, error) {
	if req.Import != "" {
		return imported(env.Rand, req.Import)
	}
	key, id, err := generate(env.Rand, req.Environment)
	if err != nil {
		return shield.Issued{}, fmt.Errorf("make a key: %w", err)
	}
	return shield.Issued{ID: id, Secret: key, Material: []byte(key), Keep: shield.KeepHash}, nil
}

func imported(random io.Reader, text string) (shield.Issued, error) {
	material, err := importedMaterial(text)
	if err != nil {
		return shield.Issued{}, err
	}
	id, err := secret.RandomText(random, idLength)
	if err != nil {
		return shield.Issued{}, err
	}
	return shield.Issued{ID: importedPrefix + id, Material: material, Keep: shield.KeepHash}, nil
}

// importedMaterial returns the SHA-256 of an imported key.
func importedMaterial(text string) ([]byte, error) {
	if digest, ok := strings.CutPrefix(text, importedHash); ok {
		sum, err := hex.DecodeString(digest)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("import a digest: want %s and 64 hexadecimal digits", importedHash)
		}
		return sum, nil
	}
	if strings.HasPrefix(text, prefix) {
		return nil, fmt.Errorf("import a key: it begins with %s as keys made here do; make a new one", prefix)
	}
	if !isForeignKey(text) {
		return nil, fmt.Errorf("import a key: want %d to %d visible ASCII characters; shorter keys can be guessed, make a new one", minImported, maxImported)
	}
	sum := sha256.Sum256([]byte(text))
	return sum[:], nil
}

// isForeignKey reports whether key could have been imported.
func isForeignKey(key string) bool {
	return len(key) >= minImported && len(key) <= maxImported && isVisible(key)
}

func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// client returns the caller's half. Settings: "header".
func client(c shield.Credential) (shield.Signer, error) {
	header := c.Settings["header"]
	if header == "" {
		header = defaultHeader
	}
	if c.Secret == "" {
		return nil, fmt.Errorf("the profile has no key")
	}
	return signer{header: textproto.CanonicalMIMEHeaderKey(header), key: c.Secret}, nil
}

type signer struct{ header, key string }

// Sign sets the header.
func (s signer) Sign(r *http.Request) error {
	r.Header[s.header] = []string{s.key}
	return nil
}

// Format prints nothing of the key.
func (s signer) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "API key in %s", s.header) }
