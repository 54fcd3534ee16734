package status_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/status"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

// skew is how far lists and answers begin in the past.
const skew = 5 * time.Minute

// world is an authority that is asked about its certificates.
type world struct {
	testing.TB
	registry *client.Registry
	view     *client.View
	pki      *pki.Authority
	status   *status.Server
	server   *httptest.Server

	mu  sync.Mutex
	now time.Time
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) forward(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	must(w.TB, w.view.Refresh(w.Context()))
}

func newWorld(t *testing.T) *world { return newWorldOf(t, pki.Init{}) }

func newWorldOf(t *testing.T, n pki.Init) *world { return newWorldIn(t, n) }

func newWorldIn(t testing.TB, n pki.Init) *world {
	t.Helper()
	w := &world{TB: t, now: time.Now().Truncate(time.Second)} // openssl looks at the real clock
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	w.registry, err = client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: w.Now})
	must(t, err)
	w.view, err = w.registry.View(t.Context(), client.ViewOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, w.view.Close()) })
	w.pki, err = pki.Open(t.Context(), pki.Options{
		Records: w.registry.AuthorityRecords(), Registry: w.registry, Refresh: w.view.Refresh, Now: w.Now, Rand: rand.Reader,
	})
	must(t, err)
	w.start()
	_, err = w.pki.Init(t.Context(), n)
	must(t, err)
	for _, id := range []string{"web", "pay"} {
		_, err := w.registry.CreateClient(t.Context(), client.Client{ID: id})
		must(t, err)
	}
	w.keep()
	return w
}

func (w *world) start() {
	w.status = status.New(status.Options{Authority: w.pki, Records: w.view, Kept: w.registry.AuthorityRecords(), Now: w.Now, Rand: rand.Reader})
	w.server = httptest.NewServer(w.status)
	w.Cleanup(w.server.Close)
	w.pki.SetPolicy(pki.Policy{Status: w.server.URL})
	w.keep()
}

func (w *world) keep() {
	w.Helper()
	must(w.TB, w.view.Refresh(w.Context()))
	must(w.TB, w.status.Keep(w.Context()))
}

func (w *world) issue(id string) *pki.Issued {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.TB, err)
	issued, _, err := w.pki.Issue(w.Context(), pki.Request{Client: id}, &pki.SigningRequest{Key: key.Public()})
	must(w.TB, err)
	must(w.TB, w.view.Refresh(w.Context()))
	return issued
}

func (w *world) revoke(c *pki.Issued) {
	w.Helper()
	_, err := w.registry.Revoke(w.Context(), c.Credential.ID, "lost")
	must(w.TB, err)
	w.keep()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) get(address string) (int, http.Header, []byte) {
	w.Helper()
	r, err := http.Get(address)
	must(w.TB, err)
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	must(w.TB, err)
	return r.StatusCode, r.Header, body
}

// list gets and verifies the list that a certificate names.
func (w *world) list(c *pki.Issued) *x509.RevocationList {
	w.Helper()
	code, header, der := w.get(c.Leaf().CRLDistributionPoints[0])
	if code != http.StatusOK || header.Get("Content-Type") != "application/pkix-crl" {
		w.Fatalf("the list: %d, %v", code, header)
	}
	l, err := x509.ParseRevocationList(der)
	must(w.TB, err)
	must(w.TB, l.CheckSignatureFrom(c.Chain[1]))
	return l
}

func has(l *x509.RevocationList, c *pki.Issued) int {
	for _, e := range l.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(c.Leaf().SerialNumber) == 0 {
			return 1 + e.ReasonCode
		}
	}
	return 0
}

// ask asks by OCSP, as POST.
func (w *world) ask(c *pki.Issued, hash crypto.Hash) *ocsp.Response {
	w.Helper()
	der, err := ocsp.CreateRequest(c.Leaf(), c.Chain[1], &ocsp.RequestOptions{Hash: hash})
	must(w.TB, err)
	r, err := http.Post(c.Leaf().OCSPServer[0], "application/ocsp-request", bytes.NewReader(der))
	must(w.TB, err)
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	must(w.TB, err)
	answer, err := ocsp.ParseResponseForCert(body, c.Leaf(), c.Chain[1])
	must(w.TB, err)
	return answer
}

func TestRevokedCertificatesAreToldToOthers(t *testing.T) {
	attacktest.Rows(t, 77)
	w := newWorld(t)
	good, lost := w.issue("web"), w.issue("pay")
	w.keep()
	for _, c := range []*pki.Issued{good, lost} {
		if has(w.list(c), c) != 0 || w.ask(c, crypto.SHA1).Status != ocsp.Good {
			t.Error("a good certificate is told to be revoked")
		}
	}
	w.forward(time.Minute)
	w.revoke(lost)
	l := w.list(lost)
	if has(l, lost) != 1 || has(l, good) != 0 || len(l.RevokedCertificateEntries) != 1 || !l.RevokedCertificateEntries[0].RevocationTime.Equal(w.Now()) {
		t.Errorf("the list: %+v", l.RevokedCertificateEntries)
	}
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
		if a := w.ask(lost, hash); a.Status != ocsp.Revoked || !a.RevokedAt.Equal(w.Now()) {
			t.Errorf("%s: %d since %s", hash, a.Status, a.RevokedAt)
		}
		if a := w.ask(good, hash); a.Status != ocsp.Good || !a.NextUpdate.After(w.Now()) {
			t.Errorf("%s of a good one: %d", hash, a.Status)
		}
	}
}

// A client that is disabled may come back: its certificates are on hold.
func TestCertificatesOfADisabledClientAreOnHold(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	_, err := w.registry.DisableClient(t.Context(), "web")
	must(t, err)
	w.keep()
	if a := w.ask(c, crypto.SHA1); has(w.list(c), c) != 1+ocsp.CertificateHold || a.Status != ocsp.Revoked || a.RevocationReason != ocsp.CertificateHold {
		t.Errorf("list %d, OCSP %d for reason %d", has(w.list(c), c), a.Status, a.RevocationReason)
	}
	_, err = w.registry.EnableClient(t.Context(), "web")
	must(t, err)
	w.keep()
	if has(w.list(c), c) != 0 || w.ask(c, crypto.SHA1).Status != ocsp.Good {
		t.Error("it stays on hold")
	}
}

func TestListsAreSignedAheadAndNumbersRise(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	w.keep()
	first := w.list(c)
	for range 5 {
		w.keep()
	}
	if again := w.list(c); again.Number.Cmp(first.Number) != 0 {
		t.Errorf("nothing has changed, and number %s follows %s", again.Number, first.Number)
	}
	w.forward(7 * time.Hour)
	w.keep()
	second := w.list(c)
	if second.Number.Cmp(first.Number) <= 0 || !second.NextUpdate.After(w.Now().Add(20*time.Hour)) {
		t.Errorf("after six hours: number %s, until %s", second.Number, second.NextUpdate)
	}
	w.start() // another process
	c = w.issue("web")
	if third := w.list(c); third.Number.Cmp(second.Number) <= 0 {
		t.Errorf("after a restart number %s follows %s", third.Number, second.Number)
	}
}

func TestRetiredAuthorityGoesOnAnswering(t *testing.T) {
	w := newWorld(t)
	old := w.issue("web")
	_, err := w.pki.Rotate(t.Context(), pki.Rotation{})
	must(t, err)
	next := w.issue("web")
	w.revoke(old)
	if has(w.list(old), old) != 1 || has(w.list(next), old) != 0 || w.ask(old, crypto.SHA1).Status != ocsp.Revoked || w.ask(next, crypto.SHA1).Status != ocsp.Good {
		t.Error("the two authorities are confused")
	}
}

func TestRootTellsOfAStolenAuthority(t *testing.T) {
	w := newWorld(t)
	old := w.issue("web")
	_, err := w.pki.Rotate(t.Context(), pki.Rotation{Compromised: true})
	must(t, err)
	w.keep()
	roots, err := w.pki.Roots()
	must(t, err)
	_, _, der := w.get(w.server.URL + pki.PathCRL(roots[0]))
	l, err := x509.ParseRevocationList(der)
	must(t, err)
	must(t, l.CheckSignatureFrom(roots[0]))
	if len(l.RevokedCertificateEntries) != 1 || l.RevokedCertificateEntries[0].SerialNumber.Cmp(old.Chain[1].SerialNumber) != 0 {
		t.Errorf("the root's list: %+v", l.RevokedCertificateEntries)
	}
	request, err := ocsp.CreateRequest(old.Chain[1], roots[0], nil)
	must(t, err)
	_, _, answer := w.get(w.server.URL + pki.PathOCSP + "/" + url.PathEscape(base64.StdEncoding.EncodeToString(request)))
	parsed, err := ocsp.ParseResponseForCert(answer, old.Chain[1], roots[0])
	if err != nil || parsed.Status != ocsp.Revoked {
		t.Errorf("asked about the authority: %v, %v", parsed, err)
	}
	// Who does not know yet goes on asking the stolen authority: its last list names all that
	// it signed, and is good until its end.
	last := w.list(old)
	if has(last, old) != 1 || !last.NextUpdate.Equal(old.Chain[1].NotAfter) {
		t.Errorf("the last list: %+v until %s", last.RevokedCertificateEntries, last.NextUpdate)
	}
	if a := w.ask(old, crypto.SHA1); a.Status != ocsp.Revoked {
		t.Errorf("asked about its certificate: %d", a.Status)
	}
}

func TestQuestionsThatAreNotAnswered(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	stranger := &x509.Certificate{SerialNumber: big.NewInt(4711)}
	unknown, err := ocsp.CreateRequest(stranger, c.Chain[1], nil)
	must(t, err)
	elsewhere := newWorld(t).issue("web")
	foreign, err := ocsp.CreateRequest(elsewhere.Leaf(), elsewhere.Chain[1], nil)
	must(t, err)
	for name, c := range map[string]struct {
		text []byte
		want ocsp.ResponseStatus
	}{
		"a certificate that nobody issued": {unknown, ocsp.Unauthorized},
		"of another authority":             {foreign, ocsp.Unauthorized},
		"garbage":                          {[]byte("\x30\x80garbage"), ocsp.Malformed},
		"nothing":                          {[]byte{0x30, 0}, ocsp.Malformed},
	} {
		r, err := http.Post(w.server.URL+pki.PathOCSP, "application/ocsp-request", bytes.NewReader(c.text))
		must(t, err)
		body, err := io.ReadAll(r.Body)
		must(t, err)
		_ = r.Body.Close()
		_, err = ocsp.ParseResponse(body, nil)
		if refusal, ok := err.(ocsp.ResponseError); !ok || refusal.Status != c.want || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", name, err)
		}
	}
	post := func(kind string, body io.Reader) int {
		r, err := http.Post(w.server.URL+pki.PathOCSP, kind, body)
		must(t, err)
		_ = r.Body.Close()
		return r.StatusCode
	}
	if got := post("text/plain", bytes.NewReader(unknown)); got != http.StatusUnsupportedMediaType {
		t.Errorf("another type: %d", got)
	}
	if got := post("application/ocsp-request", strings.NewReader(strings.Repeat("a", 1<<20))); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a megabyte: %d", got)
	}
	for path, want := range map[string]int{
		"/ocsp": 400, "/ocsp/": 400, "/ocsp/%21": 400, "/ocsp/" + strings.Repeat("A", 4000): 400, "/crl/": 404, "/crl/none.crl": 404, "/crl/../x": 404,
		strings.TrimSuffix(pki.PathCRL(c.Chain[1]), ".crl"): 404,
	} {
		if code, _, _ := w.get(w.server.URL + path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	r, err := http.NewRequest(http.MethodDelete, c.Leaf().CRLDistributionPoints[0], nil)
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", answer.StatusCode)
	}
}

// Whoever asks a thousand times makes the authority sign once.
func TestAnswersAreSignedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	first := w.ask(c, crypto.SHA1)
	for range 100 {
		if again := w.ask(c, crypto.SHA1); !bytes.Equal(again.Signature, first.Signature) {
			t.Fatal("it was signed again")
		}
	}
	w.forward(3 * time.Hour)
	w.keep()
	second := w.ask(c, crypto.SHA1)
	if bytes.Equal(second.Signature, first.Signature) || !second.ThisUpdate.Equal(w.Now().Add(-skew)) {
		t.Error("half over, and not signed again ahead")
	}
	w.forward(30 * time.Hour)
	w.keep() // nobody asked: forgotten
	if third := w.ask(c, crypto.SHA1); !third.ThisUpdate.Equal(w.Now().Add(-skew)) {
		t.Errorf("an old answer of %s", third.ThisUpdate)
	}
}

func TestAnswersMayBeKept(t *testing.T) {
	w := newWorld(t)
	c := w.issue("web")
	w.keep()
	_, header, _ := w.get(c.Leaf().CRLDistributionPoints[0])
	if !strings.Contains(header.Get("Cache-Control"), "max-age=600") || header.Get("ETag") == "" || header.Get("Expires") == "" {
		t.Errorf("%v", header)
	}
	r, err := http.NewRequest(http.MethodGet, c.Leaf().CRLDistributionPoints[0], nil)
	must(t, err)
	r.Header.Set("If-None-Match", header.Get("ETag"))
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNotModified {
		t.Errorf("the same list again: %d", answer.StatusCode)
	}
}

func FuzzOCSPQuestion(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(t *testing.T, text []byte) {
		w := newWorld(t)
		r := httptest.NewRequest(http.MethodPost, pki.PathOCSP, bytes.NewReader(text))
		r.Header.Set("Content-Type", "application/ocsp-request")
		recorder := httptest.NewRecorder()
		w.status.ServeHTTP(recorder, r)
		if recorder.Code == http.StatusOK {
			if _, err := ocsp.ParseResponse(recorder.Body.Bytes(), nil); err == nil {
				t.Error("signed an answer about nothing")
			}
		}
	})
}
