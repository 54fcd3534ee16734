package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"pavise.dev/pavise/internal/secret"
)

// maxKeyText is the longest text in which a master key is looked for, in bytes.
const maxKeyText = 4096

// Master is the key that wraps the data keys. The zero Master wraps nothing.
type Master struct {
	key secret.Value
	id  string
}

// NewMaster takes a key of 32 bytes, which it copies.
func NewMaster(key []byte) (Master, error) {
	if len(key) != keySize {
		return Master{}, fmt.Errorf("a master key has %d bytes, this one has %d", keySize, len(key))
	}
	id, err := hkdf.Key(sha256.New, key, nil, "pavise master key id", 6)
	if err != nil {
		return Master{}, fmt.Errorf("name the master key: %w", err)
	}
	return Master{secret.New(bytes.Clone(key)), hex.EncodeToString(id)}, nil
}

// ID names the key without telling anything of it: equal keys have equal names.
func (m Master) ID() string { return m.id }

// ReadMaster reads a key file. One that others may read is refused.
func ReadMaster(name string) (Master, error) {
	text, err := readPrivate(name)
	if err != nil {
		return Master{}, fmt.Errorf("master key: %w", err)
	}
	m, err := parseMaster(text)
	if err != nil {
		return Master{}, fmt.Errorf("master key %s: %w; restore the file from where you keep a copy", name, err)
	}
	return m, nil
}

// readPrivate reads a small regular file that only its owner may read. What is
// checked is the file that was opened, not what its name meant before.
func readPrivate(name string) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name) // opening a pipe would wait
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %o); run: chmod 600 %s", name, mode, name)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyText+1))
	if err == nil && len(text) > maxKeyText {
		err = fmt.Errorf("%s is no key file: it is longer than %d bytes", name, maxKeyText)
	}
	return text, err
}

// parseMaster finds the one line of base64 among comments and empty lines. Its
// errors never quote the text.
func parseMaster(text []byte) (Master, error) {
	var key []byte
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if key != nil {
			return Master{}, fmt.Errorf("there is more than one line; want one of base64 for %d bytes", keySize)
		}
		decoded, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(decoded) != keySize {
			return Master{}, fmt.Errorf("want one line of base64 for %d bytes", keySize)
		}
		key = decoded
	}
	if key == nil {
		return Master{}, errors.New("there is no key in it")
	}
	return NewMaster(key)
}

// CreateMaster makes a key file with mode 0600, complete or not at all. An
// existing file is never overwritten.
func CreateMaster(name string) (Master, error) {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	m, err := NewMaster(key)
	if err != nil {
		return Master{}, err
	}
	text := "# Pavise master key " + m.ID() + ". Without it nobody can use the data folder: keep a copy elsewhere.\n" +
		base64.StdEncoding.EncodeToString(key) + "\n"
	if err := createPrivate(name, []byte(text)); err != nil {
		return Master{}, fmt.Errorf("make a master key: %w", err)
	}
	return m, nil
}

// createPrivate writes beside name and then links, so that name is never seen
// half written and never replaced.
func createPrivate(name string, text []byte) error {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, ".pavise-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // only the link stays
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), name); err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
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

// unwrap opens a data key. That another master key is needed is told apart from
// a wrapped key that was changed.
func (m Master) unwrap(w Wrapped) ([]byte, error) {
	if w.Master != m.id {
		return nil, fmt.Errorf("data key %s: %w: it is wrapped under master key %s and this is %s; use the key file that this store was made with",
			w.Name(), ErrWrongKey, w.Master, m.id)
	}
	aead, err := newAEAD(m.key.Reveal())
	if err != nil {
		return nil, err
	}
	key, err := openWith(aead, w.Key, []byte(w.Name()))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("data key %s: %w; restore the store from a backup", w.Name(), ErrTampered)
	}
	return key, nil
}
