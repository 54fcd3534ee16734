package client_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/store/memory"
	"pavise.dev/pavise/shield"
)

// Runs of `pavise attack`.
var (
	one   = client.TurnRun{ID: strings.Repeat("1", 26), By: "ann"}
	other = client.TurnRun{ID: strings.Repeat("2", 26), By: "the schedule of web-2"}
)

// twoNodes are registries of one store, on one clock.
func twoNodes(t *testing.T) (here, there *client.Registry, c *clock) {
	t.Helper()
	c = newClock()
	store := memory.New()
	return registry(t, store, c, ""), registry(t, store, c, ""), c
}

// holds makes a credential of a tester, whose id comes back.
func holds(t *testing.T, r *client.Registry, c *clock, id string) error {
	t.Helper()
	_, _, err := r.AddCredential(t.Context(), client.Credential{
		Kind: "api_key", Client: client.TesterA, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32")}, Expires: c.now.Add(10 * time.Minute),
	}, shield.Issued{ID: id, Material: []byte(id), Keep: shield.KeepHash})
	return err
}

// inForce are the credentials of the tester that were not ended.
func inForce(t *testing.T, r *client.Registry) (ids []string) {
	t.Helper()
	held, err := r.Credentials(t.Context(), client.TesterA, "")
	must(t, err)
	for _, h := range held {
		if h.Revoked.IsZero() {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// TestOneRunAtATimeAttacks: two nodes, or a schedule beside a person, would end each other's credentials.
func TestOneRunAtATimeAttacks(t *testing.T) {
	here, there, c := twoNodes(t)
	ctx := t.Context()
	_, err := here.OpenTester(ctx, client.TesterA, nil, one)
	must(t, err)
	_, err = here.OpenTester(ctx, client.TesterB, nil, one)
	must(t, err)
	must(t, holds(t, here, c, "first"))
	for range 20 { // as long as it goes on, for however long that is
		c.now = c.now.Add(client.TurnLife - time.Second)
		must(t, here.KeepTurn(ctx, one.ID))
		_, err := there.OpenTester(ctx, client.TesterA, nil, other)
		under, ok := errors.AsType[*client.UnderAttack](err)
		if !ok || !errors.Is(err, client.ErrTurn) || under.By != "ann" || !strings.Contains(err.Error(), "ann attacks since 2026-11-23T12:00:00Z") {
			t.Fatalf("the second run: %v", err)
		}
	}
	if got := inForce(t, here); !slices.Equal(got, []string{"first"}) {
		t.Errorf("in force %v", got)
	}
	_, err = here.CloseTester(ctx, client.TesterA, one.ID, nil)
	must(t, err)
	if _, err := there.OpenTester(ctx, client.TesterA, nil, other); !errors.Is(err, client.ErrTurn) {
		t.Errorf("while one of its clients is open still: %v", err)
	}
	_, err = here.CloseTester(ctx, client.TesterB, one.ID, nil)
	must(t, err)
	_, err = there.OpenTester(ctx, client.TesterA, nil, other) // at once
	must(t, err)
}

func TestARunThatDiedKeepsNobodyWaitingForLong(t *testing.T) {
	here, there, c := twoNodes(t)
	ctx := t.Context()
	_, err := here.OpenTester(ctx, client.TesterA, nil, one)
	must(t, err)
	must(t, holds(t, here, c, "of the dead"))
	c.now = c.now.Add(client.TurnLife - time.Second)
	if _, err := there.OpenTester(ctx, client.TesterB, nil, other); !errors.Is(err, client.ErrTurn) {
		t.Errorf("a second before: %v", err)
	}
	c.now = c.now.Add(time.Second)
	if err := holds(t, here, c, "late"); !errors.Is(err, client.ErrTurn) {
		t.Errorf("a credential out of turn: %v", err)
	}
	_, err = there.OpenTester(ctx, client.TesterB, nil, other)
	must(t, err)
	if got := inForce(t, there); len(got) != 0 {
		t.Errorf("what it left counts still: %v", got)
	}
	_, err = there.OpenTester(ctx, client.TesterA, shield.Scopes{"a"}, other)
	must(t, err)
	must(t, holds(t, there, c, "of the second"))

	// The first one was only slow.
	if err := here.KeepTurn(ctx, one.ID); !errors.Is(err, client.ErrTurn) || !strings.Contains(err.Error(), "web-2 attacks since") {
		t.Errorf("the first one goes on: %v", err)
	}
	if _, err := here.OpenTester(ctx, client.TesterA, nil, one); !errors.Is(err, client.ErrTurn) {
		t.Errorf("the first one begins again: %v", err)
	}
	change, err := here.CloseTester(ctx, client.TesterA, one.ID, &client.Planned{Moment: c.now, Node: "n1"})
	must(t, err)
	if a, err := there.Client(ctx, client.TesterA); err != nil || a.Disabled || !a.Scopes.Has("a") || !slices.Equal(inForce(t, there), []string{"of the second"}) {
		t.Errorf("a late end of the first ended the second: %q, %+v, %v", change.Text, a, inForce(t, there))
	}
	if turn, err := there.Turn(ctx); err != nil || turn.Run != other.ID || turn.Last.Node != "" {
		t.Errorf("%+v, %v", turn, err)
	}
}

// A computer that slept has lost nothing, if nobody else came.
func TestASilentRunGoesOnIfNobodyTookItsTurn(t *testing.T) {
	here, there, c := twoNodes(t)
	ctx := t.Context()
	_, err := here.OpenTester(ctx, client.TesterA, nil, one)
	must(t, err)
	c.now = c.now.Add(time.Hour)
	must(t, here.KeepTurn(ctx, one.ID))
	must(t, holds(t, here, c, "k"))
	if _, err := there.OpenTester(ctx, client.TesterA, nil, other); !errors.Is(err, client.ErrTurn) {
		t.Errorf("%v", err)
	}
	c.now = c.now.Add(-24 * time.Hour) // the clock was wrong: nobody waits for a day
	_, err = there.OpenTester(ctx, client.TesterA, nil, other)
	must(t, err)
}

func TestATurnTellsWhoAttackedLastForASchedule(t *testing.T) {
	here, there, c := twoNodes(t)
	ctx := t.Context()
	moment := c.now.Add(-time.Minute)
	for i, made := range []*client.Planned{{Moment: moment, Node: "n1", Name: "web-1"}, nil, {Moment: moment.Add(-time.Hour), Node: "n2"}} {
		run := client.TurnRun{ID: fmt.Sprintf("%026d", i), By: "web"}
		_, err := here.OpenTester(ctx, client.TesterNone, nil, run)
		must(t, err)
		_, err = here.CloseTester(ctx, client.TesterNone, run.ID, made)
		must(t, err)
	}
	turn, err := there.Turn(ctx)
	must(t, err)
	if turn.Run != "" || turn.Last.Node != "n1" || !turn.Last.Moment.Equal(moment) || !turn.Last.Ended.Equal(c.now) {
		t.Errorf("%+v", turn)
	}
}

func TestRunsAndTheirCallersHaveNames(t *testing.T) {
	r := registry(t, memory.New(), newClock(), "")
	for _, run := range []client.TurnRun{{}, {ID: "short", By: "ann"}, {ID: strings.Repeat("a", 65), By: "ann"}, {ID: one.ID + "\x00"}, {ID: one.ID, By: "a\x1b[2J"}} {
		if _, err := r.OpenTester(t.Context(), client.TesterA, nil, run); err == nil {
			t.Errorf("taken by %+v", run)
		}
	}
	if err := r.KeepTurn(t.Context(), ""); !errors.Is(err, client.ErrTurn) {
		t.Errorf("a turn of nobody is kept: %v", err)
	}
	if _, err := r.OpenTester(t.Context(), client.TesterA, nil, one); err != nil {
		t.Error(err)
	}
}

// Many begin at once, and one does.
func TestOfManyThatBeginOneDoes(t *testing.T) {
	here, there, _ := twoNodes(t)
	won := make(chan string, 8)
	for i := range cap(won) {
		go func() {
			r, run := here, client.TurnRun{ID: fmt.Sprintf("%026d", i), By: "somebody"}
			if i%2 == 1 {
				r = there
			}
			if _, err := r.OpenTester(t.Context(), client.TesterA, nil, run); err != nil {
				run.ID = ""
			}
			won <- run.ID
		}()
	}
	winner, n := "", 0
	for range cap(won) {
		if id := <-won; id != "" {
			winner = id
			n++
		}
	}
	if turn, err := here.Turn(t.Context()); n != 1 || err != nil || turn.Run != winner {
		t.Errorf("%d won; %+v, %v", n, turn, err)
	}
}
