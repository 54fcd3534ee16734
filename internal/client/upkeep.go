package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/seal"
)

const (
	upkeepTime   = 5 * time.Second // how long one piece of it may take
	warnAfter    = 5 * time.Second // unconfirmed for so long, it is said
	warnEvery    = time.Minute
	flushEvery   = time.Minute
	collectEvery = time.Hour
	flushBatch   = 256 // rows in one commit
)

// keepCurrent confirms the revision until ctx ends, which the view's Close does.
func (v *View) keepCurrent(ctx context.Context) {
	defer close(v.done)
	ticker := time.NewTicker(v.options.Poll)
	defer ticker.Stop()
	w := &warner{view: v}
	flushed, collected := v.now(), v.now()
	clock := looks{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		w.tell(bounded(ctx, v.Refresh))
		now := v.now()
		if clock.see(now) {
			v.turned.Store(&now)
			flushed, collected = now, now
		}
		if now.Sub(flushed) >= flushEvery {
			flushed = now
			w.other(bounded(ctx, v.flushUsage))
		}
		if now.Sub(collected) >= collectEvery {
			collected = now
			if !clock.believed() {
				continue
			}
			w.other(bounded(ctx, v.collect))
			w.other(bounded(ctx, v.collectBlocks))
			w.other(bounded(ctx, v.collectHolds))
		}
	}
}

// bounded gives one piece of upkeep its time.
func bounded(ctx context.Context, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, upkeepTime)
	defer cancel()
	return work(ctx)
}

// Close stops the upkeep, waits for it, and keeps the moments of last use. Calling
// it again does nothing.
func (v *View) Close() error {
	var err error
	v.closing.Do(func() {
		v.stop()
		<-v.done
		err = bounded(context.Background(), v.flushUsage)
	})
	return err
}

// warner bounds how often the same trouble is told.
type warner struct {
	view        *View
	last, flaws time.Time
}

// tell reports what keeps the snapshot from being confirmed.
func (w *warner) tell(err error) {
	if errors.Is(err, context.Canceled) {
		return // the view is being closed
	}
	if err == nil {
		w.last = time.Time{}
		return
	}
	now := w.view.now()
	urgent := errors.Is(err, seal.ErrTampered) || errors.Is(err, ErrRolledBack) || errors.Is(err, ErrCorrupt)
	unconfirmed := now.Sub(w.view.Confirmed())
	if !urgent && unconfirmed < warnAfter || !w.last.IsZero() && now.Sub(w.last) < warnEvery {
		return
	}
	w.last = now
	w.view.options.Warn(fmt.Errorf("credentials and revocations are unconfirmed for %s, and refused after %s: %w",
		unconfirmed.Round(time.Millisecond), w.view.options.MaxStaleness, err))
}

// other reports what else the upkeep could not do.
func (w *warner) other(err error) {
	if err == nil {
		return
	}
	if now := w.view.now(); now.Sub(w.flaws) >= warnEvery {
		w.flaws = now
		w.view.options.Warn(err)
	}
}

// usage is when a credential was last used.
type usage struct {
	Kind string    `json:"kind"`
	ID   string    `json:"id"`
	At   time.Time `json:"at"`
}

// Used notes that a credential was used. The moments are kept once a minute and
// when the view is closed; a kill -9 loses those of the last minute.
func (v *View) Used(kind, id string, at time.Time) {
	s, ok := v.credentials.get(credentialKey{kind, id})
	if !ok {
		return
	}
	if second := at.Unix(); s.used.Load() < second {
		s.used.Store(second) // a later one may be overwritten by an earlier one of the same moment: that is near enough
	}
}

// flushUsage keeps the moments of last use that are new, in batches.
func (v *View) flushUsage(ctx context.Context) error {
	var batch []usage
	var faults []error
	flush := func() {
		if len(batch) == 0 {
			return
		}
		if err := v.keepUsage(ctx, batch); err != nil {
			faults = append(faults, err)
			for _, u := range batch {
				v.Used(u.Kind, u.ID, u.At) // for the next time
			}
		}
		batch = batch[:0]
	}
	v.credentials.each(func(k credentialKey, s *slot) {
		if at := s.used.Swap(0); at != 0 {
			batch = append(batch, usage{k.kind, k.id, time.Unix(at, 0).UTC()})
		}
		if len(batch) == flushBatch {
			flush()
		}
	})
	flush()
	if len(faults) > 0 {
		return fmt.Errorf("keep moments of last use: %w", faults[0])
	}
	return nil
}

// keepUsage writes one batch, unless somebody else has just kept later moments.
func (v *View) keepUsage(ctx context.Context, batch []usage) error {
	var err error
	for range maxTries {
		entries := make([]entry, 0, len(batch))
		for _, u := range batch {
			name := credentialRow(u.Kind, u.ID)
			var kept usage
			row, err := v.ledger.read(ctx, tableUsage, name, &kept)
			if err != nil {
				return err
			}
			if u.At.After(kept.At) {
				entries = append(entries, entry{tableUsage, name, row.Version, u})
			}
		}
		if len(entries) == 0 {
			return nil
		}
		if err = v.ledger.write(ctx, entries...); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return err
}

// collect forgets revocations of tokens that have expired by themselves.
func (v *View) collect(ctx context.Context) error {
	now := v.now()
	var over []tokenKey
	v.tokens.each(func(k tokenKey, r revoked) {
		if !r.until.IsZero() && now.After(r.until) {
			over = append(over, k)
		}
	})
	for _, k := range over {
		var kept Revocation
		row, err := v.ledger.read(ctx, tableRevocation, k.row(), &kept)
		if err == nil && row.Body != nil && !kept.Until.IsZero() && now.After(kept.Until) {
			err = v.ledger.write(ctx, entry{tableRevocation, k.row(), row.Version, nil})
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("forget revocations of expired tokens: %w", err)
		}
	}
	return nil
}
