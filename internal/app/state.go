package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/gateway"
	"pavise.dev/pavise/internal/once"
	"pavise.dev/pavise/internal/pki"
	"pavise.dev/pavise/internal/pki/est"
	"pavise.dev/pavise/internal/pki/status"
	"pavise.dev/pavise/internal/quota"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/lock"
	"pavise.dev/pavise/internal/store/sqlite"
)

// State is what an installation keeps: clients, events, once-claims. One process
// at a time holds it.
type State struct {
	Registry *client.Registry
	View     *client.View
	Log      *audit.Log
	Once     *once.Mapped
	Quotas   *quota.File

	Authority *pki.Authority // of certificates; it may not have been made yet
	Enrolment *est.Tokens    // by which programs elsewhere get certificates
	Status    *status.Server // which of its certificates are revoked, for others

	Signer   *gateway.Signer // of identity tokens
	ChainKey []byte          // of the event log
	Signing  ed25519.PrivateKey
	Created  bool // the data folder was made by this start

	folder string
	flows  *flow.Store // of idempotency keys and sequences; nil: nothing has asked for it yet
	opened sync.Mutex  // of flows

	events  audience // of what is written to the log
	witness *witness // nil: checkpoints stay here
	store   *sqlite.Store
	lock    *lock.Lock
}

// StateOptions are what [OpenState] needs beside the configuration.
type StateOptions struct {
	Now            clock
	Warn           func(error)
	Flood          audit.Flood
	AcceptRestored bool // the store was put back on purpose
}

// OpenState opens the data folder, making it at the first start, together with a
// master key outside of it.
func OpenState(ctx context.Context, f *config.File, o StateOptions) (_ *State, err error) {
	s := &State{folder: f.State.Folder}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(f.State.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	if s.lock, err = lock.Take(f.State.Folder); err != nil {
		return nil, err
	}
	master, err := s.master(ctx, f)
	if err != nil {
		return nil, err
	}
	if s.store, err = sqlite.Open(ctx, filepath.Join(f.State.Folder, storeFile)); err != nil {
		return nil, err
	}
	s.Registry, err = openRegistry(ctx, f, master, client.Options{
		Store: s.store, Mark: f.State.MasterKey + ".mark", Now: o.Now, AcceptRestored: o.AcceptRestored,
	})
	if err != nil {
		return nil, err
	}
	if s.Signer, err = openSigner(ctx, s.Registry, o.Now); err != nil {
		return nil, err
	}
	if err := s.openLog(ctx, f, o); err != nil {
		return nil, err
	}
	s.Once, err = once.Open(once.Options{Path: filepath.Join(f.State.Folder, "once"), Now: o.Now, First: s.Created, Warn: o.Warn})
	if err != nil {
		return nil, err
	}
	if s.Quotas, err = quota.Open(quota.Options{Path: filepath.Join(f.State.Folder, "quotas"), Now: o.Now, Warn: o.Warn}); err != nil {
		return nil, err
	}
	if s.View, err = s.Registry.View(ctx, client.ViewOptions{MaxStaleness: f.State.MaxStaleness.Duration, Warn: s.unconfirmed(o)}); err != nil {
		return nil, err
	}
	return s, s.openAuthority(ctx, f, o)
}

// unconfirmed tells the operator, and the log, what keeps revocations from being known.
func (s *State) unconfirmed(o StateOptions) func(error) {
	return func(fault error) {
		e := audit.Event{
			Class: audit.System, Decision: audit.Noted, Code: "state_unconfirmed", Time: o.Now(), ID: newID(rand.Reader),
			Detail: fault.Error(),
		}
		if err := audit.Record(s.Log, &e); err != nil {
			fault = errors.Join(fault, fmt.Errorf("record it: %w", err))
		}
		if o.Warn != nil {
			o.Warn(fault)
		}
	}
}

const storeFile = "store.db"

// master reads the master key, and makes one only for a store that is new too.
func (s *State) master(ctx context.Context, f *config.File) (seal.Master, error) {
	_, err := os.Stat(filepath.Join(f.State.Folder, storeFile))
	s.Created = errors.Is(err, os.ErrNotExist)
	if len(f.State.KeyCommand) > 0 {
		return seal.RunMaster(ctx, f.State.KeyCommand...)
	}
	if !seal.Exists(f.State.MasterKey) && !s.Created && seal.Exists(f.State.MasterKey+nextKey) {
		if err := putInPlace(f.State.MasterKey); err != nil { // a change of keys was broken off in between
			return seal.Master{}, err
		}
	}
	if seal.Exists(f.State.MasterKey) {
		return seal.ReadMaster(f.State.MasterKey)
	}
	if !s.Created {
		return seal.Master{}, fmt.Errorf("there is a store in %s but no master key at %s; put the key file back where it was", f.State.Folder, f.State.MasterKey)
	}
	return seal.CreateMaster(f.State.MasterKey)
}

func (s *State) openLog(ctx context.Context, f *config.File, o StateOptions) error {
	key, err := s.Registry.Secret(ctx, "event-chain", 32)
	if err != nil {
		return err
	}
	seed, err := s.Registry.Secret(ctx, "event-checkpoints", ed25519.SeedSize)
	if err != nil {
		return err
	}
	s.ChainKey, s.Signing = key, ed25519.NewKeyFromSeed(seed)
	options := audit.Options{
		Dir: f.Log.Folder, Node: nodeName(), Key: key, Sign: s.Signing, Now: o.Now, Slots: placesOf(f.Limits.Requests),
		Keep: f.Log.Keep.Duration, MaxSize: int64(f.Log.MaxSize), Warn: o.Warn, Flood: o.Flood, Known: !s.Created,
		Written: s.events.tell,
	}
	keepTrail(f, &options)
	if f.Log.Kept != "" {
		if s.witness, err = openWitness(f.Log.Kept, o.Warn); err != nil {
			return err
		}
		options.Checkpointed = s.witness.keep
	}
	s.Log, err = audit.Open(options)
	return err
}

// Places of the event log.
const (
	fewestPlaces = 8192
	mostPlaces   = 1 << 20
)

// placesOf are places of the event log for as many requests as may be under way, and a quarter
// more for what is not yet written, for acts and for faults. With fewer, streams that are open
// would take the last before limits.requests sheds anybody, and what has priority would be refused
// with the rest.
func placesOf(requests int) int { return min(max(fewestPlaces, requests+requests/4), mostPlaces) }

func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		return "node"
	}
	return name
}

// Close ends what the state runs, in the reverse order of opening.
func (s *State) Close() error {
	var faults []error
	if s.View != nil {
		faults = append(faults, s.View.Close())
	}
	if s.flows != nil {
		faults = append(faults, s.flows.Close())
	}
	if s.Once != nil {
		faults = append(faults, s.Once.Close())
	}
	if s.Quotas != nil {
		faults = append(faults, s.Quotas.Close())
	}
	if s.Log != nil {
		faults = append(faults, s.Log.Close())
	}
	if s.witness != nil {
		faults = append(faults, s.witness.close()) // after the log, whose last checkpoint it keeps
	}
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	if s.lock != nil {
		faults = append(faults, s.lock.Close())
	}
	return errors.Join(faults...)
}
