package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/client"
)

// Request is an authorization that is under way: it waits for a person, or was pushed and
// waits to be fetched.
type Request struct {
	ID   string          `json:"-"` // a secret: whoever has it goes on with the request
	Ends time.Time       `json:"ends"`
	Data json.RawMessage `json:"data"` // the protocol's own

	version int64
}

// Begin keeps a new request that can be found by its id and by the keys.
func (s *Store) Begin(ctx context.Context, r *Request, keys ...Key) error {
	if r.ID == "" || !r.Ends.After(s.now()) {
		return fmt.Errorf("request %q until %s: want an id and time for it", r.ID, r.Ends)
	}
	name := s.records.Name([]byte(requestPlace(r.ID)))
	kept, err := s.encode(tableRequest, name, 0, withID{r.ID, r})
	if err != nil {
		return err
	}
	records := []client.Record{kept}
	for _, key := range keys {
		opener, err := s.encode(tableHandle, s.name(key), 0, handle{Kind: key.Kind, To: name, Ends: r.Ends})
		if err != nil {
			return err
		}
		records = append(records, opener)
	}
	if err := s.records.Write(ctx, records...); err != nil {
		return fmt.Errorf("keep a request: %w", err)
	}
	r.version = 1
	return nil
}

// withID is a request as its record holds it: sealed, so that it may hold its id.
type withID struct {
	ID string `json:"id"`
	*Request
}

// Request returns a request by its id, or [ErrUnknown].
func (s *Store) Request(ctx context.Context, id string) (*Request, error) {
	for _, name := range s.records.Names([]byte(requestPlace(id))) {
		r, err := s.request(ctx, name)
		if !errors.Is(err, ErrUnknown) {
			return r, err
		}
	}
	return nil, ErrUnknown
}

func (s *Store) request(ctx context.Context, name string) (*Request, error) {
	kept := withID{Request: &Request{}}
	record, err := s.get(ctx, tableRequest, name, &kept)
	if err != nil {
		return nil, err
	}
	r := kept.Request
	if !s.now().Before(r.Ends) {
		return nil, ErrUnknown
	}
	r.ID, r.version = kept.ID, record.Version
	return r, nil
}

// FindRequest returns the request that a key leads to, or [ErrUnknown].
func (s *Store) FindRequest(ctx context.Context, key Key) (*Request, error) {
	h, _, err := s.find(ctx, key)
	if err != nil || !h.Spent.IsZero() {
		return nil, errors.Join(err, unknownIf(err == nil))
	}
	return s.request(ctx, h.To)
}

// TakeRequest is FindRequest for a key that is used up by it (RFC 9126 §4): of several
// one gets the request, the others [ErrUnknown].
func (s *Store) TakeRequest(ctx context.Context, key Key) (*Request, error) {
	h, record, err := s.find(ctx, key)
	if err != nil || !h.Spent.IsZero() {
		return nil, errors.Join(err, unknownIf(err == nil))
	}
	h.Spent = s.now()
	spent, err := s.encode(tableHandle, record.ID, record.Version, h)
	if err != nil {
		return nil, err
	}
	if err := s.records.Write(ctx, spent); err != nil {
		return nil, errors.Join(fmt.Errorf("use up a %s: %w", key.Kind, err), unknownIf(errors.Is(err, client.ErrConflict)))
	}
	return s.request(ctx, h.To)
}

func unknownIf(is bool) error {
	if is {
		return ErrUnknown
	}
	return nil
}

// Save keeps the next state of a request; [ErrSpent] if somebody else was quicker.
func (s *Store) Save(ctx context.Context, r *Request) error {
	for _, name := range s.records.Names([]byte(requestPlace(r.ID))) {
		known, err := s.request(ctx, name)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return err
		}
		if known.version != r.version {
			return ErrSpent
		}
		return s.save(ctx, name, r)
	}
	return ErrUnknown
}

func (s *Store) save(ctx context.Context, name string, r *Request) error {
	record, err := s.encode(tableRequest, name, r.version, withID{r.ID, r})
	if err != nil {
		return err
	}
	switch err := s.records.Write(ctx, record); {
	case errors.Is(err, client.ErrConflict):
		return ErrSpent
	case err != nil:
		return fmt.Errorf("keep a request: %w", err)
	}
	r.version++
	return nil
}
