package mtls

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/revocation"
	"pavise.dev/pavise/shield"
)

// signer names an authority by its name and key.
type signer = [sha256.Size]byte

// revocations are the lists of a bundle's authorities, from files. Immutable.
type revocations map[signer]*revocation.List

// loadRevocations reads revocation lists. Every one must be whole, of the simple
// kind, and signed by an authority of the bundle. Of two lists of one authority
// the later counts; of the same moment, the one with the higher number (RFC 5280
// §5.2.3).
func loadRevocations(files shield.Files, list []string, t *trust) (revocations, error) {
	all := revocations{}
	for _, name := range list {
		text, err := files.Read(name)
		if err != nil {
			return nil, fmt.Errorf("read the revocation list %s: %w; check crl, paths are relative to the configuration file", name, err)
		}
		blocks := [][]byte{text}
		if bytes.Contains(text, []byte("-----BEGIN")) {
			if blocks, err = decodePEM(text, "X509 CRL"); err != nil {
				return nil, fmt.Errorf("revocation list %s: %w", name, err)
			}
		}
		for _, der := range blocks {
			if err := all.add(der, t); err != nil {
				return nil, fmt.Errorf("revocation list %s: %w", name, err)
			}
		}
	}
	return all, nil
}

func (all revocations) add(der []byte, t *trust) error {
	list, err := revocation.ParseList(der)
	if err != nil {
		return err
	}
	if !list.Whole() {
		return errors.New("it is about some certificates of its authority only: only complete lists can be used from files")
	}
	by, err := t.signerOfList(list)
	if err != nil {
		return err
	}
	if old := all[by]; old == nil || !old.After(list) {
		all[by] = list
	}
	return nil
}

func (t *trust) signerOfList(list *revocation.List) (signer, error) {
	var last error
	for _, ca := range t.bySubject[string(list.Issuer())] {
		if last = list.SignedBy(ca); last == nil {
			return revocation.SignerOf(ca), nil
		}
	}
	if last != nil {
		return signer{}, fmt.Errorf("check the signature of %s: %w", list.IssuerName(), last)
	}
	return signer{}, fmt.Errorf("its authority %s is not in the bundle; add its certificate to trust", list.IssuerName())
}

// revokedAt returns when one certificate of a chain was revoked, zero if it was not. Its
// error says that the lists cannot decide: there is none, or it is not in force.
func (all revocations) revokedAt(l *link, now time.Time) (time.Time, error) {
	list := all[l.issuer]
	if list == nil {
		return time.Time{}, fmt.Errorf("no revocation list of %s; add it to crl, and its authority to trust", l.name)
	}
	at, revoked := list.RevokedAt(&l.serial)
	switch {
	case revoked: // an old list says so too
		return at, nil
	case now.Before(list.From):
		return time.Time{}, fmt.Errorf("the revocation list of %s begins at %s", l.name, list.From.UTC().Format(time.RFC3339))
	case !now.Before(list.Until):
		return time.Time{}, fmt.Errorf("the revocation list of %s ended at %s; fetch the next one", l.name, list.Until.UTC().Format(time.RFC3339))
	}
	return time.Time{}, nil
}
