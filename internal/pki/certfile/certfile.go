// Package certfile keeps a certificate with its key in files, as servers and clients of
// all kinds read them: PEM, the chain leaf first, the key as PKCS #8 with mode 0600.
//
// A file is replaced in one step, so that whoever reads it finds the old one or the new one
// whole. Two files cannot be replaced in one step: both are written whole before the first
// takes its place, the key comes first, and a reader between the two finds a pair that does
// not fit and has to read again. Who cannot do that uses one file for both. The key before
// stays beside the files until the chain is there too, so that a death in between leaves a
// pair ([Files.Load] puts it back).
//
// Files that are there keep their owner, group and mode: a server that runs as somebody else
// goes on reading its key. What is new belongs to whoever runs, and a key to nobody else.
package certfile

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// Load reads certificate and key. A key that everybody can read, or others can write, is
// refused. A pair that a death has left half replaced is put back.
func (f Files) Load() (*tls.Certificate, error) {
	info, err := os.Stat(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	if info.Mode().Perm()&^(keyMode|0o100) != 0 {
		return nil, fmt.Errorf("the key %s can be read or written by others (mode %04o): run chmod 600 on it, or 640 if its group is meant to read it; if they are strangers, get a new certificate and revoke this one", f.Key, info.Mode().Perm())
	}
	pair, err := tls.LoadX509KeyPair(f.Chain, f.Key)
	if err != nil && f.Chain != f.Key && f.putBack() {
		pair, err = tls.LoadX509KeyPair(f.Chain, f.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s with its key %s: %w", f.Chain, f.Key, err)
	}
	return &pair, nil
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
	before := f.before()
	if err := os.Remove(before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write %s: %w", f.Key, err)
	}
	if err := os.Link(target(f.Key), before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the key before %s: %w", f.Key, err)
	}
	if err := key.place(); err != nil {
		return err
	}
	if err := chain.place(); err != nil {
		f.putBack()
		return err
	}
	if err := os.Remove(before); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the key before %s: %w", f.Key, err)
	}
	return nil
}

// before is where the key before lies while the files are replaced.
func (f Files) before() string {
	key := target(f.Key)
	return filepath.Join(filepath.Dir(key), "."+filepath.Base(key)+".before")
}

// putBack puts the key before back, if it is the one that fits the chain.
func (f Files) putBack() bool {
	if _, err := tls.LoadX509KeyPair(f.Chain, f.before()); err != nil {
		return false
	}
	return os.Rename(f.before(), target(f.Key)) == nil && syncFolder(filepath.Dir(target(f.Key))) == nil
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
