package pki

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/rows"
	"pavise.dev/pavise/internal/secret"
)

// Lives of the authority's own certificates.
const (
	rootLife    = 15 * 365 * 24 * time.Hour
	issuingLife = 3 * 365 * 24 * time.Hour
	// skew is how far a certificate's life begins in the past, for clocks that differ.
	skew = 5 * time.Minute
)

// Role says what a certificate of the authority signs.
type Role string

// The roles.
const (
	Root    Role = "root"    // issuing authorities
	Issuing Role = "issuing" // certificates of clients
)

// kept is an authority's certificate as its record holds it.
type kept struct {
	ID          string    `json:"id"` // hexadecimal subject key id
	Role        Role      `json:"role"`
	Certificate []byte    `json:"certificate"`       // DER
	Cross       []byte    `json:"cross,omitempty"`   // of a root: the same name and key, signed by the root before it
	Private     []byte    `json:"private,omitempty"` // PKCS #8; none: it is kept elsewhere
	Created     time.Time `json:"created"`
	Retired     time.Time `json:"retired,omitzero"` // it signs no certificates since
	Revoked     time.Time `json:"revoked,omitzero"` // nothing that it signed is trusted since
	Reason      string    `json:"reason,omitempty"` // why it was revoked
	Swept       bool      `json:"swept,omitempty"`  // what it signed was revoked too
	List        []byte    `json:"list,omitempty"`   // of a root whose key is kept elsewhere: its revocation list, DER
}

// member is an authority's certificate in memory. Never changed.
type member struct {
	kept    kept
	version int64
	cert    *x509.Certificate
	cross   *x509.Certificate // nil: none
	key     crypto.Signer     // nil: it is kept elsewhere
}

func opened(row rows.Row[kept]) (*member, error) {
	m := &member{kept: row.Value, version: row.Version}
	var err error
	if m.cert, err = x509.ParseCertificate(m.kept.Certificate); err != nil {
		return nil, fmt.Errorf("read authority %s: %w", m.kept.ID, err)
	}
	if len(m.kept.Cross) > 0 {
		if m.cross, err = x509.ParseCertificate(m.kept.Cross); err != nil {
			return nil, fmt.Errorf("read authority %s: %w", m.kept.ID, err)
		}
	}
	if len(m.kept.Private) > 0 {
		if m.key, err = parseKey(m.kept.Private); err != nil {
			return nil, fmt.Errorf("read authority %s: %w", m.kept.ID, err)
		}
	}
	return m, nil
}

// hierarchy is the authority's own certificates, newest first. Never changed, only
// replaced.
type hierarchy struct {
	setup   Setup
	members []*member
}

// trusted returns members of a role that have not ended and were not revoked.
func (h *hierarchy) trusted(role Role, now time.Time) (found []*member) {
	for _, m := range h.members {
		if m.kept.Role == role && m.kept.Revoked.IsZero() && now.Before(m.cert.NotAfter) {
			found = append(found, m)
		}
	}
	return found
}

func certificates(members []*member) (all []*x509.Certificate) {
	for _, m := range members {
		all = append(all, m.cert)
	}
	return all
}

func (h *hierarchy) roots(now time.Time) []*x509.Certificate {
	return certificates(h.trusted(Root, now))
}

func (h *hierarchy) issuers(now time.Time) []*x509.Certificate {
	return certificates(h.trusted(Issuing, now))
}

// isRetired reports whether a member signs no certificates any more. One that was retired by
// a clock that was ahead is not, until that moment comes.
func (m *member) isRetired(now time.Time) bool {
	return !m.kept.Retired.IsZero() && !now.Before(m.kept.Retired)
}

// errLater says that whoever could sign begins later: the clock is wrong, or was.
var errLater = errors.New("no authority has begun")

// active returns the member of a role that signs now. One that begins later was made by a
// clock that was ahead: it waits, and the one before it goes on.
func (h *hierarchy) active(role Role, now time.Time) (*member, error) {
	var later error
	for _, m := range h.trusted(role, now) {
		if !m.isRetired(now) && !now.Before(m.cert.NotBefore) {
			return m, nil
		}
		if now.Before(m.cert.NotBefore) {
			later = fmt.Errorf("%w: the clock says %s, and the %s authority begins at %s", errLater, now.UTC().Format(time.RFC3339), role, m.cert.NotBefore.Format(time.RFC3339))
		}
	}
	if later != nil {
		return nil, later
	}
	return nil, fmt.Errorf("the %s authority has ended; make the next one with `pavise ca rotate`", role)
}

// above returns what stands between an issuing authority and the roots that others trust:
// the root's certificate by the root before it, while that one is trusted.
func (h *hierarchy) above(issuing *member, now time.Time) []*x509.Certificate {
	for _, root := range h.trusted(Root, now) {
		if string(root.cert.RawSubject) != string(issuing.cert.RawIssuer) || root.cross == nil {
			continue
		}
		isOld := func(old *member) bool { return string(old.cert.RawSubject) == string(root.cross.RawIssuer) }
		if now.Before(root.cross.NotAfter) && slices.ContainsFunc(h.trusted(Root, now), isOld) {
			return []*x509.Certificate{root.cross}
		}
	}
	return nil
}

// Init asks for an authority.
type Init struct {
	Setup
	// RootKey is the root's key (PEM, [NewKey] makes one), which is not kept: whoever asks has
	// saved it already, so that no fault on the way can lose it. Empty: one is made and kept.
	RootKey secret.Value
}

// Init makes the authority: a root, which it returns, and an issuing authority below it.
func (a *Authority) Init(ctx context.Context, n Init) (*x509.Certificate, error) {
	n.Setup = n.withDefaults()
	if err := n.validate(); err != nil {
		return nil, err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	if a.state.Load() != nil {
		return nil, ErrThere
	}
	root, err := a.newRoot(n.Setup, n.RootKey, nil)
	if err != nil {
		return nil, err
	}
	issuing, err := a.newIssuing(n.Setup, root)
	if err != nil {
		return nil, err
	}
	setup, err := a.setup.Record(rows.Row[Setup]{ID: setupID, Value: n.Setup})
	if err != nil {
		return nil, err
	}
	members, err := a.listed(&hierarchy{}, []*member{root, issuing}, root)
	if err != nil {
		return nil, err
	}
	if err := a.keep(ctx, []client.Record{setup}, members...); errors.Is(err, client.ErrConflict) {
		return nil, ErrThere
	} else if err != nil {
		return nil, err
	}
	return root.cert, a.read(ctx)
}

// newRoot makes a root; if there was one before whose key is known, that one signs it too.
// A key that is given is kept elsewhere.
func (a *Authority) newRoot(s Setup, given secret.Value, before *member) (*member, error) {
	key, private, err := a.rootKey(s.Algorithm, given)
	if err != nil {
		return nil, err
	}
	template, err := a.template(s, "Root", rootLife, 2)
	if err != nil {
		return nil, err
	}
	m := &member{key: key, kept: kept{Role: Root, Private: private, Created: a.options.Now().UTC()}}
	if err := a.sign(m, template, template, key); err != nil {
		return nil, err
	}
	if before == nil {
		return m, nil
	}
	cross := *template
	if cross.SerialNumber, err = a.serial(); err != nil {
		return nil, err
	}
	cross.MaxPathLen, cross.NotAfter = 1, earlier(template.NotAfter, before.cert.NotAfter)
	cross.CRLDistributionPoints = a.listOf(before.cert)
	if m.kept.Cross, err = x509.CreateCertificate(a.options.Rand, &cross, before.cert, key.Public(), before.key); err != nil {
		return nil, fmt.Errorf("sign the new root by the one before it: %w", err)
	}
	m.cross, err = x509.ParseCertificate(m.kept.Cross)
	return m, err
}

// newIssuing makes an issuing authority below a root.
func (a *Authority) newIssuing(s Setup, root *member) (*member, error) {
	key, private, err := newKey(s.Algorithm, a.options.Rand)
	if err != nil {
		return nil, err
	}
	template, err := a.template(s, "Issuing", issuingLife, 0)
	if err != nil {
		return nil, err
	}
	template.NotAfter = earlier(template.NotAfter, root.cert.NotAfter)
	template.CRLDistributionPoints = a.listOf(root.cert)
	m := &member{key: key, kept: kept{Role: Issuing, Private: private, Created: a.options.Now().UTC()}}
	return m, a.sign(m, template, root.cert, root.key)
}

// sign makes a member's certificate.
func (a *Authority) sign(m *member, template, parent *x509.Certificate, by crypto.Signer) error {
	der, err := x509.CreateCertificate(a.options.Rand, template, parent, m.key.Public(), by)
	if err != nil {
		return fmt.Errorf("sign the certificate of %s: %w", template.Subject, err)
	}
	if m.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	m.kept.Certificate, m.kept.ID = der, hex.EncodeToString(m.cert.SubjectKeyId)
	return nil
}

// template is what the authority's certificates have in common. They are told apart by the
// day, and by a part of their serial number.
func (a *Authority) template(s Setup, what string, life time.Duration, below int) (*x509.Certificate, error) {
	serial, err := a.serial()
	if err != nil {
		return nil, err
	}
	now := a.options.Now().UTC().Truncate(time.Second)
	t := &x509.Certificate{
		SerialNumber: serial, NotBefore: now.Add(-skew), NotAfter: now.Add(life),
		Subject: pkix.Name{Organization: []string{s.Name}, CommonName: fmt.Sprintf("%s %s CA %s %08x", s.Name, what, now.Format("2006-01-02"), serial.Bytes()[:4])},
		IsCA:    true, BasicConstraintsValid: true, MaxPathLen: below, MaxPathLenZero: below == 0,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	return t, constrain(t, s.Permit)
}

// serial returns 128 random bits (RFC 5280 §4.1.2.2 allows 20 octets; the CA/Browser Forum
// wants 64 bits).
func (a *Authority) serial() (*big.Int, error) {
	var b [16]byte
	for b[0] == 0 { // so that each has the same length
		if _, err := a.options.Rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("make a serial number: %w", err)
		}
	}
	return new(big.Int).SetBytes(b[:]), nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Pin names a key: SHA-256 of its SubjectPublicKeyInfo, base64, as the shield's settings do.
func Pin(c *x509.Certificate) string {
	digest := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(digest[:])
}
