package mtls

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

// Headers of RFC 9440.
const (
	certHeader  = "Client-Cert"
	chainHeader = "Client-Cert-Chain"
)

// maxEncoded is the longest value of either header, in bytes: 64 KiB of DER as
// base64, with room for separators.
const maxEncoded = maxChainBytes/3*4 + 4*maxChain + 64

// Terminators returns what finds the caller's certificates behind a proxy that
// ends TLS and hands them on as the headers Client-Cert and Client-Cert-Chain
// (RFC 9440). The proxy's word counts only on a connection on which it presents a
// client certificate of pool itself; pool must sign for terminators only, because
// whoever holds such a certificate can name any caller.
//
// For such a connection ok is true, and the certificates are what the headers
// say: none, if the caller had none. Any other caller's headers are worth
// nothing: ok is false, and the gateway removes them. The error is a
// [*shield.Refusal] for headers that are not exactly as the standard has them.
// The function is safe for concurrent use; now tells the time for the proxy's
// certificate.
func Terminators(pool *x509.CertPool, now func() time.Time) func(*http.Request) (chain []*x509.Certificate, ok bool, err error) {
	t := &terminators{trust: &trust{pool: pool}, now: now, recent: newRecent[period]()}
	return t.presented
}

type terminators struct {
	trust  *trust
	now    func() time.Time
	recent *recent[period]
}

// period is when the chain of a terminator is in force.
type period struct{ from, until time.Time }

func (t *terminators) presented(r *http.Request) ([]*x509.Certificate, bool, error) {
	if !t.vouches(r) {
		return nil, false, nil
	}
	chain, err := readHeaders(r.Header)
	return chain, err == nil, err
}

// vouches reports whether the peer of the connection is a terminator.
func (t *terminators) vouches(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return false
	}
	peer, now := r.TLS.PeerCertificates, t.now()
	if p := t.recent.find(peer); p != nil && !now.Before(p.from) && now.Before(p.until) {
		return true
	}
	if checkBounds(peer) != nil {
		return false
	}
	found, err := t.trust.verify(peer, now)
	if err != nil {
		return false
	}
	from, until := found.window()
	t.recent.put(peer, &period{from, until})
	return now.Before(until)
}

func readHeaders(h http.Header) ([]*x509.Certificate, error) {
	leaf, err := shield.Single(h, certHeader)
	if err != nil {
		if len(h[certHeader]) == 0 && len(h[chainHeader]) == 0 {
			return nil, nil // the caller had no certificate
		}
		return nil, malformed("%s stands %d times beside %s", certHeader, len(h[certHeader]), chainHeader)
	}
	cert, err := parseItem(leaf)
	if err != nil {
		return nil, malformed("%s: %v", certHeader, err)
	}
	rest, err := parseList(strings.Join(h[chainHeader], ","), len(h[chainHeader]) > 0)
	if err != nil {
		return nil, malformed("%s: %v", chainHeader, err)
	}
	return append([]*x509.Certificate{cert}, rest...), nil
}

func malformed(format string, args ...any) error {
	return shield.Refuse(shield.MalformedCredential, format, args...)
}

// parseList reads a list of byte sequences (RFC 9651 §4.2.1), of which there must
// be at least one if the header is there: an empty one is not sent (§3.1).
func parseList(value string, there bool) ([]*x509.Certificate, error) {
	if !there {
		return nil, nil
	}
	if len(value) > maxEncoded {
		return nil, fmt.Errorf("it is longer than %d bytes", maxEncoded)
	}
	if members := strings.Count(value, ",") + 1; members > maxChain-1 {
		return nil, fmt.Errorf("it holds %d certificates, at most %d are read", members, maxChain-1)
	}
	var list []*x509.Certificate
	for i, member := range strings.Split(value, ",") {
		cert, err := parseItem(strings.Trim(member, " \t"))
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		list = append(list, cert)
	}
	return list, nil
}

// parseItem reads one byte sequence (RFC 9651 §3.3.5): base64 between colons,
// with its padding, without parameters.
func parseItem(value string) (*x509.Certificate, error) {
	if len(value) > maxEncoded {
		return nil, fmt.Errorf("it is longer than %d bytes", maxEncoded)
	}
	if len(value) < 3 || value[0] != ':' || value[len(value)-1] != ':' || strings.ContainsAny(value, "\r\n") {
		return nil, fmt.Errorf("it is no byte sequence: want base64 between colons")
	}
	der, err := base64.StdEncoding.Strict().DecodeString(value[1 : len(value)-1])
	if err != nil {
		return nil, fmt.Errorf("it is no byte sequence: the base64 is not canonical")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("it is no certificate: %w", err)
	}
	return cert, nil
}

// ClientCertHeader returns the value of the header Client-Cert for a certificate,
// to hand it on to an upstream (RFC 9440 §2.2).
func ClientCertHeader(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}
