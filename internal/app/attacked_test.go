package app

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/schedule"
)

// TestGatewaysThatShareAStoreAttackOnce: the one that did the last time does again, the others hear of it, and
// one of them takes over when it is gone.
func TestGatewaysThatShareAStoreAttackOnce(t *testing.T) {
	first := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	var later atomic.Int64 // than that, in nanoseconds
	a, err := Open(t.Context(), write(t, t.TempDir(), minimal), Options{Library: true, Now: func() time.Time { return first.Add(time.Duration(later.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, a)
	asks := func(moment time.Time) error {
		_, err := a.turnToAttack(t.Context(), moment)
		return err
	}
	other := client.TurnRun{ID: strings.Repeat("2", 26), By: "the schedule of web-2"}
	attacks := func(made *client.Planned) {
		t.Helper()
		if _, err := a.State.Registry.OpenTester(t.Context(), client.TesterA, nil, other); err != nil {
			t.Fatal(err)
		}
		if _, err := a.State.Registry.CloseTester(t.Context(), client.TesterA, other.ID, made); err != nil {
			t.Fatal(err)
		}
	}
	if err := asks(first); err != nil {
		t.Errorf("nobody ever attacked: %v", err)
	}
	attacks(&client.Planned{Moment: first, Node: "n2", Name: "web-2"})
	if elsewhere, is := errors.AsType[*schedule.Elsewhere](asks(first)); !is || !strings.HasPrefix(elsewhere.Why, "web-2 attacked, until ") {
		t.Errorf("web-2 has: %v", asks(first))
	}
	if err := asks(time.Time{}); err != nil {
		t.Errorf("somebody asks for one here: %v", err)
	}
	next := first.AddDate(0, 0, 7)
	later.Store(int64(next.Add(9 * time.Minute).Sub(first)))
	if notNow, is := errors.AsType[*schedule.NotNow](asks(next)); !is || !strings.HasPrefix(notNow.Why, "web-2 attacks, as it did the last time") {
		t.Errorf("web-2 is about to: %v", asks(next))
	}
	later.Store(int64(next.Add(takeOver + 10*time.Minute).Sub(first)))
	if err := asks(next); err != nil {
		t.Errorf("web-2 is gone: %v", err)
	}
	attacks(&client.Planned{Moment: next, Node: a.schedule.Node(), Name: "here"})
	if err := asks(next.AddDate(0, 0, 7)); err != nil {
		t.Errorf("now it is this one's: %v", err)
	}
}

// TestAnAttackByHandPutsTheScheduledOneOff: it is no failure, and the next try finds its turn.
func TestAnAttackByHandPutsTheScheduledOneOff(t *testing.T) {
	a, err := Open(t.Context(), write(t, t.TempDir(), "listen: {https: \"127.0.0.1:1\"}\n"+minimal), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, a)
	ann := client.TurnRun{ID: strings.Repeat("1", 26), By: "ann"}
	if _, err := a.State.Registry.OpenTester(t.Context(), client.TesterB, nil, ann); err != nil {
		t.Fatal(err)
	}
	_, err = a.attackItself(t.Context(), time.Now())
	if notNow, is := errors.AsType[*schedule.NotNow](err); !is || !strings.Contains(notNow.Why, "ann attacks since") {
		t.Errorf("%v", err)
	}
	if turn, err := a.State.Registry.Turn(t.Context()); err != nil || turn.By != "ann" {
		t.Errorf("%+v, %v", turn, err)
	}
}
