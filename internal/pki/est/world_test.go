package est_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/renewed"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

// world is an authority with a server, and a clock.
type world struct {
	*testing.T
	registry *client.Registry
	pki      *pki.Authority
	tokens   *est.Tokens
	server   *httptest.Server
	root     *x509.Certificate
	fail     error // of issuing
	tries    map[netip.Addr]int

	mu   sync.Mutex
	now  time.Time
	done []client.Change
	told []string // codes of refusals
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
	w := &world{T: t, now: time.Now(), tries: map[netip.Addr]int{}}
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	w.registry, err = client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master, Now: w.Now})
	must(t, err)
	refresh := func(context.Context) error { return nil }
	w.pki, err = pki.Open(t.Context(), pki.Options{Records: w.registry.AuthorityRecords(), Registry: w.registry, Refresh: refresh, Now: w.Now, Rand: rand.Reader})
	must(t, err)
	w.root, err = w.pki.Init(t.Context(), pki.Init{})
	must(t, err)
	for _, id := range []string{"web", "pki"} {
		_, err = w.registry.CreateClient(t.Context(), client.Client{ID: id, Scopes: []string{"orders:read"}})
		must(t, err)
	}
	w.tokens = est.NewTokens(w.registry.AuthorityRecords(), w.Now)
	w.serve(&est.Server{Options: est.Options{
		Authority: failing{w.pki, w}, Tokens: w.tokens, Tries: w, Refresh: refresh,
		Renewing: renewing,
		Done: func(_ *http.Request, c client.Change, by string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			c.Text += " by " + by
			w.done = append(w.done, c)
		},
		Decline: func(_ *http.Request, _ int, code, _ string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, code)
		},
	}})
	return w
}

// serve listens with a certificate of the authority's own.
func (w *world) serve(s *est.Server) {
	w.server = httptest.NewUnstartedServer(handler(s))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.T, err)
	issued, _, err := w.pki.Issue(w.Context(), pki.Request{Client: "pki", Profile: "server", Names: pki.Names{"ip:127.0.0.1"}}, &pki.SigningRequest{Key: key.Public()})
	must(w.T, err)
	pair, err := renewed.Pair(issued.Chain, key)
	must(w.T, err)
	w.server.TLS = &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequestClientCert}
	w.server.StartTLS()
	w.Cleanup(w.server.Close)
}

// handler is the server behind what the guard does: nobody renews without a certificate.
func handler(s *est.Server) http.Handler {
	mux := http.NewServeMux()
	for _, e := range s.Endpoints() {
		mux.HandleFunc(e.Pattern, func(rw http.ResponseWriter, r *http.Request) {
			if e.Mutual && renewing(r) == "" {
				http.Error(rw, "no certificate", http.StatusUnauthorized)
				return
			}
			e.Handler(rw, r)
		})
	}
	return mux
}

func renewing(r *http.Request) string {
	if len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return pki.CredentialID(r.TLS.PeerCertificates[0])
}

// failing is an authority whose store may be full.
type failing struct {
	*pki.Authority
	w *world
}

func (f failing) Issue(ctx context.Context, n pki.Request, csr *pki.SigningRequest) (*pki.Issued, client.Change, error) {
	if f.w.fail != nil {
		return nil, client.Change{}, f.w.fail
	}
	return f.Authority.Issue(ctx, n, csr)
}

// Blocked implements est.Tries.
func (w *world) Blocked(_ string, addr netip.Addr) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tries[addr] >= 10 {
		return time.Minute
	}
	return 0
}

// Wrong implements est.Tries.
func (w *world) Wrong(_ string, addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries[addr]++
}

func (w *world) token(change ...func(*est.Token)) string {
	w.Helper()
	t := est.Token{Client: "web", Profile: "service"}
	for _, f := range change {
		f(&t)
	}
	_, text, err := w.tokens.Make(w.Context(), t, 0, w.root)
	must(w.T, err)
	return text
}

func (w *world) dial(o est.ClientOptions) *est.Client {
	w.Helper()
	o.Server = w.server.URL
	c, err := est.NewClient(w.Context(), o)
	must(w.T, err)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// enrolled is a certificate that was got by a token.
func (w *world) enrolled() *tls.Certificate {
	w.Helper()
	key := newKey(w.T)
	chain, err := w.dial(est.ClientOptions{Token: w.token()}).Obtain(w.Context(), key, nil)
	must(w.T, err)
	pair, err := renewed.Pair(chain, key)
	must(w.T, err)
	return pair
}

func csr(t *testing.T, key *ecdsa.PrivateKey, template *x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	must(t, err)
	return der
}
