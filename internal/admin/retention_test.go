package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
)

// heldLog is a log whose clock may have jumped.
type heldLog struct{ hold *audit.Hold }

func (h *heldLog) Hold() *audit.Hold { return h.hold }

func (h *heldLog) GoOn() (bool, error) {
	held := h.hold != nil
	h.hold = nil
	return held, nil
}

func TestAnOperatorSaysThatTheClockIsRight(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := w.client()
	was := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	log := &heldLog{&audit.Hold{From: was, To: was.AddDate(16, 0, 0), Left: 23 * time.Hour}}
	refused := func(name, code string, err error) {
		t.Helper()
		if p, ok := errors.AsType[*admin.Problem](err); !ok || p.Code != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
	_, err := a.Kept(ctx)
	refused("no log here", "not_running", err)
	w.service.Retention = log
	kept, err := a.Kept(ctx)
	if err != nil || kept.Hold == nil || kept.Left != "23h0m0s" || !kept.Hold.From.Equal(was) {
		t.Errorf("%+v, %v", kept, err)
	}
	_, err = a.GoOn(ctx, "")
	refused("without a reason", "no_reason", err)
	if log.hold == nil {
		t.Error("a refused act ended it")
	}
	if _, err := a.GoOn(ctx, "compared with the clock of the router"); err != nil || log.hold != nil {
		t.Errorf("go on: %v", err)
	}
	_, err = a.GoOn(ctx, "again")
	refused("nothing is held", "not_held", err)
	if kept, err = a.Kept(ctx); err != nil || kept.Hold != nil {
		t.Errorf("%+v, %v", kept, err)
	}
	e := w.events(t)
	if len(e) != 3 || e[1].Action != "log.retention" || !strings.Contains(e[1].Change, "2042") || !strings.Contains(e[1].Change, "router") {
		t.Errorf("the events: %+v", e)
	}
}
