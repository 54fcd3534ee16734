package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/seal"
)

// A new master key is made durable beside the old one before the store is put under
// it, and takes its place afterwards. A kill at any moment leaves a start that finds
// the one that opens the store.
const (
	nextKey = ".new"  // behind the name of the key file: it will be the key
	lastKey = ".old-" // and its id: it was the key, and backups made under it need it
)

// Rekey puts the store under another master key, while no gateway runs. The key is
// made, or, if to is not empty, read from that file: then it is the caller's to keep
// it where state.master_key or state.master_key_command will find it. The actor stands
// in the event.
func Rekey(ctx context.Context, f *config.File, o StateOptions, to, actor string) (change client.Change, err error) {
	if len(f.State.KeyCommand) > 0 && to == "" {
		return change, errors.New("the master key comes from state.master_key_command: put a new one into a file, name it with --to, and let the command print it from then on")
	}
	s, err := OpenState(ctx, f, o)
	if err != nil {
		return change, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	next, err := nextMaster(f, to)
	if err != nil {
		return change, err
	}
	if change, err = s.Registry.Rewrap(ctx, next); err != nil {
		return change, fmt.Errorf("put the store under the new key: %w", err)
	}
	e := audit.Event{
		Class: audit.Admin, Decision: audit.Accepted, Time: o.Now(), ID: newID(rand.Reader), Actor: actor,
		Action: change.Action, Target: change.Target, Change: change.Text,
	}
	if err := audit.Record(s.Log, &e); err != nil {
		return change, fmt.Errorf("the store is under the new key, but the event could not be written: %w", err)
	}
	if to != "" {
		return change, nil
	}
	return change, putInPlace(f.State.MasterKey)
}

func nextMaster(f *config.File, to string) (seal.Master, error) {
	if to != "" {
		return seal.ReadMaster(to)
	}
	if name := f.State.MasterKey + nextKey; seal.Exists(name) {
		return seal.ReadMaster(name) // an earlier try was broken off
	}
	return seal.CreateMaster(f.State.MasterKey + nextKey)
}

// putInPlace makes the new key file the key file. The old one stays beside it, under a
// name that no other key has.
func putInPlace(name string) error {
	if seal.Exists(name) {
		old, err := seal.ReadMaster(name)
		if err == nil {
			err = os.Rename(name, name+lastKey+old.ID())
		}
		if err != nil {
			return fmt.Errorf("put the old master key aside: %w", err)
		}
	}
	if err := os.Rename(name+nextKey, name); err != nil {
		return fmt.Errorf("put the new master key in its place: %w; rename %s yourself", err, name+nextKey)
	}
	return nil
}

// openRegistry opens the store with the key file, or with the one that was about to
// take its place when a change of keys was broken off.
func openRegistry(ctx context.Context, f *config.File, master seal.Master, options client.Options) (*client.Registry, error) {
	options.Master = master
	r, err := client.OpenRegistry(ctx, options)
	if !errors.Is(err, seal.ErrWrongKey) || len(f.State.KeyCommand) > 0 || !seal.Exists(f.State.MasterKey+nextKey) {
		return r, err
	}
	var next error
	if options.Master, next = seal.ReadMaster(f.State.MasterKey + nextKey); next != nil {
		return nil, errors.Join(err, next)
	}
	if r, next = client.OpenRegistry(ctx, options); next != nil {
		return nil, err // the first says more
	}
	return r, putInPlace(f.State.MasterKey)
}
