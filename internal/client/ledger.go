package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"pavise.dev/pavise/internal/seal"
)

// ErrRolledBack says that the store is not in the state in which it was left:
// a row was put back, or the whole store was.
var ErrRolledBack = errors.New("the store is not in the state in which it was left")

// ledger reads and writes rows whose bodies carry a MAC, and keeps, outside the
// store, a mark of the state that the store is in.
//
// The MAC binds a body to its table, id and version, so that a row cannot be
// changed or copied under another id. The mark holds the sum of the MACs of all
// rows, so that an older version of a row, put back as a whole, is noticed at the
// next start, and so is a restored store (docs/decisions/0030-state.md).
type ledger struct {
	store Store
	keys  *seal.Keys
	mark  *mark
	mu    sync.Mutex // orders commits with their marks
}

// entry is a value that is to become the next version of a row.
type entry struct {
	table, id string
	version   int64 // that it was read with; 0: new
	value     any
}

func openLedger(ctx context.Context, o Options) (*ledger, error) {
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
			return nil, fmt.Errorf("%w: it has rows but no data keys", ErrCorrupt)
		}
		if wrapped, err = makeDataKeys(ctx, o); err != nil {
			return nil, err
		}
		if rows, _, err = o.Store.Since(ctx, 0); err != nil {
			return nil, fmt.Errorf("read the store: %w", err)
		}
	}
	keys, err := seal.OpenKeys(o.Master, wrapped)
	if err != nil {
		return nil, err
	}
	l := &ledger{store: o.Store, keys: keys}
	return l, l.verify(rows, o.Mark)
}

// dataKeys returns the wrapped keys among the rows. They carry no MAC: the master
// key authenticates them.
func dataKeys(rows []Row) ([]seal.Wrapped, error) {
	var wrapped []seal.Wrapped
	for _, row := range rows {
		if row.Table != tableKey || row.Body == nil {
			continue
		}
		var w seal.Wrapped
		if err := json.Unmarshal(row.Body, &w); err != nil || w.Name() != row.ID {
			return nil, fmt.Errorf("data key %s: %w", row.ID, ErrCorrupt)
		}
		wrapped = append(wrapped, w)
	}
	return wrapped, nil
}

func makeDataKeys(ctx context.Context, o Options) ([]seal.Wrapped, error) {
	var wrapped []seal.Wrapped
	var rows []Row
	for _, use := range []seal.Use{seal.Sealing, seal.Hashing} {
		w, err := seal.NewWrapped(o.Master, use, 1)
		if err != nil {
			return nil, fmt.Errorf("make data keys: %w", err)
		}
		body, err := json.Marshal(w)
		if err != nil {
			return nil, err
		}
		wrapped = append(wrapped, w)
		rows = append(rows, Row{Table: tableKey, ID: w.Name(), Version: 1, Body: body})
	}
	if _, err := o.Store.Commit(ctx, rows...); err != nil {
		return nil, fmt.Errorf("keep the data keys: %w", err)
	}
	return wrapped, nil
}

// verify checks every row's MAC and the sum of all against the mark.
func (l *ledger) verify(rows []Row, markFile string) error {
	var sum total
	for _, row := range rows {
		if row.Table == tableKey {
			continue
		}
		if _, err := l.check(row); err != nil {
			return err
		}
		sum.add(l.tag(row))
	}
	if markFile == "" {
		return nil
	}
	var err error
	l.mark, err = openMark(markFile, sum)
	return err
}

// tagSize is the length of the MAC in front of a body.
const tagSize = sha256.Size

// check returns the body of a row whose MAC is right; nil for a tombstone.
func (l *ledger) check(row Row) ([]byte, error) {
	if len(row.Body) < tagSize {
		return nil, fmt.Errorf("row %s/%s: %w", row.Table, row.ID, seal.ErrTampered)
	}
	tag, body := row.Body[:tagSize], row.Body[tagSize:]
	want := l.keys.Tag(row.Table, row.ID, row.Version, body)
	if subtle.ConstantTimeCompare(tag, want[:]) != 1 {
		return nil, fmt.Errorf("row %s/%s: %w", row.Table, row.ID, seal.ErrTampered)
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, nil
}

func (l *ledger) tag(row Row) [tagSize]byte { return [tagSize]byte(row.Body[:tagSize]) }

// read returns a row with its body checked; the zero Row if there is none. If
// into is not nil the body is decoded into it.
func (l *ledger) read(ctx context.Context, table, id string, into any) (Row, error) {
	row, ok, err := l.store.Get(ctx, table, id)
	if err != nil || !ok {
		return Row{}, err
	}
	if row.Body, err = l.check(row); err != nil {
		return Row{}, err
	}
	if into == nil || row.Body == nil {
		return row, nil
	}
	if err := json.Unmarshal(row.Body, into); err != nil {
		return Row{}, fmt.Errorf("%s/%s: %w: %w", table, id, ErrCorrupt, err)
	}
	return row, nil
}

// must is read for a row that has to be there.
func (l *ledger) must(ctx context.Context, table, id string, into any) (Row, error) {
	row, err := l.read(ctx, table, id, into)
	if err != nil {
		return row, err
	}
	if row.Body == nil {
		return row, fmt.Errorf("%s %q: %w", table, id, ErrMissing)
	}
	return row, nil
}

// write commits entries with their MACs, between two states of the mark, so that
// a death at any point leaves a store that the mark knows.
func (l *ledger) write(ctx context.Context, entries ...entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]Row, 0, len(entries))
	next := l.mark.current()
	for _, e := range entries {
		body, err := json.Marshal(e.value)
		if err != nil {
			return fmt.Errorf("encode %s/%s: %w", e.table, e.id, err)
		}
		tag := l.keys.Tag(e.table, e.id, e.version+1, body)
		rows = append(rows, Row{Table: e.table, ID: e.id, Version: e.version + 1, Body: append(tag[:], body...)})
		if err := l.replace(ctx, &next, e, tag); err != nil {
			return err
		}
	}
	if err := l.mark.announce(next); err != nil {
		return err
	}
	if _, err := l.store.Commit(ctx, rows...); err != nil {
		return err
	}
	return l.mark.confirm(next)
}

// replace updates the sum for a row that gets a new version.
func (l *ledger) replace(ctx context.Context, sum *total, e entry, tag [tagSize]byte) error {
	if l.mark == nil {
		return nil
	}
	if e.version > 0 {
		old, _, err := l.store.Get(ctx, e.table, e.id)
		if err != nil {
			return err
		}
		if old.Version != e.version {
			return ErrConflict
		}
		sum.remove(l.tag(old))
	}
	sum.add(tag)
	return nil
}

// total is the sum of MACs modulo 2^256: it does not depend on their order, and
// nobody without the key can make other rows with the same sum.
type total [tagSize]byte

func (t *total) add(tag [tagSize]byte) {
	carry := 0
	for i := range t {
		n := int(t[i]) + int(tag[i]) + carry
		t[i], carry = byte(n), n>>8
	}
}

func (t *total) remove(tag [tagSize]byte) {
	borrow := 0
	for i := range t {
		n := int(t[i]) - int(tag[i]) - borrow
		t[i], borrow = byte(n), (n>>8)&1
	}
}

// mark is the file that remembers the state of the store: the sum of its rows,
// and the sum that it may have if a commit was under way.
type mark struct {
	file      string
	confirmed total
}

type markText struct {
	Confirmed string `json:"confirmed"`
	Announced string `json:"announced,omitempty"`
}

func openMark(file string, sum total) (*mark, error) {
	m := &mark{file: file, confirmed: sum}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, m.confirm(sum)
	}
	if err != nil {
		return nil, fmt.Errorf("read the store's mark: %w", err)
	}
	var kept markText
	if err := json.Unmarshal(text, &kept); err != nil {
		return nil, fmt.Errorf("the store's mark %s is damaged: %w; restore it, or remove it if you know that the store is the latest", file, err)
	}
	if now := hex.EncodeToString(sum[:]); now != kept.Confirmed && now != kept.Announced {
		return nil, fmt.Errorf("%w: a row or all of them were put back. If you restored a backup on purpose, know that credentials revoked since then are in force again: revoke them, then remove %s and start again", ErrRolledBack, file)
	}
	return m, m.confirm(sum)
}

func (m *mark) current() total {
	if m == nil {
		return total{}
	}
	return m.confirmed
}

func (m *mark) announce(next total) error {
	if m == nil {
		return nil
	}
	return m.keep(markText{Confirmed: hex.EncodeToString(m.confirmed[:]), Announced: hex.EncodeToString(next[:])})
}

func (m *mark) confirm(next total) error {
	if m == nil {
		return nil
	}
	m.confirmed = next
	return m.keep(markText{Confirmed: hex.EncodeToString(next[:])})
}

// keep replaces the file in one step.
func (m *mark) keep(text markText) error {
	encoded, err := json.Marshal(text)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(m.file), ".mark-*")
	if err != nil {
		return fmt.Errorf("keep the store's mark: %w", err)
	}
	_, err = temporary.Write(append(encoded, '\n'))
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), m.file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return fmt.Errorf("keep the store's mark: %w", err)
	}
	return nil
}
