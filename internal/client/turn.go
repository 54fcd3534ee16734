package client

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Turn says who attacks. The clients of `pavise attack` have names that do not change, so one run
// at a time may have them, of all gateways that share a store: another would end its credentials in
// the middle. Whoever opens the first client takes the turn ([Registry.OpenTester]), each later
// call for the run prolongs it, and closing the last client gives it back. It lapses [TurnLife] after the
// last call, so that a run which died keeps nobody waiting for long; what it had open is ended by
// the next.
type Turn struct {
	Run   string    `json:"run,omitempty"` // that has it; "": none
	By    string    `json:"by,omitempty"`  // who runs it
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	Open  []string  `json:"open,omitempty"` // clients that it has open, also after it lapsed

	Last Planned `json:"last,omitzero"`
}

// Planned is an attack that a schedule demanded, and that came to its end.
type Planned struct {
	Moment time.Time `json:"moment"` // of the plan
	Node   string    `json:"node"`   // which gateway's schedule made it
	Name   string    `json:"name"`   // of that gateway, for people
	Ended  time.Time `json:"ended"`
}

// TurnRun is a run of `pavise attack`.
type TurnRun struct {
	ID string // unguessable
	By string // who runs it
}

// Bounds of turns.
const (
	TurnLife   = 2 * time.Minute
	turnFresh  = 15 * time.Second // a turn that was prolonged so recently is not written again
	turnRow    = "attack"
	clockFault = time.Hour // a turn that ends later than a turn can was taken by a clock that was wrong
)

var turnID = regexp.MustCompile(`^[A-Za-z0-9]{16,64}$`)

// ErrTurn is what all errors have in common that say that another run attacks.
var ErrTurn = errors.New("one attack at a time")

// UnderAttack is the error of a run while another one has the turn.
type UnderAttack struct {
	By           string
	Since, Until time.Time
}

// Error says whom to ask, and how long to wait at most.
func (e *UnderAttack) Error() string {
	return fmt.Sprintf("%s attacks since %s, and one run at a time has the clients of `pavise attack`: its turn ends with it, or at %s if it goes no further",
		e.By, e.Since.UTC().Format(time.RFC3339), e.Until.UTC().Format(time.RFC3339))
}

// Unwrap returns [ErrTurn].
func (e *UnderAttack) Unwrap() error { return ErrTurn }

// errLost is the error of a run that has not got the turn.
func errLost(t *Turn) error {
	if t.Run == "" {
		return fmt.Errorf("%w: this run has ended, or never began", ErrTurn)
	}
	return fmt.Errorf("%w: this run was silent for longer than %s, and %s attacks since %s", ErrTurn, TurnLife, t.By, t.Since.UTC().Format(time.RFC3339))
}

// isHeld reports whether a run has the turn.
func (t *Turn) isHeld(now time.Time) bool {
	return t.Run != "" && now.Before(t.Until) && t.Until.Before(now.Add(clockFault))
}

// Turn tells who attacks, and who did last for a schedule.
func (r *Registry) Turn(ctx context.Context) (Turn, error) {
	t, _, err := r.turn(ctx)
	if !t.isHeld(r.now()) {
		t.Run, t.By, t.Since, t.Until = "", "", time.Time{}, time.Time{}
	}
	return t, err
}

func (r *Registry) turn(ctx context.Context) (t Turn, row Row, err error) {
	row, err = r.rows.read(ctx, tableTurn, turnRow, &t)
	return t, row, err
}

// turnOf is the turn of a run, prolonged.
func (r *Registry) turnOf(ctx context.Context, run string) (Turn, Row, error) {
	t, row, err := r.turn(ctx)
	if err == nil && (t.Run != run || run == "") {
		err = errLost(&t)
	}
	t.Until = r.now().UTC().Add(TurnLife)
	return t, row, err
}

// KeepTurn prolongs the turn of a run. Its error is [ErrTurn] if the run has lost it: what was
// tried since is worth nothing. A run that was silent for too long has it still, as long as nobody
// else took it.
func (r *Registry) KeepTurn(ctx context.Context, run string) error {
	return r.retry(func() error {
		before, _, err := r.turn(ctx)
		if err != nil {
			return err
		}
		t, row, err := r.turnOf(ctx, run)
		if err != nil {
			return err
		}
		if t.Until.Sub(before.Until) < turnFresh {
			return nil
		}
		return r.rows.write(ctx, entry{tableTurn, turnRow, row.Version, t})
	})
}

// takeTurn takes the turn for a run that has not got it, and ends what a run before left open.
func (r *Registry) takeTurn(ctx context.Context, run TurnRun) error {
	if !turnID.MatchString(run.ID) {
		return fmt.Errorf("a run of `pavise attack` is named by 16 to 64 letters and digits")
	}
	if err := checkTexts(map[string]string{"name of who attacks": run.By}); err != nil {
		return err
	}
	var left []string
	err := r.retry(func() error {
		t, row, err := r.turn(ctx)
		now := r.now().UTC()
		switch {
		case err != nil:
			return err
		case t.Run == run.ID:
			left = nil
			return nil
		case t.isHeld(now):
			return &UnderAttack{By: t.By, Since: t.Since, Until: t.Until}
		}
		left = t.Open
		t.Run, t.By, t.Since, t.Until = run.ID, run.By, now, now.Add(TurnLife)
		return r.rows.write(ctx, entry{tableTurn, turnRow, row.Version, t})
	})
	if err != nil {
		return err
	}
	for _, id := range left {
		if _, err := r.rest(ctx, id, run.ID, "the run that made it was not ended", func(*Turn) {}); err != nil {
			return fmt.Errorf("end what the attack before left: %w", err)
		}
	}
	return nil
}

// mayTest refuses credentials of `pavise attack` outside of a turn.
func (r *Registry) mayTest(ctx context.Context, id string) error {
	t, _, err := r.turn(ctx)
	if err == nil && (!t.isHeld(r.now()) || !slices.Contains(t.Open, id)) {
		err = fmt.Errorf("%w: nobody attacks as %s now", ErrTurn, id)
	}
	return err
}
