package client_test

import (
	"net/netip"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// TestTestersAreBoundAndShort: what `pavise attack` holds ends soon, counts from one network,
// and nobody else can have its names.
func TestTestersAreBoundAndShort(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	ctx := t.Context()
	if _, err := r.CreateClient(ctx, client.Client{ID: client.TesterA}); err == nil {
		t.Error("somebody has the name of a tester")
	}
	if _, _, err := r.CreateWith(ctx, client.Client{ID: client.TesterThroughB}, client.Credential{Kind: "api_key"}, shield.Issued{ID: "x", Keep: shield.KeepNothing}); err == nil {
		t.Error("somebody has the name of a tester, with a credential")
	}
	if _, err := r.OpenTester(ctx, "shop", nil, one); err == nil {
		t.Error("any client is a tester")
	}
	_, err := r.OpenTester(ctx, client.TesterA, shield.Scopes{"orders:read"}, one)
	must(t, err)
	if _, err := r.EnableClient(ctx, client.TesterA); err == nil {
		t.Error("a tester is changed as any client")
	}
	n := 0
	add := func(life time.Duration, networks ...netip.Prefix) error {
		n++
		credential := client.Credential{Kind: "api_key", Client: client.TesterA, Networks: networks}
		if life > 0 {
			credential.Expires = c.now.Add(life)
		}
		_, _, err := r.AddCredential(ctx, credential, shield.Issued{ID: string(rune('a' + n)), Material: []byte{byte(n)}, Keep: shield.KeepHash})
		return err
	}
	here := netip.MustParsePrefix("192.0.2.7/32")
	for name, err := range map[string]error{
		"without an end": add(0, here), "for an hour": add(time.Hour, here), "for any network": add(10 * time.Minute),
	} {
		if err == nil {
			t.Errorf("a credential %s", name)
		}
	}
	must(t, add(15*time.Minute, here))
	_, err = r.CloseTester(ctx, client.TesterA, one.ID, nil)
	must(t, err)
	held, err := r.Credentials(ctx, client.TesterA, "")
	must(t, err)
	closed, err := r.Client(ctx, client.TesterA)
	must(t, err)
	if len(held) != 1 || held[0].Revoked.IsZero() || !closed.Disabled || len(closed.Scopes) != 0 {
		t.Errorf("%+v, %+v", held, closed)
	}
	_, err = r.CloseTester(ctx, client.TesterA, one.ID, nil) // nothing is left to end
	must(t, err)
	_, err = r.OpenTester(ctx, client.TesterA, shield.Scopes{"a"}, one)
	must(t, err)
	if woken, err := r.Client(ctx, client.TesterA); err != nil || woken.Disabled || !woken.Scopes.Has("a") {
		t.Errorf("%+v, %v", woken, err)
	}
}

// TestATestersRegistrationFollowsOneThatHasEnded: its id is the client's name, in every run.
func TestATestersRegistrationFollowsOneThatHasEnded(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	ctx := t.Context()
	_, err := r.OpenTester(ctx, client.TesterA, shield.Scopes{"orders:read"}, one)
	must(t, err)
	_, err = r.CreateClient(ctx, client.Client{ID: "shop"})
	must(t, err)
	register := func(owner, secret string) error {
		_, _, err := r.AddCredential(ctx, client.Credential{
			Kind: "oauth", Client: owner, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}, Expires: c.now.Add(10 * time.Minute),
		}, shield.Issued{ID: owner, Material: []byte(secret), Keep: shield.KeepHash})
		return err
	}
	must(t, register(client.TesterA, "first"))
	if err := register(client.TesterA, "second"); err == nil {
		t.Error("a registration in force was replaced")
	}
	_, err = r.Revoke(ctx, client.TesterA, "")
	must(t, err)
	must(t, register(client.TesterA, "third"))
	c.now = c.now.Add(11 * time.Minute)
	must(t, r.KeepTurn(ctx, one.ID))
	must(t, register(client.TesterA, "fourth"))
	must(t, register("shop", "first of shop"))
	_, err = r.Revoke(ctx, "shop", "")
	must(t, err)
	if err := register("shop", "second of shop"); err == nil {
		t.Error("a registration of somebody else was replaced after it had ended")
	}
}
