package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/grants"
)

// administered is the administration of an installation that runs, without its socket.
func (w *tokens) administered() *admin.Client {
	service := Administration(w.current().file, w.State, w.clock)
	w.live(service)
	return admin.Connect(admin.InProcess(service))
}

// status is what an endpoint answers to a token.
func (w *tokens) status(t *testing.T, token string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1/v1/orders/7", http.NoBody)
	r.TLS.ServerName = ""
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	w.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })).ServeHTTP(answer, r)
	return answer.Code
}

func (w *tokens) grant(t *testing.T, id string) {
	t.Helper()
	g := grants.Grant{ID: id, Client: "shop", Subject: "ann-elsewhere", Scopes: []string{"orders:read"}, Created: w.now, Ends: w.now.Add(time.Hour), Data: []byte("{}")}
	if err := w.oauth.Grants.Open(t.Context(), &g, grants.Key{Kind: grants.Refresh, Secret: "secret of " + id, Ends: g.Ends}); err != nil {
		t.Fatal(err)
	}
}

func TestARevokedGrantIsFeltAtTheEndpointsAtOnce(t *testing.T) {
	w := withServer(t)
	w.grant(t, "g-1")
	w.grant(t, "g-2")
	one, two := w.token(t, w.claims(nil)), w.token(t, w.claims(map[string]any{"grant_id": "g-2", "jti": "j-2"}))
	if a, b := w.status(t, one), w.status(t, two); a != http.StatusOK || b != http.StatusOK {
		t.Fatalf("before: %d, %d", a, b)
	}
	c := w.administered()
	ended, err := c.RevokeGrants(t.Context(), admin.RevokeGrants{IDs: []string{"g-1"}, Reason: "lost phone"})
	if err != nil || len(ended) != 1 {
		t.Fatalf("%v, %v", ended, err)
	}
	if a, b := w.status(t, one), w.status(t, two); a != http.StatusUnauthorized || b != http.StatusOK {
		t.Errorf("after: %d of the revoked grant, %d of another", a, b)
	}
	list, err := c.Grants(t.Context(), admin.GrantQuery{User: "ann-elsewhere"})
	if err != nil || len(list) != 1 || list[0].ID != "g-2" {
		t.Errorf("%+v, %v", list, err)
	}
	events := w.events(t)
	if e := events[len(events)-3]; e.Class != audit.Admin || e.Action != "grant.revoke" || e.Target != "g-1" || e.Actor == "" || !strings.Contains(e.Change, "because: lost phone") {
		t.Errorf("%+v", e)
	}
}

func TestTokensOfACompromisedKeyAreRefusedAtOnce(t *testing.T) {
	w := withServer(t)
	token := w.token(t, w.claims(nil))
	c := w.administered()
	if _, err := c.RotateSigning(t.Context(), admin.RotateSigning{}); err != nil || w.status(t, token) != http.StatusOK {
		t.Fatalf("after a rotation what was signed is refused, or %v", err)
	}
	if _, err := c.RotateSigning(t.Context(), admin.RotateSigning{Compromised: true}); err != nil || w.status(t, token) != http.StatusUnauthorized {
		t.Errorf("what a compromised key signed is accepted, or %v", err)
	}
	if code := w.status(t, w.token(t, w.claims(map[string]any{"jti": "j-2"}))); code != http.StatusOK {
		t.Errorf("a token of the new key: %d", code)
	}
}

func TestWhatIsAdministeredWithoutAGatewayIsInForceWithOne(t *testing.T) {
	w := withServer(t)
	w.grant(t, "g-1")
	resting := admin.Connect(admin.InProcess(Administration(w.current().file, w.State, w.clock)))
	before, err := resting.SigningKeys(t.Context())
	if err != nil || len(before) != 2 {
		t.Fatalf("%v, %v", before, err)
	}
	if ended, err := resting.RevokeGrants(t.Context(), admin.RevokeGrants{GrantQuery: admin.GrantQuery{Client: "shop"}}); err != nil || len(ended) != 1 {
		t.Fatalf("%v, %v", ended, err)
	}
	if code := w.status(t, w.token(t, w.claims(nil))); code != http.StatusUnauthorized {
		t.Errorf("%d", code)
	}
}
