// Package certfile keeps a certificate with its key in files, as servers and clients of
// all kinds read them: PEM, the chain leaf first, the key as PKCS #8 with mode 0600.
//
// A file is replaced in one step, so that whoever reads it finds the old one or the new one
// whole. Two files cannot be replaced in one step: both are written whole before the first
// takes its place, the key comes first, and a reader between the two finds a pair that does
// not fit and has to read again. Who cannot do that uses one file for both. The key before
// stays beside the files until the chain is there too: [Files.Load] takes it where it is the
// one that fits, and after a death in between whoever renews puts it back ([Files.Recover]).
// Writers of a pair exclude each other by a lock, and readers write nothing.
//
// Links are followed, but none by which one user could have another's files replaced: a
// link counts if it is root's, or of whoever writes, or of the owner of the folder to which
// it leads. [Note] follows none.
//
// Files that are there keep their owner, group and mode: a server that runs as somebody else
// goes on reading its key. What is new belongs to whoever runs, and a key to nobody else.
package certfile

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"pavise.dev/pavise/internal/pki/renewed"
)

// Files are where a certificate and its key lie; both may be the same file.
type Files struct{ Chain, Key string }

// Exist reports whether one of the files is there.
func (f Files) Exist() bool {
	for _, name := range []string{f.Chain, f.Key} {
		if _, err := os.Lstat(name); err == nil {
			return true
		}
	}
	return false
}

// keyMode is what the mode of a key may have: its group may read it, if somebody has said so
// (as the ssl-cert group of Debian), and nobody else.
const keyMode fs.FileMode = 0o640

// maxReads is how often a pair that is being replaced is read.
const maxReads = 20

// Load reads certificate and key, and writes nothing. A key that everybody can read, or others
// can write, is refused. Of a pair that is half replaced, by a writer at work or by a death,
// it returns the one before; one that changed while it was read is read again.
func (f Files) Load() (*tls.Certificate, error) {
	var seen [sha256.Size]byte
	for try := 1; ; try++ {
		key, err := readKey(f.Key)
		if err != nil {
			return nil, err
		}
		chain, err := os.ReadFile(f.Chain)
		if err != nil {
			return nil, fmt.Errorf("read the certificate: %w", err)
		}
		pair, err := tls.X509KeyPair(chain, key)
		if err == nil {
			return &pair, nil
		}
		if before := f.loadBefore(chain); before != nil {
			return before, nil
		}
		now := sha256.Sum256(slices.Concat(chain, key))
		if f.Chain == f.Key || now == seen || try == maxReads { // nobody is at work
			return nil, fmt.Errorf("read the certificate %s with its key %s: %w", f.Chain, f.Key, err)
		}
		seen = now
	}
}

func readKey(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&^(keyMode|0o100) != 0 {
		return nil, fmt.Errorf("the key %s can be read or written by others (mode %04o): run chmod 600 on it, or 640 if its group is meant to read it; if they are strangers, get a new certificate and revoke this one", name, info.Mode().Perm())
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return text, nil
}

// loadBefore joins a chain with the key before, if that is the one that fits.
func (f Files) loadBefore(chain []byte) *tls.Certificate {
	at, err := filepath.EvalSymlinks(f.Key)
	if err != nil || f.Chain == f.Key {
		return nil
	}
	key, err := readKey(before(at))
	if err != nil {
		return nil
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil
	}
	return &pair
}

// Save replaces the files. Both are written whole beside their places before one of them is
// put there: what cannot be written leaves the files as they were.
func (f Files) Save(chain []*x509.Certificate, key crypto.Signer) error {
	if _, err := renewed.Pair(chain, key); err != nil {
		return fmt.Errorf("save a certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	certificates := EncodeChain(chain)
	if f.Chain == f.Key {
		return replace(f.Key, append(certificates, text...), 0o600, keyMode)
	}
	nextKey, err := stage(f.Key, text, 0o600, keyMode)
	if err != nil {
		return err
	}
	defer nextKey.drop()
	nextChain, err := stage(f.Chain, certificates, 0o644, 0o777)
	if err != nil {
		return err
	}
	defer nextChain.drop()
	return f.place(nextKey, nextChain)
}

// place puts key and chain in their places, and keeps the key before beside them meanwhile.
func (f Files) place(key, chain *staged) error {
	unlock, err := lock(key.name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := f.putBack(key.name); err != nil { // the key before is the one that fits
		return err
	}
	kept := before(key.name)
	if err := remove(kept); err != nil {
		return fmt.Errorf("write %s: %w", f.Key, err)
	}
	if err := os.Link(key.name, kept); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the key before %s: %w", f.Key, err)
	}
	if err := key.place(); err != nil {
		return err
	}
	if err := chain.place(); err != nil {
		return errors.Join(err, f.putBack(key.name))
	}
	if err := remove(kept); err != nil {
		return fmt.Errorf("remove the key before %s: %w", f.Key, err)
	}
	return nil
}

// before is where the key before lies while the files are replaced.
func before(key string) string {
	return filepath.Join(filepath.Dir(key), "."+filepath.Base(key)+".before")
}

func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Recover puts back the key before, if a death has left the files half replaced, for those
// who read them as they are. It is for whoever renews them, when it starts: others who read
// must not write. Writers wait for each other.
func (f Files) Recover() error {
	if f.Chain == f.Key {
		return nil
	}
	key, err := target(f.Key)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(before(key)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := lock(key)
	if err != nil {
		return err
	}
	defer unlock()
	return f.putBack(key)
}

// putBack puts the key before back if it is the one that fits the chain, and removes it if it
// is of no use any more. The lock is held.
func (f Files) putBack(key string) error {
	kept := before(key)
	if _, err := tls.LoadX509KeyPair(f.Chain, key); err == nil {
		return remove(kept)
	}
	if _, err := tls.LoadX509KeyPair(f.Chain, kept); err != nil {
		return nil // there is none, or it fits no better
	}
	if err := errors.Join(os.Rename(kept, key), syncFolder(filepath.Dir(key))); err != nil {
		return fmt.Errorf("put back the key before %s: %w", key, err)
	}
	return nil
}

// SaveRoots writes an authority's roots, unless the file has just these already.
func SaveRoots(name string, roots []*x509.Certificate) error {
	text := EncodeChain(roots)
	if before, err := os.ReadFile(name); err == nil && bytes.Equal(before, text) {
		return nil
	}
	if err := Replace(name, text, 0o644); err != nil {
		return fmt.Errorf("keep the authority's roots: %w", err)
	}
	return nil
}

// ParseChain reads certificates in PEM, the first of which is the one that counts.
func ParseChain(text []byte) (chain []*x509.Certificate, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("there is no certificate in PEM")
	}
	return chain, nil
}

// EncodeChain writes certificates in PEM.
func EncodeChain(chain []*x509.Certificate) (text []byte) {
	for _, c := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}
