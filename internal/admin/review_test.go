package admin_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func TestNarrowsACredentialAtOnce(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "shop", Scopes: []string{"orders:read", "orders:write"}})
	must(t, err)
	made, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	must(t, err)
	done, err := a.Narrow(ctx, admin.Narrow{ID: made.Credential.ID, Scopes: []string{"orders:read"}})
	must(t, err)
	record, err := w.view.Credential("api_key", made.Credential.ID)
	must(t, err)
	if !slices.Equal(record.Scopes, []string{"orders:read"}) || !strings.Contains(done.Change, "orders:write") {
		t.Errorf("%v: %s", record.Scopes, done.Change)
	}
	if _, err := a.Narrow(ctx, admin.Narrow{ID: made.Credential.ID, Scopes: []string{"orders:write"}}); err == nil {
		t.Error("what was taken away is given back")
	}
	var acts []string
	for _, e := range w.events(t) {
		acts = append(acts, e.Action+" "+string(e.Decision))
	}
	if want := []string{"credential.narrow accepted", "credential.narrow refused"}; !slices.Equal(acts[2:], want) {
		t.Errorf("events %q, want %q", acts, want)
	}
}

func TestEndsALostCredentialWithAReason(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "shop", Scopes: []string{"orders:read"}})
	must(t, err)
	lost, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	must(t, err)
	other, err := a.CreateCredential(ctx, admin.NewCredential{Kind: "api_key", Client: "shop", Environment: "live"})
	must(t, err)
	if _, err := a.End(ctx, admin.End{ID: lost.Credential.ID}); err == nil {
		t.Error("it ends without a reason")
	}
	if _, err := a.End(ctx, admin.End{ID: "nobody", Reason: "lost"}); err == nil {
		t.Error("a credential that there is not ends")
	}
	ended, err := a.End(ctx, admin.End{ID: lost.Credential.ID, Reason: "laptop stolen"})
	must(t, err)
	if want := []string{"api_key " + lost.Credential.ID}; !slices.Equal(ended.Credentials, want) {
		t.Errorf("ended %q, want %q", ended.Credentials, want)
	}
	for id, over := range map[string]bool{lost.Credential.ID: true, other.Credential.ID: false} {
		record, err := w.view.Credential("api_key", id)
		must(t, err)
		if record.Revoked.IsZero() == over {
			t.Errorf("%s: revoked at %s", id, record.Revoked)
		}
	}
	if again, err := a.End(ctx, admin.End{ID: lost.Credential.ID, Reason: "again"}); err != nil || len(again.Credentials) != 0 {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	var acts []string
	for _, e := range w.events(t)[3:] {
		acts = append(acts, e.Action+" "+string(e.Decision))
	}
	want := []string{"credential.end refused", "credential.end refused", "credential.revoke accepted", "credential.end accepted", "credential.end accepted"}
	if !slices.Equal(acts, want) {
		t.Errorf("events %q, want %q", acts, want)
	}
}

func TestAReportIsSealedByTheLog(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	digest := strings.Repeat("ab", 32)
	sealed, err := w.client().SealReport(ctx, admin.Sealing{Target: "K1", SHA256: digest})
	must(t, err)
	evidence, err := audit.Prove(ctx, w.service.LogDir, sealed.Event, sealed.Checkpoint)
	must(t, err)
	found, err := evidence.Check(w.service.Public)
	must(t, err)
	if e := found.Event; e.Action != "review.seal" || e.Target != "K1" || !strings.Contains(e.Change, digest) {
		t.Errorf("%+v", e)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("zz", 32)} {
		if _, err := w.client().SealReport(ctx, admin.Sealing{Target: "K1", SHA256: bad}); err == nil {
			t.Errorf("%q is sealed", bad)
		}
	}
	if answer := w.raw(http.MethodPost, "/v1/reports", `{"target":"K1","sha256":"`+digest+`","more":1}`, nil); answer.Code == http.StatusOK {
		t.Error("an unknown field is taken")
	}
}
