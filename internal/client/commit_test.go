package client_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/seal"
	"pavise.dev/pavise/internal/store/memory"
)

// gated is a store whose commits wait for leave while it is shut.
type gated struct {
	client.Store
	shut    atomic.Bool
	leave   chan error // what a commit that waited answers: nil lets it through
	lost    bool       // it is written all the same, and only the answer is lost
	commits atomic.Int32
	before  func() // runs once, before the next commit that is not held
}

func (g *gated) Commit(ctx context.Context, rows ...client.Row) (int64, error) {
	g.commits.Add(1)
	if g.shut.Load() {
		if err := errors.Join(<-g.leave, ctx.Err()); err != nil {
			if g.lost {
				_, _ = g.Store.Commit(ctx, rows...) // the answer is lost in any case
			}
			return 0, err
		}
	} else if g.before != nil {
		before := g.before
		g.before = nil
		before()
	}
	return g.Store.Commit(ctx, rows...)
}

// gatedRecords are records of a store with a mark, whose gate is open.
func gatedRecords(t *testing.T) (*client.Records, *gated, client.Options) {
	t.Helper()
	m, err := seal.NewMaster(make([]byte, 32))
	must(t, err)
	store := &gated{Store: memory.New(), leave: make(chan error)}
	options := client.Options{Store: store, Master: m, Mark: filepath.Join(t.TempDir(), "mark")}
	registry, err := client.OpenRegistry(t.Context(), options)
	must(t, err)
	return registry.Records(), store, options
}

// within starts a change and returns where its error comes.
func within(change func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- change() }()
	synctest.Wait()
	return done
}

func record(id string, version int64) client.Record {
	return client.Record{Table: "thing", ID: id, Version: version, Body: []byte("of " + id)}
}

// agrees holds that the mark knows the state that the store was left in.
func agrees(t *testing.T, options client.Options) *client.Records {
	t.Helper()
	again, err := client.OpenRegistry(t.Context(), options)
	if err != nil {
		t.Fatalf("opened again: %v", err)
	}
	return again.Records()
}

// Changes that come while a commit is under way are written by one commit.
func TestChangesThatWaitAreCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, store, options := gatedRecords(t)
		store.shut.Store(true)
		first := within(func() error { return records.Write(t.Context(), record("first", 0)) })
		var others []<-chan error
		for n := range 50 {
			others = append(others, within(func() error { return records.Write(t.Context(), record(fmt.Sprint("other", n), 0)) }))
		}
		before := store.commits.Load()
		store.shut.Store(false)
		store.leave <- nil
		must(t, <-first)
		for _, done := range others {
			must(t, <-done)
		}
		if got := store.commits.Load() - before; got != 1 {
			t.Errorf("%d commits for 50 changes that waited", got)
		}
		kept, err := agrees(t, options).Table(t.Context(), "thing")
		if err != nil || len(kept) != 51 {
			t.Errorf("%d records are kept, %v", len(kept), err)
		}
	})
}

// What conflicts is refused alone: with what is stored, and with a change that is
// written at the same time.
func TestConflictInAJointCommitIsRefusedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, store, options := gatedRecords(t)
		must(t, records.Write(t.Context(), record("a", 0), record("b", 0)))
		store.shut.Store(true)
		first := within(func() error { return records.Write(t.Context(), record("first", 0)) })
		good := within(func() error { return records.Write(t.Context(), record("a", 1)) })
		same := within(func() error { return records.Write(t.Context(), record("b", 1), record("a", 1)) })
		old := within(func() error { return records.Write(t.Context(), record("b", 0)) })
		ahead := within(func() error { return records.Write(t.Context(), record("c", 7)) })
		new := within(func() error { return records.Write(t.Context(), record("c", 0)) })
		store.shut.Store(false)
		store.leave <- nil
		for name, done := range map[string]<-chan error{"the first": first, "a change": good, "a new record": new} {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, done := range map[string]<-chan error{"a record that is being changed": same, "one that is there": old, "one that is not": ahead} {
			if err := <-done; !errors.Is(err, client.ErrConflict) {
				t.Errorf("%s: %v, want a conflict", name, err)
			}
		}
		b, err := agrees(t, options).Get(t.Context(), "thing", "b")
		if err != nil || b.Version != 1 {
			t.Errorf("half of a refused change was written: version %d, %v", b.Version, err)
		}
	})
}

// Records are removed together too, but not in one commit with what is written.
func TestRemovalsThatWaitAreCommittedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, store, options := gatedRecords(t)
		must(t, records.Write(t.Context(), record("a", 0), record("b", 0), record("c", 0)))
		store.shut.Store(true)
		first := within(func() error { return records.Write(t.Context(), record("first", 0)) })
		var done []<-chan error
		for _, change := range []func() error{
			func() error { return records.Remove(t.Context(), record("a", 1)) },
			func() error { return records.Write(t.Context(), record("d", 0)) },
			func() error { return records.Remove(t.Context(), record("b", 1)) },
		} {
			done = append(done, within(change))
		}
		again := within(func() error { return records.Remove(t.Context(), record("b", 1)) })
		store.shut.Store(false)
		store.leave <- nil
		must(t, <-first)
		for _, d := range done {
			must(t, <-d)
		}
		if err := <-again; !errors.Is(err, client.ErrConflict) {
			t.Errorf("removed twice: %v", err)
		}
		kept, err := agrees(t, options).Table(t.Context(), "thing")
		if err != nil || len(kept) != 3 || kept[0].ID != "c" {
			t.Errorf("kept %v, %v", kept, err)
		}
	})
}

// Whoever goes away before his turn changes nothing; a commit that has begun is not
// broken off by it.
func TestCallerWhoGoesAwayLeavesNoHalfOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, store, options := gatedRecords(t)
		store.shut.Store(true)
		begun, leaveBegun := context.WithCancel(t.Context())
		waiting, leaveWaiting := context.WithCancel(t.Context())
		first := within(func() error { return records.Write(begun, record("begun", 0)) })
		second := within(func() error { return records.Write(waiting, record("waiting", 0)) })
		third := within(func() error { return records.Write(t.Context(), record("third", 0)) })
		leaveBegun()
		leaveWaiting()
		if err := <-second; !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("left before its turn: %v", err)
		}
		store.shut.Store(false)
		store.leave <- nil
		must(t, <-first)
		must(t, <-third)
		if err := records.Write(waiting, record("late", 0)); !errors.Is(err, context.Canceled) {
			t.Errorf("came after it had left: %v", err)
		}
		kept, err := agrees(t, options).Table(t.Context(), "thing")
		if err != nil || len(kept) != 2 || kept[0].ID != "begun" || kept[1].ID != "third" {
			t.Errorf("kept %v, %v", kept, err)
		}
	})
}

// A disk that fails is told to all whose changes were in the commit; what comes after
// finds the mark and the store agreed.
func TestFailedJointCommitIsToldToAll(t *testing.T) {
	for name, kept := range map[string]int{"not written": 2, "written": 4} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { failJointCommit(t, kept) }) })
	}
}

func failJointCommit(t *testing.T, want int) {
	t.Helper()
	records, store, options := gatedRecords(t)
	store.lost = want == 4
	store.shut.Store(true)
	first := within(func() error { return records.Write(t.Context(), record("first", 0)) })
	second := within(func() error { return records.Write(t.Context(), record("second", 0)) })
	third := within(func() error { return records.Write(t.Context(), record("third", 0)) })
	store.leave <- nil
	must(t, <-first)
	store.leave <- errors.New("the disk is full")
	for _, done := range []<-chan error{second, third} {
		if err := <-done; !errors.Is(err, client.ErrUnavailable) {
			t.Errorf("error %v, want that the store cannot be used", err)
		}
	}
	store.shut.Store(false)
	must(t, records.Write(t.Context(), record("after", 0)))
	kept, err := agrees(t, options).Table(t.Context(), "thing")
	if err != nil || len(kept) != want {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// Where no mark is kept others may write to the store: what they were faster with is
// refused, and the rest of the commit is written.
func TestAnotherWriterSpoilsOnlyItsOwnRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := seal.NewMaster(make([]byte, 32))
		must(t, err)
		store := &gated{Store: memory.New(), leave: make(chan error)}
		here, err := client.OpenRegistry(t.Context(), client.Options{Store: store, Master: m})
		must(t, err)
		there, err := client.OpenRegistry(t.Context(), client.Options{Store: store.Store, Master: m})
		must(t, err)
		records := here.Records()
		store.shut.Store(true)
		first := within(func() error { return records.Write(t.Context(), record("first", 0)) })
		a := within(func() error { return records.Write(t.Context(), record("a", 0)) })
		b := within(func() error { return records.Write(t.Context(), record("b", 0)) })
		c := within(func() error { return records.Write(t.Context(), record("c", 0)) })
		store.before = func() { must(t, there.Records().Write(t.Context(), record("b", 0))) }
		store.shut.Store(false)
		store.leave <- nil
		must(t, errors.Join(<-first, <-a, <-c))
		if err := <-b; !errors.Is(err, client.ErrConflict) {
			t.Errorf("error %v, want a conflict", err)
		}
	})
}

// What no store takes is refused before it could spoil a commit of others.
func TestRowThatNoStoreTakesIsRefusedAtOnce(t *testing.T) {
	records, store, _ := gatedRecords(t)
	before := store.commits.Load()
	tooLong := record("a", 0)
	tooLong.Body = make([]byte, 1<<17)
	if err := records.Write(t.Context(), tooLong); err == nil || errors.Is(err, client.ErrUnavailable) {
		t.Errorf("error %v, want one of the caller", err)
	}
	if store.commits.Load() != before {
		t.Error("it came to the store")
	}
}
