package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what [Open] needs.
type Options struct {
	Dir         string             // made if missing, mode 0700; one log has it to itself
	Node        string             // stands in the checkpoints
	Key         []byte             // 32 bytes: keys the chain
	Sign        ed25519.PrivateKey // signs checkpoints
	Now         func() time.Time
	Slots       int           // events under way or not yet written, at most 1,048,576; 0: 8192, which take 64 MiB of disk
	SegmentSize int64         // bytes; 0: 64 MiB
	Keep        time.Duration // how long segments are kept; 0: for ever
	MaxSize     int64         // bytes of all segments together; 0: unbounded

	// KeepClass says for some classes how long their records are kept, instead of Keep.
	// When the time of a class is over, nothing but the hashes of its records stays; a
	// segment goes when all that is in it is over.
	KeepClass map[Class]time.Duration

	// Known says that this installation has had a log: where there is none, its first event says that
	// it was begun anew.
	Known bool

	// OthersKeep is the shortest time after which others remove what they have of these events, who
	// ask [Log.Hold] before; 0: there are none.
	OthersKeep time.Duration

	Flood Flood
	Warn  func(error) // what the operator must know at once; may be nil. It must not block or call the log.

	// Written is given each event once it is in a segment, with its number, in order. What an
	// earlier process left, and what the log says of itself, is not: whoever needs all sees
	// the gap in the numbers and reads them. It may be nil. It belongs to the goroutine that
	// writes: it must be quick, and neither keep the event nor call the log.
	Written func(seq uint64, e *Event)

	// Checkpointed is given each new checkpoint, once it is durable, to keep it
	// elsewhere. It may be nil. It must not block or call the log.
	Checkpointed func(Checkpoint)
}

const defaultSlots = 8192

func (o *Options) complete() error {
	switch {
	case o.Dir == "":
		return errors.New("event log: it needs a folder")
	case len(o.Key) != 32:
		return fmt.Errorf("event log: the chain's key has 32 bytes, not %d", len(o.Key))
	case len(o.Sign) != ed25519.PrivateKeySize:
		return errors.New("event log: it needs an Ed25519 key to sign checkpoints")
	case o.Now == nil:
		return errors.New("event log: it needs a clock")
	case o.Slots < 0 || o.Slots > maxSlots:
		return fmt.Errorf("event log: slots: %d, but 1 to %d are possible", o.Slots, maxSlots)
	case o.SegmentSize < 0 || o.Keep < 0 || o.MaxSize < 0 || o.OthersKeep < 0:
		return errors.New("event log: sizes and times are not below zero")
	}
	for class, keep := range o.KeepClass {
		if keep < 0 {
			return fmt.Errorf("event log: the time of class %s is below zero", class)
		}
	}
	o.Key, o.Node = bytes.Clone(o.Key), nodeName(o.Node)
	if o.Slots == 0 {
		o.Slots = defaultSlots
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = defaultSegment
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	return nil
}

// Log is the local event log of one node: a [Sink] whose events are safe against
// the death of the process when Begin returns, and end up in segment files, in a
// keyed chain with signed checkpoints. One goroutine, ended by Close, moves events
// from the mapped ring into the segments. It is safe for concurrent use.
type Log struct {
	ring   *ring
	chain  *chain // of the drain
	flood  *flood
	now    func() time.Time
	warn   func(error)
	lock   *os.File
	failed atomic.Pointer[error] // why Begin refuses
	asked  atomic.Bool           // somebody has rung the bell already
	bell   chan struct{}
	flush  chan chan error
	asks   chan func() // what others want done between two writes
	stop   chan struct{}
	done   chan struct{}
	tended chan struct{}

	batch []uint32 // of the drain: slots to be given back once they are written
	seqs  []uint64 // the numbers of their lines
	added int      // how many of them are pending in the chain
	text  []byte   // reused by the drain

	rewriting sync.Mutex // held while segments are written anew

	closing  sync.Once
	closeErr error
}

// coalesced is the handle of an event that only counts.
const coalesced = ^uint64(0)

// Notes that the log itself gives to events.
const (
	noteInterrupted = "interrupted" // the process died, or the log was closed, before it was completed
	noteCounted     = "counted"     // it stands for Count refusals
)

var errClosed = errors.New("the event log is closed")

// Open opens the log in a folder, or begins one. Events that an earlier process
// left in the ring are written first; those that it had not completed carry the
// note "interrupted". A torn last line is cut off, and an event says so. A log
// whose end was cut off or changed is not opened.
func Open(o Options) (*Log, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("event log: %w", err)
	}
	lock, err := lockFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	c, err := openChain(o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := errors.Join(c.recover(), c.finishRewrites()); err != nil {
		return nil, errors.Join(err, c.close(), lock.Close())
	}
	if o.Written != nil {
		c.ring.keepCompleted()
	}
	l := &Log{
		ring: c.ring, chain: c, flood: newFlood(o.Flood, c.ring), now: o.Now, warn: o.Warn, lock: lock,
		bell: make(chan struct{}, 1), flush: make(chan chan error), asks: make(chan func()), stop: make(chan struct{}), done: make(chan struct{}), tended: make(chan struct{}),
	}
	go l.drain()
	go l.tend()
	return l, nil
}

// Begin implements [Sink]. It does not allocate.
func (l *Log) Begin(e *Event) error {
	e.Handle = 0
	if fault := l.failed.Load(); fault != nil {
		return *fault
	}
	if l.flood.applies(e) {
		counted, err := l.flood.count(e)
		if err != nil {
			return err
		}
		if counted {
			e.Handle = coalesced
			return nil
		}
	}
	i, err := l.ring.claim()
	if err != nil {
		return err
	}
	e.Handle = l.ring.begin(i, e)
	return nil
}

// Complete implements [Sink]. An event that was not begun, or is complete already,
// is passed over.
func (l *Log) Complete(e *Event) {
	handle := e.Handle
	e.Handle = 0
	if handle == 0 || handle == coalesced || !l.ring.complete(handle, e) {
		return
	}
	if !l.asked.Load() && l.asked.CompareAndSwap(false, true) {
		select {
		case l.bell <- struct{}{}:
		default:
		}
	}
}

// Healthy returns why events cannot be kept at present, or nil.
func (l *Log) Healthy() error {
	if fault := l.failed.Load(); fault != nil {
		return *fault
	}
	return nil
}

// Slots says how many events are under way or not yet written, and how many may be: beyond
// that Begin refuses.
func (l *Log) Slots() (used, all int) {
	all = int(l.ring.slots)
	return all - l.ring.unclaimed(), all
}

// Flush waits until everything that is complete has been written, with the counts
// whose window is over.
func (l *Log) Flush() error {
	answer := make(chan error, 1)
	select {
	case l.flush <- answer:
		return <-answer
	case <-l.done:
		return l.Healthy()
	}
}

// ask has the drain do something between two writes, after it has written what is complete.
func (l *Log) ask(do func(*chain) error) error {
	answer := make(chan error, 1)
	work := func() {
		err := l.settle(l.write())
		if err == nil {
			err = do(l.chain)
		}
		answer <- err
	}
	select {
	case l.asks <- work:
		return <-answer
	case <-l.done:
		return errClosed
	}
}

// Checkpoint signs a checkpoint of everything that is complete, and returns it.
func (l *Log) Checkpoint() (point Checkpoint, err error) {
	err = l.ask(func(c *chain) error {
		if c.sealing != nil || c.last.seq > c.checked || c.sealFault != nil {
			if err := c.checkpoint(); err != nil {
				return err
			}
		}
		points, _, err := readCheckpoints(c.Dir)
		if err != nil {
			return err
		}
		if point = newestOf(points); point.Seq == 0 {
			return errors.New("nothing has been recorded yet, so that there is nothing to sign")
		}
		return nil
	})
	return point, err
}

// Close writes what is in the ring, signs a last checkpoint and ends the goroutine.
// Events that are still under way are written as "interrupted". From then on Begin
// refuses.
func (l *Log) Close() error {
	l.closing.Do(func() {
		close(l.stop)
		<-l.tended
		<-l.done
		l.closeErr = errors.Join(l.closeErr, l.chain.close(), l.lock.Close())
	})
	return l.closeErr
}

// How long the drain gathers events before it writes them in one step, and how
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
	for {
		select {
		case <-l.bell:
			pause.Reset(gather)
			select {
			case <-pause.C:
			case <-l.stop:
			}
			l.asked.Store(false)
			_ = l.settle(l.write()) // kept for Begin and Healthy
		case answer := <-l.flush:
			l.flood.close(l.now(), false)
			answer <- l.settle(l.write())
		case do := <-l.asks:
			do()
		case <-tick.C:
			l.flood.close(l.now(), false)
			_ = l.settle(l.write())
		case <-l.stop:
			l.finish()
			return
		}
	}
}

// write puts what is complete into the segment, and only then gives its slots back.
// If that fails they are kept, and every Begin fails until it succeeds.
func (l *Log) write() error {
	if err := l.chain.write(); err != nil { // what a failure left comes first
		return err
	}
	l.batch = l.ring.collect(l.batch)
	slices.SortFunc(l.batch[l.added:], l.ring.byReference)
	for _, i := range l.batch[l.added:] {
		l.text = l.ring.appendEvent(l.text[:0], i)
		l.chain.add(l.text, l.ring.ref(i))
		l.seqs = append(l.seqs, l.chain.ahead.seq)
	}
	l.added = len(l.batch)
	err := l.chain.write()
	if err == nil {
		for k, i := range l.batch {
			l.tell(l.seqs[k], i)
			l.ring.release(i)
		}
		l.batch, l.seqs, l.added = l.batch[:0], l.seqs[:0], 0
		err = l.chain.upkeep()
	}
	return err
}

// tell gives away the event of a slot that was written.
func (l *Log) tell(seq uint64, i uint32) {
	if e := l.ring.take(i); e != nil {
		l.chain.Written(seq, e)
		l.ring.drop(e)
	}
}

// settle remembers whether the log can be written, and warns when that changes.
func (l *Log) settle(err error) error {
	if err == nil {
		if l.failed.Swap(nil) != nil {
			l.warn(errors.New("the event log is written again"))
		}
		return nil
	}
	fault := fmt.Errorf("the event log cannot be written: %w; free some space on its disk, or mend it", err)
	if l.failed.Swap(&fault) == nil {
		l.warn(fault)
	}
	return fault
}

// finish writes everything that is left. What cannot be written stays in the ring,
// for the next Open.
func (l *Log) finish() {
	refuse := errClosed
	l.failed.Store(&refuse)
	l.flood.close(l.now(), true)
	l.batch = l.ring.collect(l.batch)
	late := l.ring.interrupt()
	l.chain.look()
	slices.SortFunc(late, l.ring.byReference)
	err := l.write()
	if err == nil {
		for _, i := range late {
			l.chain.addHeld(i)
		}
		if err = l.chain.write(); err == nil {
			for _, i := range late {
				l.ring.release(i)
			}
		}
	}
	l.chain.keepSight(true)
	if err == nil {
		err = l.chain.checkpoint()
	} else {
		l.chain.poll(true)
	}
	l.closeErr = err
}
