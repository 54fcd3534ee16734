package mtls

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"pavise.dev/pavise/shield"
)

// own stands in `trust` for the authority that `pavise ca init` made.
//
// Of its certificates only those are accepted that the registry has a record of: by the
// serial number, and by the digest of the whole certificate that bears it. So revoking a
// certificate, disabling its client and cutting its scopes bite with the next request; and
// whoever has stolen the authority's key cannot make one that is accepted.
const own = "own"

// TrustsOwn reports whether certificates of the authority that `pavise ca init` made are accepted.
func (c *Config) TrustsOwn() bool { return len(c.Trust) == 0 || slices.Contains(c.Trust, own) }

// settingFingerprint is the setting of a record that names the one certificate of its
// serial number.
const settingFingerprint = "sha256"

// serialID is the id under which a certificate of the own authority is recorded.
func serialID(c *x509.Certificate) string {
	return "serial:" + hex.EncodeToString(c.SerialNumber.Bytes())
}

// addOwn takes in the own authority.
func (t *trust) addOwn(a shield.Authority) error {
	if a == nil {
		return errors.New("there is no certificate authority here; set trust to a PEM file")
	}
	t.withOwn = true
	text, err := a.Issuers()
	if err != nil {
		return fmt.Errorf("trust the own authority: %w", err)
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("trust the own authority: %w", err)
		}
		if err := t.anchor(cert); err != nil {
			return err
		}
		t.own[sha256.Sum256(cert.Raw)] = true
	}
}

// unrecorded refuses a certificate of the own authority that is not the one that the
// registry knows under its serial number.
func (s *certificates) unrecorded(v *verdict, record *shield.Record) error {
	if !v.own {
		return nil
	}
	if record == nil {
		return shield.Refuse(shield.InvalidCredential, "this installation's authority has no record of the certificate").Of(v.ids[0], "", true)
	}
	if record.Settings[settingFingerprint] != v.names.fingerprint {
		return shield.Refuse(shield.InvalidCredential, "another certificate is recorded under this serial number: the authority's key may have been stolen").Of(v.ids[0], "", true)
	}
	return nil
}

// isOurs reports whether one of the authorities, named by their pins, is the own one: it may
// stand in a chain of somebody else's, who has signed it.
func (t *trust) isOurs(authorities []string) bool {
	return slices.ContainsFunc(authorities, func(pin string) bool { return slices.Contains(t.ours, pin) })
}

// watch asks to be told of changes before anything is read.
func (s *certificates) watch() {
	for _, name := range slices.Concat(s.trust, s.crl) {
		if name != own {
			s.files.Watch(name, s.reload)
		}
	}
	if s.authority != nil { // also where it is not trusted: a bundle must not hold it
		s.authority.Watch(s.reload)
	}
}
