package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/shield"
)

// View is the snapshot in memory that the request path reads. It implements
// shield.Lookup and shield.Revoked. Look-ups take no lock and never wait for the
// store; when the store's revision could not be confirmed for too long they
// return shield.ErrStale.
type View struct {
	ledger       *ledger
	now          func() time.Time
	maxStaleness time.Duration
	warn         func(error)

	shards     [256]shard
	byHash     atomic.Pointer[map[hashKey]*shield.Record]
	revoked    atomic.Pointer[map[string]time.Time] // by revocation row
	generation atomic.Uint64
	confirmed  atomic.Int64 // unix nanoseconds of the last confirmation

	mu       sync.Mutex // one refresh at a time
	revision int64
	clients  map[string]*shield.Client
	stored   map[string]Row // credential rows, for clients that change
	owned    map[string]map[string]bool

	used sync.Map // credential row → *atomic.Int64, unix seconds; bounded by the credentials

	stop chan struct{}
	done chan struct{}
}

type shard struct {
	records atomic.Pointer[map[recordKey]*shield.Record]
}

type recordKey struct{ kind, id string }

type hashKey struct {
	kind string
	sum  seal.Digest
}

// ViewOptions are the settings of a [View].
type ViewOptions struct {
	MaxStaleness time.Duration // 0: 60 s
	Poll         time.Duration // how often the revision is confirmed; 0: 250 ms
	Warn         func(error)   // what kept it from being confirmed; may be nil
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
	v := &View{
		ledger: r.rows, now: r.now, maxStaleness: o.MaxStaleness, warn: o.Warn,
		clients: map[string]*shield.Client{}, stored: map[string]Row{}, owned: map[string]map[string]bool{},
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for i := range v.shards {
		v.shards[i].records.Store(&map[recordKey]*shield.Record{})
	}
	v.byHash.Store(&map[hashKey]*shield.Record{})
	v.revoked.Store(&map[string]time.Time{})
	if err := v.Refresh(ctx); err != nil {
		return nil, err
	}
	go v.keepCurrent(o.Poll)
	return v, nil
}

// keepCurrent confirms the revision until the view is closed.
func (v *View) keepCurrent(poll time.Duration) {
	defer close(v.done)
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	flush := v.now()
	for {
		select {
		case <-v.stop:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := v.Refresh(ctx); err != nil {
			v.warn(err)
		}
		if now := v.now(); now.Sub(flush) >= time.Minute {
			flush = now
			if err := v.flushUsage(ctx); err != nil {
				v.warn(err)
			}
		}
		cancel()
	}
}

// Close stops the upkeep and keeps the moments of last use.
func (v *View) Close() error {
	close(v.stop)
	<-v.done
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return v.flushUsage(ctx)
}

// Refresh takes in what changed since the last time. A damaged row is an error,
// and the snapshot is not confirmed.
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
		if err := v.apply(rows); err != nil {
			return err
		}
		v.revision = until
	}
	v.confirmed.Store(asked.UnixNano())
	return nil
}

// apply puts changed rows into the snapshot: clients first, then credentials.
func (v *View) apply(rows []Row) error {
	next := v.edit()
	for _, row := range rows {
		var err error
		switch row.Table {
		case tableClient:
			err = v.applyClient(row, next)
		case tableRevocation:
			err = v.applyRevocation(row, next)
		}
		if err != nil {
			return err
		}
	}
	for _, row := range rows {
		if row.Table == tableCredential {
			if err := v.applyCredential(row, next); err != nil {
				return err
			}
		}
	}
	next.publish()
	return nil
}

func (v *View) applyClient(row Row, next *edit) error {
	var c Client
	body, err := v.decode(row, &c)
	if err != nil {
		return err
	}
	id := row.ID
	if body == nil {
		delete(v.clients, id)
	} else {
		v.clients[id] = &shield.Client{
			ID: c.ID, Tenant: c.Tenant, Contact: c.Contact, Scopes: c.Scopes, Attributes: c.Attributes, Disabled: c.Disabled,
		}
	}
	for name := range v.owned[id] {
		if err := v.applyCredential(v.stored[name], next); err != nil {
			return err
		}
	}
	return nil
}

func (v *View) applyRevocation(row Row, next *edit) error {
	var revocation Revocation
	body, err := v.decode(row, &revocation)
	if err != nil {
		return err
	}
	next.revoke(row.ID, revocation.Since, body == nil)
	return nil
}

func (v *View) applyCredential(row Row, next *edit) error {
	var s stored
	body, err := v.decode(row, &s)
	if err != nil {
		return err
	}
	if body == nil {
		return nil // credentials are revoked, never deleted
	}
	if known, ok := v.stored[row.ID]; ok && row.Version < known.Version {
		return fmt.Errorf("%s/%s went from version %d to %d: %w", row.Table, row.ID, known.Version, row.Version, ErrRolledBack)
	}
	record, err := v.record(row, &s)
	if err != nil {
		return err
	}
	v.stored[row.ID] = row
	if v.owned[s.Client] == nil {
		v.owned[s.Client] = map[string]bool{}
	}
	v.owned[s.Client][row.ID] = true
	next.put(record, s.Hash)
	return nil
}

func (v *View) decode(row Row, into any) ([]byte, error) {
	body, err := v.ledger.check(row)
	if err != nil || body == nil {
		return nil, err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return nil, fmt.Errorf("%s/%s: %w: %w", row.Table, row.ID, ErrCorrupt, err)
	}
	return body, nil
}

// record builds what shields see of a credential.
func (v *View) record(row Row, s *stored) (*shield.Record, error) {
	owner := v.clients[s.Client]
	r := shield.Record{
		Kind: s.Kind, ID: s.ID, Client: owner, Networks: s.Networks, Created: s.Created, NotBefore: s.NotBefore,
		Expires: s.Expires, Revoked: s.Revoked, WarnAfter: s.WarnAfter, Settings: s.Settings,
	}
	if owner != nil {
		r.Attributes = owner.Attributes
		r.Scopes = owner.Scopes.Intersect(owner.Scopes) // a copy, never nil
		if len(s.Scopes) > 0 {
			r.Scopes = s.Scopes.Intersect(owner.Scopes)
		}
	}
	var match func([]byte) bool
	if s.Hash != nil {
		digest := *s.Hash
		match = func(material []byte) bool { return v.ledger.keys.Match(digest, material) }
	}
	var secret []byte
	if s.Sealed != nil {
		var err error
		if secret, err = v.ledger.keys.Unseal(row.Table, row.ID, row.Version, s.Sealed); err != nil {
			return nil, fmt.Errorf("credential %s: %w", row.ID, err)
		}
	}
	key := recordKey{s.Kind, s.ID}
	return r.Keep(match, secret, func() bool { return v.withdrawn(key) }), nil
}

// withdrawn reports whether the credential is no longer good in the newest
// snapshot; a snapshot that is too old counts as withdrawn.
func (v *View) withdrawn(key recordKey) bool {
	r, err := v.Credential(key.kind, key.id)
	return err != nil || !r.Revoked.IsZero() || r.Client == nil || r.Client.Disabled ||
		(!r.Expires.IsZero() && !v.now().Before(r.Expires))
}

// Credential implements shield.Lookup.
func (v *View) Credential(kind, id string) (*shield.Record, error) {
	if v.stale() {
		return nil, shield.ErrStale
	}
	if r := (*v.shards[shardOf(id)].records.Load())[recordKey{kind, id}]; r != nil {
		return r, nil
	}
	return nil, shield.ErrUnknown
}

// Holder implements shield.Lookup.
func (v *View) Holder(kind string, material []byte) (*shield.Record, error) {
	if v.stale() {
		return nil, shield.ErrStale
	}
	index := *v.byHash.Load()
	var found *shield.Record
	v.ledger.keys.Hashes(material, func(d seal.Digest) bool {
		found = index[hashKey{kind, d}]
		return found != nil
	})
	if found == nil {
		return nil, shield.ErrUnknown
	}
	return found, nil
}

// Token implements shield.Revoked.
func (v *View) Token(issuer, subject, tokenID string, issuedAt time.Time) (bool, error) {
	if v.stale() {
		return false, shield.ErrStale
	}
	revoked := *v.revoked.Load()
	if len(revoked) == 0 {
		return false, nil
	}
	if tokenID != "" {
		if _, ok := revoked[revocationRow(Revocation{Issuer: issuer, TokenID: tokenID})]; ok {
			return true, nil
		}
	}
	since, ok := revoked[revocationRow(Revocation{Issuer: issuer, Subject: subject})]
	return ok && !issuedAt.After(since), nil
}

// Generation implements shield.Revoked.
func (v *View) Generation() uint64 { return v.generation.Load() }

func (v *View) stale() bool {
	return v.now().UnixNano()-v.confirmed.Load() > int64(v.maxStaleness)
}

// Confirmed returns when the snapshot was last known to be the newest.
func (v *View) Confirmed() time.Time { return time.Unix(0, v.confirmed.Load()) }

// Used notes that a credential was used, to be kept with the next batch.
func (v *View) Used(kind, id string, at time.Time) {
	name := credentialRow(kind, id)
	if kept, ok := v.used.Load(name); ok {
		if moment, ok := kept.(*atomic.Int64); ok {
			moment.Store(at.Unix())
			return
		}
	}
	moment := new(atomic.Int64)
	moment.Store(at.Unix())
	v.used.Store(name, moment)
}

// flushUsage keeps the moments of last use that are new.
func (v *View) flushUsage(ctx context.Context) error {
	var faults []error
	v.used.Range(func(key, value any) bool {
		name, _ := key.(string)
		moment, ok := value.(*atomic.Int64)
		if !ok {
			return true
		}
		v.used.Delete(name)
		faults = append(faults, v.keepUsage(ctx, name, time.Unix(moment.Load(), 0).UTC()))
		return ctx.Err() == nil
	})
	return errors.Join(faults...)
}

func (v *View) keepUsage(ctx context.Context, name string, at time.Time) error {
	v.mu.Lock()
	row, known := v.stored[name]
	v.mu.Unlock()
	var s stored
	if !known {
		return nil
	}
	if _, err := v.decode(row, &s); err != nil {
		return err
	}
	old, err := v.ledger.read(ctx, tableUsage, name, nil)
	if err != nil {
		return err
	}
	err = v.ledger.write(ctx, entry{tableUsage, name, old.Version, usage{s.Kind, s.ID, at}})
	if errors.Is(err, ErrConflict) {
		return nil // somebody else has just kept a moment as good
	}
	return err
}

// edit collects changes, copying each map that changes once.
type edit struct {
	view    *View
	shards  map[int]map[recordKey]*shield.Record
	hashes  map[hashKey]*shield.Record
	revoked map[string]time.Time
}

func (v *View) edit() *edit {
	return &edit{view: v, shards: map[int]map[recordKey]*shield.Record{}}
}

func (e *edit) put(r *shield.Record, hash *seal.Digest) {
	n := shardOf(r.ID)
	if e.shards[n] == nil {
		e.shards[n] = maps.Clone(*e.view.shards[n].records.Load())
	}
	e.shards[n][recordKey{r.Kind, r.ID}] = r
	if hash != nil {
		if e.hashes == nil {
			e.hashes = maps.Clone(*e.view.byHash.Load())
		}
		e.hashes[hashKey{r.Kind, *hash}] = r
	}
}

func (e *edit) revoke(name string, since time.Time, remove bool) {
	if e.revoked == nil {
		e.revoked = maps.Clone(*e.view.revoked.Load())
	}
	if remove {
		delete(e.revoked, name)
		return
	}
	e.revoked[name] = since
}

func (e *edit) publish() {
	for n, records := range e.shards {
		e.view.shards[n].records.Store(&records)
	}
	if e.hashes != nil {
		e.view.byHash.Store(&e.hashes)
	}
	if e.revoked != nil {
		e.view.revoked.Store(&e.revoked)
	}
	e.view.generation.Add(1)
}

// shardOf spreads ids over the shards (FNV-1a).
func shardOf(id string) int {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return int(h % 256)
}
