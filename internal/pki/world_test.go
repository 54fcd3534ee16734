package pki_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/secret"
	"pavise.dev/pavise/internal/store/memory"
)

// world is a registry with an authority, and a clock.
type world struct {
	*testing.T
	store    client.Store
	registry *client.Registry
	pki      *pki.Authority

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
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, store: memory.New(), now: time.Date(2026, 11, 24, 12, 0, 0, 500, time.UTC)}
	w.start()
	for _, id := range []string{"web", "pay"} {
		_, err := w.registry.CreateClient(t.Context(), client.Client{ID: id, Scopes: []string{"orders:read", "orders:write"}})
		must(t, err)
	}
	return w
}

// start opens everything, as a process that begins does.
func (w *world) start() {
	w.Helper()
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(w.T, err)
	w.registry, err = client.OpenRegistry(w.Context(), client.Options{Store: w.store, Master: master, Now: w.Now})
	must(w.T, err)
	w.pki, err = pki.Open(w.Context(), w.options())
	must(w.T, err)
}

func (w *world) options() pki.Options {
	return pki.Options{
		Records: w.registry.AuthorityRecords(), Registry: w.registry, Refresh: func(context.Context) error { return nil }, Now: w.Now, Rand: rand.Reader,
	}
}

func (w *world) init(n pki.Init) *x509.Certificate {
	w.Helper()
	root, err := w.pki.Init(w.Context(), n)
	must(w.T, err)
	return root
}

// rootKey is a key for a root that is kept elsewhere.
func rootKey(t *testing.T) secret.Value {
	t.Helper()
	key, err := pki.NewKey("ES256", rand.Reader)
	must(t, err)
	return key
}

func (w *world) issue(n pki.Request) *pki.Issued {
	w.Helper()
	issued, _, err := w.pki.Issue(w.Context(), n, w.csr())
	must(w.T, err)
	return issued
}

func (w *world) csr() *pki.SigningRequest {
	w.Helper()
	r, err := pki.ParseSigningRequest(request(w.T, newKey(w.T), &x509.CertificateRequest{}))
	must(w.T, err)
	return r
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// request is a signing request in PEM.
func request(t *testing.T, key crypto.Signer, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// verify is what somebody does who trusts these roots, and nothing else of ours.
func (w *world) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage, roots ...*x509.Certificate) error {
	trusted, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		trusted.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: trusted, Intermediates: between, CurrentTime: w.Now(), KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(a, b *x509.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) }
