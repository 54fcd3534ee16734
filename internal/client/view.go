package client

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// View is the snapshot in memory that the request path reads. It implements
// shield.Lookup and shield.Revoked. Look-ups take no lock and never wait for the
// store; when the store's revision could not be confirmed for too long they
// return shield.ErrStale. One goroutine keeps it current until [View.Close].
//
// A credential that was revoked stays in it: it proves "revoked" to whoever holds
// its secret.
type View struct {
	ledger  *ledger
	now     func() time.Time
	options ViewOptions

	credentials *table[credentialKey, *slot]
	holders     *table[holderKey, *slot]
	tokens      *table[tokenKey, revoked]
	anyTokens   atomic.Bool
	blocked     atomic.Pointer[blocks]    // nil: none ever was
	held        atomic.Pointer[holds]     // nil: none ever was
	turned      atomic.Pointer[time.Time] // when the clock was put back, or the view began
	generation  atomic.Uint64
	withdrawals atomic.Uint64
	epoch       time.Time    // of confirmed; keeps the monotonic clock
	confirmed   atomic.Int64 // nanoseconds after epoch at which the snapshot was the newest

	mu       sync.Mutex // one refresh at a time; guards what is below and the writing half of the tables
	revision int64
	clients  map[string]*owner

	closing sync.Once
	stop    context.CancelFunc // ends the upkeep
	done    chan struct{}      // closed when it has ended
}

// slot is the place of one credential for as long as the view lives: a change of
// the credential changes what is in it.
type slot struct {
	record atomic.Pointer[shield.Record]
	used   atomic.Int64  // unix seconds of the last use that is not kept yet; 0: none
	scopes shield.Scopes // its own, of which the record has those that the client has too; guarded by View.mu

	replaces string // the id of the credential that it came after; guarded by View.mu
}

type credentialKey struct{ kind, id string }

type holderKey struct {
	kind string
	sum  seal.Digest
}

// revoked is what is known of a revocation of tokens.
type revoked struct {
	since, until time.Time
}

// owner is a client and the places of its credentials.
type owner struct {
	client *shield.Client // nil: not known (yet)
	slots  []*slot
}

// ViewOptions are the settings of a [View].
type ViewOptions struct {
	MaxStaleness time.Duration // 0: 60 s
	Poll         time.Duration // how often the revision is confirmed; 0: 250 ms
	// Warn is told what keeps the snapshot from being confirmed: rows of others'
	// making at once, a store that is away after five seconds; then once a minute
	// while it lasts. It is called by the upkeep, one call at a time. May be nil.
	Warn func(error)
}

// Defaults of [ViewOptions].
const (
	defaultStaleness = 60 * time.Second
	defaultPoll      = 250 * time.Millisecond
)

// View opens a snapshot and keeps it current until it is closed.
func (r *Registry) View(ctx context.Context, o ViewOptions) (*View, error) {
	if o.MaxStaleness == 0 {
		o.MaxStaleness = defaultStaleness
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.MaxStaleness < 0 || o.Poll < 0 {
		return nil, fmt.Errorf("snapshot: staleness %s and poll %s: want more than 0", o.MaxStaleness, o.Poll)
	}
	seed := maphash.MakeSeed()
	v := &View{
		ledger: r.rows, now: r.now, options: o, epoch: r.now(), clients: map[string]*owner{},
		credentials: newTable[credentialKey, *slot](func(k credentialKey) uint8 { return uint8(maphash.String(seed, k.id)) }),
		holders:     newTable[holderKey, *slot](func(k holderKey) uint8 { return k.sum.Sum[0] }),
		tokens:      newTable[tokenKey, revoked](func(k tokenKey) uint8 { return uint8(maphash.String(seed, k.name)) }),
		done:        make(chan struct{}),
	}
	began := r.now()
	v.turned.Store(&began)
	if err := v.Refresh(ctx); err != nil {
		return nil, err
	}
	upkeep, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = stop
	go v.keepCurrent(upkeep)
	return v, nil
}

// Credential implements shield.Lookup.
func (v *View) Credential(kind, id string) (*shield.Record, error) {
	if v.stale() {
		return nil, shield.ErrStale
	}
	if s, ok := v.credentials.get(credentialKey{kind, id}); ok {
		return s.record.Load(), nil
	}
	return nil, shield.ErrUnknown
}

// Holder implements shield.Lookup.
func (v *View) Holder(kind string, material []byte) (*shield.Record, error) {
	if v.stale() {
		return nil, shield.ErrStale
	}
	var found *slot
	v.ledger.keys.Load().Hashes(material, func(d seal.Digest) bool {
		found, _ = v.holders.get(holderKey{kind, d})
		return found != nil
	})
	if found == nil {
		return nil, shield.ErrUnknown
	}
	return found.record.Load(), nil
}

// Token implements shield.Revoked. A token without a time of issue counts as old.
func (v *View) Token(issuer, subject, tokenID string, issuedAt time.Time) (bool, error) {
	if v.stale() {
		return false, shield.ErrStale
	}
	if !v.anyTokens.Load() {
		return false, nil
	}
	if tokenID != "" {
		if _, ok := v.tokens.get(tokenKey{issuer, tokenID, false}); ok {
			return true, nil
		}
	}
	r, ok := v.tokens.get(tokenKey{issuer, subject, true})
	return ok && !issuedAt.After(r.since), nil
}

// Generation implements shield.Revoked. Moments of last use do not raise it.
func (v *View) Generation() uint64 { return v.generation.Load() }

// Withdrawals rises whenever a credential was revoked or forgotten, or its client disabled or
// enabled: whoever tells others of revocations need not look before. Other changes, such as
// a new certificate, do not raise it.
func (v *View) Withdrawals() uint64 { return v.withdrawals.Load() }

// stale asks the monotonic clock, so that setting the clock back does not make an
// old snapshot young.
func (v *View) stale() bool {
	return int64(v.now().Sub(v.epoch))-v.confirmed.Load() > int64(v.options.MaxStaleness)
}

// Confirmed returns when the snapshot was last known to be the newest.
func (v *View) Confirmed() time.Time { return v.epoch.Add(time.Duration(v.confirmed.Load())) }

// Size says how many clients and credentials the snapshot has.
func (v *View) Size() (clients, credentials int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, o := range v.clients {
		if o.client != nil {
			clients++
		}
	}
	return clients, v.credentials.size()
}

// Refresh takes in what changed since the last time; after a change of one's own
// it makes the change bite at once. A row that is not ours is an error and the
// snapshot is not confirmed, but everything else that changed is taken in:
// revocations cannot be kept out by putting rubbish beside them.
func (v *View) Refresh(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	asked := v.now()
	latest, err := v.ledger.store.Revision(ctx)
	if err != nil {
		return fmt.Errorf("confirm the store's revision: %w", err)
	}
	if latest < v.revision {
		return fmt.Errorf("the store went from revision %d to %d: %w", v.revision, latest, ErrRolledBack)
	}
	if latest > v.revision {
		rows, until, err := v.ledger.store.Since(ctx, v.revision)
		if err != nil {
			return fmt.Errorf("read changes of the store: %w", err)
		}
		if err := v.apply(ctx, rows); err != nil {
			return err
		}
		v.revision = until
	}
	v.confirmed.Store(int64(asked.Sub(v.epoch)))
	return nil
}
