package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"pavise.dev/pavise/shield"
)

// signer names an authority by its name and key.
type signer [32]byte

func signerOf(cert *x509.Certificate) signer {
	h := sha256.New()
	h.Write(cert.RawSubject) // DER: it says its own length
	h.Write(cert.RawSubjectPublicKeyInfo)
	return signer(h.Sum(nil))
}

// revocations are the lists of a bundle's authorities. Immutable.
type revocations map[signer]*revocationList

type revocationList struct {
	from, until time.Time
	number      *big.Int
	revoked     map[string]time.Time // by serial number, big-endian bytes
}

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
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return err
	}
	if err := checkSimple(parsed); err != nil {
		return err
	}
	by, err := t.signerOfList(parsed)
	if err != nil {
		return err
	}
	read := &revocationList{from: parsed.ThisUpdate, until: parsed.NextUpdate, number: parsed.Number, revoked: make(map[string]time.Time, len(parsed.RevokedCertificateEntries))}
	if read.number == nil {
		read.number = new(big.Int)
	}
	if old := all[by]; old != nil && old.laterThan(read) {
		return nil
	}
	for _, entry := range parsed.RevokedCertificateEntries {
		read.revoked[string(entry.SerialNumber.Bytes())] = entry.RevocationTime
	}
	all[by] = read
	return nil
}

func (l *revocationList) laterThan(other *revocationList) bool {
	if !l.from.Equal(other.from) {
		return l.from.After(other.from)
	}
	return l.number.Cmp(other.number) > 0
}

// checkSimple refuses lists that do not speak for all certificates of their
// signer: deltas, partial and indirect ones, which say so in critical extensions
// (RFC 5280 §5.2).
func checkSimple(parsed *x509.RevocationList) error {
	for _, extension := range parsed.Extensions {
		if extension.Critical {
			return fmt.Errorf("it has the critical extension %s: only complete lists of one authority can be used", extension.Id)
		}
	}
	for _, entry := range parsed.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if extension.Critical {
				return fmt.Errorf("the entry %x has the critical extension %s", entry.SerialNumber, extension.Id)
			}
		}
	}
	if parsed.NextUpdate.IsZero() {
		return fmt.Errorf("it does not say when the next one comes, so that nobody can tell whether it is old")
	}
	if weakHash(parsed.SignatureAlgorithm) {
		return fmt.Errorf("it is signed with %s", parsed.SignatureAlgorithm)
	}
	return nil
}

func (t *trust) signerOfList(parsed *x509.RevocationList) (signer, error) {
	var last error
	for _, ca := range t.bySubject[string(parsed.RawIssuer)] {
		if last = parsed.CheckSignatureFrom(ca); last == nil {
			return signerOf(ca), nil
		}
	}
	if last != nil {
		return signer{}, fmt.Errorf("check the signature of %s: %w", parsed.Issuer, last)
	}
	return signer{}, fmt.Errorf("its authority %s is not in the bundle; add its certificate to trust", parsed.Issuer)
}

// revokedAt returns when a certificate of the chain was revoked. Its error says
// that the lists cannot decide: one is missing, or not in force.
func (all revocations) revokedAt(v *verdict, now time.Time) (at time.Time, revoked bool, err error) {
	for i := range v.links {
		l := &v.links[i]
		list := all[l.issuer]
		switch {
		case list == nil:
			return at, false, fmt.Errorf("no revocation list of %s; add it to crl, and its authority to trust", l.name)
		case now.Before(list.from):
			return at, false, fmt.Errorf("the revocation list of %s begins at %s", l.name, list.from.UTC().Format(time.RFC3339))
		case !now.Before(list.until):
			return at, false, fmt.Errorf("the revocation list of %s ended at %s; fetch the next one", l.name, list.until.UTC().Format(time.RFC3339))
		}
		if at, revoked = list.revoked[l.serial]; revoked {
			return at, true, nil
		}
	}
	return at, false, nil
}
