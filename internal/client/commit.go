package client

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

const (
	maxJoint   = 256              // rows in a commit of several changes
	commitTime = 10 * time.Second // that one commit may take
)

// change is rows that are written, or removed for good, all or none.
type change struct {
	rows    []Row
	removal bool
	done    chan struct{} // closed when err says how it went
	err     error
}

// before is the version that the store must have of a row that is changed; 0: none.
func (c *change) before(row Row) int64 {
	if c.removal {
		return row.Version
	}
	return row.Version - 1
}

func (c *change) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// commit writes rows. Each of them is one version above the stored one, or all are
// refused with [ErrConflict].
func (l *ledger) commit(ctx context.Context, rows []Row) error {
	if err := CheckRows(rows); err != nil {
		return err
	}
	return l.wait(ctx, &change{rows: rows})
}

// remove takes rows away that are stored with the versions that they name.
func (l *ledger) remove(ctx context.Context, rows []Row) error {
	return l.wait(ctx, &change{rows: rows, removal: true})
}

// wait has a change committed and returns how that went. While one commit is under
// way, the changes that come meanwhile wait; then one of their callers commits all of
// them at once. So many changes cost as many writes to the disk as a few.
//
// The end of ctx ends the wait for a turn. A commit that has begun is seen through.
func (l *ledger) wait(ctx context.Context, c *change) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	c.done = make(chan struct{})
	l.queue.add(c)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
		for !c.isDone() {
			l.commitNext(ctx)
		}
	case <-c.done:
	case <-ctx.Done():
		if l.queue.withdraw(c) {
			return unavailable(ctx.Err())
		}
		<-c.done
	}
	return c.err
}

// commitNext commits what waits, as much of it as goes into one commit. It takes a
// caller's values, but his haste does not break off what belongs to others too.
func (l *ledger) commitNext(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	runtime.Gosched() // whoever is about to come with a change comes now: on one core nobody runs while the disk is waited for
	changes := l.queue.take()
	defer func() {
		for _, c := range changes {
			close(c.done)
		}
	}()
	for _, c := range changes {
		c.err = fmt.Errorf("%w: the commit broke off", ErrUnavailable) // until it is known
	}
	l.together(ctx, changes)
}

// together commits changes of one kind at once, without those that conflict with what
// is stored or with one before them.
func (l *ledger) together(ctx context.Context, changes []*change) {
	next, err := l.current(ctx)
	if err != nil {
		answer(changes, err)
		return
	}
	joint, rows := changes[:0:0], []Row(nil)
	changed := map[rowName]bool{}
	for _, c := range changes {
		after, err := l.after(ctx, next, changed, c)
		if err != nil {
			c.err = err
			continue
		}
		next, joint, rows = after, append(joint, c), append(rows, c.rows...)
		for _, row := range c.rows {
			changed[nameOf(row)] = true
		}
	}
	if len(joint) == 0 {
		return
	}
	err = l.step(ctx, rows, joint[0].removal, next)
	if errors.Is(err, ErrConflict) && len(joint) > 1 { // somebody else writes to the store
		for _, c := range joint {
			l.together(ctx, []*change{c})
		}
		return
	}
	answer(joint, err)
}

func answer(changes []*change, err error) {
	for _, c := range changes {
		c.err = err
	}
}

// current returns the sum of the store as it is, if a mark is kept.
func (l *ledger) current(ctx context.Context) (total, error) {
	if l.mark == nil {
		return total{}, nil
	}
	if err := l.settle(ctx); err != nil {
		return total{}, err
	}
	return l.mark.confirmed, nil
}

// after returns what a sum becomes by a change, or [ErrConflict] if that is not what it
// was made for. Rows that have changed already are not in the store yet.
func (l *ledger) after(ctx context.Context, sum total, changed map[rowName]bool, c *change) (total, error) {
	for _, row := range c.rows {
		old, ok, err := l.store.Get(ctx, row.Table, row.ID)
		if err != nil {
			return sum, fmt.Errorf("read %s/%s: %w", row.Table, row.ID, err)
		}
		if old.Version != c.before(row) || changed[nameOf(row)] {
			return sum, ErrConflict
		}
		if ok {
			sum.remove(l.part(old))
		}
		if !c.removal {
			sum.add(l.part(row))
		}
	}
	return sum, nil
}

// step changes the store between two states of the mark, so that a death at any point
// leaves a store that the mark knows.
func (l *ledger) step(ctx context.Context, rows []Row, removal bool, next total) error {
	keep := l.mark != nil && marked(rows)
	if keep {
		if err := l.mark.announce(next); err != nil {
			return err
		}
	}
	if err := l.apply(ctx, rows, removal); err != nil {
		l.unsure = l.unsure || !errors.Is(err, ErrConflict)
		return err
	}
	if !keep {
		return nil
	}
	if err := l.mark.confirm(next); err != nil {
		return fmt.Errorf("the change is in force, but: %w", err)
	}
	return nil
}

func marked(rows []Row) bool {
	for _, row := range rows {
		if row.Table != tableUsage {
			return true
		}
	}
	return false
}

func (l *ledger) apply(ctx context.Context, rows []Row, removal bool) error {
	if removal {
		if _, err := l.store.Remove(ctx, rows...); err != nil {
			return err
		}
		l.forget(rows)
		return nil
	}
	if _, err := l.store.Commit(ctx, rows...); err != nil {
		return err
	}
	for _, row := range rows {
		l.note(row)
	}
	return nil
}

// settle finds out whether the last commit was written, if that is not known.
func (l *ledger) settle(ctx context.Context) error {
	if !l.unsure {
		return nil
	}
	rows, _, err := l.store.Since(ctx, 0)
	if err != nil {
		return fmt.Errorf("read the store after a commit that broke off: %w", err)
	}
	sum, err := l.verify(ctx, rows)
	if err != nil {
		return err
	}
	if sum != l.mark.confirmed && sum != l.mark.announced {
		return fmt.Errorf("after a commit that broke off: %w", ErrRolledBack)
	}
	if err := l.mark.confirm(sum); err != nil {
		return err
	}
	l.unsure = false
	return nil
}

// queue holds the changes that wait, in the order in which they came.
type queue struct {
	mu      sync.Mutex
	waiting []*change
}

func (q *queue) add(c *change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, c)
}

// withdraw takes a change back; false: it is being committed.
func (q *queue) withdraw(c *change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.waiting {
		if other == c {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// take takes out the first change and those of its kind that go into one commit with
// it.
func (q *queue) take() (joint []*change) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var rest []*change
	rows := 0
	for _, c := range q.waiting {
		fits := len(joint) == 0 || c.removal == joint[0].removal && rows+len(c.rows) <= maxJoint
		if !fits {
			rest = append(rest, c)
			continue
		}
		joint, rows = append(joint, c), rows+len(c.rows)
	}
	q.waiting = rest
	return joint
}
