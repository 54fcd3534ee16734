package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/authserver/grants"
	"pavise.dev/pavise/internal/authserver/keys"
	"pavise.dev/pavise/internal/authserver/registration"
)

// server gives a world an authorization server without its protocol: grants and keys.
type server struct {
	*admin.OAuth
	store   *grants.Store
	revoked []string // ids and reasons
	down    error    // of whoever is told of revocations
}

func newServer(t *testing.T, w *world) *server {
	t.Helper()
	s := &server{}
	var err error
	s.store, err = grants.New(grants.Options{
		Records: w.service.Registry.Records(), Now: time.Now,
		Revoked: func(_ context.Context, g *grants.Grant, reason string) error {
			if s.down == nil {
				s.revoked = append(s.revoked, g.ID+": "+reason)
			}
			return s.down
		},
	})
	must(t, err)
	ring, err := keys.Open(t.Context(), keys.Options{
		Records: w.service.Registry.Records(), Algorithm: "ES256", Now: time.Now, Rotate: 48 * time.Hour, Publish: time.Hour, Retain: time.Hour,
	})
	must(t, err)
	s.OAuth = &admin.OAuth{Issuer: "https://login.example.com", Grants: s.store, Keys: ring}
	w.service.OAuth = func(context.Context) (*admin.OAuth, error) { return s.OAuth, nil }
	w.service.Users = func(context.Context) (admin.Users, error) { return &fakeUsers{}, nil }
	w.service.Kinds = append(w.service.Kinds, registration.Kind())
	return s
}

func (s *server) grant(t *testing.T, id, client, subject string) {
	t.Helper()
	now := time.Now()
	must(t, s.store.Open(t.Context(), &grants.Grant{
		ID: id, Client: client, Subject: subject, Scopes: []string{"orders:read"}, Created: now, Ends: now.Add(time.Hour),
	}, grants.Key{Kind: grants.Refresh, Secret: "secret of " + id, Ends: now.Add(time.Hour)}))
}

func problemIn(t *testing.T, err error) *admin.Problem {
	t.Helper()
	p, ok := errors.AsType[*admin.Problem](err)
	if !ok {
		t.Fatalf("no problem: %v", err)
	}
	return p
}

// filled has two clients, and grants of ann, of somebody without an account, and of a
// client to itself.
func filled(t *testing.T) (*world, *server) {
	w := newWorld(t)
	s := newServer(t, w)
	for _, id := range []string{"shop", "app"} {
		_, err := w.client().Register(t.Context(), admin.NewRegistration{
			Client:   admin.NewClient{ID: id, Scopes: []string{"orders:read"}},
			Settings: map[string]string{"name": "The " + id, "redirects": "https://" + id + ".example/cb"},
		})
		must(t, err)
	}
	s.grant(t, "g-ann-shop", "shop", "u-1")
	s.grant(t, "g-ann-app", "app", "u-1")
	s.grant(t, "g-else", "shop", "someone-elsewhere")
	s.grant(t, "g-own", "app", "app")
	return w, s
}

func ids(list []admin.Grant) string {
	var all []string
	for _, g := range list {
		all = append(all, g.ID)
	}
	return strings.Join(all, " ")
}

func TestGrantsAreListedByClientAndByUser(t *testing.T) {
	w, _ := filled(t)
	for want, q := range map[string]admin.GrantQuery{
		"g-ann-shop g-ann-app g-else g-own": {},
		"g-ann-shop g-else":                 {Client: "shop"},
		"g-ann-shop g-ann-app":              {User: "ann"},
		"g-ann-app":                         {User: "ann", Client: "app"},
		"g-else":                            {User: "someone-elsewhere"},
	} {
		if got, err := w.client().Grants(t.Context(), q); err != nil || ids(got) != want {
			t.Errorf("%+v: %s, %v", q, ids(got), err)
		}
	}
	got, err := w.client().Grants(t.Context(), admin.GrantQuery{Client: "shop"})
	must(t, err)
	if got[0].Application != "The shop" || got[0].User != "ann" || got[0].Subject != "u-1" || got[1].User != "" || !got[0].Used.IsZero() {
		t.Errorf("%+v", got)
	}
	for code, q := range map[string]admin.GrantQuery{"missing": {Client: "shopp"}, "unknown_user": {User: "anm"}} {
		if _, err := w.client().Grants(t.Context(), q); problemIn(t, err).Code != code {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestRevokedGrantsLeaveAnEventEach(t *testing.T) {
	w, s := filled(t)
	ended, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{GrantQuery: admin.GrantQuery{User: "ann"}, Reason: "lost phone"})
	if err != nil || ids(ended) != "g-ann-shop g-ann-app" {
		t.Fatalf("%s, %v", ids(ended), err)
	}
	if got := strings.Join(s.revoked, ", "); got != "g-ann-shop: lost phone, g-ann-app: lost phone" {
		t.Errorf("the tokens of: %s", got)
	}
	events := w.events(t)
	last := events[len(events)-2:]
	for i, target := range []string{"g-ann-shop", "g-ann-app"} {
		if e := last[i]; e.Action != "grant.revoke" || e.Target != target || e.Actor != admin.CurrentUser().Name || e.Decision != audit.Accepted ||
			!strings.Contains(e.Change, "user ann") || !strings.Contains(e.Change, "because: lost phone") {
			t.Errorf("%+v", e)
		}
	}
	if got, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{GrantQuery: admin.GrantQuery{User: "ann"}}); err != nil || len(got) != 0 {
		t.Errorf("the second time: %v, %v", got, err)
	}
	if left, err := w.client().Grants(t.Context(), admin.GrantQuery{}); err != nil || ids(left) != "g-else g-own" {
		t.Errorf("left: %s, %v", ids(left), err)
	}
	if got, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{IDs: []string{"g-own", "g-own"}}); err != nil || ids(got) != "g-own" {
		t.Errorf("by id, twice in one call: %s, %v", ids(got), err)
	}
}

func TestOfGrantsThatAreNamedAllOrNoneAreRevoked(t *testing.T) {
	w, s := filled(t)
	for what, test := range map[string]struct {
		call admin.RevokeGrants
		code string
	}{
		"an unknown id beside a good one": {admin.RevokeGrants{IDs: []string{"g-own", "g-other"}}, "unknown_grant"},
		"nothing named":                   {admin.RevokeGrants{}, "malformed"},
		"both named":                      {admin.RevokeGrants{IDs: []string{"g-own"}, GrantQuery: admin.GrantQuery{Client: "shop"}}, "malformed"},
		"too many":                        {admin.RevokeGrants{IDs: make([]string, 501)}, "malformed"},
		"a book of reasons":               {admin.RevokeGrants{IDs: []string{"g-own"}, Reason: strings.Repeat("x", 257)}, "malformed"},
		"an unknown client":               {admin.RevokeGrants{GrantQuery: admin.GrantQuery{Client: "shopp"}}, "missing"},
	} {
		_, err := w.client().RevokeGrants(t.Context(), test.call)
		if p := problemIn(t, err); p.Code != test.code {
			t.Errorf("%s: %+v", what, p)
		}
		if e := w.events(t); e[len(e)-1].Action != "grant.revoke" || e[len(e)-1].Decision != audit.Refused {
			t.Errorf("%s: %+v", what, e[len(e)-1])
		}
	}
	if len(s.revoked) != 0 {
		t.Errorf("revoked %v", s.revoked)
	}
}

func TestGrantsThatCannotBeRevokedSaySo(t *testing.T) {
	w, s := filled(t)
	s.down = errors.New("planted")
	if got, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{GrantQuery: admin.GrantQuery{Client: "shop"}}); err == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if e := w.events(t); e[len(e)-1].Decision != audit.Refused || e[len(e)-1].Target != "g-ann-shop" {
		t.Errorf("%+v", e[len(e)-1])
	}
	s.down = nil
	w.service.Ready = func() error { return errors.New("no room") }
	if _, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{IDs: []string{"g-own"}}); problemIn(t, err).Code != "log_unavailable" {
		t.Errorf("without a log: %v", err)
	}
	if len(s.revoked) != 0 {
		t.Errorf("revoked %v", s.revoked)
	}
}

func TestMoreGrantsThanOneCallEndsAreEndedAll(t *testing.T) {
	w, s := filled(t)
	for i := range 520 {
		s.grant(t, fmt.Sprintf("g-%d", i), "shop", "u-1")
	}
	ended, err := w.client().RevokeGrants(t.Context(), admin.RevokeGrants{GrantQuery: admin.GrantQuery{Client: "shop"}})
	if err != nil || len(ended) != 522 {
		t.Errorf("%d, %v", len(ended), err)
	}
}

func TestSigningKeysAreRotatedByTheAdministrator(t *testing.T) {
	w, _ := filled(t)
	c := w.client()
	before, err := c.SigningKeys(t.Context())
	if err != nil || len(before) != 2 || before[0].State != "next" || before[1].State != "current" || before[1].Algorithm != "ES256" || before[1].Since.IsZero() {
		t.Fatalf("%+v, %v", before, err)
	}
	after, err := c.RotateSigning(t.Context(), admin.RotateSigning{})
	if err != nil || len(after) != 3 || after[1].ID != before[0].ID || after[2].ID != before[1].ID || after[2].State != "previous" {
		t.Fatalf("%+v, %v", after, err)
	}
	gone, err := c.RotateSigning(t.Context(), admin.RotateSigning{Compromised: true, Reason: "stolen"})
	if err != nil || len(gone) != 2 || gone[1].ID != after[0].ID {
		t.Fatalf("%+v, %v", gone, err)
	}
	events := w.events(t)
	if e := events[len(events)-1]; e.Action != "signing_key.rotate" || e.Target != gone[1].ID || !strings.Contains(e.Change, "nothing that was signed before is accepted, because: stolen") {
		t.Errorf("%+v", e)
	}
	if _, err := c.RotateSigning(t.Context(), admin.RotateSigning{Reason: strings.Repeat("x", 257)}); problemIn(t, err).Code != "malformed" {
		t.Errorf("a book of reasons: %v", err)
	}
}

func TestWithoutAServerNothingOfItIsAdministered(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	_, grantsFault := c.Grants(t.Context(), admin.GrantQuery{})
	_, revokeFault := c.RevokeGrants(t.Context(), admin.RevokeGrants{IDs: []string{"g"}})
	_, keysFault := c.SigningKeys(t.Context())
	_, rotateFault := c.RotateSigning(t.Context(), admin.RotateSigning{})
	_, registerFault := c.Register(t.Context(), admin.NewRegistration{Client: admin.NewClient{ID: "shop"}})
	for what, err := range map[string]error{"grants": grantsFault, "revoke": revokeFault, "keys": keysFault, "rotate": rotateFault, "register": registerFault} {
		if p := problemIn(t, err); p.Status != http.StatusConflict || p.Code != "no_authorization_server" || p.Hint == "" {
			t.Errorf("%s: %+v", what, p)
		}
	}
	if list, err := c.Clients(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("clients: %v, %v", list, err)
	}
}
