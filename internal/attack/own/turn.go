package own

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/limit"
)

// turn is that of the run: one at a time has the clients of the test. It is prolonged before whatever
// is sent, if it was not for a while, so that nobody else takes it from a run that is at work.
type turn struct {
	admin *admin.Client // of the run
	now   func() time.Time
	again time.Time // when it is prolonged next
	lost  error
}

// prolongEach is how often; it lapses after client.TurnLife.
const (
	prolongEach = client.TurnLife / 4
	prolongSoon = client.TurnLife / 24 // after a fault
)

// lostError says that another run has the turn: this one ends with it, whatever it was about to try.
type lostError struct{ error }

// Is makes the run end.
func (e lostError) Is(target error) bool { return target == attack.ErrBlocked }

// Unwrap returns what the administration said.
func (e lostError) Unwrap() error { return e.error }

// keep returns an error when the turn is lost: credentials were ended in the middle, and what the
// gateway answers says nothing any more.
func (t *turn) keep(ctx context.Context) error {
	now := t.now()
	if t.lost != nil || now.Before(t.again) {
		return t.lost
	}
	_, err := t.admin.KeepTurn(ctx)
	switch {
	case err == nil:
		t.again = now.Add(prolongEach)
	case admin.IsUnderAttack(err):
		return t.lose(err)
	default: // the gateway does not say; as long as nobody else does, the turn is ours
		t.again = now.Add(prolongSoon)
	}
	return t.lost
}

// lose notes that another run has the turn.
func (t *turn) lose(err error) error {
	if t.lost == nil {
		t.lost = lostError{err}
	}
	return t.lost
}

// Lost says that another run took the turn from this one, which was silent for too long: nothing of
// what it found counts. nil: it has it, or had it until its end.
func (r *Run) Lost() error { return r.turn.lost }

// openClients makes the clients of the test; the first one takes the turn.
func (r *Run) openClients(ctx context.Context) error {
	scopes := sortedNames(r.g.File.Scopes)
	for _, one := range []admin.OpenTester{{ID: r.a, Scopes: scopes}, {ID: r.b, Scopes: scopes}, {ID: r.none}} {
		one.For = r.g.For
		if _, err := r.g.Admin.OpenTester(ctx, one); err != nil {
			return errors.Join(fmt.Errorf("make the clients of the test: %w", err), r.Close(ctx))
		}
		r.opened = append(r.opened, one.ID)
		if r.countsOwn() {
			// What runs before used up; where it is used up all the same, cases say so.
			_, _ = r.g.Admin.ResetQuotas(ctx, admin.QuotaReset{Client: one.ID})
		}
	}
	r.turn.again = r.g.Now().Add(prolongEach)
	return nil
}

// countsOwn reports whether a quota counts what the clients of the test use.
func (r *Run) countsOwn() bool {
	return slices.ContainsFunc(r.places, func(p *place) bool {
		return slices.ContainsFunc(p.Quotas, func(q limit.Quota) bool { return q.Per != limit.PerEndpoint })
	})
}

// Close ends every credential of the test, gives the turn back, and ends the test's connections.
func (r *Run) Close(ctx context.Context) error {
	for _, h := range r.hosts {
		h.prober.Close()
	}
	end := admin.CloseTester{}
	if r.complete {
		end.Made = r.g.Planned
	}
	var faults []error
	for _, id := range r.opened {
		if _, err := r.g.Admin.CloseTester(ctx, id, end); err != nil {
			faults = append(faults, fmt.Errorf("end the credentials of %s, which end by themselves within %s: %w", id, client.TesterLife, err))
		}
	}
	r.opened = nil
	return errors.Join(faults...)
}
