package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"pavise.dev/pavise/internal/seal"
)

// ErrRolledBack says that the store is not in the state in which it was left:
// a row was put back, or the whole store was.
var ErrRolledBack = errors.New("the store is not in the state in which it was left")

// ledger reads and writes rows whose bodies carry a tag, and keeps, outside the
// store, a [mark] of the state that the store is in.
//
// The tag binds a body to its table, id and version, so that a row cannot be
// changed or copied under another id. The mark, and the versions that were seen
// since the start, tell when an older state of a row or of the whole store was
// put back (docs/decisions/0030-state.md).
type ledger struct {
	store Store
	keys  atomic.Pointer[seal.Keys]

	masterMu sync.Mutex // orders what changes the keys
	master   seal.Master

	queue  queue         // changes that wait to be committed
	turn   chan struct{} // full while a commit is under way
	mark   *mark         // nil: none is kept; whoever has the turn writes it
	unsure bool          // whether the last commit was written is not known; as mark

	seenMu sync.Mutex
	seen   map[rowName]int64 // the newest version of each row that was seen
}

type rowName struct{ table, id string }

func nameOf(row Row) rowName { return rowName{row.Table, row.ID} }

// entry is a value that is to become the next version of a row; nil deletes it.
type entry struct {
	table, id string
	version   int64 // that it was read with; 0: new
	value     any
}

func openLedger(ctx context.Context, o Options) (*ledger, error) {
	o.Store = classed{o.Store}
	rows, _, err := o.Store.Since(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	wrapped, err := dataKeys(rows)
	if err != nil {
		return nil, err
	}
	if len(wrapped) == 0 {
		if len(rows) > 0 {
			return nil, fmt.Errorf("%w: it has rows but no data keys; restore it from a backup", ErrCorrupt)
		}
		if err := mayBeEmpty(o); err != nil {
			return nil, err
		}
		if wrapped, rows, err = makeDataKeys(ctx, o); err != nil {
			return nil, err
		}
	}
	keys, err := seal.OpenKeys(o.Master, wrapped)
	if err != nil {
		return nil, err
	}
	l := &ledger{
		store: o.Store, master: o.Master, turn: make(chan struct{}, 1), seen: make(map[rowName]int64, len(rows)),
	}
	l.keys.Store(keys)
	sum, err := l.verify(ctx, rows)
	if err != nil || o.Mark == "" {
		return l, err
	}
	l.mark, err = openMark(o.Mark, keys, sum, markLeave{first: len(rows) == len(wrapped), restored: o.AcceptRestored})
	return l, err
}

// mayBeEmpty refuses a store that is empty although the mark says that there was
// one: what was revoked in it would be forgotten.
func mayBeEmpty(o Options) error {
	if o.Mark == "" || o.AcceptRestored {
		return nil
	}
	if _, err := os.Stat(o.Mark); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: it is empty, and there is %s of a store before it. Put that store back; or, to begin anew without what it held, remove this file", ErrRolledBack, o.Mark)
	}
	return nil
}

// dataKeys returns the wrapped keys among the rows. They carry no tag: the master
// key authenticates them.
func dataKeys(rows []Row) ([]seal.Wrapped, error) {
	var wrapped []seal.Wrapped
	for _, row := range rows {
		if row.Table != tableKey || len(row.Body) == 0 {
			continue
		}
		var w seal.Wrapped
		if err := json.Unmarshal(row.Body, &w); err != nil || w.Name() != row.ID {
			return nil, fmt.Errorf("data key %s: %w; restore the store from a backup", row.ID, ErrCorrupt)
		}
		wrapped = append(wrapped, w)
	}
	return wrapped, nil
}

func makeDataKeys(ctx context.Context, o Options) ([]seal.Wrapped, []Row, error) {
	var wrapped []seal.Wrapped
	var rows []Row
	for _, use := range []seal.Use{seal.Sealing, seal.Hashing} {
		w, err := seal.Wrap(o.Master, use, 1)
		if err != nil {
			return nil, nil, fmt.Errorf("make data keys: %w", err)
		}
		row, err := keyRow(w, 0)
		if err != nil {
			return nil, nil, err
		}
		wrapped, rows = append(wrapped, w), append(rows, row)
	}
	if _, err := o.Store.Commit(ctx, rows...); err != nil {
		return nil, nil, fmt.Errorf("keep the data keys: %w", err)
	}
	return wrapped, rows, nil
}

func keyRow(w seal.Wrapped, version int64) (Row, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return Row{}, fmt.Errorf("encode data key %s: %w", w.Name(), err)
	}
	return Row{Table: tableKey, ID: w.Name(), Version: version + 1, Body: body}, nil
}

// verify checks the tag of every row and returns the sum of all.
func (l *ledger) verify(ctx context.Context, rows []Row) (total, error) {
	var sum total
	for _, row := range rows {
		if row.Table != tableKey {
			if _, err := l.check(ctx, row); err != nil {
				return sum, err
			}
		}
		sum.add(l.part(row))
	}
	return sum, nil
}

// part is what a row adds to the sum of the store. Moments of last use add
// nothing: they change all the time, and nobody decides by them.
func (l *ledger) part(row Row) [32]byte {
	if row.Table == tableUsage {
		return [32]byte{}
	}
	return l.keys.Load().Fingerprint(row.Table, row.ID, row.Version, row.Body)
}

// check returns the body of a row whose tag is right and which is not older than
// one that was seen; nil for a row that was deleted.
func (l *ledger) check(ctx context.Context, row Row) ([]byte, error) {
	if len(row.Body) < seal.TagSize {
		return nil, fmt.Errorf("row %s/%s: %w", row.Table, row.ID, seal.ErrTampered)
	}
	tag, body := row.Body[:seal.TagSize], row.Body[seal.TagSize:]
	if !l.keys.Load().CheckTag(tag, row.Table, row.ID, row.Version, body) {
		return nil, fmt.Errorf("row %s/%s: %w", row.Table, row.ID, seal.ErrTampered)
	}
	if err := l.notOlder(ctx, row); err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, nil
}

// notOlder refuses a version before one that was seen. What was read a moment ago
// may have been overtaken honestly, so the store is asked again.
func (l *ledger) notOlder(ctx context.Context, row Row) error {
	seen := l.note(row)
	if row.Version >= seen {
		return nil
	}
	now, _, err := l.store.Get(ctx, row.Table, row.ID)
	if err != nil {
		return err
	}
	if now.Version < seen {
		return fmt.Errorf("%s/%s has version %d and had %d: %w", row.Table, row.ID, now.Version, seen, ErrRolledBack)
	}
	return nil
}

// note remembers the version of a row and returns the newest that was seen.
func (l *ledger) note(row Row) int64 {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	seen := l.seen[nameOf(row)]
	if row.Version > seen {
		l.seen[nameOf(row)] = row.Version
	}
	return seen
}

// forget lets go of rows that were removed for good.
func (l *ledger) forget(rows []Row) {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	for _, row := range rows {
		delete(l.seen, nameOf(row))
	}
}

// names returns the ids of rows of a table that were seen and that want accepts.
func (l *ledger) names(table string, want func(id string) bool) (ids []string) {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	for name := range l.seen {
		if name.table == table && want(name.id) {
			ids = append(ids, name.id)
		}
	}
	return ids
}

// read returns a row with its body checked; a Row without body if there is none.
// If into is not nil the body is decoded into it.
func (l *ledger) read(ctx context.Context, table, id string, into any) (Row, error) {
	row, ok, err := l.store.Get(ctx, table, id)
	if err != nil {
		return Row{}, fmt.Errorf("read %s %q: %w", table, id, err)
	}
	if !ok && isRemovable(table, id) {
		return Row{}, nil
	}
	if !ok {
		return Row{}, l.notOlder(ctx, Row{Table: table, ID: id}) // a row that was there does not vanish
	}
	if row.Body, err = l.check(ctx, row); err != nil {
		return Row{}, err
	}
	if into == nil || row.Body == nil {
		return row, nil
	}
	return row, decode(row, row.Body, into)
}

func decode(row Row, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s/%s: %w: %w", row.Table, row.ID, ErrCorrupt, err)
	}
	return nil
}

// must is read for a row that has to be there.
func (l *ledger) must(ctx context.Context, table, id string, into any) (Row, error) {
	row, err := l.read(ctx, table, id, into)
	if err == nil && row.Body == nil {
		err = fmt.Errorf("%s %q: %w", table, id, ErrMissing)
	}
	return row, err
}

// write commits entries with their tags.
func (l *ledger) write(ctx context.Context, entries ...entry) error {
	rows := make([]Row, 0, len(entries))
	for _, e := range entries {
		row, err := l.tagged(e)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return l.commit(ctx, rows)
}

func (l *ledger) tagged(e entry) (Row, error) {
	var body []byte
	if e.value != nil {
		var err error
		if body, err = json.Marshal(e.value); err != nil {
			return Row{}, fmt.Errorf("encode %s/%s: %w", e.table, e.id, err)
		}
	}
	tag := l.keys.Load().Tag(e.table, e.id, e.version+1, body)
	return Row{Table: e.table, ID: e.id, Version: e.version + 1, Body: append(tag[:], body...)}, nil
}

// learn takes in data keys that another node made.
func (l *ledger) learn(rows []Row) error {
	wrapped, err := dataKeys(rows)
	if err != nil || len(wrapped) == 0 {
		return err
	}
	l.masterMu.Lock()
	defer l.masterMu.Unlock()
	keys, err := l.keys.Load().With(l.master, wrapped)
	if err != nil {
		return err
	}
	l.keys.Store(keys)
	return nil
}

// all returns every value of a table whose row id keep accepts (nil: all). Rows
// that are not ours are left out and are its error.
func all[T any](ctx context.Context, l *ledger, table string, keep func(id string) bool) ([]T, error) {
	rows, err := l.store.Table(ctx, table)
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	var values []T
	var faults []error
	for _, row := range rows {
		if keep != nil && !keep(row.ID) {
			continue
		}
		var value T
		body, err := l.check(ctx, row)
		if err == nil && body != nil {
			if err = decode(row, body, &value); err == nil {
				values = append(values, value)
			}
		}
		if err != nil && len(faults) < maxFaults {
			faults = append(faults, err)
		}
	}
	return values, errors.Join(faults...)
}

const maxFaults = 10 // of one kind, that an error lists
