// Package sessions keeps who is signed in, in which browser.
//
// A browser holds 256 random bits in a cookie; of them only a keyed hash is kept. Each
// sign-in makes a new session, so that no value that was there before it is worth
// anything after. A session ends when it was idle for too long, when it is too old, when
// its person signs out, here or everywhere, and when the account's epoch rises (a new
// password, a disabled account).
package sessions

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"pavise.dev/pavise/internal/rows"
)

// ErrNone says that there is no such session, or that it has ended.
var ErrNone = errors.New("there is no such session")

// Session is somebody who is signed in.
type Session struct {
	ID       string    `json:"id"` // to name it with; of no use as a credential
	Subject  string    `json:"subject"`
	Epoch    int64     `json:"epoch"` // of the account, at sign-in
	AuthTime time.Time `json:"auth_time"`
	Seen     time.Time `json:"seen"`
	Ends     time.Time `json:"ends"`
	ACR      string    `json:"acr"`
	AMR      []string  `json:"amr"`
	For      string    `json:"for,omitempty"`   // mark of the authorization for which was signed in
	Half     bool      `json:"half,omitempty"`  // a second factor is still missing: nobody is signed in
	Via      string    `json:"via,omitempty"`   // provider, if it was not an account's own password
	Vague    bool      `json:"vague,omitempty"` // AuthTime is when they came from there: when they signed in there was not said
	Agent    string    `json:"agent,omitempty"`
	Remote   string    `json:"remote,omitempty"`
}

// Options are what a [Store] needs; all are required.
type Options struct {
	Records rows.Records
	Now     func() time.Time
	Rand    io.Reader
	Idle    time.Duration // without being seen
	Longest time.Duration // from sign-in on
}

// Store keeps sessions. It is safe for concurrent use.
type Store struct {
	table         rows.Table[Session]
	now           func() time.Time
	random        io.Reader
	idle, longest time.Duration
}

// New returns a store that works.
func New(o Options) (*Store, error) {
	switch {
	case o.Records == nil || o.Now == nil || o.Rand == nil:
		return nil, errors.New("sessions need records, a clock and randomness")
	case o.Idle < time.Minute || o.Longest < o.Idle || o.Longest > 90*24*time.Hour:
		return nil, fmt.Errorf("sessions idle for %s and at most %s long: want at least a minute, no longer idle than long, and at most 90 days", o.Idle, o.Longest)
	}
	return &Store{rows.NewTable[Session](o.Records, "session"), o.Now, o.Rand, o.Idle, o.Longest}, nil
}

const (
	secretBytes = 32
	idBytes     = 12
)

// Begin keeps a new session and returns the secret for the browser.
func (s *Store) Begin(ctx context.Context, n Session) (secret string, begun Session, err error) {
	random := make([]byte, secretBytes+idBytes)
	if _, err := io.ReadFull(s.random, random); err != nil {
		return "", Session{}, fmt.Errorf("read random bytes: %w", err)
	}
	secret = base64.RawURLEncoding.EncodeToString(random[:secretBytes])
	n.ID = base64.RawURLEncoding.EncodeToString(random[secretBytes:])
	n.Seen = s.now().UTC()
	if n.AuthTime.IsZero() {
		n.AuthTime = n.Seen
	}
	n.Ends = n.Seen.Add(s.longest)
	return secret, n, s.table.Add(ctx, s.table.Name(secret), n)
}

// Find returns the session of a browser, or [ErrNone]. It is seen by that.
func (s *Store) Find(ctx context.Context, secret string) (Session, error) {
	if len(secret) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return Session{}, ErrNone
	}
	row, err := s.table.Find(ctx, secret)
	if errors.Is(err, rows.ErrMissing) || err == nil && s.isOver(row.Value) {
		return Session{}, ErrNone
	}
	if err != nil {
		return Session{}, err
	}
	found := row.Value
	if now := s.now(); now.Sub(found.Seen) > s.idle/16 { // each of these is a commit
		_, err := s.table.Change(ctx, row.ID, func(v *Session) error { v.Seen = now.UTC(); return nil })
		if errors.Is(err, rows.ErrMissing) {
			return Session{}, ErrNone // ended meanwhile
		}
		if err != nil {
			return Session{}, err
		}
		found.Seen = now.UTC()
	}
	return found, nil
}

// End ends the session of a browser. One that has ended is no error.
func (s *Store) End(ctx context.Context, secret string) error {
	for range 8 {
		row, err := s.table.Find(ctx, secret)
		if errors.Is(err, rows.ErrMissing) {
			return nil
		}
		if err != nil {
			return err
		}
		if err = s.table.Take(ctx, row); !errors.Is(err, rows.ErrMissing) {
			return err
		}
	}
	return errors.New("end a session: it changed each time")
}

// Of returns the sessions of a person that have not ended, newest first; epoch is the
// account's.
func (s *Store) Of(ctx context.Context, subject string, epoch int64) ([]Session, error) {
	all, err := s.table.All(ctx)
	if err != nil {
		return nil, err
	}
	var found []Session
	for _, row := range all {
		if v := row.Value; v.Subject == subject && v.Epoch == epoch && !v.Half && !s.isOver(v) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b Session) int { return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.ID, b.ID)) })
	return found, nil
}

// EndOne ends a session of a person by its id; [ErrNone] if the person has none of it.
func (s *Store) EndOne(ctx context.Context, subject, id string) error {
	removed, err := s.table.RemoveIf(ctx, func(v Session) bool { return v.Subject == subject && v.ID == id })
	if err == nil && removed == 0 {
		return ErrNone
	}
	return err
}

// EndVia ends the sessions of a person who came in through a provider, but the one of the
// given id.
func (s *Store) EndVia(ctx context.Context, subject, via, but string) (int, error) {
	return s.table.RemoveIf(ctx, func(v Session) bool { return v.Subject == subject && v.Via == via && v.ID != but })
}

// EndAll ends every session of a person.
func (s *Store) EndAll(ctx context.Context, subject string) (int, error) {
	return s.table.RemoveIf(ctx, func(v Session) bool { return v.Subject == subject })
}

// Collect removes what has ended.
func (s *Store) Collect(ctx context.Context) (int, error) {
	return s.table.RemoveIf(ctx, s.isOver)
}

func (s *Store) isOver(v Session) bool {
	now := s.now()
	return !now.Before(v.Ends) || now.Sub(v.Seen) >= s.idle
}
