package pki

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Programs that read revocation lists want one of every authority of a chain, the root too,
// and refuse everybody without it (openssl's -crl_check_all, nginx's ssl_crl). Of a root
// whose key is kept elsewhere a list is signed whenever the key is at hand: when it is made
// and when something is made or revoked below it. Nothing can be revoked there in between,
// so that the list may be good until the last certificate ends that the root has signed.

// listed gives roots whose keys are kept elsewhere, but are at hand now, their next lists.
// changed are members that are about to be kept; the roots are added to them.
func (a *Authority) listed(h *hierarchy, changed []*member, atHand ...*member) ([]*member, error) {
	for _, root := range atHand {
		if root == nil || root.key == nil || len(root.kept.Private) > 0 {
			continue
		}
		der, err := a.rootList(root, merged(h.members, changed))
		if err != nil {
			return nil, err
		}
		next := *root
		i := slices.IndexFunc(changed, func(m *member) bool { return m.kept.ID == root.kept.ID })
		if i >= 0 {
			next.kept = changed[i].kept
		}
		next.kept.List = der
		if i >= 0 {
			changed[i] = &next
		} else {
			changed = append(changed, &next)
		}
	}
	return changed, nil
}

// merged are members as they will be.
func merged(before, changed []*member) []*member {
	all := slices.Clone(changed)
	for _, m := range before {
		if !slices.ContainsFunc(changed, func(c *member) bool { return c.kept.ID == m.kept.ID }) {
			all = append(all, m)
		}
	}
	return all
}

// rootList signs what a root says of the certificates that it has signed.
func (a *Authority) rootList(root *member, all []*member) ([]byte, error) {
	number := big.NewInt(1)
	if len(root.kept.List) > 0 {
		before, err := x509.ParseRevocationList(root.kept.List)
		if err != nil {
			return nil, fmt.Errorf("read the revocation list of %s: %w", root.cert.Subject.CommonName, err)
		}
		number.Add(number, before.Number)
	}
	now := a.options.Now().UTC().Truncate(time.Second)
	list := &x509.RevocationList{Number: number, ThisUpdate: now.Add(-skew), NextUpdate: now.Add(skew)}
	for _, m := range all {
		for _, c := range m.certificates() {
			if c.Equal(root.cert) || string(c.RawIssuer) != string(root.cert.RawSubject) {
				continue
			}
			if c.NotAfter.After(list.NextUpdate) {
				list.NextUpdate = c.NotAfter
			}
		}
	}
	for _, one := range revokedBelow(root, all) {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: one.Certificate.SerialNumber, RevocationTime: one.At.UTC().Truncate(time.Second),
		})
	}
	der, err := x509.CreateRevocationList(a.options.Rand, list, root.cert, root.key)
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list of %s: %w", root.cert.Subject.CommonName, err)
	}
	return der, nil
}

// certificates are a member's: its own, and the one that the root before it has signed.
func (m *member) certificates() []*x509.Certificate {
	if m.cross == nil {
		return []*x509.Certificate{m.cert}
	}
	return []*x509.Certificate{m.cert, m.cross}
}

// revokedBelow are certificates that a root has signed and that are trusted no more.
func revokedBelow(root *member, all []*member) (found []Revoked) {
	for _, m := range all {
		for _, c := range m.certificates() {
			if !m.kept.Revoked.IsZero() && !c.Equal(root.cert) && string(c.RawIssuer) == string(root.cert.RawSubject) {
				found = append(found, Revoked{c, m.kept.Revoked})
			}
		}
	}
	return found
}
