// Package memory is a store that lives as long as the process: for tests, and
// for library users who bring their credentials with them.
package memory

import (
	"context"
	"slices"
	"strings"
	"sync"

	"pavise.dev/pavise/internal/client"
)

// Store keeps rows in memory. It is safe for concurrent use.
type Store struct {
	mu       sync.RWMutex
	rows     map[[2]string]client.Row
	order    []change // by revision; compacted when it grows
	revision int64
}

type change struct {
	revision int64
	key      [2]string
}

// New returns an empty store.
func New() *Store { return &Store{rows: map[[2]string]client.Row{}} }

// Revision implements client.Store.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.revision, ctx.Err()
}

// Since implements client.Store.
func (s *Store) Since(ctx context.Context, revision int64) ([]client.Row, int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	from, _ := slices.BinarySearchFunc(s.order, revision+1, func(c change, want int64) int { return int(c.revision - want) })
	var rows []client.Row
	for _, c := range s.order[from:] {
		if row := s.rows[c.key]; row.Revision == c.revision {
			rows = append(rows, clone(row))
		}
	}
	return rows, s.revision, nil
}

// Table implements client.Store.
func (s *Store) Table(ctx context.Context, table string) ([]client.Row, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var rows []client.Row
	for key, row := range s.rows {
		if key[0] == table {
			rows = append(rows, clone(row))
		}
	}
	slices.SortFunc(rows, func(a, b client.Row) int { return strings.Compare(a.ID, b.ID) })
	return rows, ctx.Err()
}

// Get implements client.Store.
func (s *Store) Get(ctx context.Context, table, id string) (client.Row, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	row, ok := s.rows[[2]string{table, id}]
	return clone(row), ok, ctx.Err()
}

// Commit implements client.Store.
func (s *Store) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	if err := client.CheckRows(rows); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for _, row := range rows {
		if s.rows[[2]string{row.Table, row.ID}].Version+1 != row.Version {
			return 0, client.ErrConflict
		}
	}
	s.revision++
	for _, row := range rows {
		row = clone(row)
		row.Revision = s.revision
		key := [2]string{row.Table, row.ID}
		s.rows[key] = row
		s.order = append(s.order, change{s.revision, key})
	}
	s.compact()
	return s.revision, nil
}

// Remove implements client.Store.
func (s *Store) Remove(ctx context.Context, rows ...client.Row) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for _, row := range rows {
		if known, ok := s.rows[[2]string{row.Table, row.ID}]; !ok || known.Version != row.Version {
			return 0, client.ErrConflict
		}
	}
	s.revision++
	for _, row := range rows {
		delete(s.rows, [2]string{row.Table, row.ID})
	}
	s.compact()
	return s.revision, nil
}

// compact forgets changes that later ones have replaced, once they are the most.
func (s *Store) compact() {
	if len(s.order) < 1024 || len(s.order) < 2*len(s.rows) {
		return
	}
	s.order = slices.DeleteFunc(s.order, func(c change) bool { return s.rows[c.key].Revision != c.revision })
}

// Close implements client.Store.
func (s *Store) Close() error { return nil }

func clone(row client.Row) client.Row {
	row.Body = slices.Clone(row.Body)
	return row
}
