package revocation_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"pavise.dev/pavise/internal/revocation"
)

const (
	responder = "http://ocsp.example"
	point     = "http://crl.example/ca.crl"
)

// world is an authority, whoever speaks for it, and the way there.
type world struct {
	testing.TB
	ca *authority

	mu     sync.Mutex
	now    time.Time
	pages  map[string][]byte
	asked  map[string]int // by host
	broken error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), pages: map[string][]byte{}, asked: map[string]int{}}
	w.ca = newAuthority(t, w.now, "Partners", nil)
	return w
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) forward(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// Get implements revocation.Fetcher.
func (w *world) Get(ctx context.Context, address string, limit int64) ([]byte, http.Header, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	w.asked[u.Host]++
	switch {
	case ctx.Err() != nil:
		return nil, nil, ctx.Err()
	case w.broken != nil:
		return nil, nil, w.broken
	}
	page, ok := w.pages[address]
	if !ok && strings.HasPrefix(address, responder+"/") {
		page, ok = w.pages[responder]
	}
	if !ok || int64(len(page)) > limit {
		return nil, nil, errors.New("no such page, or too long")
	}
	return page, nil, nil
}

func (w *world) put(address string, page []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[address] = page
}

func (w *world) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = err
}

func (w *world) times(host string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[host]
}

func (w *world) checker(change ...func(*revocation.Settings)) *revocation.Checker {
	w.Helper()
	s := revocation.Settings{Fetch: w, Now: w.Now}
	for _, f := range change {
		f(&s)
	}
	c, err := revocation.New(s)
	must(w, err)
	return c
}

func only(source string) func(*revocation.Settings) {
	return func(s *revocation.Settings) { s.Ask = []string{source} }
}

// want asks about a certificate: "good", "revoked", or a part of why nobody can say.
func (w *world) want(what string, c *revocation.Checker, leaf *x509.Certificate, want string, staple ...byte) {
	w.Helper()
	at, err := c.RevokedAt(w.Context(), revocation.NewLink(leaf, w.ca.cert), staple)
	got := "good"
	switch {
	case err != nil:
		got = err.Error()
	case !at.IsZero():
		got = "revoked"
	}
	if got != want && (err == nil || want == "good" || want == "revoked" || !strings.Contains(got, want)) {
		w.Errorf("%s: %s; want %s", what, got, want)
	}
}

// authority signs certificates, lists and answers.
type authority struct {
	testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(t testing.TB, now time.Time, name string, by *authority) *authority {
	t.Helper()
	a := &authority{TB: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: number(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if by == nil {
		by = &authority{cert: template, key: a.key}
	}
	a.cert = certify(t, template, by, a.key.Public())
	return a
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func number() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it does not fail
	b[0] |= 0x40
	return new(big.Int).SetBytes(b[:])
}

func certify(t testing.TB, template *x509.Certificate, by *authority, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key, by.key)
	must(t, err)
	c, err := x509.ParseCertificate(der)
	must(t, err)
	return c
}

// leaf returns a certificate that names responder and distribution point.
func (a *authority) leaf(change ...func(*x509.Certificate)) *x509.Certificate {
	a.Helper()
	c, _ := a.pair(change...)
	return c
}

func (a *authority) pair(change ...func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	a.Helper()
	template := &x509.Certificate{
		SerialNumber: number(), Subject: pkix.Name{CommonName: "pay"}, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		OCSPServer: []string{responder}, CRLDistributionPoints: []string{point}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, f := range change {
		f(template)
	}
	key := newKey(a.TB)
	return certify(a.TB, template, a, key.Public()), key
}

// list signs a revocation list.
func (a *authority) list(number int64, from time.Time, life time.Duration, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	a.Helper()
	t := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: from, NextUpdate: from.Add(life)}
	for _, c := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: from})
	}
	if change != nil {
		change(t)
	}
	der, err := x509.CreateRevocationList(rand.Reader, t, a.cert, a.key)
	must(a, err)
	return der
}

// answer signs an OCSP answer about a certificate.
func (a *authority) answer(c *x509.Certificate, status int, from time.Time, life time.Duration, change ...func(*ocsp.Response)) []byte {
	a.Helper()
	return answerBy(a, a.cert, a, c, status, from, life, change...)
}

func answerBy(t testing.TB, signer *x509.Certificate, key *authority, c *x509.Certificate, status int, from time.Time, life time.Duration, change ...func(*ocsp.Response)) []byte {
	t.Helper()
	r := ocsp.Response{Status: status, SerialNumber: c.SerialNumber, ThisUpdate: from, IssuerHash: crypto.SHA1}
	if life != 0 {
		r.NextUpdate = from.Add(life)
	}
	if status == ocsp.Revoked {
		r.RevokedAt = from
	}
	for _, f := range change {
		f(&r)
	}
	der, err := ocsp.CreateResponse(key.cert, signer, r, key.key)
	must(t, err)
	return der
}

func (w *world) question(leaf *x509.Certificate) string {
	w.Helper()
	der, err := ocsp.CreateRequest(leaf, w.ca.cert, nil)
	must(w, err)
	return responder + "/" + strings.ReplaceAll(url.PathEscape(base64.StdEncoding.EncodeToString(der)), "+", "%2B")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
