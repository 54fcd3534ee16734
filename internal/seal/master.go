// Package seal keeps secrets that the store must not show: it encrypts what has to
// be read back, and hashes what only has to be recognised, under data keys that
// are themselves wrapped by one master key from outside the store.
package seal

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pavise.dev/pavise/internal/secret"
)

// ErrWrongKey says that something was wrapped under another master key.
var ErrWrongKey = errors.New("the master key does not fit the store")

// ErrTampered says that a sealed value is not in the place, or not in the state,
// in which it was sealed.
var ErrTampered = errors.New("a sealed value was changed, moved, or put back")

// keySize is the length of master and data keys in bytes.
const keySize = 32

// Master is the key that wraps the data keys.
type Master struct{ key secret.Value }

// NewMaster takes a key of 32 bytes.
func NewMaster(key []byte) (Master, error) {
	if len(key) != keySize {
		return Master{}, fmt.Errorf("a master key has %d bytes, this one has %d", keySize, len(key))
	}
	return Master{secret.New(bytes.Clone(key))}, nil
}

// ReadMaster reads a key file. One that others may read is refused.
func ReadMaster(name string) (Master, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Master{}, fmt.Errorf("master key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Master{}, fmt.Errorf("master key %s can be read by others (mode %o); run: chmod 600 %s", name, mode, name)
	}
	if info.Size() > 4096 {
		return Master{}, fmt.Errorf("master key %s is no key file: it has %d bytes", name, info.Size())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return Master{}, fmt.Errorf("master key: %w", err)
	}
	key, err := decodeMaster(text)
	if err != nil {
		return Master{}, fmt.Errorf("master key %s: %w", name, err)
	}
	return NewMaster(key)
}

func decodeMaster(text []byte) ([]byte, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fmt.Errorf("want one line of base64 for %d bytes; restore the file from where you keep a copy", keySize)
		}
		return key, nil
	}
	return nil, fmt.Errorf("the file is empty; restore it from where you keep a copy")
}

// CreateMaster makes a key file with mode 0600. An existing file is never
// overwritten.
func CreateMaster(name string) (Master, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return Master{}, fmt.Errorf("make a master key: %w", err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Master{}, fmt.Errorf("make a master key: %w", err)
	}
	text := "# Pavise master key. Without it the data folder cannot be read: keep a copy elsewhere.\n" +
		base64.StdEncoding.EncodeToString(key) + "\n"
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return Master{}, fmt.Errorf("make a master key: %w", err)
	}
	return NewMaster(key)
}

// Exists reports whether there is a key file.
func Exists(name string) bool {
	_, err := os.Stat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// wrap encrypts a data key under the master key, bound to its name.
func (m Master) wrap(name string, key []byte) ([]byte, error) {
	aead, err := newAEAD(m.key.Reveal())
	if err != nil {
		return nil, err
	}
	return sealWith(aead, key, []byte(name)), nil
}

func (m Master) unwrap(name string, wrapped []byte) ([]byte, error) {
	aead, err := newAEAD(m.key.Reveal())
	if err != nil {
		return nil, err
	}
	key, err := openWith(aead, wrapped, []byte(name))
	if err != nil {
		return nil, ErrWrongKey
	}
	return key, nil
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func sealWith(aead cipher.AEAD, plain, bound []byte) []byte {
	return aead.Seal(nil, nil, plain, bound)
}

func openWith(aead cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	return aead.Open(nil, nil, sealed, bound)
}
