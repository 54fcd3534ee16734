package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/shield"
)

// `pavise attack` has clients of its own, whose names nobody else can have: two, so that
// credentials can be crossed, and one without any scope. What they hold ends within [TesterLife] and is bound to a
// network. Requests of theirs that are accepted are answered by the gateway itself; those of
// the pair that goes through reach the upstream, for whoever wants that.
//
// A tester's credential can do nothing that an ordinary one cannot, and mostly less: that a
// token of somebody else's names such a client is no way around anything.
const (
	TesterA        = "pavise-tester-a"
	TesterB        = "pavise-tester-b"
	TesterNone     = "pavise-tester-none"
	TesterThroughA = "pavise-tester-through-a"
	TesterThroughB = "pavise-tester-through-b"

	TesterLife = 15 * time.Minute
)

// IsTester reports whether a client is one of `pavise attack`.
func IsTester(id string) bool {
	return IsAnswered(id) || id == TesterThroughA || id == TesterThroughB
}

// IsAnswered reports whether the gateway itself answers what is accepted of a client.
func IsAnswered(id string) bool { return id == TesterA || id == TesterB || id == TesterNone }

var errTester = errors.New("the name belongs to `pavise attack`; choose another")

// OpenTester makes or wakes a client of `pavise attack`, with scopes, for a run. The first one takes
// the [Turn] for it; [UnderAttack] says that another run has it.
func (r *Registry) OpenTester(ctx context.Context, id string, scopes shield.Scopes, run TurnRun) (Change, error) {
	change := Change{Action: "client.test", Target: id}
	if !IsTester(id) {
		return change, fmt.Errorf("%s is no client of `pavise attack`", quote(id))
	}
	c := Client{ID: id, Contact: "pavise attack", Scopes: scopes}
	if err := c.Validate(); err != nil {
		return change, err
	}
	if err := r.takeTurn(ctx, run); err != nil {
		return change, err
	}
	err := r.retry(func() error {
		t, turn, err := r.turnOf(ctx, run.ID)
		if err != nil {
			return err
		}
		before := Client{}
		row, err := r.rows.read(ctx, tableClient, id, &before)
		if err != nil {
			return err
		}
		next := c
		if next.Created = before.Created; row.Body == nil {
			next.Created = r.now().UTC()
			change.Action = "client.create"
		}
		change.Text = fmt.Sprintf("for an attack of %s: %s", run.By, differences(before, next))
		if !slices.Contains(t.Open, id) {
			t.Open = append(t.Open, id)
		}
		return r.rows.write(ctx, entry{tableClient, id, row.Version, next}, entry{tableTurn, turnRow, turn.Version, t})
	})
	return change, err
}

// CloseTester ends all that a client of `pavise attack` holds, and puts it to rest. The last one
// gives the [Turn] back; made says that the run came to its end for a schedule. A run that has
// lost the turn ends nothing: what it held was ended by the one after it.
func (r *Registry) CloseTester(ctx context.Context, id, run string, made *Planned) (Change, error) {
	if !IsTester(id) {
		return Change{Action: "client.test_end", Target: id}, fmt.Errorf("%s is no client of `pavise attack`", quote(id))
	}
	change, err := r.rest(ctx, id, run, "the test is over", func(t *Turn) {
		if len(t.Open) == 0 {
			t.Run, t.By, t.Since, t.Until = "", "", time.Time{}, time.Time{}
		}
		if made != nil && made.Moment.After(t.Last.Moment) {
			t.Last = *made
			t.Last.Ended = r.now().UTC()
		}
	})
	if errors.Is(err, ErrTurn) {
		change.Text, err = "nothing: this run has not got the turn", nil
	}
	return change, err
}

// rest ends all that a client of `pavise attack` holds, and puts it to rest, in one step that only the
// run can do that has the turn; then is what becomes of the turn with it.
func (r *Registry) rest(ctx context.Context, id, run, reason string, then func(*Turn)) (Change, error) {
	change := Change{Action: "client.test_end", Target: id}
	var foreign error // rows of others' making, which are no reason to end nothing
	err := r.retry(func() error {
		t, turn, err := r.turnOf(ctx, run)
		if err != nil {
			return err
		}
		t.Open = slices.DeleteFunc(t.Open, func(open string) bool { return open == id })
		then(&t)
		entries := []entry{{tableTurn, turnRow, turn.Version, t}}
		var more []entry
		if more, foreign, err = r.ends(ctx, id, reason); err != nil {
			return err
		}
		var c Client
		row, err := r.rows.read(ctx, tableClient, id, &c)
		if err != nil {
			return err
		}
		if row.Body != nil {
			before := c
			c.Scopes, c.Disabled = nil, true
			change.Text = differences(before, c)
			entries = append(entries, entry{tableClient, id, row.Version, c})
		}
		return r.rows.write(ctx, append(entries, more...)...)
	})
	if err == nil && foreign != nil {
		err = fmt.Errorf("%s is at rest, but: %w", id, foreign)
	}
	return change, err
}

// ends are the rows of a client's credentials, ended; foreign is what is wrong with rows beside them.
func (r *Registry) ends(ctx context.Context, id, reason string) (entries []entry, foreign, err error) {
	known, foreign := all[stored](ctx, r.rows, tableCredential, nil)
	for _, s := range known {
		if s.Client != id || !s.Revoked.IsZero() {
			continue
		}
		e, err := r.revoked(ctx, s.Kind, s.ID, reason)
		if err != nil {
			return nil, foreign, err
		}
		entries = append(entries, e)
	}
	return entries, foreign, nil
}

// checkTester refuses what no credential of `pavise attack` may be.
func (c *Credential) checkTester() error {
	switch end := c.End(); {
	case end.IsZero() || end.After(c.Created.Add(TesterLife)):
		return fmt.Errorf("a credential of `pavise attack` ends after %s at most", TesterLife)
	case len(c.Networks) == 0:
		return errors.New("a credential of `pavise attack` is bound to a network")
	}
	return nil
}
