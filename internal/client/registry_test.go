package client_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

func TestChangesSayWhatIsDifferent(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	addShop(t, r)
	tests := []struct {
		action string
		change func(*client.Client) error
		want   string
	}{
		{"update", func(c *client.Client) error { c.Contact = "ann"; return nil }, `contact "" → "ann"`},
		{"update", func(c *client.Client) error { c.Scopes[0] = "orders:admin"; return nil }, "scopes [orders:read orders:write] → [orders:admin orders:write]"},
		{"update", func(c *client.Client) error { c.Attributes = map[string]any{"tier": "gold"}; return nil }, "attributes map[] → map[tier:gold]"},
		{"update", func(c *client.Client) error { c.Attributes["tier"] = "lead"; return nil }, "attributes map[tier:gold] → map[tier:lead]"},
		{"update", func(c *client.Client) error { c.Tenant, c.Disabled = "other", true; return nil }, `disabled false → true; tenant "acme" → "other"`},
		{"update", func(c *client.Client) error { c.ID, c.Created = "thief", time.Time{}; return nil }, "nothing"},
	}
	for _, test := range tests {
		change, err := r.UpdateClient(t.Context(), "shop", test.action, test.change)
		if err != nil || change.Text != test.want || change.Action != "client."+test.action || change.Target != "shop" {
			t.Errorf("%+v, %v; want %q", change, err, test.want)
		}
	}
	change, err := r.EnableClient(t.Context(), "shop")
	if err != nil || change.Action != "client.enable" || change.Text != "disabled true → false" {
		t.Errorf("%+v, %v", change, err)
	}
	if _, err := r.UpdateClient(t.Context(), "shop", "update", func(c *client.Client) error { c.Contact = "x"; return errors.New("changed my mind") }); err == nil {
		t.Error("a change that failed succeeded")
	}
	if c, err := r.Client(t.Context(), "shop"); err != nil || c.Contact != "ann" || c.Created.IsZero() {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestWrongNamesAreMended(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	for _, id := range []string{"shop", "shop-test", "warehouse"} {
		must(t, second(r.CreateClient(t.Context(), client.Client{ID: id})))
	}
	_, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: "k1abcdef"})
	must(t, err)
	_, _, addErr := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shpo"}, shield.Issued{ID: "x"})
	_, disableErr := r.DisableClient(t.Context(), "warehose")
	_, revokeErr := r.Revoke(t.Context(), "k1abcdeg", "")
	_, clientErr := r.RevokeClient(t.Context(), "shopp", "")
	_, noneErr := r.Client(t.Context(), strings.Repeat("z", 1000))
	for want, err := range map[string]error{
		`did you mean "warehouse"?`: disableErr, `did you mean "k1abcdef"?`: revokeErr, `did you mean "shop"?`: clientErr, `client "zzzz`: noneErr,
	} {
		if !errors.Is(err, client.ErrMissing) || !strings.Contains(err.Error(), want) || len(err.Error()) > 300 {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if !errors.Is(addErr, client.ErrMissing) {
		t.Errorf("a credential of a client that is not there: %v", addErr)
	}
}

func TestCredentialsAreValidated(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	many := func(n int) (scopes shield.Scopes) {
		for i := range n {
			scopes = append(scopes, fmt.Sprint("s", i))
		}
		return scopes
	}
	settings := map[string]string{}
	for i := range 65 {
		settings[fmt.Sprint(i)] = "x"
	}
	tests := map[string]client.Credential{
		"no kind":                      {Kind: "none!"},
		"a scope twice":                {Scopes: shield.Scopes{"orders:read", "orders:read"}},
		"too many scopes":              {Scopes: many(257)},
		"another's scope":              {Scopes: shield.Scopes{"orders:read", "admin"}},
		"a network with host bits":     {Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}},
		"no network":                   {Networks: []netip.Prefix{{}}},
		"too many networks":            {Networks: make([]netip.Prefix, 257)},
		"too many settings":            {Settings: settings},
		"a long setting":               {Settings: map[string]string{"a": strings.Repeat("x", 8193)}},
		"a setting with line feed":     {Settings: map[string]string{"a": "x\ny"}},
		"an environment with escapes":  {Environment: "\x1b[2J"},
		"an expiry in the past":        {Expires: c.Now()},
		"an expiry before it is valid": {NotBefore: c.Now().Add(2 * time.Hour), Expires: c.Now().Add(time.Hour)},
		"a negative age":               {MaxAge: -1},
		"an age of centuries":          {MaxAge: 200 * 365 * 24 * time.Hour},
		"a warning after the end":      {WarnAfter: time.Hour, MaxAge: time.Hour},
	}
	for name, credential := range tests {
		credential.Client = "shop"
		if credential.Kind == "" {
			credential.Kind = "api_key"
		}
		if _, _, err := r.AddCredential(t.Context(), credential, shield.Issued{ID: "k1"}); err == nil || !strings.Contains(err.Error(), "shop") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, id := range []string{"", strings.Repeat("i", 257), "a\x00b", "\xff"} {
		if _, _, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: id}); err == nil {
			t.Errorf("id %q was taken", id)
		}
	}
	// Names of certificates hold slashes and blanks.
	_, _, err := r.AddCredential(t.Context(), client.Credential{
		Kind: "mtls", Client: "shop", Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Revoked: c.Now(), ReplacedBy: "x",
	}, shield.Issued{ID: "uri:spiffe://corp/ns/shop CN=Shop"})
	must(t, err)
	v := view(t, r)
	if record, err := v.Credential("mtls", "uri:spiffe://corp/ns/shop CN=Shop"); err != nil || !record.Revoked.IsZero() || len(record.Networks) != 1 {
		t.Errorf("%v, %v", record, err)
	}
	must(t, second(r.Revoke(t.Context(), "uri:spiffe://corp/ns/shop CN=Shop", "")))
	if _, err := r.Revoke(t.Context(), "shop CN=Shop", ""); !errors.Is(err, client.ErrMissing) {
		t.Errorf("part of an id revokes it: %v", err)
	}
}

func TestRevocationIsKeptWithItsReason(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	addShop(t, r)
	for _, id := range []string{"k1", "k2", "k3"} {
		addKey(t, r, id, shield.KeepHash)
	}
	must(t, second(r.Revoke(t.Context(), "k1", "stolen")))
	change, err := r.RevokeClient(t.Context(), "shop", "closed")
	if err != nil || change.Text != `api_key/k2, api_key/k3, reason "closed"` {
		t.Errorf("%+v, %v", change, err)
	}
	list, err := r.Credentials(t.Context(), "shop", "api_key")
	must(t, err)
	for i, reason := range []string{"stolen", "closed", "closed"} {
		if list[i].Reason != reason || !list[i].Revoked.Equal(c.Now()) {
			t.Errorf("%+v, want %s", list[i], reason)
		}
	}
	if _, err := r.RevokeClient(t.Context(), "shop", ""); !errors.Is(err, client.ErrMissing) || !strings.Contains(err.Error(), "already") {
		t.Errorf("twice: %v", err)
	}
	if _, err := r.Revoke(t.Context(), "k2", strings.Repeat("x", 300)); err == nil || errors.Is(err, client.ErrMissing) {
		t.Errorf("a long reason: %v", err)
	}
}

func TestParallelChangesAllHappen(t *testing.T) {
	r := registry(t, memory.New(), newClock(), filepath.Join(t.TempDir(), "mark"))
	addShop(t, r)
	addKey(t, r, "k1", shield.KeepHash)
	var all sync.WaitGroup
	var mu sync.Mutex
	created, revoked := 0, 0
	for i := range 20 {
		all.Go(func() {
			_, err := r.UpdateClient(t.Context(), "shop", "update", func(c *client.Client) error {
				c.Scopes = append(c.Scopes, fmt.Sprint("s", i))
				return nil
			})
			_, createErr := r.CreateClient(t.Context(), client.Client{ID: "same"})
			_, revokeErr := r.Revoke(t.Context(), "k1", "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("update: %v", err)
			}
			for _, result := range []struct {
				err   error
				count *int
				other error
			}{{createErr, &created, client.ErrExists}, {revokeErr, &revoked, client.ErrMissing}} {
				if result.err == nil {
					*result.count++
				} else if !errors.Is(result.err, result.other) {
					t.Errorf("%v", result.err)
				}
			}
		})
	}
	all.Wait()
	if c, err := r.Client(t.Context(), "shop"); err != nil || len(c.Scopes) != 22 || created != 1 || revoked != 1 {
		t.Errorf("%d scopes, created %d, revoked %d, %v", len(c.Scopes), created, revoked, err)
	}
}

func TestMomentsOfUseAreNoRollback(t *testing.T) {
	s, mark := memory.New(), filepath.Join(t.TempDir(), "mark")
	for range 2 {
		c := newClock()
		r := registry(t, s, c, mark)
		if _, err := r.Client(t.Context(), "shop"); err != nil {
			addShop(t, r)
			addKey(t, r, "k1", shield.KeepHash)
		}
		v, err := r.View(t.Context(), client.ViewOptions{Poll: time.Hour})
		must(t, err)
		v.Used("api_key", "k1", c.Now())
		must(t, v.Close())
	}
	must(t, reopen(t, s, mark))
}

func TestLongerPromiseIsKept(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	for _, until := range []time.Time{{}, c.Now().Add(time.Hour)} {
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "a#jti#b", TokenID: "c", Until: until})))
		must(t, second(r.RevokeTokens(t.Context(), client.Revocation{Issuer: "a#jti#", TokenID: "bc"})))
	}
	kept, err := r.Revocations(t.Context())
	if err != nil || len(kept) != 2 || !kept[0].Until.IsZero() || !kept[1].Until.IsZero() {
		t.Errorf("%+v, %v; want both, for ever", kept, err)
	}
}

// Secrets are in no error, no change and nothing that is printed.
func TestSecretsAreShownNowhere(t *testing.T) {
	w := newWritable()
	r := registry(t, w, newClock(), "")
	addShop(t, r)
	var shown []any
	add := func(id string, keep shield.Keep) {
		credential, change, err := r.AddCredential(t.Context(), client.Credential{Kind: "api_key", Client: "shop"}, shield.Issued{ID: id, Secret: planted + id, Material: secretOf(id), Keep: keep})
		shown = append(shown, credential, change, err)
	}
	add("k1", shield.KeepHash)
	add("h1", shield.KeepSealed)
	add("k1", shield.KeepHash)
	add("h1", shield.KeepSealed)
	_, change, err := r.Rotate(t.Context(), "api_key", "h1", shield.Issued{ID: "h2", Material: secretOf("h2"), Keep: shield.KeepSealed}, time.Hour)
	shown = append(shown, change, err)
	v := view(t, r)
	for _, id := range []string{"k1", "h1", "h2"} {
		record, err := v.Credential("api_key", id)
		shown = append(shown, record, err)
	}
	list, err := r.Credentials(t.Context(), "", "")
	shown = append(shown, list, err, r, v)
	torn := w.row(t, "credential", "api_key/h1")
	torn.Body[len(torn.Body)-5] ^= 1
	torn.Version++
	w.raised, torn.Revision = 1, 100
	w.put(torn)
	shown = append(shown, v.Refresh(t.Context()), second(r.Revoke(t.Context(), "h1", "")))
	_, err = client.OpenRegistry(t.Context(), client.Options{Store: w, Master: master(t, 8)})
	if !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("wrong master key: %v", err)
	}
	for _, thing := range append(shown, err) {
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			if printed := fmt.Sprintf(verb, thing); strings.Contains(printed, planted) {
				t.Errorf("%s of %T shows a secret", verb, thing)
			}
		}
	}
	rows, _, err := w.Store.Since(t.Context(), 0)
	must(t, err)
	for _, row := range rows {
		if strings.Contains(string(row.Body)+row.ID, planted) {
			t.Errorf("row %s/%s shows a secret", row.Table, row.ID)
		}
	}
}

func TestAClientIsMadeWithItsCredentialOrNotAtAll(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	issued := shield.Issued{ID: "app", Keep: shield.KeepHash, Material: []byte("a secret of the app's own")}
	wanted := client.Client{ID: "app", Scopes: shield.Scopes{"orders:read"}}
	for what, wrong := range map[string]client.Credential{
		"scopes that the client lacks": {Kind: "oauth", Scopes: shield.Scopes{"admin"}},
		"what cannot be printed":       {Kind: "oauth", Settings: map[string]string{"jwks": "{\n}"}},
		"no kind":                      {},
	} {
		if _, _, err := r.CreateWith(t.Context(), wanted, wrong, issued); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if list, err := r.Clients(t.Context()); err != nil || len(list) != 0 {
		t.Fatalf("left behind: %v, %v", list, err)
	}
	c, with, err := r.CreateWith(t.Context(), wanted, client.Credential{Kind: "oauth", Client: "another"}, issued)
	if err != nil || c.Created.IsZero() || with.Client != "app" || with.ID != "app" {
		t.Fatalf("%+v, %+v, %v", c, with, err)
	}
	if kept, err := r.Credentials(t.Context(), "app", "oauth"); err != nil || len(kept) != 1 {
		t.Errorf("%v, %v", kept, err)
	}
	if _, _, err := r.CreateWith(t.Context(), wanted, client.Credential{Kind: "oauth"}, shield.Issued{ID: "other"}); !errors.Is(err, client.ErrExists) {
		t.Errorf("a second client of the name: %v", err)
	}
}
