package revocation

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// scope says which certificates of its authority a list is about (RFC 5280 §5.2.5). The
// zero value: all of them.
type scope struct {
	points string // addresses, each behind a newline; empty: not said
	users  bool   // only certificates that are no authority's
	cas    bool   // only those of authorities
}

var (
	oidNumber       = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidScope        = asn1.ObjectIdentifier{2, 5, 29, 28} // issuingDistributionPoint
)

// scopeOf reads what a list is about, and refuses one with a critical extension that is not
// understood, such as a delta.
func scopeOf(head *x509.RevocationList) (s scope, err error) {
	for _, e := range head.Extensions {
		switch {
		case e.Id.Equal(oidScope):
			if s, err = readScope(e.Value); err != nil {
				return s, err
			}
		case e.Critical && !e.Id.Equal(oidNumber) && !e.Id.Equal(oidAuthorityKey):
			return s, fmt.Errorf("it has the critical extension %s: only complete lists of one authority can be used", e.Id)
		}
	}
	return s, nil
}

var errScope = errors.New("its issuing distribution point cannot be read (RFC 5280 §5.2.5)")

func readScope(der []byte) (s scope, err error) {
	input := cryptobyte.String(der)
	var body cryptobyte.String
	if !input.ReadASN1(&body, cbasn1.SEQUENCE) || !input.Empty() || body.Empty() {
		return s, errScope
	}
	point := cbasn1.Tag(0).ContextSpecific().Constructed()
	if body.PeekASN1Tag(point) {
		if s.points, err = readPoints(&body, point); err != nil {
			return s, err
		}
	}
	for !body.Empty() {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if !body.ReadAnyASN1(&value, &tag) {
			return s, errScope
		}
		yes := len(value) == 1 && value[0] == 0xff
		switch {
		case tag == cbasn1.Tag(1).ContextSpecific() && yes:
			s.users = true
		case tag == cbasn1.Tag(2).ContextSpecific() && yes:
			s.cas = true
		default:
			return s, errors.New("it is about some reasons only, about certificates of other authorities, or about attributes: only lists of one authority about its certificates can be used")
		}
	}
	if s.users && s.cas {
		return s, errScope
	}
	return s, nil
}

// readPoints reads the addresses of a DistributionPointName.
func readPoints(body *cryptobyte.String, tag cbasn1.Tag) (all string, err error) {
	var outer, names cryptobyte.String
	if !body.ReadASN1(&outer, tag) || !outer.ReadASN1(&names, tag) || !outer.Empty() {
		return "", errScope // relative to a name: nobody uses it
	}
	for !names.Empty() {
		var name cryptobyte.String
		var kind cbasn1.Tag
		if !names.ReadAnyASN1(&name, &kind) {
			return "", errScope
		}
		if kind == cbasn1.Tag(6).ContextSpecific() {
			all += "\n" + string(name)
		}
	}
	if all == "" {
		return "", errors.New("its issuing distribution point has no address")
	}
	return all + "\n", nil
}

// covers returns why a list that was had at an address says nothing about a certificate, nil
// if it does (RFC 5280 §6.3.3, b).
func (s scope) covers(c *x509.Certificate, address string) error {
	switch {
	case s.users && c.IsCA:
		return errors.New("it is about certificates that are no authority's")
	case s.cas && !c.IsCA:
		return errors.New("it is about certificates of authorities")
	case !s.isAt(address):
		return errElsewhere
	}
	return nil
}

var errElsewhere = errors.New("it belongs to another distribution point")

// isAt reports whether a list that was had at an address is the one that belongs there.
func (s scope) isAt(address string) bool {
	return s.points == "" || strings.Contains(s.points, "\n"+address+"\n")
}
