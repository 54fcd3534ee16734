package revocation

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// List is a revocation list (RFC 5280 §5). Immutable.
type List struct {
	From, Until time.Time // thisUpdate, nextUpdate
	Number      *big.Int  // never nil

	head    *x509.RevocationList
	scope   scope
	revoked serials
}

// ParseList reads a revocation list in DER. Its signature is not looked at: see
// [List.SignedBy]. Lists that are no whole word of one authority about its certificates are
// refused: deltas, indirect ones, those about some reasons only.
//
// The standard library reads everything but the entries, which may be a million: they are
// read one by one into what is searched later.
func ParseList(der []byte) (*List, error) {
	parts, err := split(der)
	if err != nil {
		return nil, err
	}
	head, err := x509.ParseRevocationList(parts.headDER)
	if err != nil {
		return nil, err
	}
	head.RawTBSRevocationList, head.Raw = parts.tbs, nil
	l := &List{From: head.ThisUpdate, Until: head.NextUpdate, Number: head.Number, head: head}
	if l.Number == nil {
		l.Number = new(big.Int)
	}
	if l.scope, err = scopeOf(head); err != nil {
		return nil, err
	}
	switch {
	case head.NextUpdate.IsZero():
		return nil, errors.New("it does not say when the next one comes, so that nobody can tell whether it is old")
	case Weak(head.SignatureAlgorithm):
		return nil, fmt.Errorf("it is signed with %s", head.SignatureAlgorithm)
	}
	l.revoked, err = readEntries(parts.entries)
	return l, err
}

// Issuer is the name of the authority, DER.
func (l *List) Issuer() []byte { return l.head.RawIssuer }

// IssuerName is the name of the authority for people.
func (l *List) IssuerName() string { return l.head.Issuer.String() }

// Len is the number of certificates that are revoked.
func (l *List) Len() int { return len(l.revoked) }

// SignedBy returns why the list is not the authority's, nil if it is.
func (l *List) SignedBy(ca *x509.Certificate) error { return l.head.CheckSignatureFrom(ca) }

// Whole reports whether the list speaks for all certificates of its authority.
func (l *List) Whole() bool { return l.scope == scope{} }

// RevokedAt returns when the certificate with a serial number was revoked.
func (l *List) RevokedAt(serial *Serial) (time.Time, bool) {
	return l.revoked.find(serial)
}

// After reports whether the list is later than another one of the same authority: of two of
// the same moment, the one with the higher number (RFC 5280 §5.2.3).
func (l *List) After(other *List) bool {
	if !l.From.Equal(other.From) {
		return l.From.After(other.From)
	}
	return l.Number.Cmp(other.Number) > 0
}

// InForce reports whether the list is good at a moment.
func (l *List) InForce(now time.Time) bool { return !now.Before(l.From) && now.Before(l.Until) }

// Weak reports whether a signature algorithm proves nothing any more, or is not known.
func Weak(a x509.SignatureAlgorithm) bool {
	return !slices.Contains([]x509.SignatureAlgorithm{
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519,
	}, a)
}

// parts are those of a list in DER.
type parts struct {
	tbs     []byte // what is signed
	entries cryptobyte.String
	headDER []byte // the list without its entries
}

var errList = errors.New("it is no revocation list in DER (RFC 5280 §5.1)")

// split takes the entries out of a list.
func split(der []byte) (p parts, err error) {
	input := cryptobyte.String(der)
	var outer, tbs, body, algorithm, signature cryptobyte.String
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!outer.ReadASN1Element(&signature, cbasn1.BIT_STRING) || !outer.Empty() {
		return p, errList
	}
	p.tbs = tbs
	if !tbs.ReadASN1(&body, cbasn1.SEQUENCE) {
		return p, errList
	}
	var before, element cryptobyte.String // version?, signature, issuer, thisUpdate, nextUpdate?
	sequences := 0
	extensions := cbasn1.Tag(0).ContextSpecific().Constructed()
	for !body.Empty() && !body.PeekASN1Tag(extensions) {
		if body.PeekASN1Tag(cbasn1.SEQUENCE) {
			sequences++
		}
		if sequences == 3 { // after those of the algorithm and the name
			if !body.ReadASN1(&p.entries, cbasn1.SEQUENCE) || !body.Empty() && !body.PeekASN1Tag(extensions) {
				return p, errList
			}
			break
		}
		var tag cbasn1.Tag
		if !body.ReadAnyASN1Element(&element, &tag) {
			return p, errList
		}
		before = append(before, element...)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			b.AddBytes(body) // the extensions
		})
		b.AddBytes(algorithm)
		b.AddBytes(signature)
	})
	if p.headDER, err = b.Bytes(); err != nil {
		return p, errList
	}
	return p, nil
}

// entrySize is about what an entry takes in DER.
const entrySize = 30

func readEntries(input cryptobyte.String) (all serials, err error) {
	all = make(serials, 0, len(input)/entrySize)
	for !input.Empty() {
		var one cryptobyte.String
		var serial []byte
		var at time.Time
		if !input.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1Integer(&serial) || !readTime(&one, &at) {
			return nil, errList
		}
		number, ok := serialOf(serial)
		if !ok {
			return nil, fmt.Errorf("a serial number in it has %d bytes, at most %d may be (RFC 5280 §4.1.2.2)", len(serial), maxSerial)
		}
		all.add(number, at)
		if err := checkEntry(one); err != nil {
			return nil, err
		}
	}
	all.sort()
	return all, nil
}

func readTime(s *cryptobyte.String, at *time.Time) bool {
	if s.PeekASN1Tag(cbasn1.UTCTime) {
		return s.ReadASN1UTCTime(at)
	}
	return s.ReadASN1GeneralizedTime(at)
}

// checkEntry refuses entries whose critical extensions change what they are about, such as
// the issuer of an indirect list (RFC 5280 §5.3).
func checkEntry(rest cryptobyte.String) error {
	if rest.Empty() {
		return nil
	}
	var extensions cryptobyte.String
	if !rest.ReadASN1(&extensions, cbasn1.SEQUENCE) || !rest.Empty() {
		return errList
	}
	for !extensions.Empty() {
		var one cryptobyte.String
		var id asn1.ObjectIdentifier
		critical := false
		if !extensions.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&id) ||
			one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) {
			return errList
		}
		if critical {
			return fmt.Errorf("an entry has the critical extension %s", id)
		}
	}
	return nil
}
