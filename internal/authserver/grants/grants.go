// Package grants keeps what the authorization server has granted: who allowed which
// client what, and what the client holds to prove it.
//
// A [Grant] is found by what its client presents: a code, a device code, a refresh
// token. Of these only keyed hashes are kept, each as a [Handle] of the grant, and a
// handle that was spent stays until the grant ends, so that whoever presents it again
// is noticed: the grant is revoked then, with all that was issued under it (RFC 6749
// §4.1.2, RFC 9700 §4.14.2). Beside grants stand [Request]s, authorizations that wait
// for a person, and [Token]s, opaque access tokens.
//
// Every change compares the version that was read: of fifty parallel redemptions one
// wins, on whatever node, and what was answered for survives kill -9. What has ended is
// removed by [Store.Collect].
//
// The package knows neither HTTP nor the OAuth library: it keeps their data as it gets it.
package grants

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/client"
)

// Errors that callers decide by.
var (
	ErrUnknown = errors.New("there is no such grant, request or token, or it has ended")
	ErrSpent   = errors.New("it was used before")
)

// Records are where everything is kept; a [client.Records] is one.
type Records interface {
	Get(ctx context.Context, table, id string) (client.Record, error)
	Table(ctx context.Context, table string) ([]client.Record, error)
	Write(ctx context.Context, records ...client.Record) error
	Remove(ctx context.Context, records ...client.Record) error
	Name(secret []byte) string
	Names(secret []byte) []string
}

// Options are what a [Store] needs. All of them are required.
type Options struct {
	Records Records
	Now     func() time.Time

	// Revoked is told of a grant that ends before its time, so that access tokens that
	// were issued under it are refused too. It is called before the grant itself says
	// so; if it fails the revocation fails.
	Revoked func(ctx context.Context, g *Grant, reason string) error
}

// Store keeps grants. It is safe for concurrent use.
type Store struct {
	records Records
	now     func() time.Time
	revoked func(ctx context.Context, g *Grant, reason string) error
}

// New returns a store that works.
func New(o Options) (*Store, error) {
	if o.Records == nil || o.Now == nil || o.Revoked == nil {
		return nil, errors.New("grants need records, a clock, and somebody who is told of revocations")
	}
	return &Store{records: o.Records, now: o.Now, revoked: o.Revoked}, nil
}

// Tables of the records.
const (
	tableGrant   = "grant"
	tableHandle  = "handle"
	tableRequest = "request"
	tableToken   = "token"
)

// Grant is what somebody allowed a client.
type Grant struct {
	ID      string          `json:"id"`
	Client  string          `json:"client"`
	Subject string          `json:"subject"` // the person's, or the client's own
	Scopes  []string        `json:"scopes,omitempty"`
	Created time.Time       `json:"created"`
	Ends    time.Time       `json:"ends"` // from then on nothing of it is accepted
	Used    time.Time       `json:"used,omitzero"`
	Revoked time.Time       `json:"revoked,omitzero"`
	Reason  string          `json:"reason,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"` // the protocol's own

	version int64
}

// Kind says what a handle is.
type Kind string

// The kinds of handles.
const (
	Code       Kind = "code"
	DeviceCode Kind = "device_code"
	Refresh    Kind = "refresh_token"
	Pushed     Kind = "request_uri"
	UserCode   Kind = "user_code"
)

// Key is what somebody presents: a secret of a kind.
type Key struct {
	Kind   Kind
	Secret string
	Ends   time.Time // from then on it opens nothing; only read when it is kept
}

// handle leads from a key to what it opens.
type handle struct {
	Kind  Kind      `json:"kind"`
	To    string    `json:"to"` // id of the grant or request
	Ends  time.Time `json:"ends"`
	Spent time.Time `json:"spent,omitzero"`
}

// Found is a grant with the handle by which it was found.
type Found struct {
	Grant  *Grant
	handle handle
	record client.Record
}

// Open keeps a new grant that the key opens.
func (s *Store) Open(ctx context.Context, g *Grant, key Key) error {
	records, err := s.opening(g, key)
	if err != nil {
		return err
	}
	if err := s.records.Write(ctx, records...); err != nil {
		return fmt.Errorf("keep grant %s: %w", g.ID, err)
	}
	g.version = 1
	return nil
}

func (s *Store) opening(g *Grant, key Key) ([]client.Record, error) {
	if g.ID == "" || key.Secret == "" || !key.Ends.After(s.now()) || key.Ends.After(g.Ends) {
		return nil, fmt.Errorf("grant %s until %s with a %s until %s: want an id, a key, and the grant to outlive it", g.ID, g.Ends, key.Kind, key.Ends)
	}
	kept, err := s.encode(tableGrant, g.ID, 0, g)
	if err != nil {
		return nil, err
	}
	opener, err := s.encode(tableHandle, s.name(key), 0, handle{Kind: key.Kind, To: g.ID, Ends: key.Ends})
	return []client.Record{kept, opener}, err
}

// Find returns the grant that a key opens. [ErrUnknown] if there is none, or it or the
// key has ended; [ErrSpent], with the grant, if the key was used before; a revoked grant
// is returned as it is.
func (s *Store) Find(ctx context.Context, key Key) (*Found, error) {
	h, record, err := s.find(ctx, key)
	if err != nil {
		return nil, err
	}
	g, err := s.Grant(ctx, h.To)
	if err != nil {
		return nil, err
	}
	found := &Found{Grant: g, handle: h, record: record}
	if !h.Spent.IsZero() {
		return found, ErrSpent
	}
	if !s.now().Before(h.Ends) {
		return nil, ErrUnknown
	}
	return found, nil
}

// find reads the handle of a key, under whichever data key it was named.
func (s *Store) find(ctx context.Context, key Key) (h handle, record client.Record, err error) {
	for _, name := range s.records.Names([]byte(place(key))) {
		if record, err = s.get(ctx, tableHandle, name, &h); !errors.Is(err, ErrUnknown) {
			return h, record, err
		}
	}
	return h, record, ErrUnknown
}

// Grant returns a grant that has not ended, revoked or not; [ErrUnknown] otherwise.
func (s *Store) Grant(ctx context.Context, id string) (*Grant, error) {
	var g Grant
	record, err := s.get(ctx, tableGrant, id, &g)
	if err != nil {
		return nil, err
	}
	if !s.now().Before(g.Ends) {
		return nil, ErrUnknown
	}
	g.version = record.Version
	return &g, nil
}

// Spend uses up the key by which a grant was found, keeps what has changed of the grant,
// and lets next open it from now on (nil: nothing does). Of several who found the same
// grant one succeeds; the others get [ErrSpent], and nothing of theirs is kept.
func (s *Store) Spend(ctx context.Context, f *Found, next *Key) error {
	f.Grant.Used = s.now()
	for range maxTries {
		records, err := s.spending(f, next)
		if err != nil {
			return err
		}
		err = s.records.Write(ctx, records...)
		if err == nil {
			f.Grant.version++
			return nil
		}
		if !errors.Is(err, client.ErrConflict) {
			return fmt.Errorf("change grant %s: %w", f.Grant.ID, err)
		}
		if err := s.lookAgain(ctx, f); err != nil {
			return err
		}
	}
	return fmt.Errorf("change grant %s: %w", f.Grant.ID, client.ErrConflict)
}

// spending returns what becomes of a grant, of the key that is spent, and of the next.
func (s *Store) spending(f *Found, next *Key) ([]client.Record, error) {
	h := f.handle
	h.Spent, h.Ends = s.now(), f.Grant.Ends // it is remembered for as long as it could be misused
	spent, err := s.encode(tableHandle, f.record.ID, f.record.Version, h)
	if err != nil {
		return nil, err
	}
	kept, err := s.encode(tableGrant, f.Grant.ID, f.Grant.version, f.Grant)
	if err != nil || next == nil {
		return []client.Record{kept, spent}, err
	}
	opener, err := s.encode(tableHandle, s.name(*next), 0, handle{Kind: next.Kind, To: f.Grant.ID, Ends: next.Ends})
	return []client.Record{kept, spent, opener}, err
}

// lookAgain takes over the versions of rows that were only sealed again. [ErrSpent]: the
// key was spent, or the grant revoked, by somebody who was quicker.
func (s *Store) lookAgain(ctx context.Context, f *Found) error {
	var h handle
	record, err := s.get(ctx, tableHandle, f.record.ID, &h)
	if err != nil {
		return err
	}
	g, err := s.Grant(ctx, f.Grant.ID)
	if err != nil {
		return err
	}
	if !h.Spent.IsZero() || !g.Revoked.IsZero() {
		return ErrSpent
	}
	f.record, f.Grant.version = record, g.version
	return nil
}

// maxTries is how often a change is made again after somebody else was quicker.
const maxTries = 64

// Revoke ends a grant for good, with everything that was issued under it. To revoke what
// is revoked, or has ended, is no error.
func (s *Store) Revoke(ctx context.Context, id, reason string) error {
	_, err := s.End(ctx, id, reason)
	return err
}

// End is Revoke, and reports whether it was this call that ended the grant: of several at
// the same time one does.
func (s *Store) End(ctx context.Context, id, reason string) (ended bool, err error) {
	for range maxTries {
		g, err := s.Grant(ctx, id)
		if errors.Is(err, ErrUnknown) || err == nil && !g.Revoked.IsZero() {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if err := s.revoked(ctx, g, reason); err != nil {
			return false, fmt.Errorf("revoke the tokens of grant %s: %w", id, err)
		}
		g.Revoked, g.Reason = s.now(), reason
		record, err := s.encode(tableGrant, id, g.version, g)
		if err != nil {
			return false, err
		}
		if err = s.records.Write(ctx, record); !errors.Is(err, client.ErrConflict) {
			return err == nil, err
		}
	}
	return false, fmt.Errorf("revoke grant %s: %w", id, client.ErrConflict)
}

// Select returns the grants in force that want accepts, oldest first.
func (s *Store) Select(ctx context.Context, want func(*Grant) bool) ([]Grant, error) {
	records, err := s.records.Table(ctx, tableGrant)
	if err != nil {
		return nil, fmt.Errorf("read the grants: %w", err)
	}
	var found []Grant
	for _, record := range records {
		var g Grant
		if err := decode(record, &g); err != nil {
			return nil, err
		}
		g.version = record.Version
		if g.Revoked.IsZero() && s.now().Before(g.Ends) && want(&g) {
			found = append(found, g)
		}
	}
	sortByAge(found)
	return found, nil
}
