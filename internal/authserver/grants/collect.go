package grants

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"pavise.dev/pavise/internal/client"
)

// collectAtOnce bounds how many records one commit removes.
const collectAtOnce = 200

// Collect removes what has ended, and returns how much it was. What changes meanwhile is
// left for the next time.
func (s *Store) Collect(ctx context.Context) (int, error) {
	removed := 0
	for _, table := range []string{tableHandle, tableRequest, tableToken, tableGrant} {
		records, err := s.records.Table(ctx, table)
		if err != nil {
			return removed, fmt.Errorf("read table %s: %w", table, err)
		}
		over := slices.DeleteFunc(records, func(r client.Record) bool { return !s.isOver(r) })
		for batch := range slices.Chunk(over, collectAtOnce) {
			switch err := s.records.Remove(ctx, batch...); {
			case err == nil:
				removed += len(batch)
			case !errors.Is(err, client.ErrConflict):
				return removed, fmt.Errorf("remove from table %s: %w", table, err)
			}
		}
	}
	return removed, nil
}

func (s *Store) isOver(r client.Record) bool {
	var end struct {
		Ends time.Time `json:"ends"`
	}
	return json.Unmarshal(r.Body, &end) == nil && !end.Ends.IsZero() && !s.now().Before(end.Ends)
}

func sortByAge(grants []Grant) {
	slices.SortFunc(grants, func(a, b Grant) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}

// name is the id of the handle of a key.
func (s *Store) name(key Key) string { return s.records.Name([]byte(place(key))) }

// place keeps keys of different kinds apart, also if their secrets are equal.
func place(key Key) string { return string(key.Kind) + " " + key.Secret }

func requestPlace(id string) string   { return "request " + id }
func tokenPlace(secret string) string { return "token " + secret }

func (s *Store) encode(table, id string, version int64, value any) (client.Record, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return client.Record{}, fmt.Errorf("encode %s: %w", table, err)
	}
	return client.Record{Table: table, ID: id, Version: version, Body: body}, nil
}

func (s *Store) get(ctx context.Context, table, id string, into any) (client.Record, error) {
	record, err := s.records.Get(ctx, table, id)
	switch {
	case errors.Is(err, client.ErrMissing):
		return record, ErrUnknown
	case err != nil:
		return record, fmt.Errorf("read %s: %w", table, err)
	}
	return record, decode(record, into)
}

func decode(record client.Record, into any) error {
	if err := json.Unmarshal(record.Body, into); err != nil {
		return fmt.Errorf("decode %s: %w", record.Table, err)
	}
	return nil
}
