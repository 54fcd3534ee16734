// Package rows keeps typed values in the records of the installation: JSON in a sealed
// row, changed by comparing versions.
//
// A [Table] of T reads, adds, changes and removes values of one kind. Nothing is cached:
// what Get returns is what the store holds now. Tables are safe for concurrent use.
package rows

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"pavise.dev/pavise/internal/client"
)

// Errors that callers decide by.
var (
	ErrMissing = errors.New("there is no such record")
	ErrTaken   = errors.New("there is such a record already")
)

// Records are where values are kept; a [client.Records] is one.
type Records interface {
	Get(ctx context.Context, table, id string) (client.Record, error)
	Table(ctx context.Context, table string) ([]client.Record, error)
	Write(ctx context.Context, records ...client.Record) error
	Remove(ctx context.Context, records ...client.Record) error
	Name(secret []byte) string
	Names(secret []byte) []string
}

// Row is a value with its place and the version that was read.
type Row[T any] struct {
	ID      string
	Version int64
	Value   T
}

// Table holds values of one kind.
type Table[T any] struct {
	records Records
	name    string
}

// NewTable returns the table of the given name.
func NewTable[T any](records Records, name string) Table[T] {
	return Table[T]{records: records, name: name}
}

// Get returns a value, or [ErrMissing].
func (t Table[T]) Get(ctx context.Context, id string) (Row[T], error) {
	record, err := t.records.Get(ctx, t.name, id)
	switch {
	case errors.Is(err, client.ErrMissing):
		return Row[T]{}, ErrMissing
	case err != nil:
		return Row[T]{}, fmt.Errorf("read %s: %w", t.name, err)
	}
	return t.decode(record)
}

// Find returns the value that a secret names, under whichever data key it was named.
func (t Table[T]) Find(ctx context.Context, secret string) (Row[T], error) {
	for _, id := range t.records.Names([]byte(t.name + " " + secret)) {
		row, err := t.Get(ctx, id)
		if !errors.Is(err, ErrMissing) {
			return row, err
		}
	}
	return Row[T]{}, ErrMissing
}

// Name returns the id under which [Table.Find] finds a value by a secret.
func (t Table[T]) Name(secret string) string {
	return t.records.Name([]byte(t.name + " " + secret))
}

// All returns every value of the table, by id.
func (t Table[T]) All(ctx context.Context) ([]Row[T], error) {
	records, err := t.records.Table(ctx, t.name)
	if err != nil {
		return nil, fmt.Errorf("read table %s: %w", t.name, err)
	}
	all := make([]Row[T], 0, len(records))
	for _, record := range records {
		row, err := t.decode(record)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}

// Record returns what [Records.Write] makes the next version of the row. Version 0 adds.
func (t Table[T]) Record(row Row[T]) (client.Record, error) {
	body, err := json.Marshal(row.Value)
	if err != nil {
		return client.Record{}, fmt.Errorf("encode %s: %w", t.name, err)
	}
	return client.Record{Table: t.name, ID: row.ID, Version: row.Version, Body: body}, nil
}

// Add keeps a value that is not there yet, or returns [ErrTaken].
func (t Table[T]) Add(ctx context.Context, id string, value T) error {
	record, err := t.Record(Row[T]{ID: id, Value: value})
	if err != nil {
		return err
	}
	switch err := t.records.Write(ctx, record); {
	case errors.Is(err, client.ErrConflict):
		return ErrTaken
	case err != nil:
		return fmt.Errorf("keep %s: %w", t.name, err)
	}
	return nil
}

// maxTries is how often a change is made again after somebody else was quicker.
const maxTries = 64

// Change reads a value, lets change alter it, and keeps it if nobody has changed it
// meanwhile; otherwise all of it happens again, so that change always judges what is
// replaced. An error of change ends it, and nothing is kept.
func (t Table[T]) Change(ctx context.Context, id string, change func(*T) error) (T, error) {
	for range maxTries {
		row, err := t.Get(ctx, id)
		if err != nil {
			return row.Value, err
		}
		if err := change(&row.Value); err != nil {
			return row.Value, err
		}
		record, err := t.Record(row)
		if err != nil {
			return row.Value, err
		}
		err = t.records.Write(ctx, record)
		if err == nil {
			return row.Value, nil
		}
		if !errors.Is(err, client.ErrConflict) {
			return row.Value, fmt.Errorf("keep %s: %w", t.name, err)
		}
	}
	var none T
	return none, fmt.Errorf("keep %s: %w", t.name, client.ErrConflict)
}

// Take removes a value and returns it: of several who try, one gets it, the others
// [ErrMissing].
func (t Table[T]) Take(ctx context.Context, row Row[T]) error {
	err := t.records.Remove(ctx, client.Record{Table: t.name, ID: row.ID, Version: row.Version})
	switch {
	case errors.Is(err, client.ErrConflict), errors.Is(err, client.ErrMissing):
		return ErrMissing
	case err != nil:
		return fmt.Errorf("remove %s: %w", t.name, err)
	}
	return nil
}

// removeAtOnce bounds how many records one commit removes.
const removeAtOnce = 200

// RemoveIf removes every value that over accepts, and returns how many. What changes
// meanwhile stays.
func (t Table[T]) RemoveIf(ctx context.Context, over func(T) bool) (int, error) {
	all, err := t.All(ctx)
	if err != nil {
		return 0, err
	}
	removed := 0
	batch := make([]client.Record, 0, min(len(all), removeAtOnce))
	for i, row := range all {
		if over(row.Value) {
			batch = append(batch, client.Record{Table: t.name, ID: row.ID, Version: row.Version})
		}
		if len(batch) == removeAtOnce || i == len(all)-1 && len(batch) > 0 {
			n, err := t.removeBatch(ctx, batch)
			removed += n
			if err != nil {
				return removed, err
			}
			batch = batch[:0]
		}
	}
	return removed, nil
}

// removeBatch removes all, or one by one if one of them has changed.
func (t Table[T]) removeBatch(ctx context.Context, batch []client.Record) (int, error) {
	err := t.records.Remove(ctx, batch...)
	if err == nil {
		return len(batch), nil
	}
	if !errors.Is(err, client.ErrConflict) {
		return 0, fmt.Errorf("remove from %s: %w", t.name, err)
	}
	removed := 0
	for _, record := range batch {
		switch err := t.records.Remove(ctx, record); {
		case err == nil:
			removed++
		case !errors.Is(err, client.ErrConflict):
			return removed, fmt.Errorf("remove from %s: %w", t.name, err)
		}
	}
	return removed, nil
}

func (t Table[T]) decode(record client.Record) (Row[T], error) {
	row := Row[T]{ID: record.ID, Version: record.Version}
	if err := json.Unmarshal(record.Body, &row.Value); err != nil {
		return row, fmt.Errorf("decode %s: %w", t.name, err)
	}
	return row, nil
}

// Digest is the id of something that is found by what is no secret, such as a name. It
// does not depend on any key, so that a name is taken once whatever key is in use.
func Digest(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:", len(part)) // a hash takes everything
		_, _ = io.Copy(h, strings.NewReader(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}
