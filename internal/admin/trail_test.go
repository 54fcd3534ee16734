package admin_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

func TestTheTrailIsProvedAndAPersonErased(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	for _, id := range []string{"shop", "till"} {
		_, err := a.CreateClient(ctx, admin.NewClient{ID: id})
		must(t, err)
	}
	before, err := a.Checkpoint(ctx)
	must(t, err)
	_, public, err := audit.ParseVerifierKey(before.Key)
	must(t, err)
	if !before.Checkpoint.Signed(public) || before.Checkpoint.Seq != 2 {
		t.Errorf("%+v", before)
	}
	till := w.events(t)[1]
	proof, err := a.Prove(ctx, till.ID)
	must(t, err)
	if found, err := proof.Check(public); err != nil || found.Event.Target != "till" {
		t.Errorf("%+v, %v", found, err)
	}
	counted, err := a.CountErasure(ctx, admin.NewErasure{Client: "till"})
	if err != nil || counted.Records != 1 || len(w.events(t)) != 2 {
		t.Errorf("counted %+v, %v", counted, err)
	}
	done, err := a.Erase(ctx, admin.NewErasure{Client: "till", Reason: "request 7"})
	if err != nil || done.Records != 1 || !strings.HasPrefix(done.About, "client~") {
		t.Errorf("done %+v, %v", done, err)
	}
	acts := w.events(t)
	if len(acts) != 4 || acts[1].Target != "" || acts[1].Note != "erased" || acts[1].Actor == "" || acts[2].Action != "log.erase" || acts[3].Target != done.About {
		t.Errorf("events %+v", acts)
	}
	if v, err := a.Verify(ctx); err != nil || !v.Whole || v.Erased != 1 || v.Root == "" {
		t.Errorf("%+v, %v", v, err)
	}
	growth, err := a.Consistency(ctx, before.Checkpoint)
	if err != nil || growth.Check(public) != nil {
		t.Errorf("%+v, %v", growth, err)
	}
	if proof, err = a.Prove(ctx, till.ID); err != nil {
		t.Fatal(err)
	}
	if found, err := proof.Check(public); err != nil || found.Event.Target != "" {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestTheTrailRefuses(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	_, err := a.CreateClient(ctx, admin.NewClient{ID: "shop"})
	must(t, err)
	forged, err := a.Checkpoint(ctx)
	must(t, err)
	forged.Checkpoint.Root[0] ^= 1
	refused := func(name, code string, err error) {
		t.Helper()
		p, ok := errors.AsType[*admin.Problem](err)
		if !ok || p.Code != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
	_, err = a.Consistency(ctx, forged.Checkpoint)
	refused("a forged checkpoint", "foreign_checkpoint", err)
	_, err = a.Prove(ctx, "none")
	refused("no such event", "unknown_request", err)
	for name, n := range map[string]admin.NewErasure{
		"nobody": {Reason: "x"}, "no reason": {User: "ann"}, "two": {User: "ann", Client: "shop", Reason: "x"},
		"the name as a reason": {User: "ann", Reason: "for Ann"}, "the address as a reason": {Address: netip.MustParsePrefix("192.0.2.7/32"), Reason: "192.0.2.7"},
	} {
		_, err = a.Erase(ctx, n)
		refused(name, "refused", err)
	}
	if e := w.events(t); len(e) != 6 || e[5].Decision != audit.Refused || e[5].Action != "log.erasure" || strings.Contains(e[5].Target+e[5].Change, "ann") {
		t.Errorf("%d events, the last %+v", len(e), e[len(e)-1])
	}
	w.service.Trail = nil
	_, err = a.Checkpoint(ctx)
	refused("no log here", "not_running", err)
}
