package admin_test

import (
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func TestClientAndRegistrationAreMadeAtOnce(t *testing.T) {
	w := newWorld(t)
	newServer(t, w)
	made, err := w.client().Register(t.Context(), admin.NewRegistration{
		Client:   admin.NewClient{ID: "shop", Scopes: []string{"orders:read"}, Contact: "ops@example.com"},
		Settings: map[string]string{"redirects": "https://shop.example/cb"}, Expires: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	r := made.Registration
	if made.Client.Contact != "ops@example.com" || !strings.HasPrefix(made.Secret, "pvscs_") || made.Credential.ID != "shop" || made.Credential.Expires.IsZero() ||
		r.ClientID != "shop" || r.Discovery != "https://login.example.com/.well-known/oauth-authorization-server" || r.Settings["grants"] != "authorization_code refresh_token" {
		t.Errorf("%+v", made)
	}
	owner, err := w.client().Client(t.Context(), "shop")
	if err != nil || owner.Registration == nil || owner.Registration.Settings["auth"] != "client_secret_basic" || len(owner.Credentials) != 1 {
		t.Errorf("%+v, %v", owner, err)
	}
	for _, e := range w.events(t) {
		if e.Action != "client.register" || e.Target != "shop" || strings.Contains(e.Change, made.Secret) || !strings.Contains(e.Change, "orders:read") {
			t.Errorf("%+v", e)
		}
	}
	if _, err := w.view.Credential("oauth", "shop"); err != nil {
		t.Errorf("it is not in force: %v", err)
	}
}

func TestARegistrationThatCannotBeLeavesNoClient(t *testing.T) {
	w := newWorld(t)
	newServer(t, w)
	_, err := w.client().CreateClient(t.Context(), admin.NewClient{ID: "there"})
	must(t, err)
	for what, test := range map[string]struct {
		id            string
		settings      map[string]string
		expires       time.Duration
		code, setting string
	}{
		"a redirect over plain HTTP": {"shop", map[string]string{"redirects": "http://shop.example/cb"}, 0, "bad_registration", "redirects"},
		"no way to prove itself":     {"shop", map[string]string{"auth": "password"}, 0, "bad_registration", "auth"},
		"what is no setting":         {"shop", map[string]string{"colour": "red"}, 0, "bad_registration", "colour"},
		"the environment":            {"shop", map[string]string{"environment": "live"}, 0, "refused", ""},
		"settings with a line break": {"shop", map[string]string{"name": "The\nShop"}, 0, "refused", ""},
		"an end that is over":        {"shop", nil, -time.Hour, "refused", ""},
		"no name of a client":        {"The Shop", nil, 0, "refused", ""},
		"a client that is there":     {"there", nil, 0, "exists", ""},
	} {
		_, err := w.client().Register(t.Context(), admin.NewRegistration{Client: admin.NewClient{ID: test.id}, Settings: test.settings, Expires: test.expires})
		if p := problemIn(t, err); p.Code != test.code || p.Setting != test.setting {
			t.Errorf("%s: %+v", what, p)
		}
		events := w.events(t)
		if e := events[len(events)-1]; e.Action != "client.register" || e.Decision != audit.Refused {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if list, err := w.client().Clients(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if owner, err := w.client().Client(t.Context(), "there"); err != nil || owner.Registration != nil {
		t.Errorf("%+v, %v", owner, err)
	}
}
