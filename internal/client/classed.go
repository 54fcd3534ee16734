package client

import (
	"context"
	"errors"
	"fmt"
)

// classed is a store whose failures are [ErrUnavailable], so that nobody takes a fault
// of the disk for one of his own.
type classed struct{ Store }

func (s classed) Revision(ctx context.Context) (int64, error) {
	revision, err := s.Store.Revision(ctx)
	return revision, unavailable(err)
}

func (s classed) Since(ctx context.Context, revision int64) ([]Row, int64, error) {
	rows, until, err := s.Store.Since(ctx, revision)
	return rows, until, unavailable(err)
}

func (s classed) Get(ctx context.Context, table, id string) (Row, bool, error) {
	row, ok, err := s.Store.Get(ctx, table, id)
	return row, ok, unavailable(err)
}

func (s classed) Table(ctx context.Context, table string) ([]Row, error) {
	rows, err := s.Store.Table(ctx, table)
	return rows, unavailable(err)
}

func (s classed) Remove(ctx context.Context, rows ...Row) (int64, error) {
	revision, err := s.Store.Remove(ctx, rows...)
	return revision, unavailable(err)
}

func (s classed) Commit(ctx context.Context, rows ...Row) (int64, error) {
	if err := CheckRows(rows); err != nil {
		return 0, err // what no store takes is the caller's fault
	}
	revision, err := s.Store.Commit(ctx, rows...)
	return revision, unavailable(err)
}

// unavailable names an error that has no name yet.
func unavailable(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrConflict), errors.Is(err, ErrCorrupt), errors.Is(err, ErrUnavailable):
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
