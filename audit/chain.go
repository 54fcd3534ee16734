package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// newHash is what keys the chain.
func newHash() hash.Hash { return sha256.New() }

const (
	defaultSegment = 64 << 20
	segmentAge     = 24 * time.Hour // a segment is ended at the latest after this
	checkpointAge  = 10 * time.Second
	checkpointEach = 10_000 // lines
	retainEvery    = time.Minute
)

// chain appends lines to the segments. It belongs to the drain of one [Log].
type chain struct {
	Options
	mac  *linker
	tree *tree
	salt salts
	ring *ring
	turn int // which copy of the head is written next
	boot [bootSize]byte

	file    *os.File // the segment that grows; nil before the first line
	first   uint64   // its first line
	size    int64
	started time.Time // when it began
	last    head      // of the last line that was written
	pending []byte    // lines that are not written yet
	form    []byte    // reused
	ahead   head      // of the last line that is pending

	checked   uint64 // the last line that a durable checkpoint covers
	checkedAt time.Time
	sealing   chan error // a checkpoint under way; nil: none
	sealed    uint64     // the line that it covers
	sealFault error      // why the last one could not be made
	retained  time.Time  // when old segments were looked for
	patience  patience
	sighted   time.Time  // when the files were last seen to be there
	unplaced  []*rewrite // new forms of segments, of which the log tells already
}

// add puts an event behind the pending lines.
func (c *chain) add(event []byte, ref uint64) {
	salt := c.salt.next()
	c.ahead.seq++
	c.form = appendForm(c.form[:0], c.ahead.seq, ref, c.mac.commitment(salt, event))
	c.ahead.mac = c.mac.link(c.ahead.mac, c.form)
	c.tree.add(c.form)
	c.pending = appendLine(c.pending, c.ahead.seq, ref, event, salt, c.ahead.mac)
}

// salts are random; they are fetched many at a time.
type salts struct {
	bytes [64 * saltSize]byte
	left  int
}

func (s *salts) next() (salt [saltSize]byte) {
	if s.left == 0 {
		_, _ = rand.Read(s.bytes[:]) // it never fails: the program ends first
		s.left = len(s.bytes)
	}
	s.left -= saltSize
	copy(salt[:], s.bytes[s.left:])
	clear(s.bytes[s.left : s.left+saltSize])
	return salt
}

// tell adds an event about the log itself.
func (c *chain) tell(e *Event) {
	ref := c.ring.reference().Add(1)
	e.Time, e.Class, e.Decision = c.Now(), System, Noted
	e.ID = fmt.Sprintf("log-%d", ref)
	c.add(AppendJSON(nil, e), ref)
}

// linker makes the macs of lines. It holds what the hash would otherwise let
// escape, line by line.
type linker struct {
	hash        hash.Hash
	before, mac [macSize]byte
	plain       hash.Hash
	salt        [saltSize]byte
	sum         [hashSize]byte
}

func newLinker(key []byte) *linker { return &linker{hash: hmac.New(newHash, key), plain: newHash()} }

// commitment is what a form says of an event.
func (k *linker) commitment(salt [saltSize]byte, event []byte) [hashSize]byte {
	k.salt = salt
	k.plain.Reset()
	k.plain.Write(k.salt[:])
	k.plain.Write(event)
	k.plain.Sum(k.sum[:0])
	return k.sum
}

// appendFormOf appends the form of a line.
func (k *linker) appendFormOf(dst []byte, l *line) []byte {
	if l.by != "" || l.withheld {
		return appendForm(dst, l.seq, l.ref, l.hash)
	}
	return appendForm(dst, l.seq, l.ref, k.commitment(l.salt, l.event))
}

// link is the mac of a line behind another, given its form.
func (k *linker) link(before [macSize]byte, form []byte) [macSize]byte {
	k.before = before
	k.hash.Reset()
	k.hash.Write(k.before[:])
	k.hash.Write(form)
	k.hash.Sum(k.mac[:0])
	return k.mac
}

// write appends the pending lines to the segment in one step, and then notes in
// the ring how far the chain has come. If only a part of them could be written the
// file is cut back; what a reader saw of them will be written again, byte by byte.
//
// The hashes of the tree come after the lines, from which they can be made anew.
func (c *chain) write() error {
	if err := c.writeLines(); err != nil {
		return err
	}
	if c.tree.settled.size == c.ahead.seq {
		return nil
	}
	return c.tree.write()
}

func (c *chain) writeLines() error {
	if len(c.pending) == 0 {
		return nil
	}
	if c.due() {
		if err := c.rotate(); err != nil {
			return err
		}
	}
	if _, err := c.file.WriteAt(c.pending, c.size); err != nil {
		return errors.Join(err, c.file.Truncate(c.size))
	}
	c.size += int64(len(c.pending))
	c.pending = c.pending[:0]
	if cap(c.pending) > 4<<20 {
		c.pending = nil // one large batch is no reason to keep its memory
	}
	c.last = c.ahead
	c.noteHead()
	return nil
}

func (c *chain) noteHead() {
	c.last.boot = c.boot
	putHead(c.ring.memory, c.turn, c.last, c.Key)
	c.turn = 1 - c.turn
}

// due reports whether the next line begins a segment. While a checkpoint is under
// way a segment may grow beyond its size.
func (c *chain) due() bool {
	if c.file == nil {
		return true
	}
	age := segmentAge
	if keep := c.shortest(); keep > 0 {
		age = min(age, keep/4)
	}
	return c.sealing == nil && c.size > 0 && (c.size >= c.SegmentSize || c.Now().Sub(c.started) >= age)
}

// rotate begins the next segment. The one before is made durable and ends at a
// checkpoint, which anchors what follows when it is removed one day.
func (c *chain) rotate() error {
	name := filepath.Join(c.Dir, segmentName(c.last.seq+1))
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) { // of an earlier try
		file, err = os.OpenFile(name, os.O_RDWR, 0)
	}
	if err == nil {
		err = syncFolder(c.Dir)
	}
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return fmt.Errorf("begin a segment: %w", err)
	}
	if c.file != nil {
		c.seal(c.file, true)
		c.retained = time.Time{}
	}
	c.file, c.first, c.size, c.started = file, c.last.seq+1, 0, c.Now()
	return nil
}

// upkeep begins a checkpoint when one is due, and removes what is no longer kept.
// It returns what keeps the log from being durable.
func (c *chain) upkeep() error {
	c.poll(false)
	if err := c.present(); err != nil {
		return err
	}
	if c.sealing != nil {
		return c.sealFault
	}
	if err := c.place(); err != nil {
		c.Warn(fmt.Errorf("event log: %w", err)) // recording goes on, and it is tried again
	}
	age := c.Now().Sub(c.checkedAt)
	if c.last.seq > c.checked && (c.last.seq-c.checked >= checkpointEach || age >= checkpointAge || age < 0) || c.sealFault != nil {
		c.seal(c.file, false)
		return c.sealFault
	}
	if since := c.Now().Sub(c.retained); since >= retainEvery || since < 0 {
		c.retained = c.Now()
		c.look()
		if err := c.write(); err != nil {
			return err
		}
		if err := c.retain(); err != nil {
			c.Warn(fmt.Errorf("event log: remove what is no longer kept: %w", err)) // recording goes on
		}
	}
	return c.sealFault
}

// seal makes a checkpoint of the last line in a goroutine of its own, because
// a disk may take long; poll takes its result.
func (c *chain) seal(file *os.File, ended bool) {
	done := make(chan error, 1)
	c.sealing, c.sealed = done, c.last.seq
	point := sealing{at: c.last, root: c.tree.settled.root(), now: c.Now(), file: file, ended: ended, tree: slices.Clone(c.tree.files[:])}
	go func() { done <- c.makeCheckpoint(point) }()
}

// sealing is what a checkpoint is made of.
type sealing struct {
	at    head
	root  hashValue
	now   time.Time
	file  *os.File // the segment; nil: there is none yet
	ended bool     // nothing more comes into it
	tree  []*os.File
}

// makeCheckpoint touches nothing that the drain changes.
func (c *chain) makeCheckpoint(s sealing) (err error) {
	if s.file != nil {
		if err = s.file.Sync(); err != nil {
			err = fmt.Errorf("make the event log durable: %w", err)
		}
		if s.ended {
			err = errors.Join(err, s.file.Close())
		}
	}
	if err == nil {
		err = syncFiles(s.tree)
	}
	if err != nil {
		return err
	}
	point := signCheckpoint(c.Node, s.at, s.root, s.now, c.Sign)
	if err := AppendCheckpoint(c.Dir, point); err != nil {
		return err
	}
	if c.Checkpointed != nil {
		c.Checkpointed(point)
	}
	return nil
}

// poll takes the result of a checkpoint under way, and waits for it if it must.
func (c *chain) poll(wait bool) {
	if c.sealing == nil {
		return
	}
	var err error
	if wait {
		err = <-c.sealing
	} else {
		select {
		case err = <-c.sealing:
		default:
			return
		}
	}
	c.sealing, c.sealFault = nil, err
	if err == nil {
		c.checked, c.checkedAt = max(c.checked, c.sealed), c.Now()
	}
}

// checkpoint makes one now, of all that was written.
func (c *chain) checkpoint() error {
	c.poll(true)
	c.seal(c.file, false)
	c.poll(true)
	return c.sealFault
}

// retain removes the oldest segments beyond age and size. The event that says so
// is written first: a log whose beginning is missing without it was tampered with.
// Only segments that end at a checkpoint can go, with all before them.
func (c *chain) retain() error {
	names, err := segments(c.Dir)
	if err != nil || len(names) < 2 {
		return err
	}
	points, _, err := readCheckpoints(c.Dir)
	if err != nil {
		return err
	}
	cut, err := c.cut(names, points)
	if err != nil {
		return err
	}
	if cut > 0 {
		kept := names[cut]
		c.tell(&Event{
			Code: codeRemoved, Target: kept,
			Change: fmt.Sprintf("records %d to %d were removed; %s is the first segment that is kept", first(names[0]), first(kept)-1, kept),
		})
		if err := c.write(); err != nil {
			return err
		}
		for _, name := range names[:cut] {
			if err := os.Remove(filepath.Join(c.Dir, name)); err != nil {
				return fmt.Errorf("remove an old segment: %w", err)
			}
			_ = os.Remove(filepath.Join(c.Dir, indexName(name))) // it may have none
		}
	}
	if c.sealing != nil { // the event began a segment: the file is in use
		return nil
	}
	return c.thin(names[cut:], points)
}

// codeRemoved is the code of the event for segments that retention removed. Its
// target is the first segment that is kept.
const codeRemoved = "segments_removed"

// cut returns how many segments may go.
func (c *chain) cut(names []string, points []Checkpoint) (int, error) {
	ends := segmentEnds(points, c.Now())
	sizes := make([]int64, len(names))
	var total int64
	for i, name := range names {
		info, err := os.Stat(filepath.Join(c.Dir, name))
		if err != nil {
			return 0, fmt.Errorf("look at a segment: %w", err)
		}
		sizes[i] = info.Size()
		total += info.Size()
	}
	cut, over := 0, total
	for i := range len(names) - 1 {
		end, anchored := ends[first(names[i+1])-1]
		old := anchored && c.over(names[i], end)
		large := c.MaxSize > 0 && over > c.MaxSize
		over -= sizes[i]
		switch {
		case anchored && (old || large):
			cut = i + 1
		case anchored:
			return cut, nil
		}
	}
	return cut, nil
}

// thin keeps, of the checkpoints inside ended segments, those at their ends: a
// later one covers whatever an earlier one did.
func (c *chain) thin(names []string, points []Checkpoint) error {
	ends := map[uint64]bool{}
	for _, name := range names {
		ends[first(name)-1] = true
	}
	var kept []Checkpoint
	for i, point := range points {
		again := i > 0 && points[i-1].Seq == point.Seq && points[i-1].Mac == point.Mac
		if (ends[point.Seq] || point.Seq >= c.first) && !again {
			kept = append(kept, point)
		}
	}
	if len(kept) == len(points) || len(kept) == 0 {
		return nil
	}
	return keepCheckpoints(c.Dir, kept)
}

// lastReferences returns the references of the last n lines, and the highest.
func (c *chain) lastReferences(n uint64) (refs map[uint64]bool, highest uint64, err error) {
	refs = map[uint64]bool{}
	names, err := segments(c.Dir)
	if err != nil {
		return nil, 0, err
	}
	from := c.last.seq - min(n, c.last.seq)
	for i, name := range names {
		if i+1 < len(names) && first(names[i+1]) <= from {
			continue
		}
		err := eachLine(c.Dir, name, func(l line) error {
			if l.seq > from {
				refs[l.ref] = true
			}
			highest = max(highest, l.ref)
			return nil
		})
		var fault *Fault
		if err != nil && !errors.As(err, &fault) { // Verify is there to name bad lines
			return nil, 0, err
		}
	}
	return refs, highest, nil
}

func (c *chain) close() error {
	var err error
	if c.file != nil {
		err = c.file.Close()
	}
	if c.tree != nil {
		err = errors.Join(err, c.tree.close())
	}
	return err
}

// equalMacs compares in constant time: a log's macs are no secrets, but nobody has
// to think about it.
func equalMacs(a, b []byte) bool { return hmac.Equal(a, b) }
