package flow

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"

	"pavise.dev/pavise/internal/journal"
	"pavise.dev/pavise/shield"
)

// Bounds of a [Store] whose options name none, and of what it keeps.
const (
	DefaultMaxKeys  = 1_000_000
	DefaultMaxRuns  = 100_000
	DefaultMaxBytes = 512 << 20

	MaxAnswer = 1 << 20 // longest body of an answer that can be kept, in bytes
)

// share is which part of the keys, a quarter, is left for identities that have less than that.
const share = 4

// Options are the settings of a [Store].
type Options struct {
	Dir string           // made if it is missing; one process at a time
	Key []byte           // 32 bytes: seals answers, and hides names
	Now func() time.Time // nil: time.Now

	MaxKeys  int   // idempotency keys that are known at once; 0: [DefaultMaxKeys]
	MaxRuns  int   // sequences that are open at once; 0: [DefaultMaxRuns]
	MaxBytes int64 // of all answers that are kept; 0: [DefaultMaxBytes]

	Warn func(error) // is told of what cannot be read, or written beside requests; nil: nobody

	// Scratch is a store of which nothing is to outlive the process: nobody waits for the disk.
	Scratch bool
}

// Store knows keys and sequences of one node. It is safe for concurrent use.
//
// Memory holds about 200 bytes for each key and each open sequence; answers are read from the
// disk. The clock is the wall's: a step forward is like waiting; after a step back, sequences
// from the future are over and keys are known for longer.
type Store struct {
	options Options
	names   sync.Pool // of keyed hashes
	sealing []byte
	log     *journal.Log

	mu     sync.Mutex
	claims table[*claim]
	runs   table[*run]
	needed map[uint32]int // entries that are needed, of each file
	live   int64          // bytes of them
}

// name is a keyed hash: who reads the journal learns of no caller and no key, and nobody can
// aim at another's.
type name [16]byte

// Open opens the store in a folder. What was under way when the process died has an unknown
// outcome.
func Open(o Options) (*Store, error) {
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("a key of %d bytes: want 32", len(o.Key))
	}
	s := &Store{options: o.complete(), needed: map[uint32]int{}}
	s.claims.all, s.runs.all = map[name]*claim{}, map[name]*run{}
	s.claims.per, s.runs.per = map[name]int{}, map[name]int{}
	naming, err1 := hkdf.Key(sha256.New, o.Key, nil, "pavise flow names", 32)
	sealing, err2 := hkdf.Key(sha256.New, o.Key, nil, "pavise flow answers", 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("derive the keys of flows: %w", err)
	}
	s.sealing = sealing
	s.names.New = func() any { return hmac.New(sha256.New, naming) }
	var err error
	if s.log, err = journal.Open(journal.Options{Dir: o.Dir, Warn: s.options.Warn}, s.load); err != nil {
		return nil, fmt.Errorf("open the state of flows: %w", err)
	}
	s.endRunning()
	return s, nil
}

func (o Options) complete() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	if o.MaxRuns == 0 {
		o.MaxRuns = DefaultMaxRuns
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	return o
}

// Close writes everything to the disk. What is let pass later is refused.
func (s *Store) Close() error { return s.log.Close() }

// Keys returns how many idempotency keys are known.
func (s *Store) Keys() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.now())
	return len(s.claims.all)
}

// Runs returns how many sequences are open.
func (s *Store) Runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.now())
	return len(s.runs.all)
}

func (s *Store) now() int64 { return s.options.Now().UnixNano() }

// name hashes words so that different ones never are the same text.
func (s *Store) name(words ...string) (n name) {
	h, ok := s.names.Get().(hash.Hash)
	if !ok {
		panic("the pool of names holds hashes")
	}
	defer s.names.Put(h)
	h.Reset()
	text := make([]byte, 0, 256)
	for _, word := range words {
		text = binary.AppendUvarint(text, uint64(len(word)))
		text = append(text, word...)
	}
	_, _ = h.Write(text) // hashes never fail
	var sum [sha256.Size]byte
	copy(n[:], h.Sum(sum[:0]))
	return n
}

// sync waits until both entries are on the disk; the zero At is none.
func (s *Store) sync(a, b journal.At) error {
	if b.File > a.File || b.File == a.File && b.Offset > a.Offset {
		a = b
	}
	if a.File == 0 || s.options.Scratch {
		return nil
	}
	return s.log.Sync(a)
}

// append writes an entry that is needed from now on. The lock is held.
func (s *Store) append(entry []byte) (journal.At, error) {
	at, err := s.log.Append(entry)
	if err != nil {
		return at, err
	}
	s.need(at)
	return at, nil
}

func (s *Store) need(at journal.At) {
	s.needed[at.File]++
	s.live += int64(at.Length)
}

// unneed says that an entry is no longer needed.
func (s *Store) unneed(at journal.At) {
	if at.File == 0 {
		return
	}
	s.live -= int64(at.Length)
	if s.needed[at.File]--; s.needed[at.File] == 0 {
		delete(s.needed, at.File)
	}
}

// mark writes an entry that says that others are not needed. The lock is held.
func (s *Store) mark(entry []byte) error {
	_, err := s.log.Append(entry)
	s.trim()
	return err
}

// slack is how many files there may be beyond twice what is needed before entries are moved.
const slack = 4

// fileSize is about the size of a file of the journal, in bytes.
const fileSize = 8 << 20

// trim removes the oldest files that nobody needs. Where a few long-lived entries keep many
// files, those of the oldest one are written anew. The lock is held.
func (s *Store) trim() {
	for {
		oldest, ok := s.log.Oldest()
		if !ok {
			return
		}
		if s.needed[oldest] > 0 {
			if s.log.Files() <= 2*int(s.live/fileSize)+slack {
				return
			}
			if err := s.move(oldest); err != nil {
				s.options.Warn(fmt.Errorf("write the state of flows anew: %w", err))
				return
			}
		}
		if err := s.log.Drop(); err != nil {
			s.options.Warn(err)
			return
		}
	}
}

// move writes what is needed of a file again, at the journal's end.
func (s *Store) move(file uint32) error {
	return s.log.Each(file, func(at journal.At, entry []byte) error {
		id := name(entry[1:headSize])
		if c := s.claims.all[id]; c != nil && (c.made == at || c.kept == at) {
			return s.moveClaim(c)
		}
		if r := s.runs.all[id]; r != nil && r.made == at {
			return s.writeRun(r)
		}
		return nil
	})
}

// forgetAtOnce bounds the work that is done beside one request.
const forgetAtOnce = 256

// forget removes what is over. The lock is held.
func (s *Store) forget(now int64) {
	for range forgetAtOnce {
		c := s.claims.due.first()
		if c == nil || c.until > now {
			break
		}
		if c.state == running { // it cannot be over before it has ended
			c.until = now + int64(time.Minute)
			s.claims.due.moved(c)
			continue
		}
		s.dropClaim(c)
	}
	for range forgetAtOnce {
		r := s.runs.due.first()
		if r == nil || r.until > now {
			break
		}
		if r.running > 0 {
			r.until = now + int64(time.Minute)
			s.runs.due.moved(r)
			continue
		}
		s.dropRun(r)
	}
	s.trim()
}

// table holds what has an owner and an end.
type table[T timed] struct {
	all map[name]T
	per map[name]int // of each owner
	due queue[T]
}

func (t *table[T]) add(id, owner name, one T) {
	t.all[id] = one
	t.per[owner]++
	t.due.add(one)
}

func (t *table[T]) remove(id, owner name, one T) {
	delete(t.all, id)
	if t.per[owner]--; t.per[owner] == 0 {
		delete(t.per, owner)
	}
	t.due.remove(one)
}

// seal encrypts an answer for its key, under a key of its own: there may be more answers
// than one key of AES-GCM takes.
func (s *Store) seal(id name, status int, salt [16]byte) (cipher.AEAD, []byte, error) {
	mac := hmac.New(sha256.New, s.sealing)
	_, _ = mac.Write(salt[:]) // hashes never fail
	aead, err := newAEAD(mac.Sum(nil))
	return aead, append(id[:], byte(status>>8), byte(status)), err
}

func full(what string) error {
	return shield.Refuse(shield.Busy, "no more %s can be known at once", what)
}
