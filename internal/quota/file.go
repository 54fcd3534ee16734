//go:build unix

package quota

import (
	"errors"
	"fmt"
	"hash/maphash"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise/limit"
)

// File is a [limit.Quotas] in a mapped file. It is safe for concurrent use.
type File struct {
	options Options
	seed    maphash.Seed
	shards  [32]shard
	space   space
	dirty   atomic.Bool
	stop    chan struct{}
	syncing sync.WaitGroup
}

// shard is a part of the keys with a lock of its own.
type shard struct {
	mu     sync.Mutex
	slots  map[string]int32 // by key as it is stored
	swept  int64            // the day on which it was last swept, since 1970
	closed bool
	_      [32]byte // its own cache line
}

// Open opens the file, or makes it. A file that cannot be read is set aside, with a word to
// Options.Warn: then everybody begins anew.
func Open(o Options) (*File, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	f := &File{options: o, seed: maphash.MakeSeed(), stop: make(chan struct{})}
	for i := range f.shards {
		f.shards[i].slots = map[string]int32{}
	}
	err = f.space.open(o.Path)
	if errors.Is(err, errDamaged) {
		o.Warn(fmt.Errorf("%s: %w; it was set aside as %s.damaged, and every quota begins anew", o.Path, err, o.Path))
		if err = os.Rename(o.Path, o.Path+".damaged"); err != nil {
			return nil, fmt.Errorf("set the damaged file of quotas aside: %w", err)
		}
		err = f.space.open(o.Path)
	}
	if err != nil {
		return nil, err
	}
	f.index()
	f.syncing.Go(f.keepSyncing)
	return f, nil
}

// index reads all slots.
func (f *File) index() {
	now, lost := f.options.Now(), 0
	for id := range f.space.slots() {
		s := f.space.slot(id)
		tally := limit.Tally(s[wordTally])
		key, period, ok := s.read()
		if tally != 0 && !ok {
			lost++
		}
		if tally == 0 || !ok || tally.Over(period, now) {
			s[wordTally] = 0
			f.space.give(id)
			continue
		}
		f.shard(key).slots[key] = id
	}
	if lost > 0 {
		f.options.Warn(fmt.Errorf("%s: %d keys cannot be read; their quotas begin anew", f.options.Path, lost))
	}
}

func (f *File) shard(stored string) *shard {
	return &f.shards[maphash.String(f.seed, stored)%uint64(len(f.shards))]
}

// Take implements [limit.Quotas]. Errors are [limit.ErrFull], [ErrClosed], a quota or cost
// that cannot be counted, and faults of the disk.
func (f *File) Take(key string, q limit.Quota, cost int) (state limit.State, err error) {
	if err := q.Check(cost); err != nil {
		return limit.State{}, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { // as faulted does, without memory of its own
		if fault := recover(); fault != nil {
			err = asError(fault)
		}
	}()
	key = stored(key)
	s := f.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return limit.State{}, ErrClosed
	}
	now := f.options.Now()
	id, known := s.slots[key]
	if !known {
		if id, err = f.place(s, now); err != nil {
			return limit.State{}, err
		}
		key = strings.Clone(key)
		f.space.slot(id).write(key, q.Period)
		s.slots[key] = id
	}
	word := &f.space.slot(id)[wordTally]
	tally, state := limit.Tally(atomic.LoadUint64(word)).Take(q, now, cost)
	atomic.StoreUint64(word, uint64(tally))
	f.dirty.Store(true)
	return state, nil
}

// Return implements [limit.Quotas].
func (f *File) Return(key string, q limit.Quota, cost int) {
	var err error // what cannot be given back stays taken
	defer faulted(&err)()
	key = stored(key)
	s := f.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, known := s.slots[key]; known && !s.closed {
		word := &f.space.slot(id)[wordTally]
		atomic.StoreUint64(word, uint64(limit.Tally(*word).Return(q, f.options.Now(), cost)))
		f.dirty.Store(true)
	}
}

// place finds a slot for a new key of s, whose lock is held: a free one, that of a key that
// is over, or one of a new chunk.
func (f *File) place(s *shard, now time.Time) (int32, error) {
	if id, ok := f.space.take(); ok {
		return id, nil
	}
	f.sweep(s, now)
	if id, ok := f.space.take(); ok {
		return id, nil
	}
	if int(f.space.slots()) >= f.options.MaxKeys {
		f.sweepOthers(now)
	} else if err := f.space.grow(); err != nil {
		return 0, err
	}
	if id, ok := f.space.take(); ok {
		return id, nil
	}
	return 0, limit.ErrFull // or others were faster
}

// sweep frees the slots of the keys of one shard that are over, once in a day: a flood of new
// keys must not make work.
func (f *File) sweep(s *shard, now time.Time) {
	today := now.Unix() / int64(24*time.Hour/time.Second)
	if s.swept == today {
		return
	}
	s.swept = today
	for key, id := range s.slots {
		at := f.space.slot(id)
		if limit.Tally(at[wordTally]).Over(at.period(), now) {
			f.drop(s, key, id)
		}
	}
}

// sweepOthers does so with all shards whose locks are free: nobody waits for another.
func (f *File) sweepOthers(now time.Time) {
	for i := range f.shards {
		if s := &f.shards[i]; s.mu.TryLock() {
			f.sweep(s, now)
			s.mu.Unlock()
		}
	}
}

// drop forgets a key of a shard whose lock is held.
func (f *File) drop(s *shard, key string, id int32) {
	atomic.StoreUint64(&f.space.slot(id)[wordTally], 0)
	delete(s.slots, key)
	f.space.give(id)
	f.dirty.Store(true)
}

// List returns what was used in the present periods, in no order.
func (f *File) List() (all []Use, err error) {
	defer faulted(&err)()
	now := f.options.Now()
	for i := range f.shards {
		all = f.list(&f.shards[i], now, all)
	}
	return all, nil
}

func (f *File) list(s *shard, now time.Time, all []Use) []Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, id := range s.slots {
		at := f.space.slot(id)
		period := at.period()
		if used, ends := limit.Tally(at[wordTally]).Used(period, now); used > 0 {
			all = append(all, Use{key, period, used, ends})
		}
	}
	return all
}

// Reset lets those keys begin anew that match accepts, and returns how many that were.
func (f *File) Reset(match func(key string) bool) (n int, err error) {
	defer faulted(&err)()
	for i := range f.shards {
		n += f.reset(&f.shards[i], match)
	}
	return n, nil
}

func (f *File) reset(s *shard, match func(key string) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, id := range s.slots {
		if match(key) {
			f.drop(s, key, id)
			n++
		}
	}
	return n
}

func (f *File) keepSyncing() {
	ticker := time.NewTicker(SyncEvery)
	defer ticker.Stop()
	told := ""
	for {
		select {
		case <-f.stop:
			return
		case <-ticker.C:
		}
		if !f.dirty.Swap(false) {
			continue
		}
		err := f.space.sync()
		if err != nil && err.Error() != told {
			f.options.Warn(err)
		}
		if told = ""; err != nil {
			told = err.Error()
			f.dirty.Store(true)
		}
	}
}

// Close writes everything to the disk. Calls that come later get [ErrClosed].
func (f *File) Close() error {
	for i := range f.shards {
		f.shards[i].mu.Lock()
		defer f.shards[i].mu.Unlock()
	}
	if f.shards[0].closed {
		return nil
	}
	for i := range f.shards {
		f.shards[i].closed, f.shards[i].slots = true, nil
	}
	close(f.stop)
	f.syncing.Wait()
	return errors.Join(f.space.sync(), f.space.close())
}

// faulted makes an error of a page that cannot be read or written: the disk failed, or
// somebody cut the file. Deferred and called it guards the function around it.
func faulted(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if fault := recover(); fault != nil {
			*err = asError(fault)
		}
	}
}
