package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/client"
)

// Token is an opaque access token: what it stands for.
type Token struct {
	ID   string          `json:"id"` // its name in events and revocations; not what the client holds
	Ends time.Time       `json:"ends"`
	Data json.RawMessage `json:"data"` // the protocol's own
}

// AddToken keeps a new token that the secret opens.
func (s *Store) AddToken(ctx context.Context, secret string, t *Token) error {
	name := s.records.Name([]byte(tokenPlace(secret)))
	record, err := s.encode(tableToken, name, 0, t)
	if err != nil {
		return err
	}
	if err := s.records.Write(ctx, record); err != nil {
		return fmt.Errorf("keep a token: %w", err)
	}
	return nil
}

// Token returns what a secret stands for, or [ErrUnknown].
func (s *Store) Token(ctx context.Context, secret string) (*Token, error) {
	for _, name := range s.records.Names([]byte(tokenPlace(secret))) {
		var t Token
		_, err := s.get(ctx, tableToken, name, &t)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err == nil && !s.now().Before(t.Ends) {
			err = ErrUnknown
		}
		return &t, err
	}
	return nil, ErrUnknown
}

// RemoveToken forgets a token that was revoked. To forget what is not there is no error.
func (s *Store) RemoveToken(ctx context.Context, secret string) error {
	for _, name := range s.records.Names([]byte(tokenPlace(secret))) {
		record, err := s.records.Get(ctx, tableToken, name)
		if errors.Is(err, client.ErrMissing) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read a token: %w", err)
		}
		if err := s.records.Remove(ctx, record); err != nil && !errors.Is(err, client.ErrConflict) {
			return fmt.Errorf("remove a token: %w", err)
		}
	}
	return nil
}
