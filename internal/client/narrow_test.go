package client_test

import (
	"slices"
	"testing"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

func TestACredentialIsNarrowedAndNeverWidened(t *testing.T) {
	c := newClock()
	r := registry(t, memory.New(), c, "")
	ctx := t.Context()
	must(t, second(r.CreateClient(ctx, client.Client{ID: "wide", Scopes: shield.Scopes{"a", "b", "c"}})))
	_, _, err := r.AddCredential(ctx, client.Credential{Kind: "hmac", Client: "wide"}, shield.Issued{ID: "h9", Material: []byte("secret-of-h9"), Keep: shield.KeepSealed})
	must(t, err)
	v := view(t, r)
	scopes := func() shield.Scopes {
		t.Helper()
		refresh(t, v)
		record, err := v.Credential("hmac", "h9")
		must(t, err)
		if string(record.Secret()) != "secret-of-h9" {
			t.Error("its secret is another")
		}
		return record.Scopes
	}
	change, err := r.NarrowCredential(ctx, "hmac", "h9", shield.Scopes{"a", "b"})
	must(t, err)
	if got := scopes(); !slices.Equal(got, shield.Scopes{"a", "b"}) || change.Action != "credential.narrow" || change.Target != "h9" {
		t.Errorf("%v, %+v", got, change)
	}
	for name, bad := range map[string]shield.Scopes{"one that it had": {"a", "c"}, "one that nobody has": {"z"}, "none, which means all": {}, "one twice": {"a", "a"}} {
		if _, err := r.NarrowCredential(ctx, "hmac", "h9", bad); err == nil {
			t.Errorf("%s: it has %v", name, scopes())
		}
	}
	if got := scopes(); !slices.Equal(got, shield.Scopes{"a", "b"}) {
		t.Errorf("after refusals %v", got)
	}
	if _, err := r.NarrowCredential(ctx, "hmac", "h0", shield.Scopes{"a"}); err == nil {
		t.Error("a credential that there is not is narrowed")
	}
	must(t, second(r.Revoke(ctx, "h9", "")))
	if _, err := r.NarrowCredential(ctx, "hmac", "h9", shield.Scopes{"a"}); err == nil {
		t.Error("a revoked credential is narrowed")
	}
}
