package mtls

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/revocation"
	"pavise.dev/pavise/shield"
)

// maxAuthorities is how many authorities one shield may trust.
const maxAuthorities = 1024

// trust is one revision of the bundle, with what was found out under it. It is
// immutable but for its memory, which is safe for concurrent use.
type trust struct {
	pool      *x509.CertPool
	bySubject map[string][]*x509.Certificate // by RawSubject
	anchors   map[[32]byte]bool              // SHA-256 of the DER
	pins      []string                       // of all from files, sorted: what sets this bundle apart
	own       map[[32]byte]bool              // of anchors: those of the installation's own authority
	withOwn   bool                           // the own authority is trusted, whatever it is
	ours      []string                       // pins of all the own authority's certificates, trusted or not
	accepted  *cache
	refused   *cache // apart, so that strangers cannot displace callers
	recent    *recent[verdict]
}

// loadTrust reads the bundle. It is an error if any part of any file cannot be
// used: an authority that is left out in silence is found too late.
func (s *certificates) loadTrust() (*trust, error) {
	t := &trust{
		pool: x509.NewCertPool(), bySubject: map[string][]*x509.Certificate{}, anchors: map[[32]byte]bool{}, own: map[[32]byte]bool{},
		accepted: newCache(acceptedEntries), refused: newCache(refusedEntries), recent: newRecent[verdict](),
	}
	if s.authority != nil {
		t.ours = s.authority.Pins()
	}
	for _, name := range s.trust {
		if name == own {
			if err := t.addOwn(s.authority); err != nil {
				return nil, err
			}
			continue
		}
		text, err := s.files.Read(name)
		if err != nil {
			return nil, fmt.Errorf("read the bundle %s: %w; check trust, paths are relative to the configuration file", name, err)
		}
		if err := t.addBundle(text); err != nil {
			return nil, fmt.Errorf("bundle %s: %w", name, err)
		}
	}
	slices.Sort(t.pins)
	return t, nil
}

func (t *trust) addBundle(text []byte) error {
	blocks, err := decodePEM(text, "CERTIFICATE")
	if err != nil {
		return err
	}
	for i, der := range blocks {
		cert, err := x509.ParseCertificate(der)
		if err == nil {
			err = checkAuthority(cert)
		}
		if err == nil {
			err = t.add(cert)
		}
		if err != nil {
			return fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	return nil
}

func (t *trust) add(cert *x509.Certificate) error {
	if t.isOurs([]string{pinOf(cert)}) {
		return fmt.Errorf("%s is this installation's own authority, of which only recorded certificates count: write own instead of the file", cert.Subject)
	}
	if pin := pinOf(cert); !slices.Contains(t.pins, pin) {
		t.pins = append(t.pins, pin)
	}
	return t.anchor(cert)
}

// anchor trusts an authority.
func (t *trust) anchor(cert *x509.Certificate) error {
	digest := sha256.Sum256(cert.Raw)
	if t.anchors[digest] {
		return nil
	}
	if len(t.anchors) == maxAuthorities {
		return fmt.Errorf("at most %d authorities are trusted by one shield", maxAuthorities)
	}
	t.anchors[digest] = true
	t.pool.AddCert(cert)
	t.bySubject[string(cert.RawSubject)] = append(t.bySubject[string(cert.RawSubject)], cert)
	return nil
}

// accepts are what sets the bundle apart from others.
func (t *trust) accepts() (all []string) {
	for _, pin := range t.pins {
		all = append(all, "a certificate of the authority "+pin)
	}
	if t.withOwn {
		all = append(all, "a certificate of this installation's own authority")
	}
	return all
}

// same reports whether two revisions trust the same certificates.
func (t *trust) same(other *trust) bool {
	if len(t.anchors) != len(other.anchors) {
		return false
	}
	for digest := range t.anchors {
		if !other.anchors[digest] || t.own[digest] != other.own[digest] {
			return false
		}
	}
	return slices.Equal(t.ours, other.ours)
}

func checkAuthority(cert *x509.Certificate) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fmt.Errorf("%s is no authority (basic constraints); to trust a single client, trust its authority and allow its pin", cert.Subject)
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s may not sign certificates (key usage)", cert.Subject)
	}
	if err := strongKey(cert.PublicKey); err != nil {
		return fmt.Errorf("%s has %w", cert.Subject, err)
	}
	return nil
}

// decodePEM returns the blocks of a text, all of which must be of one type. It
// notices blocks that pem.Decode would skip as damaged.
func decodePEM(text []byte, want string) ([][]byte, error) {
	var blocks [][]byte
	begins := bytes.Count(text, []byte("-----BEGIN"))
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("it holds a private key; take it out, and make a new one if others could read the file")
		}
		if block.Type != want || len(block.Headers) > 0 {
			return nil, fmt.Errorf("it holds a block %q; want %q without headers", block.Type, want)
		}
		blocks = append(blocks, block.Bytes)
	}
	switch {
	case len(blocks) == 0:
		return nil, fmt.Errorf("it holds no %s in PEM", want)
	case len(blocks) != begins:
		return nil, fmt.Errorf("%d of its %d PEM blocks are damaged", begins-len(blocks), begins)
	}
	return blocks, nil
}

func pinOf(cert *x509.Certificate) string {
	digest := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(digest[:])
}

// verdict is what follows from the presented bytes, the bundle and the rules. It
// is immutable but for the kept attributes.
type verdict struct {
	digest  [32]byte
	refusal *shield.Refusal // nil: accepted, and the rest is set

	names               *names
	ids                 []string // under which a client may be known
	from, until         time.Time
	leafFrom, leafUntil time.Time
	links               []link
	authorities         []string // pins of all above the leaf
	anchor              [32]byte // SHA-256 of its DER
	own                 bool     // it is the installation's own authority: only records count
	issuer, subject     string   // of a caller who is no client of ours
	attributes          map[string]any
	kept                keptAttributes
}

// link is one signature of the chain: who issued which serial number.
type link struct {
	issuer signer
	name   string
	serial revocation.Serial
	asked  *revocation.Link // as responders and distribution points are asked about it
}

// judge makes the verdict about a chain, without looking at any memory.
func (t *trust) judge(presented []*x509.Certificate, digest [32]byte, allow rules, now time.Time) *verdict {
	refuse := func(r *shield.Refusal) *verdict { return &verdict{digest: digest, refusal: r} }
	found, refusal := t.find(presented, now)
	if refusal != nil {
		return refuse(refusal)
	}
	v := &verdict{digest: digest}
	var err error
	if v.names, err = namesOf(found[0]); err != nil {
		return refuse(shield.Refuse(shield.InvalidCredential, "the certificate's names: %v", err))
	}
	v.ids, v.subject = v.names.ids(twinOf(found[0], found[1])), v.names.first()
	if v.subject == "" {
		return refuse(shield.Refuse(shield.InvalidCredential, "the certificate names nobody").Of(v.ids[0], "", true))
	}
	v.describe(found, t.above(found[len(found)-1]))
	if v.own = t.own[v.anchor] || t.isOurs(v.authorities); v.own {
		v.ids = []string{serialID(found[0])}
	}
	if !allow.allow(v) {
		return refuse(shield.Refuse(shield.InvalidCredential, "no rule of allow is met by %s", v.subject).Of(v.ids[0], "", true))
	}
	return v
}

// above returns the authorities of the bundle that signed an authority of the
// bundle. They are not needed to trust it, but may have revoked it.
func (t *trust) above(anchor *x509.Certificate) chain {
	var found chain
	for cert := anchor; len(found) < maxChain && string(cert.RawIssuer) != string(cert.RawSubject); {
		i := slices.IndexFunc(t.bySubject[string(cert.RawIssuer)], func(ca *x509.Certificate) bool { return cert.CheckSignatureFrom(ca) == nil })
		if i < 0 {
			break
		}
		cert = t.bySubject[string(cert.RawIssuer)][i]
		found = append(found, cert)
	}
	return found
}

// describe takes from the chain, and from the authorities above its anchor, what
// requests ask for.
func (v *verdict) describe(found, above chain) {
	v.from, v.until = found.window()
	v.leafFrom, v.leafUntil = found[0].NotBefore, found[0].NotAfter
	anchor := found[len(found)-1]
	v.anchor = sha256.Sum256(anchor.Raw)
	v.issuer, _ = distinguished(anchor.RawSubject) // x509 has read it before
	if v.issuer == "" {
		v.issuer = "pin:" + pinOf(anchor)
	}
	whole := slices.Concat(found, above)
	for i, cert := range whole[:len(whole)-1] {
		by := whole[i+1]
		v.links = append(v.links, link{revocation.SignerOf(by), by.Subject.String(), revocation.SerialOf(cert), revocation.NewLink(cert, by)})
		v.authorities = append(v.authorities, pinOf(by))
	}
	v.attributes = map[string]any{
		"dns": v.names.dns, "uri": v.names.uri, "subject": v.names.subject,
		"serial": found[0].SerialNumber.Text(16), "fingerprint": v.names.fingerprint,
	}
}
