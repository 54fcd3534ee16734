package admin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/shield"
)

// stepping is a store that fails at one step.
type stepping struct {
	client.Store
	at, calls int  // 0: nowhere
	always    bool // from there on
	kept      bool // what is written is kept all the same: the answer is lost
	commits   []int
}

func (s *stepping) fails() bool {
	s.calls++
	return s.at > 0 && (s.calls == s.at || s.always && s.calls > s.at)
}

func (s *stepping) Since(ctx context.Context, revision int64) ([]client.Row, int64, error) {
	if s.fails() {
		return nil, 0, client.ErrUnavailable
	}
	return s.Store.Since(ctx, revision)
}

func (s *stepping) Table(ctx context.Context, table string) ([]client.Row, error) {
	if s.fails() {
		return nil, client.ErrUnavailable
	}
	return s.Store.Table(ctx, table)
}

func (s *stepping) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	if s.fails() {
		return client.Row{}, false, client.ErrUnavailable
	}
	return s.Store.Get(ctx, table, id)
}

func (s *stepping) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	fails := s.fails()
	s.commits = append(s.commits, s.calls)
	if !fails {
		return s.Store.Commit(ctx, rows...)
	}
	if s.kept {
		if _, err := s.Store.Commit(ctx, rows...); err != nil {
			return 0, err
		}
	}
	return 0, client.ErrUnavailable
}

// truth is what of a client's is over: the registration, its grants in force, and whether its tokens are.
func truth(t *testing.T, w *world, s *server) (registration bool, grants []string, tokens bool) {
	t.Helper()
	known, err := w.service.Registry.Credentials(t.Context(), "shop", "oauth")
	must(t, err)
	left, err := w.client().Grants(t.Context(), admin.GrantQuery{Client: "shop"})
	must(t, err)
	for _, g := range left {
		grants = append(grants, "grant "+g.ID)
	}
	ended, err := w.service.Registry.Revocations(t.Context())
	must(t, err)
	return !known[0].Revoked.IsZero(), grants, slices.ContainsFunc(ended, func(r client.Revocation) bool { return r.Subject == "shop" && r.Issuer == s.Issuer })
}

// Wherever the store fails, what was ended is said, what was not is said, and whoever asks again ends it.
func TestWhatWasEndedInPartIsToldAndGoesOn(t *testing.T) {
	whole := endsInPart(t, stepping{})
	if whole.calls < 10 || len(whole.commits) < 4 {
		t.Fatalf("it has %d steps, and writes in %d", whole.calls, len(whole.commits))
	}
	for at := 1; at <= whole.calls; at++ {
		endsInPart(t, stepping{at: at})
	}
	for _, at := range whole.commits {
		endsInPart(t, stepping{at: at, always: true})
		endsInPart(t, stepping{at: at, kept: true})
	}
}

// endsInPart lets a store fail, and returns what it was asked.
func endsInPart(t *testing.T, store stepping) stepping {
	t.Helper()
	w, s := filled(t)
	ctx, a := t.Context(), w.client()
	store.Store = w.store.Store
	w.store.Store = &store
	done, err := a.End(ctx, admin.End{Kind: "oauth", ID: "shop", Reason: "laptop stolen"})
	asked := store
	store.at = 0
	where := fmt.Sprintf("step %d (always %t, kept %t): %+v, %v", asked.at, asked.always, asked.kept, done, err)
	over, left, tokens := truth(t, w, s)
	told := slices.Contains(done.Credentials, "oauth shop")
	switch {
	case told && !over, done.Tokens != "" && !tokens:
		t.Errorf("told as ended, and is not: %s", where)
	case err == nil && (!told || len(left) > 0 || !tokens):
		t.Errorf("not all is ended, and no error: %s", where)
	}
	for _, g := range done.Grants {
		if slices.Contains(left, "grant "+g) {
			t.Errorf("grant %s is told as ended: %s", g, where)
		}
	}
	if p, ok := errors.AsType[*admin.Problem](err); ok && p.Ended != nil {
		unsaid := slices.DeleteFunc(left, func(g string) bool {
			return slices.Contains(done.Left, g) || slices.Contains(done.Left, "grants of client shop")
		})
		if len(unsaid) > 0 || !over && !slices.Contains(done.Left, "oauth shop") || !tokens && !slices.Contains(done.Left, "tokens of client shop") {
			t.Errorf("%q is not told as left: %s", unsaid, where)
		}
		if len(done.Left) > 0 && p.Code != "ended_in_part" || p.Status < 500 || len(done.Faults) == 0 {
			t.Errorf("%d %s: %s", p.Status, p.Code, where)
		}
	}
	again, err := a.End(ctx, admin.End{Kind: "oauth", ID: "shop", Reason: "laptop stolen"})
	if err != nil || len(again.Left) > 0 {
		t.Fatalf("asked again, after %s: %+v, %v", where, again, err)
	}
	if over, left, tokens := truth(t, w, s); !over || len(left) > 0 || !tokens {
		t.Errorf("asked again: %t %q %t after %s", over, left, tokens, where)
	}
	if all := slices.Concat(done.Grants, again.Grants); !asked.kept && len(all) != 2 {
		t.Errorf("the two calls tell of grants %q: %s", all, where)
	}
	return asked
}

func TestAFaultOfTheAuthorizationServerIsNoAbsence(t *testing.T) {
	w, _ := filled(t)
	down := errors.New("its keys cannot be read")
	w.service.OAuth = func(context.Context) (*admin.OAuth, error) { return nil, down }
	done, err := w.client().End(t.Context(), admin.End{Kind: "oauth", ID: "shop", Reason: "lost"})
	if p := problemIn(t, err); p.Code != "ended_in_part" || !strings.Contains(p.Detail, down.Error()) {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(done.Credentials, []string{"oauth shop"}) || !slices.Equal(done.Left, []string{"grants of client shop", "tokens of client shop"}) {
		t.Errorf("%+v", done)
	}
	w.service.OAuth = func(context.Context) (*admin.OAuth, error) { return nil, nil }
	if done, err := w.client().End(t.Context(), admin.End{Kind: "oauth", ID: "shop", Reason: "lost"}); err != nil || !slices.Equal(done.Before, []string{"oauth shop"}) {
		t.Errorf("without a server: %+v, %v", done, err)
	}
}

func TestEndsTheCredentialOfTheKindAlone(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "shop", Scopes: []string{"orders:read"}})
	must(t, err)
	for _, kind := range []string{"api_key", "hmac"} {
		_, _, err := w.service.Registry.AddCredential(ctx, client.Credential{Kind: kind, Client: "shop"}, shield.Issued{ID: "same", Material: []byte("material of " + kind), Keep: shield.KeepSealed})
		must(t, err)
	}
	ended, err := a.End(ctx, admin.End{Kind: "hmac", ID: "same", Reason: "lost"})
	must(t, err)
	if !slices.Equal(ended.Credentials, []string{"hmac same"}) {
		t.Errorf("ended %q", ended.Credentials)
	}
	record, err := w.view.Credential("api_key", "same")
	must(t, err)
	if !record.Revoked.IsZero() {
		t.Error("the key of the same id ended, too")
	}
	if _, err := a.Revoke(ctx, admin.Revoke{ID: "same", Kind: "hmac"}); err == nil {
		t.Error("what is over is revoked again")
	}
	done, err := a.Revoke(ctx, admin.Revoke{ID: "same", Kind: "api_key", Reason: "not used"})
	must(t, err)
	if !strings.Contains(done.Change, "api_key/same") {
		t.Errorf("%+v", done)
	}
	if _, err := a.Revoke(ctx, admin.Revoke{Client: "shop", Kind: "api_key"}); err == nil {
		t.Error("a kind beside a client is taken")
	}
}
