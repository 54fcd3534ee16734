package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/registration"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

const withTokens = `
hosts: {127.0.0.1: {certificate: local, client_certificates: ask}}
oauth: {issuer: https://127.0.0.1:8443}
limits: {wrong_tries: 100000, address: 100000/second}
apis:
  orders:
    host: 127.0.0.1
    upstream: http://127.0.0.1:9
    shield: jwt
    limit: 1000/minute per client
    endpoints:
      GET /health:                {shield: {public: probe}, scopes: any}
      GET /v1/any:                {scopes: any}
      GET /v1/orders/{id}:        {scopes: [orders:read]}
      GET /v1/orders/id:          {scopes: [orders:write]}
      GET /v1/files/{path...}:    {scopes: [orders:read], when: 'context.client.tenant == "acme"'}
      GET /v1/end/{$}:            {scopes: [orders:read]}
      POST /v1/orders:            {scopes: [orders:read, orders:write]}
      PUT /v1/keyed:              {shield: {jwt: {dpop: require}}, scopes: [orders:read]}
      PUT /v1/bound:              {shield: {jwt: {certificate_bound: true}}, scopes: [orders:read]}
      GET /v1/both:               {shield: {all: [jwt, api_key]}, scopes: [orders:read]}
      GET /v1/either:             {shield: {any: [jwt, introspect, api_key]}, scopes: [orders:read]}
      GET /v1/opaque:             {shield: introspect, scopes: [orders:read]}
      GET /v1/key:                {shield: api_key, scopes: [orders:read]}
      GET /v1/fresh:              {shield: {jwt: {max_age: 1h}}, scopes: [orders:read]}
  pay:
    host: 127.0.0.1
    upstream: http://127.0.0.1:9
    shield: jwt
    endpoints: {GET /pay: {scopes: any}}
scopes: {orders:read: See orders, orders:write: Place orders}
`

// someKey is a thumbprint (RFC 7638).
const someKey = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

// tokens is an installation with an authorization server, a client, and what signs.
type tokens struct {
	*App
	now  time.Time
	sent int
}

func withServer(t *testing.T) *tokens {
	t.Helper()
	w := &tokens{now: time.Now()}
	var err error
	w.App, err = Open(t.Context(), write(t, t.TempDir(), withTokens), Options{Library: true, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.register(t, "shop", nil)
	w.register(t, "opaque", map[string]string{"tokens": "opaque"})
	return w
}

func (w *tokens) register(t *testing.T, id string, settings map[string]string) string {
	t.Helper()
	issued, err := registration.Kind().Issue(shield.Env{Rand: rand.Reader}, shield.IssueRequest{Client: id, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.State.Registry.CreateWith(t.Context(), client.Client{ID: id, Scopes: shield.Scopes{"orders:read"}}, client.Credential{Kind: registration.KindName, Settings: settings}, issued)
	if err != nil {
		t.Fatal(err)
	}
	w.refresh(t)
	return issued.Secret
}

func (w *tokens) refresh(t *testing.T) {
	t.Helper()
	if err := w.State.View.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// claims are those of a good token, with changes; nil takes a claim away.
func (w *tokens) claims(changes map[string]any) map[string]any {
	all := map[string]any{
		"iss": "https://127.0.0.1:8443", "sub": "shop", "client_id": "shop", "aud": []string{"orders"}, "scope": "orders:read", "jti": "j-1",
		"grant_id": "g-1", "iat": w.now.Unix(), "exp": w.now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// token signs claims with the server's current key.
func (w *tokens) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	kid, _, key := w.oauth.Keys.Current()
	return sign(t, kid, key.(*ecdsa.PrivateKey), claims)
}

func sign(t *testing.T, kid string, key *ecdsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]string{"alg": "ES256", "typ": "at+jwt", "kid": kid}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// certificate returns a certificate, in PEM too, and its thumbprint.
func certificate(t *testing.T) (cert *x509.Certificate, text, thumbprint string) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), base64.RawURLEncoding.EncodeToString(sum[:])
}

func (w *tokens) look(t *testing.T, q admin.Inspection) admin.Inspected {
	t.Helper()
	found, err := w.Inspect(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func verdictOf(t *testing.T, found admin.Inspected, pattern string) admin.Judged {
	t.Helper()
	for _, j := range found.Endpoints {
		if j.Endpoint == pattern {
			return j
		}
	}
	t.Fatalf("%s was not judged", pattern)
	return admin.Judged{}
}

// send makes the request that an inspection only judges, and returns status and code.
func (w *tokens) send(t *testing.T, j admin.Judged, q admin.Inspection, chain []*x509.Certificate) (int, string) {
	t.Helper()
	method, path, _ := strings.Cut(j.Endpoint, " ")
	path = strings.NewReplacer("{id}", "7", "{path...}", "a/b", "{$}", "").Replace(path)
	r := httptest.NewRequestWithContext(t.Context(), method, "https://127.0.0.1"+path, http.NoBody)
	r.TLS.ServerName, r.TLS.PeerCertificates = "", chain
	w.sent++ // each from a network of its own: none is locked out
	r.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(w.sent >> 8), byte(w.sent), 1}), 1).String()
	scheme := "Bearer "
	if strings.Contains(w.look(t, q).BoundTo, "key ") {
		scheme = "DPoP "
	}
	r.Header.Set("Authorization", scheme+q.Token)
	answer := httptest.NewRecorder()
	w.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(answer, r)
	var problem struct{ Code string }
	_ = json.Unmarshal(answer.Body.Bytes(), &problem) // an accepted request has no problem
	return answer.Code, problem.Code
}

// Whatever the inspection says of an endpoint is what that endpoint answers.
func TestInspectionSaysWhatEachEndpointAnswers(t *testing.T) {
	w := withServer(t)
	cert, text, thumbprint := certificate(t)
	_, other, _ := certificate(t)
	revoked := grants.Grant{ID: "g-revoked", Client: "shop", Subject: "ann", Created: w.now, Ends: w.now.Add(time.Hour), Data: []byte("{}")}
	if err := w.oauth.Grants.Open(t.Context(), &revoked, grants.Key{Kind: grants.Refresh, Secret: "x", Ends: revoked.Ends}); err != nil {
		t.Fatal(err)
	}
	if err := w.oauth.Grants.Revoke(t.Context(), revoked.ID, "for the test"); err != nil {
		t.Fatal(err)
	}
	with := func(changes map[string]any) admin.Inspection {
		return admin.Inspection{Token: w.token(t, w.claims(changes))}
	}
	good := with(nil)
	bound := map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint}}
	for name, test := range map[string]struct {
		q     admin.Inspection
		chain []*x509.Certificate
	}{
		"good":                                {q: good},
		"expired":                             {q: with(map[string]any{"iat": w.now.Unix() - 600, "exp": w.now.Unix() - 300})},
		"not yet":                             {q: with(map[string]any{"nbf": w.now.Unix() + 300})},
		"for another API":                     {q: with(map[string]any{"aud": "pay"})},
		"with no scope":                       {q: with(map[string]any{"scope": nil})},
		"with more than its client":           {q: with(map[string]any{"scope": "orders:read orders:write"})},
		"of a client that is not there":       {q: with(map[string]any{"client_id": "ghost"})},
		"of another issuer":                   {q: with(map[string]any{"iss": "https://elsewhere.example"})},
		"without an issuer":                   {q: with(map[string]any{"iss": nil})},
		"of a grant that is revoked":          {q: with(map[string]any{"grant_id": "g-revoked"})},
		"of no grant":                         {q: with(map[string]any{"grant_id": nil})},
		"signed by nobody that is known":      {q: admin.Inspection{Token: sign(t, "k", newKey(t), w.claims(nil))}},
		"with a signature of something else":  {q: admin.Inspection{Token: good.Token[:len(good.Token)-8] + "AAAAAAAA"}},
		"with a header that cannot be read":   {q: admin.Inspection{Token: "e30x" + good.Token}},
		"opaque, of nobody":                   {q: admin.Inspection{Token: "pvsat_nothing-of-ours"}},
		"bound to a key":                      {q: with(map[string]any{"cnf": map[string]any{"jkt": someKey}})},
		"bound to a certificate":              {q: with(bound)},
		"bound, with the certificate":         {q: admin.Inspection{Token: w.token(t, w.claims(bound)), Certificate: text}, chain: []*x509.Certificate{cert}},
		"bound to what nobody knows":          {q: with(map[string]any{"cnf": map[string]any{"kid": "x"}})},
		"with a sign-in of two hours ago":     {q: with(map[string]any{"auth_time": w.now.Add(-2 * time.Hour).Unix()})},
		"with a sign-in of ten minutes ago":   {q: with(map[string]any{"auth_time": w.now.Add(-10 * time.Minute).Unix()})},
		"longer than any shield reads":        {q: admin.Inspection{Token: strings.Repeat("a", 17<<10)}},
		"with characters that no token has":   {q: admin.Inspection{Token: "a,b"}},
		"encrypted, which no shield can read": {q: admin.Inspection{Token: "a.b.c.d.e"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := w.look(t, test.q)
			if len(found.Endpoints) != 15 {
				t.Fatalf("%d endpoints", len(found.Endpoints))
			}
			for _, j := range found.Endpoints {
				if strings.Contains(j.Endpoint, "/files/") {
					continue // its condition is not judged
				}
				status, code := w.send(t, j, test.q, test.chain)
				if j.Status != status || j.Code != code || (j.Answer == admin.AnswerAccepted) != (status == http.StatusOK) {
					t.Errorf("%s: %s %d %s (%s), and it answers %d %s", j.Endpoint, j.Answer, j.Status, j.Code, j.Why, status, code)
				}
				if j.Answer != admin.AnswerAccepted && j.Answer != admin.AnswerNeeds && (j.Why == "" || j.Remedy == "") {
					t.Errorf("%s: nothing is said to %s", j.Endpoint, j.Code)
				}
			}
		})
	}
	t.Run("another certificate", func(t *testing.T) {
		q := admin.Inspection{Token: w.token(t, w.claims(bound)), Certificate: other}
		if j := verdictOf(t, w.look(t, q), "GET /v1/any"); j.Answer != admin.AnswerRefused || j.Code != string(shield.UnboundCredential) {
			t.Errorf("%+v", j)
		}
	})
}

func TestInspectionSaysWhatElseATokenNeeds(t *testing.T) {
	w := withServer(t)
	_, _, thumbprint := certificate(t)
	plain := w.look(t, admin.Inspection{Token: w.token(t, w.claims(nil))})
	key := w.look(t, admin.Inspection{Token: w.token(t, w.claims(map[string]any{"cnf": map[string]any{"jkt": someKey}}))})
	cert := w.look(t, admin.Inspection{Token: w.token(t, w.claims(map[string]any{"cnf": map[string]any{"x5t#S256": thumbprint}}))})
	for name, test := range map[string]struct {
		found          admin.Inspected
		endpoint       string
		answer         string
		needs, missing string
	}{
		"nothing":                         {plain, "GET /v1/orders/{id}", admin.AnswerAccepted, "", ""},
		"the key of the all":              {plain, "GET /v1/both", admin.AnswerNeeds, "api_key", ""},
		"a proof":                         {key, "PUT /v1/keyed", admin.AnswerNeeds, "a DPoP proof by the key " + someKey, ""},
		"a proof, in vain":                {key, "POST /v1/orders", admin.AnswerRefused, "a DPoP proof by the key " + someKey, "orders:write"},
		"a certificate":                   {cert, "GET /v1/any", admin.AnswerNeeds, "the client certificate " + thumbprint, ""},
		"a certificate, in vain":          {cert, "GET /v1/orders/id", admin.AnswerRefused, "the client certificate " + thumbprint, "orders:write"},
		"to be bound to a certificate":    {key, "PUT /v1/bound", admin.AnswerRefused, "", ""},
		"more scopes":                     {plain, "POST /v1/orders", admin.AnswerRefused, "", "orders:write"},
		"anything but a token":            {plain, "GET /v1/key", admin.AnswerRefused, "", ""},
		"a sign-in":                       {plain, "GET /v1/fresh", admin.AnswerRefused, "", ""},
		"nothing, whatever the condition": {plain, "GET /v1/files/{path...}", admin.AnswerAccepted, "", ""},
	} {
		j := verdictOf(t, test.found, test.endpoint)
		if j.Answer != test.answer || strings.Join(j.Needs, ",") != test.needs || strings.Join(j.Missing, ",") != test.missing {
			t.Errorf("%s: %+v", name, j)
		}
	}
	if j := verdictOf(t, plain, "GET /v1/files/{path...}"); len(j.Unknown) != 2 {
		t.Errorf("condition and rate are not judged, and %v said", j.Unknown)
	}
	if key.BoundTo != "key "+someKey || cert.BoundTo != "certificate "+thumbprint || plain.BoundTo != "" {
		t.Errorf("bound to %q, %q, %q", key.BoundTo, cert.BoundTo, plain.BoundTo)
	}
}

func TestInspectionSaysWhoSignedATokenAndWhen(t *testing.T) {
	w := withServer(t)
	token := w.token(t, w.claims(nil))
	kid, _, _ := w.oauth.Keys.Current()
	signature := func(token string) admin.Signature { return *w.look(t, admin.Inspection{Token: token}).Signature }
	found := w.look(t, admin.Inspection{Token: token})
	if s := found.Signature; !s.Good || s.KeyID != kid || s.Algorithm != "ES256" || s.KeyState != "current" || s.Why != "" {
		t.Errorf("%+v", s)
	}
	if found.Form != "jwt" || found.Issuer.Name != "pavise" || found.IssuedAt.Unix() != w.now.Unix() || found.Expires.Unix() != w.now.Add(5*time.Minute).Unix() || !found.NotBefore.IsZero() {
		t.Errorf("%+v", found)
	}
	text, err := json.Marshal(found)
	if err != nil || strings.Contains(string(text), token) || strings.Contains(string(text), token[strings.LastIndexByte(token, '.')+1:]) {
		t.Errorf("the token is in what is said of it, or %v", err)
	}
	if err := w.oauth.Keys.Rotate(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if s := signature(token); !s.Good || s.KeyState != "previous" {
		t.Errorf("after a rotation: %+v", s)
	}
	if err := w.oauth.Keys.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if s := signature(token); s.Good || s.Why == "" {
		t.Errorf("of a compromised key: %+v", s)
	}
	for what, token := range map[string]string{
		"another's key":     sign(t, "k", newKey(t), w.claims(nil)),
		"our kid, not ours": sign(t, func() string { kid, _, _ := w.oauth.Keys.Current(); return kid }(), newKey(t), w.claims(nil)),
		"another issuer":    sign(t, "k", newKey(t), w.claims(map[string]any{"iss": "https://elsewhere.example"})),
		"none":              base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(token, ".")[1] + ".",
		"bits to spare":     token[:len(token)-1] + "_",
	} {
		if s := signature(token); s.Good || s.Why == "" {
			t.Errorf("%s: %+v", what, s)
		}
	}
}

func TestOpaqueTokensOfOurOwnAreLookedUp(t *testing.T) {
	w := withServer(t)
	secret := w.register(t, "machine", map[string]string{"tokens": "opaque"})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://127.0.0.1/token", strings.NewReader("grant_type=client_credentials"))
	r.TLS.ServerName = ""
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("machine", secret)
	answer := httptest.NewRecorder()
	w.Wrap(http.NotFoundHandler()).ServeHTTP(answer, r)
	var got struct {
		Token string `json:"access_token"`
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil || json.Unmarshal(text, &got) != nil || got.Token == "" {
		t.Fatalf("%d %s", answer.Code, text)
	}
	q := admin.Inspection{Token: got.Token}
	found := w.look(t, q)
	if found.Form != "opaque" || found.Active == nil || !*found.Active || found.Issuer == nil || !strings.Contains(string(found.Claims), `"client_id":"machine"`) || found.Expires.IsZero() {
		t.Errorf("%+v %s", found, found.Claims)
	}
	if strings.Contains(string(found.Claims), got.Token) {
		t.Error("the token is in its claims")
	}
	if j := verdictOf(t, found, "GET /v1/opaque"); j.Answer != admin.AnswerAccepted || j.Client != "machine" {
		t.Errorf("%+v", j)
	}
	if _, err := w.State.Registry.DisableClient(t.Context(), "machine"); err != nil {
		t.Fatal(err)
	}
	w.refresh(t)
	found = w.look(t, q)
	if found.Active != nil && *found.Active {
		t.Errorf("of a client that is disabled: %+v", found)
	}
	if j := verdictOf(t, found, "GET /v1/opaque"); j.Answer == admin.AnswerAccepted {
		t.Errorf("%+v", j)
	}
	for what, note := range map[string]string{"pvsrt_x": "refresh token", "pvshs_x": "secret of signatures", secret: "secret of a client", "a.b.c.d.e": "encrypted", "pvsat_nothing": ""} {
		if found := w.look(t, admin.Inspection{Token: what}); found.Active != nil || !strings.Contains(found.Note, note) || (note == "") != (found.Note == "") {
			t.Errorf("%+v", found)
		}
	}
}

func TestInspectionLeavesOneEventWithTheDigest(t *testing.T) {
	w := withServer(t)
	service := Administration(w.current().file, w.State, w.clock)
	service.Inspect = w.Inspect
	c := admin.Connect(admin.InProcess(service))
	token := w.token(t, w.claims(nil))
	before := w.events(t)
	found, err := c.Inspect(t.Context(), admin.Inspection{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	events := w.events(t)[len(before):]
	if len(events) != 1 || events[0].Action != "token.inspect" || events[0].Class != audit.Admin || events[0].Target != found.Digest {
		t.Errorf("%+v", events)
	}
	for what, q := range map[string]admin.Inspection{
		"no token":       {},
		"a book":         {Token: strings.Repeat("a", 33<<10)},
		"no certificate": {Token: token, Certificate: "-----BEGIN"},
		"no address":     {Token: token, Address: "here"},
	} {
		if _, err := c.Inspect(t.Context(), q); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, e := range w.events(t) {
		if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), token[:40]) {
			t.Errorf("an event holds the token: %s, %v", text, err)
		}
	}
}

func (w *tokens) clock() time.Time { return w.now }

func (w *tokens) events(t *testing.T) (events []audit.Event) {
	t.Helper()
	if err := w.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	found, err := audit.Search(t.Context(), w.current().file.Log.Folder, audit.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		events = append(events, f.Event)
	}
	return events
}

func TestInspectionOfARestingInstallationIsTheSame(t *testing.T) {
	w := withServer(t)
	token := w.token(t, w.claims(nil))
	running := w.look(t, admin.Inspection{Token: token})
	resting, err := inspectResting(context.Background(), w.current().file, w.State, w.clock, admin.Inspection{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	one, err := json.Marshal(running)
	if err != nil {
		t.Fatal(err)
	}
	two, err := json.Marshal(resting)
	if err != nil || string(one) != string(two) {
		t.Errorf("%s\n%s\n%v", one, two, err)
	}
}

func TestPathsOfPatterns(t *testing.T) {
	for pattern, want := range map[string]string{"/a/{id}": "/a/id", "/a/{path...}": "/a/path", "/a/{$}": "/a/", "/a": "/a", "/a/{b}/{c}": "/a/b/c"} {
		if got := pathOf(pattern, ""); got != want {
			t.Errorf("%s: %s", pattern, got)
		}
	}
	if !slices.Equal([]string{pathOf("/a/{id}", "-1")}, []string{"/a/id-1"}) {
		t.Error("another try is the same")
	}
}
