package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// Errors that callers decide by.
var (
	ErrExists  = errors.New("it exists already")
	ErrMissing = errors.New("there is none")
)

// Registry is what administration changes: clients, credentials, revocations.
// Every change is one commit that compares versions, and describes itself as a
// [Change]. It is safe for concurrent use. Two registries of one store that keep
// a mark must not be open at the same time: whoever opens one holds the lock of
// the data folder (internal/store/lock).
type Registry struct {
	rows     *ledger
	now      func() time.Time
	rotating sync.Mutex // one change of the data keys at a time
}

// Options are what [OpenRegistry] needs.
type Options struct {
	Store  Store
	Master seal.Master
	Mark   string // file outside the store that remembers its state; empty: none (tests, library, many nodes)
	Now    func() time.Time

	// AcceptRestored takes the store in whatever consistent state it is, although
	// the mark says that it was left in another one: for one start after a backup
	// was restored. Credentials revoked since then are in force again.
	AcceptRestored bool
}

// OpenRegistry opens the store's keys, making them if the store is new, and
// checks that the store is what it was: no row changed by others, none put back.
// Its errors are [ErrRolledBack], [ErrCorrupt], seal.ErrTampered and
// seal.ErrWrongKey, after none of which anything was written.
func OpenRegistry(ctx context.Context, o Options) (*Registry, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	rows, err := openLedger(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Registry{rows: rows, now: o.Now}, nil
}

// Restored reports that the store was accepted in a state in which it was not
// left, because Options.AcceptRestored said so: it belongs into the event log.
func (r *Registry) Restored() bool { return r.rows.mark != nil && r.rows.mark.restored }

// CreateClient adds a client.
func (r *Registry) CreateClient(ctx context.Context, c Client) (Change, error) {
	if IsTester(c.ID) {
		return Change{}, fmt.Errorf("client %s: %w", c.ID, errTester)
	}
	return r.createClient(ctx, c)
}

func (r *Registry) createClient(ctx context.Context, c Client) (Change, error) {
	if err := c.Validate(); err != nil {
		return Change{}, err
	}
	c.Created = r.now().UTC()
	err := r.retry(func() error {
		row, err := r.rows.read(ctx, tableClient, c.ID, nil)
		if err != nil {
			return err
		}
		if row.Body != nil {
			return fmt.Errorf("client %s: %w", c.ID, ErrExists)
		}
		return r.rows.write(ctx, entry{tableClient, c.ID, row.Version, c})
	})
	return Change{Action: "client.create", Target: c.ID, Text: fmt.Sprintf("scopes %v, tenant %q, contact %q", c.Scopes, c.Tenant, c.Contact)}, err
}

// CreateWith adds a client that has its first credential from the beginning: both are
// there, or neither is. It returns them as they were kept.
func (r *Registry) CreateWith(ctx context.Context, c Client, with Credential, issued shield.Issued) (Client, Credential, error) {
	if IsTester(c.ID) {
		return c, with, fmt.Errorf("client %s: %w", c.ID, errTester)
	}
	if err := c.Validate(); err != nil {
		return c, with, err
	}
	c.Created, with.Client = r.now().UTC(), c.ID
	err := r.retry(func() error {
		row, err := r.rows.read(ctx, tableClient, c.ID, nil)
		if err != nil {
			return err
		}
		if row.Body != nil {
			return fmt.Errorf("client %s: %w", c.ID, ErrExists)
		}
		entries, err := r.credentialOf(ctx, &c, &with, issued)
		if err != nil {
			return err
		}
		return r.rows.write(ctx, append(entries, entry{tableClient, c.ID, row.Version, c})...)
	})
	return c, with, err
}

// UpdateClient changes a client; the change is made again if somebody else was
// quicker. It may change neither id nor time of creation.
func (r *Registry) UpdateClient(ctx context.Context, id, action string, change func(*Client) error) (Change, error) {
	if IsTester(id) {
		return Change{}, fmt.Errorf("client %s: %w", id, errTester)
	}
	return r.updateClient(ctx, id, action, change)
}

func (r *Registry) updateClient(ctx context.Context, id, action string, change func(*Client) error) (Change, error) {
	var text string
	err := r.retry(func() error {
		var c Client
		row, err := r.must(ctx, id, &c)
		if err != nil {
			return err
		}
		before := c
		before.Scopes, before.Attributes = slices.Clone(c.Scopes), maps.Clone(c.Attributes)
		if err := change(&c); err != nil {
			return err
		}
		c.ID, c.Created = before.ID, before.Created
		if err := c.Validate(); err != nil {
			return err
		}
		text = differences(before, c)
		return r.rows.write(ctx, entry{tableClient, id, row.Version, c})
	})
	return Change{Action: "client." + action, Target: id, Text: text}, err
}

// DisableClient refuses all credentials of a client until [Registry.EnableClient].
func (r *Registry) DisableClient(ctx context.Context, id string) (Change, error) {
	return r.UpdateClient(ctx, id, "disable", func(c *Client) error { c.Disabled = true; return nil })
}

// EnableClient ends what [Registry.DisableClient] began.
func (r *Registry) EnableClient(ctx context.Context, id string) (Change, error) {
	return r.UpdateClient(ctx, id, "enable", func(c *Client) error { c.Disabled = false; return nil })
}

// differences says, for people, what is not as before.
func differences(before, after Client) string {
	var text string
	add := func(name string, before, after any) {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%s %v → %v", name, before, after)
	}
	if before.Disabled != after.Disabled {
		add("disabled", before.Disabled, after.Disabled)
	}
	if !slices.Equal(before.Scopes, after.Scopes) {
		add("scopes", before.Scopes, after.Scopes)
	}
	if before.Tenant != after.Tenant {
		add("tenant", quote(before.Tenant), quote(after.Tenant))
	}
	if before.Contact != after.Contact {
		add("contact", quote(before.Contact), quote(after.Contact))
	}
	if !reflect.DeepEqual(before.Attributes, after.Attributes) {
		add("attributes", before.Attributes, after.Attributes)
	}
	if text == "" {
		return "nothing"
	}
	return text
}

// must reads a client that has to be there.
func (r *Registry) must(ctx context.Context, id string, into *Client) (Row, error) {
	row, err := r.rows.must(ctx, tableClient, id, into)
	if !errors.Is(err, ErrMissing) {
		return row, err
	}
	clients, listErr := r.Clients(ctx)
	if listErr != nil {
		return row, err
	}
	names := make([]string, 0, len(clients))
	for _, c := range clients {
		names = append(names, c.ID)
	}
	return row, fmt.Errorf("client %s: %w%s", quote(id), ErrMissing, nearest(id, names))
}

// Client returns one client.
func (r *Registry) Client(ctx context.Context, id string) (Client, error) {
	var c Client
	_, err := r.must(ctx, id, &c)
	return c, err
}

// Clients returns all clients by id.
func (r *Registry) Clients(ctx context.Context) ([]Client, error) {
	clients, err := all[Client](ctx, r.rows, tableClient, nil)
	slices.SortFunc(clients, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
	return clients, err
}

// maxTries is how often a change is made again after somebody else was quicker.
const maxTries = 64

func (r *Registry) retry(change func() error) error {
	var err error
	for range maxTries {
		if err = change(); !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%w, %d times in a row; try again", err, maxTries)
}
