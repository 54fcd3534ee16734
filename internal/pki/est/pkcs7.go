package est

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxCertificates bounds what a message holds.
const maxCertificates = 16

var (
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidData       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
)

// contentInfo and signedData are those of RFC 5652 §3 and §5.1, as far as a message that
// holds nothing but certificates needs them (RFC 7030 §4.1.3).
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version      int
	Digests      asn1.RawValue
	Content      struct{ Type asn1.ObjectIdentifier }
	Certificates asn1.RawValue
	Signers      asn1.RawValue
}

// emptySet is a SET of nothing.
func emptySet() asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true}
}

// encodeCerts writes certificates as a certs-only message.
func encodeCerts(certificates []*x509.Certificate) ([]byte, error) {
	var all []byte
	for _, c := range certificates {
		all = append(all, c.Raw...)
	}
	data := signedData{
		Version: 1, Digests: emptySet(), Signers: emptySet(),
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: all},
	}
	data.Content.Type = oidData
	inner, err := asn1.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode certificates: %w", err)
	}
	outer, err := asn1.Marshal(contentInfo{oidSignedData, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}})
	if err != nil {
		return nil, fmt.Errorf("encode certificates: %w", err)
	}
	return outer, nil
}

// decodeCerts reads a certs-only message, strictly: nothing but certificates is in it.
func decodeCerts(der []byte) ([]*x509.Certificate, error) {
	var outer contentInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidSignedData) {
		return nil, errors.New("the message is no signed data (RFC 5652 §5)")
	}
	var data struct {
		Version      int
		Digests      asn1.RawValue
		Content      asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Lists        asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue
	}
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil || len(rest) > 0 {
		return nil, errors.New("the message is no signed data (RFC 5652 §5)")
	}
	if len(data.Signers.Bytes) > 0 || len(data.Lists.Bytes) > 0 {
		return nil, errors.New("the message holds more than certificates")
	}
	found, err := x509.ParseCertificates(data.Certificates.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	if len(found) == 0 || len(found) > maxCertificates {
		return nil, fmt.Errorf("the message holds %d certificates, want 1 to %d", len(found), maxCertificates)
	}
	return found, nil
}

// encode64 writes bytes as the protocol has them: base64 in lines (RFC 8951 §3.1).
func encode64(der []byte) []byte {
	text := base64.StdEncoding.EncodeToString(der)
	var b strings.Builder
	for len(text) > 64 {
		b.WriteString(text[:64] + "\r\n")
		text = text[64:]
	}
	b.WriteString(text + "\r\n")
	return []byte(b.String())
}

// decode64 reads base64, in lines or not; DER and PEM are taken as they are.
func decode64(text []byte) ([]byte, error) {
	plain := strings.NewReplacer("\r", "", "\n", "", " ", "", "\t", "").Replace(string(text))
	der, err := base64.StdEncoding.DecodeString(plain)
	if err != nil {
		return nil, errors.New("the body is no base64")
	}
	return der, nil
}
