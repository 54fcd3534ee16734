package app

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/review"
)

// reached is what a credential reaches, in words.
func (w *tokens) reached(t *testing.T, kind, id string) map[string]string {
	t.Helper()
	a := w.administered()
	known, err := a.Credentials(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(known, func(c client.Credential) bool { return c.Kind == kind && c.ID == id })
	owner, err := a.Client(t.Context(), known[i].Client)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Lost(w.current().file, &known[i], &owner.Client, known, w.now)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, r := range l.Reach {
		words := "opens"
		if !r.Opens() {
			words = strings.TrimSpace("with " + strings.Join(r.With, "+") + " lacks " + strings.Join(r.Lacks, "+"))
		}
		all[r.Endpoint] = words
	}
	return all
}

func TestALostCredentialReachesWhatItsShieldsSay(t *testing.T) {
	w := withServer(t)
	made, err := w.administered().CreateCredential(t.Context(), admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind, id string
		want     map[string]string
	}{
		"a key": {"api_key", made.Credential.ID, map[string]string{
			"GET /v1/key": "opens", "GET /v1/either": "opens", "GET /v1/both": "with jwt lacks",
		}},
		"a registration": {"oauth", "shop", map[string]string{
			"GET /v1/any": "opens", "GET /v1/orders/{id}": "opens", "GET /v1/orders/id": "with  lacks orders:write", "GET /v1/files/{path...}": "opens",
			"GET /v1/end/{$}": "opens", "POST /v1/orders": "with  lacks orders:write", "PUT /v1/keyed": "opens", "PUT /v1/bound": "opens",
			"GET /v1/both": "with api_key lacks", "GET /v1/either": "opens", "GET /v1/opaque": "opens", "GET /v1/fresh": "opens", "GET /pay": "opens",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := w.reached(t, c.kind, c.id)
			for endpoint, words := range c.want {
				if got[endpoint] != words {
					t.Errorf("%s: %q, want %q", endpoint, got[endpoint], words)
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("reaches %v", got)
			}
		})
	}
	// A certificate by which a client shows the authorization server who it is opens what its tokens open.
	w.register(t, "bank", map[string]string{"auth": "tls_client_auth", "subject_dns": "bank.example"})
	if _, err := w.administered().CreateCredential(t.Context(), admin.NewCredential{Kind: "mtls", Client: "bank", Settings: map[string]string{"name": "dns:bank.example"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.reached(t, "mtls", "dns:bank.example"); got["GET /v1/orders/{id}"] != "opens" || got["GET /v1/both"] != "with api_key lacks" || got["GET /v1/key"] != "" {
		t.Errorf("the certificate reaches %v", got)
	}
	if _, err := w.administered().Revoke(t.Context(), admin.Revoke{ID: made.Credential.ID}); err != nil {
		t.Fatal(err)
	}
	if got := w.reached(t, "api_key", made.Credential.ID); len(got) > 0 {
		t.Errorf("revoked, it reaches %v", got)
	}
}

// What a key is said to open it opens, and nothing else of what takes keys.
func TestReachIsWhatTheGuardSays(t *testing.T) {
	m := newMonth(t)
	for _, c := range m.callers {
		known, err := m.admin.Credentials(t.Context(), c.id, "")
		if err != nil {
			t.Fatal(err)
		}
		owner, err := m.admin.Client(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Lost(m.current().file, &known[0], &owner.Client, known, m.now())
		if err != nil {
			t.Fatal(err)
		}
		key := c.keys[slices.Index(c.ids, known[0].ID)]
		for i := range monthEndpoints {
			pattern, _, method, path := monthEndpoint(i)
			at := slices.IndexFunc(l.Reach, func(r review.Reach) bool { return r.Endpoint == pattern })
			opens := at >= 0 && l.Reach[at].Opens()
			m.elapsed.Add(1e9)
			code := m.send(call{method, strings.ReplaceAll(path, "%d", "7"), key, c.addresses[0]})
			if is := code == http.StatusOK || code == http.StatusInternalServerError; is != opens {
				t.Errorf("%s at %s: said %t, answered %d", c.id, pattern, opens, code)
			}
		}
		if err := m.State.View.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEndingARegistrationEndsItsGrantsAndTokens(t *testing.T) {
	w := withServer(t)
	w.grant(t, "g-1")
	token := w.token(t, w.claims(nil))
	if code := w.status(t, token); code != http.StatusOK {
		t.Fatalf("before: %d", code)
	}
	a := w.administered()
	ended, err := a.End(t.Context(), admin.End{Kind: "oauth", ID: "shop", Reason: "secret in a public repository"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ended.Credentials, []string{"oauth shop"}) || !slices.Equal(ended.Grants, []string{"g-1"}) || ended.Tokens == "" {
		t.Errorf("%+v", ended)
	}
	if code := w.status(t, token); code != http.StatusUnauthorized {
		t.Errorf("its token is answered %d", code)
	}
	if left, err := a.Grants(t.Context(), admin.GrantQuery{Client: "shop"}); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
	found, err := a.Events(t.Context(), audit.Query{Class: audit.Admin, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, r := range found.Records {
		text += string(r.Event)
	}
	for _, act := range []string{"credential.revoke", "grant.revoke", "token.revoke", "credential.end"} {
		if !strings.Contains(text, `"action":"`+act+`"`) {
			t.Errorf("there is no event of %s", act)
		}
	}
}

func TestTracesOfALostCredential(t *testing.T) {
	m := newMonth(t)
	c := m.callers[0]
	for i := range 3 {
		m.elapsed.Add(1e9)
		_, _, method, path := monthEndpoint(c.endpoints[0])
		m.send(call{method, strings.ReplaceAll(path, "%d", string(rune('7'+i))), c.keys[0], c.addresses[i%2]})
	}
	if _, err := m.admin.Events(t.Context(), audit.Query{Limit: 1}); err != nil {
		t.Fatal(err)
	}
	owner, err := m.admin.Client(t.Context(), c.id)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(owner.Credentials, func(one client.Credential) bool { return one.ID == c.ids[0] })
	l := review.Describe(&owner.Credentials[i], &owner.Client, m.now())
	if err := l.Trace(t.Context(), []string{m.current().file.Log.Folder}, []string{c.ids[0]}, m.now().AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	if len(l.Touched) != 1 || l.Touched[0].Requests != 3 || l.Touched[0].Distinct != 3 || len(l.Touched[0].IDs) != 3 || len(l.From) != 1 || l.From[0].Accepted != 3 {
		t.Errorf("%+v, from %+v", l.Touched, l.From)
	}
	if len(l.Acts) != 1 || l.Acts[0].Action != "credential.create" {
		t.Errorf("%+v", l.Acts)
	}
}
