package est_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/renewed"
)

func TestTokenGetsTheCertificateThatTheOperatorMeant(t *testing.T) {
	w := newWorld(t)
	token := w.token(func(t *est.Token) {
		t.Names, t.Life, t.Scopes = []string{"dns:web.internal"}, 2*time.Hour, []string{"orders:read"}
	})
	c := w.dial(est.ClientOptions{Token: token})
	key := newKey(t)
	chain, err := c.Obtain(t.Context(), key, nil)
	must(t, err)
	leaf := chain[0]
	if !slices.Equal(leaf.DNSNames, []string{"web.internal"}) || leaf.NotAfter.Sub(w.Now()).Round(time.Minute) != 2*time.Hour || len(chain) != 2 {
		t.Errorf("%v until %s, %d certificates", leaf.DNSNames, leaf.NotAfter, len(chain))
	}
	kept, err := w.registry.Credential(t.Context(), "mtls", pki.CredentialID(leaf))
	if err != nil || kept.Client != "web" || !slices.Equal(kept.Scopes, []string{"orders:read"}) {
		t.Errorf("%+v, %v", kept, err)
	}
	if len(w.done) != 1 || w.done[0].Action != "certificate.issue" || !strings.Contains(w.done[0].Text, "by enrol-") {
		t.Errorf("told %+v", w.done)
	}
	if len(c.Roots()) != 1 || !bytes.Equal(c.Roots()[0].Raw, w.root.Raw) {
		t.Error("the roots are others")
	}
	_, err = c.Obtain(t.Context(), key, nil)
	if refused, ok := errors.AsType[*est.RefusedError](err); !ok || refused.Status != http.StatusUnauthorized {
		t.Errorf("the same token again: %v", err)
	}
}

func TestOneOfFiftyUsesAToken(t *testing.T) {
	attacktest.Rows(t, 85)
	w := newWorld(t)
	c := w.dial(est.ClientOptions{Token: w.token()})
	var got, refused atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			_, err := c.Obtain(context.Background(), newKey(t), nil)
			switch wrong, ok := errors.AsType[*est.RefusedError](err); {
			case err == nil:
				got.Add(1)
			case ok && (wrong.Status == http.StatusUnauthorized || wrong.Status == http.StatusTooManyRequests):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 || refused.Load() != 49 {
		t.Errorf("%d got one, %d were refused", got.Load(), refused.Load())
	}
}

func TestTokensThatAreNotAccepted(t *testing.T) {
	w := newWorld(t)
	good := w.token()
	_, root, _ := strings.Cut(good, ".")
	ended := w.token()
	w.forward(2 * time.Hour)
	withdrawn := w.token()
	all, err := w.tokens.All(t.Context())
	must(t, err)
	if len(all) != 1 {
		t.Fatalf("%d tokens are good", len(all))
	}
	must(t, w.tokens.Withdraw(t.Context(), all[0].ID))
	for name, text := range map[string]string{"ended": ended, "withdrawn": withdrawn, "never made": "pvenr_" + strings.Repeat("A", 43) + "." + root} {
		_, err := w.dial(est.ClientOptions{Token: text}).Obtain(t.Context(), newKey(t), nil)
		refused, ok := errors.AsType[*est.RefusedError](err)
		if !ok || refused.Status != http.StatusUnauthorized || refused.Text != "invalid_credential: the enrolment token is not accepted" {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%s: the token is in the error", name)
		}
	}
	for _, text := range []string{"x", "pvenr_abc", "pvenr_abc.def", good[:len(good)-2]} {
		if _, err := est.NewClient(t.Context(), est.ClientOptions{Server: w.server.URL, Token: text}); err == nil {
			t.Errorf("%q was taken for a token", text)
		}
	}
	if err := w.tokens.Withdraw(t.Context(), "enrol-none"); !errors.Is(err, est.ErrUnknown) {
		t.Errorf("withdrawn: %v", err)
	}
	must(t, w.tokens.Collect(t.Context()))
	for _, life := range []time.Duration{time.Second, 8 * 24 * time.Hour} {
		if _, _, err := w.tokens.Make(t.Context(), est.Token{Client: "web"}, life, w.root); err == nil {
			t.Errorf("a token for %s was made", life)
		}
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	w := newWorld(t)
	for range 12 {
		_, _ = w.post("/simpleenroll", "pvenr_wrong", csr(t, newKey(t), &x509.CertificateRequest{}))
	}
	if status, _ := w.post("/simpleenroll", w.token(), csr(t, newKey(t), &x509.CertificateRequest{})); status != http.StatusTooManyRequests {
		t.Errorf("after ten wrong ones: %d", status)
	}
}

// post sends a signing request with a token.
func (w *world) post(path, token string, der []byte, change ...func(*http.Request)) (int, string) {
	w.Helper()
	r, err := http.NewRequest(http.MethodPost, w.server.URL+est.Path+path, strings.NewReader(base64.StdEncoding.EncodeToString(der)))
	must(w.T, err)
	r.Header.Set("Content-Type", "application/pkcs10")
	if token != "" {
		r.SetBasicAuth("whoever", token)
	}
	for _, f := range change {
		f(r)
	}
	pool := x509.NewCertPool()
	pool.AddCert(w.root)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	answer, err := c.Do(r)
	must(w.T, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	must(w.T, err)
	return answer.StatusCode, string(text)
}

func TestBadRequestsLeaveTheTokenGood(t *testing.T) {
	w := newWorld(t)
	token := w.token()
	key := newKey(t)
	good := csr(t, key, &x509.CertificateRequest{})
	for name, c := range map[string]struct {
		der    []byte
		change func(*http.Request)
		status int
		says   string
	}{
		"another name":     {csr(t, key, &x509.CertificateRequest{DNSNames: []string{"pay.internal"}}), nil, 400, "may not have"},
		"garbage":          {[]byte("garbage"), nil, 400, "cannot be read"},
		"no base64":        {good, func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("!!!")), 3 }, 400, "base64"},
		"another type":     {good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, "application/pkcs10"},
		"too long":         {bytes.Repeat([]byte{'a'}, 40_000), nil, 413, "too long"},
		"no token":         {good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "not accepted"},
		"two headers":      {good, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401, "not accepted"},
		"a bearer of none": {good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401, "not accepted"},
	} {
		var change []func(*http.Request)
		if c.change != nil {
			change = append(change, c.change)
		}
		if status, text := w.post("/simpleenroll", token, c.der, change...); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %q", name, status, text)
		}
	}
	if status, text := w.post("/simpleenroll", "", good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }); status != http.StatusOK {
		t.Errorf("the token is spent, or not taken as bearer: %d %q", status, text)
	}
}

// Scopes that the client has lost since are the caller's trouble, no outage, and cost no
// token: it is good again when the client has them.
func TestTokenForScopesThatTheClientHasNotIsNotSpent(t *testing.T) {
	w := newWorld(t)
	token := w.token(func(t *est.Token) { t.Scopes = []string{"orders:write"} })
	request := csr(t, newKey(t), &x509.CertificateRequest{})
	for range 2 {
		if status, text := w.post("/simpleenroll", token, request); status != http.StatusBadRequest || !strings.Contains(text, "not among those of client web") {
			t.Errorf("%d %q", status, text)
		}
	}
	_, err := w.registry.UpdateClient(t.Context(), "web", "update", func(c *client.Client) error {
		c.Scopes = append(c.Scopes, "orders:write")
		return nil
	})
	must(t, err)
	if status, text := w.post("/simpleenroll", token, request); status != http.StatusOK {
		t.Errorf("the token was spent: %d %q", status, text)
	}
}

// A store that is full says so, and nothing was handed out.
func TestAuthorityThatCannotIssueSaysSo(t *testing.T) {
	w := newWorld(t)
	c := w.dial(est.ClientOptions{Token: w.token()})
	w.fail = client.ErrUnavailable
	_, err := c.Obtain(t.Context(), newKey(t), nil)
	if refused, ok := errors.AsType[*est.RefusedError](err); !ok || refused.Status != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
}

func TestCertificateRenewsItself(t *testing.T) {
	w := newWorld(t)
	first := w.enrolled()
	w.forward(time.Hour)
	c := w.dial(est.ClientOptions{Known: first})
	key := newKey(t)
	chain, err := c.Obtain(t.Context(), key, first)
	must(t, err)
	if !slices.EqualFunc(chain[0].URIs, first.Leaf.URIs, func(a, b *url.URL) bool { return a.String() == b.String() }) {
		t.Errorf("it is called %v now", chain[0].URIs)
	}
	if last := w.done[len(w.done)-1]; last.Action != "certificate.renew" || !strings.Contains(last.Text, pki.CredentialID(first.Leaf)) {
		t.Errorf("told %+v", last)
	}
	_, err = w.registry.Revoke(t.Context(), pki.CredentialID(first.Leaf), "lost")
	must(t, err)
	_, err = c.Obtain(t.Context(), newKey(t), first)
	if refused, ok := errors.AsType[*est.RefusedError](err); !ok || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Text, "revoked") {
		t.Errorf("a revoked one: %v", err)
	}
	second, err := renewed.Pair(chain, key)
	must(t, err)
	if _, err := c.Obtain(t.Context(), newKey(t), second); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if _, err := w.dial(est.ClientOptions{Roots: pool(w.root)}).Obtain(t.Context(), newKey(t), nil); err == nil {
		t.Error("without token and certificate")
	}
}

func pool(all ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range all {
		p.AddCert(c)
	}
	return p
}

// Whoever is in between may send the right root, which is public, beside one of its own.
func TestNobodyInBetweenGetsTheToken(t *testing.T) {
	w := newWorld(t)
	evil := newWorld(t)
	var asked atomic.Int32
	inner := evil.server.Config.Handler
	both := message(t, w, evil)
	evil.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || len(r.TLS.PeerCertificates) > 0 {
			asked.Add(1)
		}
		if strings.HasSuffix(r.URL.Path, "/cacerts") {
			_, _ = rw.Write(both)
			return
		}
		inner.ServeHTTP(rw, r)
	})
	first := w.enrolled()
	for name, o := range map[string]est.ClientOptions{
		"a token": {Token: w.token()}, "a certificate": {Known: first}, "roots": {Roots: pool(w.root)}, "nothing": {},
	} {
		o.Server = evil.server.URL
		c, err := est.NewClient(t.Context(), o)
		if err == nil {
			_, err = c.Obtain(t.Context(), newKey(t), o.Known)
		}
		if err == nil {
			t.Errorf("%s: the wrong server was believed", name)
		}
	}
	if asked.Load() != 0 {
		t.Error("it was sent a credential")
	}
}

// message holds the roots of both, as their servers send them.
func message(t *testing.T, a, b *world) []byte {
	t.Helper()
	one := &est.Server{Options: est.Options{Authority: both{roots: []*x509.Certificate{a.root, b.root}}}}
	recorder := httptest.NewRecorder()
	for _, e := range one.Endpoints() {
		if strings.HasSuffix(e.Pattern, "/cacerts") {
			e.Handler(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
		}
	}
	return recorder.Body.Bytes()
}

type both struct {
	est.Authority
	roots []*x509.Certificate
}

func (b both) Roots() ([]*x509.Certificate, error) { return b.roots, nil }

func (both) Between() ([]*x509.Certificate, error) { return nil, nil }

// A token binds to its root whatever else the machine trusts: a public authority may have
// certified somebody in between. Only who says so believes others about the server, and then
// too it must have the right authority.
func TestTokenBindsToItsRootAlone(t *testing.T) {
	w, evil := newWorld(t), newWorld(t)
	evil.server.TLS.Certificates = []tls.Certificate{systemServer(t)} // which this machine trusts
	both := message(t, w, evil)
	calls := 0
	evil.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch calls++; {
		case r.Header.Get("Authorization") != "":
			t.Error("it was sent the token")
		case calls == 1:
			_, _ = rw.Write(both)
		default:
			_, _ = rw.Write(message(t, evil, evil))
		}
	})
	if _, err := est.NewClient(t.Context(), est.ClientOptions{Server: evil.server.URL, Token: w.token()}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("what the system trusts was believed: %v", err)
	}
	if _, err := est.NewClient(t.Context(), est.ClientOptions{Server: evil.server.URL}); err != nil {
		t.Fatalf("the system does not trust it, and the test shows nothing: %v", err)
	}
	calls = 0
	system, err := x509.SystemCertPool()
	must(t, err)
	if _, err := est.NewClient(t.Context(), est.ClientOptions{Server: evil.server.URL, Token: w.token(), Roots: system}); err == nil || !strings.Contains(err.Error(), "another authority") {
		t.Errorf("a server that is believed, with another authority: %v", err)
	}
}

// Foreign clients take exactly one certificate (RFC 7030 §4.2.3), and build the chain from
// what comes with the roots (§4.1.3).
func TestAnswersAreAsForeignClientsWantThem(t *testing.T) {
	w := newWorld(t)
	_, err := w.pki.Rotate(t.Context(), pki.Rotation{Root: true})
	must(t, err)
	list := func(text string) []*x509.Certificate {
		t.Helper()
		der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", ""))
		must(t, err)
		name := filepath.Join(t.TempDir(), "p7")
		must(t, os.WriteFile(name, der, 0o600))
		out, err := exec.CommandContext(t.Context(), "openssl", "pkcs7", "-inform", "der", "-in", name, "-print_certs").Output()
		must(t, err)
		var all []*x509.Certificate
		for block, rest := pem.Decode(out); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			must(t, err)
			all = append(all, c)
		}
		return all
	}
	status, text := w.post("/simpleenroll", w.token(), csr(t, newKey(t), &x509.CertificateRequest{}))
	if got := list(text); status != http.StatusOK || len(got) != 1 {
		t.Fatalf("%d: %d certificates", status, len(got))
	}
	leaf := list(text)[0]
	r, err := w.server.Client().Get(w.server.URL + est.Path + "/cacerts")
	must(t, err)
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	must(t, err)
	all := list(string(body))
	if len(all) != 5 { // two roots, two issuing authorities, and the new root by the old one
		t.Errorf("cacerts has %d certificates", len(all))
	}
	between := x509.NewCertPool()
	for _, c := range all {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(w.root), Intermediates: between, CurrentTime: w.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("for who trusts the old root alone: %v", err)
	}
	c := w.dial(est.ClientOptions{Token: w.token()})
	chain, err := c.Obtain(t.Context(), newKey(t), nil)
	if err != nil || len(chain) != 3 || len(c.Roots()) != 2 {
		t.Errorf("our client: a chain of %d, %d roots, %v", len(chain), len(c.Roots()), err)
	}
}

func TestServersThatAreNotOne(t *testing.T) {
	w := newWorld(t)
	for _, address := range []string{"http://pki.example.com", "pki.example.com", "https://", "https://u@pki.example.com", "https://pki.example.com/x", "https://pki.example.com/?a"} {
		if _, err := est.NewClient(t.Context(), est.ClientOptions{Server: address, Token: w.token()}); err == nil {
			t.Errorf("%s was taken", address)
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"a page":        func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") },
		"a redirect":    func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, w.server.URL, http.StatusFound) },
		"100 MB":        func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(rw, io.LimitReader(zeros{}, 100<<20)) },
		"another error": func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "\x1b[31mno", http.StatusTeapot) },
	} {
		server := httptest.NewTLSServer(answer)
		_, err := est.NewClient(t.Context(), est.ClientOptions{Server: server.URL, Token: w.token()})
		if err == nil || strings.ContainsRune(err.Error(), 0x1b) || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// openssl and curl, which nobody here wrote, enrol and enrol again.
func TestOpenSSLAndCurlEnrol(t *testing.T) {
	for _, name := range []string{"openssl", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed")
		}
	}
	w := newWorld(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), pki.EncodePEM(w.root), 0o600))
	script := `set -e
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl req -new -key key.pem -subj /CN=web -outform der | openssl base64 -e > request.b64
curl -sSf --cacert ca.pem "$SERVER/cacerts" | openssl base64 -d | openssl pkcs7 -inform der -print_certs > roots.pem
curl -sSf --cacert ca.pem -u "web:$TOKEN" -H 'Content-Type: application/pkcs10' --data-binary @request.b64 "$SERVER/simpleenroll" |
  openssl base64 -d | openssl pkcs7 -inform der -print_certs > chain.pem
openssl verify -CAfile ca.pem -untrusted roots.pem chain.pem
openssl x509 -in chain.pem -noout -ext subjectAltName
curl -sSf --cacert ca.pem --cert chain.pem --key key.pem -H 'Content-Type: application/pkcs10' --data-binary @request.b64 "$SERVER/simplereenroll" |
  openssl base64 -d | openssl pkcs7 -inform der -print_certs > next.pem
openssl verify -CAfile ca.pem -untrusted roots.pem next.pem
curl -s --cacert ca.pem -o /dev/null -w 'without: %{http_code}\n' -H 'Content-Type: application/pkcs10' --data-binary @request.b64 "$SERVER/simplereenroll"
`
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script)
	command.Dir = dir
	command.Env = append(os.Environ(), "SERVER="+w.server.URL+est.Path, "TOKEN="+w.token())
	out, err := command.CombinedOutput()
	if err != nil || strings.Count(string(out), ": OK") != 2 || !strings.Contains(string(out), "URI:spiffe://pavise.internal/web") || !strings.Contains(string(out), "without: 401") {
		t.Errorf("%v\n%s", err, out)
	}
}
