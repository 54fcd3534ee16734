package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/seal"
)

// RotateKeys makes new data keys and seals every secret and tags every row under
// them. The older keys stay: hashes of secrets need theirs, and other nodes may
// still write with them for a moment. Every credential stays valid throughout.
// If it breaks off, calling it again goes on with newer keys.
func (r *Registry) RotateKeys(ctx context.Context) (Change, error) {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	change := Change{Action: "keys.rotate", Target: "data keys"}
	if err := r.rows.addKeys(ctx); err != nil {
		return change, err
	}
	rows, _, err := r.rows.store.Since(ctx, 0)
	if err != nil {
		return change, fmt.Errorf("read the store: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row Row) bool { return row.Table == tableKey || row.Table == tableUsage })
	for batch := range slices.Chunk(rows, rotationBatch) {
		if err := r.retry(func() error { return r.retag(ctx, batch) }); err != nil {
			return change, fmt.Errorf("seal rows again: %w", err)
		}
	}
	keys := r.rows.keys.Load()
	change.Text = fmt.Sprintf("%s-%d, %s-%d; %d rows sealed again", seal.Sealing, keys.Newest(seal.Sealing), seal.Hashing, keys.Newest(seal.Hashing), len(rows))
	return change, nil
}

const rotationBatch = 100 // rows in one commit

// retag writes rows again as they are, under the newest keys, in one commit.
func (r *Registry) retag(ctx context.Context, rows []Row) error {
	entries := make([]entry, 0, len(rows))
	for _, row := range rows {
		e, err := r.again(ctx, row.Table, row.ID)
		if errors.Is(err, ErrMissing) && isRemovable(row.Table, row.ID) {
			continue // removed in the meantime
		}
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil
	}
	return r.rows.write(ctx, entries...)
}

// again returns what a row holds as its next version.
func (r *Registry) again(ctx context.Context, table, id string) (entry, error) {
	var value any
	var row Row
	var err error
	switch {
	case table == tableCredential:
		var s stored
		if row, err = r.rows.must(ctx, table, id, &s); err == nil {
			err = r.reseal(&s.Sealed, row)
		}
		value = s
	case table == tableSecret || strings.HasPrefix(table, OAuth) || strings.HasPrefix(table, Authority):
		var s sealedSecret
		if row, err = r.rows.must(ctx, table, id, &s); err == nil {
			err = r.reseal(&s.Sealed, row)
		}
		value = s
	default:
		if row, err = r.rows.read(ctx, table, id, nil); row.Body != nil {
			value = json.RawMessage(row.Body)
		}
	}
	return entry{table, id, row.Version, value}, err
}

// addKeys makes the next version of each data key.
func (l *ledger) addKeys(ctx context.Context) error {
	keys := l.keys.Load()
	var rows []Row
	for _, use := range []seal.Use{seal.Sealing, seal.Hashing} {
		w, err := seal.Wrap(l.currentMaster(), use, keys.Newest(use)+1)
		if err != nil {
			return fmt.Errorf("make a data key: %w", err)
		}
		row, err := keyRow(w, 0)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if err := l.commit(ctx, rows); err != nil {
		return fmt.Errorf("keep the new data keys: %w", err)
	}
	return l.learn(rows)
}

func (l *ledger) currentMaster() seal.Master {
	l.masterMu.Lock()
	defer l.masterMu.Unlock()
	return l.master
}

// Rewrap puts the data keys under another master key, in one commit. From then on
// only that one opens the store: the caller has made it durable before, and
// keeps the old one with the backups that were made under it. Other nodes that
// are running must be given the new key before the data keys are rotated again.
func (r *Registry) Rewrap(ctx context.Context, to seal.Master) (Change, error) {
	r.rotating.Lock()
	defer r.rotating.Unlock()
	change := Change{Action: "keys.rewrap", Target: "data keys", Text: "under master key " + to.ID()}
	return change, r.retry(func() error { return r.rows.rewrap(ctx, to) })
}

func (l *ledger) rewrap(ctx context.Context, to seal.Master) error {
	from := l.currentMaster()
	known, _, err := l.store.Since(ctx, 0)
	if err != nil {
		return fmt.Errorf("read the data keys: %w", err)
	}
	var rows []Row
	for _, row := range known {
		if row.Table != tableKey {
			continue
		}
		wrapped, err := dataKeys([]Row{row})
		if err != nil || len(wrapped) == 0 {
			return err
		}
		w, err := seal.Rewrap(from, to, wrapped[0])
		if err != nil {
			return err
		}
		next, err := keyRow(w, row.Version)
		if err != nil {
			return err
		}
		rows = append(rows, next)
	}
	if err := l.commit(ctx, rows); err != nil {
		return err
	}
	l.masterMu.Lock()
	defer l.masterMu.Unlock()
	l.master = to
	return nil
}
