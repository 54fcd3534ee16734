package protocol_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/authserver"
	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/keys"
	"pavise.dev/pavise/internal/authserver/people"
	"pavise.dev/pavise/internal/authserver/protocol"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/dpop"
	"pavise.dev/pavise/internal/once"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// world is a server with its stores in memory, and people who do as they are told.
type world struct {
	t      *testing.T
	server *httptest.Server
	ring   *keys.Ring
	grants *grants.Store
	tries  *limit.Lockout

	mu      sync.Mutex
	now     time.Time // that grants and the server see; the library reads the real clock
	clients map[string]*protocol.Client
	people  people.Answer
	asked   []people.Asked
	events  []protocol.Event
	faults  []protocol.Fault
	revoked map[string]bool // token ids and families
	away    bool            // no store answers
}

const goodSecret = "planted-secret-of-shop"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Now(), revoked: map[string]bool{}, clients: map[string]*protocol.Client{}}
	w.people = people.Answer{State: people.Granted, Person: people.Person{
		Subject: "person-1", Username: "ann", Name: "Ann", Email: "ann@example.com", EmailVerified: true, AuthTime: w.now, ACR: people.ACROne, AMR: []string{"pwd"},
	}}
	verify := func(secret string) bool { return secret == goodSecret }
	all := []string{protocol.ClientCredentials, protocol.AuthorizationCode, protocol.RefreshToken, protocol.DeviceCode}
	w.clients["shop"] = &protocol.Client{
		ID: "shop", Name: "Shop", Auth: protocol.AuthBasic, Verify: verify, Grants: all,
		Redirects: []string{"https://shop.example/cb"}, Scopes: []string{"orders:read", "orders:write"},
	}
	w.clients["other"] = &protocol.Client{
		ID: "other", Auth: protocol.AuthPost, Verify: verify, Grants: all, Redirects: []string{"https://other.example/cb"}, Scopes: []string{"orders:read"},
	}
	w.clients["app"] = &protocol.Client{
		ID: "app", Auth: protocol.AuthNone, Native: true, Grants: []string{protocol.AuthorizationCode, protocol.RefreshToken},
		Redirects: []string{"http://127.0.0.1/cb"}, Scopes: []string{"orders:read"},
	}
	w.clients["orders"] = &protocol.Client{
		ID: "orders", Auth: protocol.AuthBasic, Verify: verify, Grants: []string{protocol.TokenExchange}, Scopes: []string{"orders:read", "pay"}, APIs: []string{"orders"},
	}
	w.clients["pay"] = &protocol.Client{
		ID: "pay", Auth: protocol.AuthBasic, Verify: verify, Grants: []string{protocol.TokenExchange}, Scopes: []string{"orders:read", "pay"}, APIs: []string{"pay"},
	}
	w.clients["opaque"] = &protocol.Client{
		ID: "opaque", Auth: protocol.AuthBasic, Verify: verify, Grants: all, Redirects: []string{"https://opaque.example/cb"}, Scopes: []string{"orders:read"}, Opaque: true,
	}
	w.start()
	return w
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) start() {
	t := w.t
	master, err := seal.NewMaster(slices.Repeat([]byte{7}, 32))
	must(t, err)
	registry, err := client.OpenRegistry(t.Context(), client.Options{Store: memory.New(), Master: master})
	must(t, err)
	w.ring, err = keys.Open(t.Context(), keys.Options{
		Records: registry.Records(), Algorithm: "ES256", Now: w.Now, Rotate: 48 * time.Hour, Publish: time.Hour, Retain: time.Hour,
	})
	must(t, err)
	revoke := func(_ context.Context, g *grants.Grant, _ string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.revoked[g.ID] = true
		return nil
	}
	w.grants, err = grants.New(grants.Options{Records: flaky{registry.Records(), w}, Now: w.Now, Revoked: revoke})
	must(t, err)
	w.tries, err = limit.NewLockout(limit.LockoutOptions{Now: w.Now})
	must(t, err)
	used, err := once.NewMemory(once.Options{Now: w.Now, First: true})
	must(t, err)
	mux := http.NewServeMux()
	w.server = httptest.NewUnstartedServer(mux)
	w.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	w.server.StartTLS()
	w.server.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(w.server.Close)
	s, err := protocol.New(protocol.Options{
		Issuer: w.server.URL, AccessToken: 5 * time.Minute, RefreshToken: 24 * time.Hour, RefreshIdle: time.Hour,
		Scopes: []protocol.Scope{{"orders:read", "See your orders"}, {"orders:write", "Order for you"}, {"pay", "Pay"}},
		APIs: []protocol.API{
			{Name: "orders", Resource: "https://orders.example", Scopes: []string{"orders:read", "orders:write"}},
			{Name: "orders", Resource: "https://orders-too.example", Scopes: []string{"orders:read", "orders:write"}},
			{Name: "pay", Resource: "https://pay.example", Scopes: []string{"pay"}},
			{Name: "open", Resource: "https://open.example"},
		},
		Clients: w, Grants: w.grants, Keys: ringKeys{w.ring}, People: w, Once: flakyOnce{used, w}, Tokens: w, Tries: w.tries, RevokeOwn: revoke,
		Mutual: protocol.Mutual{Host: w.server.URL, Trust: func(chain []*x509.Certificate) error {
			if chain[0].Issuer.CommonName != "Good CA" {
				return errors.New("of another CA")
			}
			return nil
		}},
		Proofs: authserver.Proofs{Verifier: &dpop.Verifier{Now: w.Now, Nonces: dpop.NewNonces([]byte("key"), "server")}},
		Fetch:  func() *http.Client { t.Error("something was fetched"); return http.DefaultClient }, Now: w.Now, Random: random,
		Record:  func(_ context.Context, e protocol.Event) { w.mu.Lock(); w.events = append(w.events, e); w.mu.Unlock() },
		Decline: func(_ *http.Request, f *protocol.Fault) { w.mu.Lock(); w.faults = append(w.faults, *f); w.mu.Unlock() },
	})
	must(t, err)
	for _, e := range s.Endpoints() {
		mux.Handle(e.Pattern, e.Handler)
	}
}

// flaky are records that answer until the world says that they are away.
type flaky struct {
	*client.Records
	w *world
}

var errAway = errors.New("the disk is away")

func (w *world) isAway() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away {
		return errAway
	}
	return nil
}

func (f flaky) Get(ctx context.Context, table, id string) (client.Record, error) {
	if err := f.w.isAway(); err != nil {
		return client.Record{}, err
	}
	return f.Records.Get(ctx, table, id)
}

func (f flaky) Write(ctx context.Context, records ...client.Record) error {
	if err := f.w.isAway(); err != nil {
		return err
	}
	return f.Records.Write(ctx, records...)
}

type flakyOnce struct {
	*once.Memory
	w *world
}

func (f flakyOnce) Consume(ctx context.Context, claims []shield.Once) error {
	if err := f.w.isAway(); err != nil {
		return err
	}
	return f.Memory.Consume(ctx, claims)
}

type ringKeys struct{ *keys.Ring }

func (k ringKeys) Public() (all []protocol.PublicKey) {
	for _, key := range k.All() {
		all = append(all, protocol.PublicKey{ID: key.ID, Algorithm: key.Algorithm, Key: key.Public})
	}
	return all
}

func (k ringKeys) Current() (string, string, crypto.Signer) { return k.Ring.Current() }

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Client implements protocol.Clients.
func (w *world) Client(_ context.Context, id string, _ netip.Addr) (*protocol.Client, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.clients[id]; ok {
		return c, nil
	}
	return nil, protocol.ErrNoClient
}

// Stands implements protocol.Clients.
func (w *world) Stands(ctx context.Context, id string) (bool, error) {
	_, err := w.Client(ctx, id, netip.Addr{})
	return err == nil, nil
}

// Token implements protocol.TokenReader.
func (w *world) Token(_, _, id string, _ time.Time) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.revoked[id], nil
}

// Ask implements protocol.People.
func (w *world) Ask(rw http.ResponseWriter, r *http.Request, a people.Asked) (people.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, a)
	if w.people.State == people.Pending && r.Method == http.MethodGet {
		rw.Header().Set("Content-Type", "text/html")
		_, err := io.WriteString(rw, "page "+a.Action)
		return people.Answer{State: people.Pending}, err
	}
	answer := w.people
	if answer.State == people.Pending {
		answer.State = people.Granted
	}
	for _, scope := range a.Scopes {
		answer.Scopes = append(answer.Scopes, scope.Name)
	}
	return answer, nil
}

// DevicePrompt implements protocol.People.
func (w *world) DevicePrompt(rw http.ResponseWriter, _ *http.Request, wrong bool) error {
	_, err := io.WriteString(rw, map[bool]string{true: "wrong code", false: "type the code"}[wrong])
	return err
}

// DeviceCode implements protocol.People.
func (w *world) DeviceCode(_ http.ResponseWriter, r *http.Request) (string, bool, error) {
	return r.PostFormValue("user_code"), true, nil
}

// DeviceDone implements protocol.People.
func (w *world) DeviceDone(rw http.ResponseWriter, _ *http.Request, granted bool) error {
	_, err := io.WriteString(rw, map[bool]string{true: "connected", false: "refused"}[granted])
	return err
}

// ErrorPage implements protocol.People.
func (w *world) AskSignOut(http.ResponseWriter, *http.Request, string, string) (bool, error) {
	return true, nil
}

func (w *world) SignedOut(rw http.ResponseWriter, _ *http.Request) error {
	_, err := io.WriteString(rw, "signed out")
	return err
}

func (w *world) ErrorPage(rw http.ResponseWriter, _ *http.Request, status int, code, text, _ string) error {
	rw.Header().Set("Content-Type", "text/html")
	rw.WriteHeader(status)
	_, err := io.WriteString(rw, "error page: "+code)
	return err
}

// answer is what came back.
type answer struct {
	status   int
	header   http.Header
	text     string
	json     map[string]any
	location *url.URL
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	response, err := w.server.Client().Do(r)
	must(w.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(w.t, err)
	a := answer{status: response.StatusCode, header: response.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.json) // a page is none
	a.location, err = response.Location()
	if errors.Is(err, http.ErrNoLocation) {
		a.location = nil
	}
	return a
}

// post sends a form as a client: "shop" authenticates by Basic, others as they are
// registered.
func (w *world) post(id, path string, form url.Values) answer {
	w.t.Helper()
	form = url.Values(http.Header(form).Clone())
	if form == nil {
		form = url.Values{}
	}
	c := w.clients[id]
	if c != nil && c.Auth == protocol.AuthPost {
		form.Set("client_secret", goodSecret)
	}
	if c != nil && c.Auth != protocol.AuthBasic {
		form.Set("client_id", id)
	}
	r, err := http.NewRequest(http.MethodPost, w.server.URL+path, strings.NewReader(form.Encode()))
	must(w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c != nil && c.Auth == protocol.AuthBasic {
		r.SetBasicAuth(id, goodSecret)
	}
	return w.do(r)
}

func (w *world) get(path string, query url.Values) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.server.URL+path+"?"+query.Encode(), nil)
	must(w.t, err)
	return w.do(r)
}

const verifier = "a-verifier-of-forty-three-characters-or-more-1"

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// asking is a good authorization request of a client.
func (w *world) asking(id string) url.Values {
	return url.Values{
		"client_id": {id}, "response_type": {"code"}, "redirect_uri": {w.clients[id].Redirects[0]}, "scope": {"orders:read"},
		"state": {"s1"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}
}

// code gets an authorization code.
func (w *world) code(id string, change ...func(url.Values)) string {
	w.t.Helper()
	query := w.asking(id)
	for _, c := range change {
		c(query)
	}
	a := w.get("/authorize", query)
	if a.location == nil || a.location.Query().Get("code") == "" {
		w.t.Fatalf("authorize: %d, %v, %s", a.status, a.location, a.text)
	}
	return a.location.Query().Get("code")
}

func (w *world) redeeming(id, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.clients[id].Redirects[0]}, "code_verifier": {verifier}}
}

// claims are those of a JWT, unverified.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %q", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	all := map[string]any{}
	must(t, json.Unmarshal(text, &all))
	return all
}

func (a answer) token(t *testing.T) string {
	t.Helper()
	token, ok := a.json["access_token"].(string)
	if !ok {
		t.Fatalf("no access token: %d %s", a.status, a.text)
	}
	return token
}

func (a answer) refused(t *testing.T, what string, status int, codes ...string) {
	t.Helper()
	code, _ := a.json["error"].(string)
	if a.status != status || !slices.Contains(codes, code) {
		t.Errorf("%s: %d %s; want %d %v", what, a.status, a.text, status, codes)
	}
	if a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: Cache-Control %q", what, a.header.Get("Cache-Control"))
	}
}
