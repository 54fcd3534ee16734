package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what [Open] needs.
type Options struct {
	Dir         string // made if missing, mode 0700
	Node        string
	Key         []byte             // 32 bytes: keys the chain
	Sign        ed25519.PrivateKey // signs checkpoints
	Now         func() time.Time
	Slots       int           // requests under way at once; 0: 4096
	SegmentSize int64         // bytes; 0: 64 MiB
	Keep        time.Duration // how long segments are kept; 0: for ever
	MaxSize     int64         // bytes of all segments together; 0: unbounded
	Flood       Flood
	Warn        func(error) // what the operator must know at once; may be nil
}

// Log is the local event log of one node: a [Sink] whose events are safe against
// the death of the process when Begin returns, and end up in segment files, in a
// keyed chain with signed checkpoints. One goroutine, ended by Close, moves events
// from the mapped ring into the segments. It is safe for concurrent use.
type Log struct {
	ring     *ring
	chain    *chain
	flood    *flood
	now      func() time.Time
	warn     func(error)
	finished chan uint32 // slots to be written; never full, it has room for every slot
	flush    chan chan error
	stop     chan struct{}
	done     chan struct{}
	failed   atomic.Pointer[error]
	lock     *os.File
	added    int    // of the drain's batch, how many are pending in the chain
	text     []byte // reused by the drain
	closing  sync.Once
	closeErr error
}

// coalesced is the handle of an event that only counts.
const coalesced = ^uint64(0)

// Open opens the log in a folder, or begins one. Events that an earlier process
// left in the ring are written first; those that it had not completed carry the
// note "interrupted". A torn last line is cut off, and an event says so.
func Open(o Options) (*Log, error) {
	if len(o.Key) != 32 || len(o.Sign) != ed25519.PrivateKeySize || o.Now == nil {
		return nil, fmt.Errorf("event log: it needs a key of 32 bytes, a signing key and a clock")
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Slots == 0 {
		o.Slots = defaultRing
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	r, err := openRing(filepath.Join(o.Dir, "ring"), uint32(o.Slots))
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	l := &Log{
		ring: r, flood: newFlood(o.Flood), now: o.Now, warn: o.Warn, lock: lock,
		finished: make(chan uint32, r.slots), flush: make(chan chan error), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if l.chain, err = openChain(o, r); err != nil {
		return nil, errors.Join(err, r.close(), lock.Close())
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(err, l.chain.close(), r.close(), lock.Close())
	}
	go l.drain()
	return l, nil
}

// recover writes what an earlier process left in the ring and had not written.
func (l *Log) recover() error {
	written, err := l.chain.lastReferences(int(l.ring.slots))
	if err != nil {
		return err
	}
	for _, i := range l.ring.left() {
		text, ref := l.ring.appendEvent(nil, i)
		if !written[ref] {
			if l.ring.state(i).Load() == begun && len(text) > 0 {
				text = append(text[:len(text)-1], `,"interrupted":true}`...)
			}
			l.chain.add(text, ref)
		}
		l.ring.state(i).Store(free)
	}
	if l.chain.torn > 0 {
		l.chain.add(AppendJSON(nil, &Event{
			ID: "repair", Time: l.now(), Class: System, Decision: Noted, Code: "log_repaired",
			Detail: fmt.Sprintf("the last line was torn after %d bytes and was cut off; its event follows if it was begun", l.chain.torn),
		}), l.ring.reference().Add(1))
	}
	return l.chain.write()
}

// Begin implements [Sink]. It does not allocate.
func (l *Log) Begin(e *Event) error {
	if fault := l.failed.Load(); fault != nil {
		return *fault
	}
	if l.flood.counts(e) {
		e.Handle = coalesced
		return nil
	}
	i, err := l.ring.claim()
	if err != nil {
		return err
	}
	l.ring.begin(i, e)
	e.Handle = uint64(i)
	return nil
}

// Complete implements [Sink].
func (l *Log) Complete(e *Event) {
	if e.Handle == coalesced {
		return
	}
	l.ring.complete(uint32(e.Handle), e)
	l.finished <- uint32(e.Handle)
}

// Healthy returns why events cannot be written at present, or nil.
func (l *Log) Healthy() error {
	if fault := l.failed.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Flush waits until everything that is complete has been written.
func (l *Log) Flush() error {
	answer := make(chan error, 1)
	select {
	case l.flush <- answer:
		return <-answer
	case <-l.done:
		return l.Healthy()
	}
}

// Close writes what is complete, signs a last checkpoint and ends the goroutine.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.stop)
		<-l.done
		l.closeErr = errors.Join(l.Healthy(), l.chain.checkpoint(), l.chain.close(), l.ring.close(), l.lock.Close())
	})
	return l.closeErr
}

// How long the writer gathers events before it writes them in one step, and how
// often it looks after counts and checkpoints, and tries again what failed.
const (
	gather    = 2 * time.Millisecond
	tickEvery = time.Second
)

// drain is the one goroutine that writes.
func (l *Log) drain() {
	defer close(l.done)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	pause := time.NewTimer(gather)
	defer pause.Stop()
	batch := make([]uint32, 0, l.ring.slots)
	for {
		select {
		case i := <-l.finished:
			batch = append(batch, i)
			pause.Reset(gather)
			select {
			case <-pause.C:
			case <-l.stop:
			}
			batch = l.write(l.collect(batch))
		case answer := <-l.flush:
			batch = l.write(l.collect(batch))
			answer <- l.Healthy()
		case <-tick.C:
			l.tick()
			batch = l.write(l.collect(batch))
		case <-l.stop:
			l.tick()
			l.write(l.collect(batch))
			return
		}
	}
}

func (l *Log) collect(batch []uint32) []uint32 {
	for {
		select {
		case i := <-l.finished:
			batch = append(batch, i)
		default:
			return batch
		}
	}
}

// write puts a batch into the segment, and only then gives its slots back. If it
// fails the batch is kept, and every Begin fails until it succeeds.
func (l *Log) write(batch []uint32) []uint32 {
	for _, i := range batch[l.added:] {
		var ref uint64
		l.text, ref = l.ring.appendEvent(l.text[:0], i)
		l.chain.add(l.text, ref)
	}
	l.added = len(batch)
	if err := l.chain.write(); err != nil {
		l.fail(err)
		return batch
	}
	for _, i := range batch {
		l.ring.state(i).Store(free)
	}
	l.added = 0
	if l.failed.Swap(nil) != nil {
		l.warn(fmt.Errorf("the event log is written again"))
	}
	return batch[:0]
}

func (l *Log) fail(err error) {
	fault := fmt.Errorf("the event log cannot be written: %w", err)
	if l.failed.Swap(&fault) == nil {
		l.warn(fault)
	}
}

// tick writes what the flood rule counted, and a checkpoint when one is due.
func (l *Log) tick() {
	if l.Healthy() != nil {
		return // write tries again what is pending
	}
	l.flood.report(l.now(), func(e *Event) {
		l.chain.add(AppendJSON(nil, e), l.ring.reference().Add(1))
	})
	if err := l.chain.upkeep(); err != nil {
		l.warn(err)
	}
}
