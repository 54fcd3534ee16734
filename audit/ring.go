package audit

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// The ring is a mapped file of slots. What is in it survives the death of the
// process, because the pages belong to the kernel; only the loss of power can
// take what was not written back yet.
//
// A slot goes free → filling → begun → ending → complete → free. Its text holds the
// whole event as it was at Begin, and behind it the tail as it is at Complete, so
// that a process that dies in between leaves a readable event in either case.
//
// The file:
//
//	0     "PAVISER3"
//	8     the counter of references, which numbers events across restarts
//	16    the number of slots
//	64    the head of the chain, twice: written in turns, so that one is always whole
//	4096  the slots' states, 4 bytes each
//	…     from the next multiple of 4096, the slots, 9024 bytes each
//
// A slot: reference (8 bytes), count (4), lengths of the head, of the whole text and
// of the tail (4 each), then from byte 64 the texts. Numbers are little endian.
//
// The states lie together so that a start need not read all the slots, most of which
// are never used: claims take the lowest that is free.

const (
	ringName   = "ring"
	ringMagic  = "PAVISER3"
	ringHeader = 4096
	headAt     = 64 // two of them, headSpan apart
	headSpan   = 512
	slotSize   = slotText + maxEvent + maxTail // 9024: no power of two, whose slots would share few lines of a cache
	refAt      = 0
	countAt    = 8
	headLenAt  = 12
	wholeLenAt = 16
	tailLenAt  = 20
	slotText   = 64
	maxSlots   = 1 << slotBits
	slotBits   = 20 // of a handle; the other bits are of the reference

	stateFree     = 0
	stateFilling  = 1
	stateBegun    = 2
	stateEnding   = 3
	stateComplete = 4
)

var errRingFull = errors.New("every slot of the event ring is in use: too many requests under way, or the disk is too slow")

// ring is the mapped file. Claiming and completing take no lock: two bitmaps say
// which slots are free and which are complete.
type ring struct {
	memory []byte
	file   os.FileInfo // that is mapped
	slots  uint32
	base   int             // where the slots begin
	spread uint32          // words at which claims begin, so that processors do not meet
	free   []atomic.Uint64 // bit set: free
	done   []atomic.Uint64 // bit set: complete, and not yet collected
	events []*Event        // of each slot, as it was completed, for whoever is told of it; nil: nobody is
	unused sync.Pool       // of *Event
}

// openRing maps the file in dir.
func openRing(dir string) (*ring, error) {
	name := ringFile(dir)
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("event ring: %w", err)
	}
	defer func() { _ = file.Close() }() // the mapping keeps the pages
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("event ring: %w", err)
	}
	if info.Size() < ringHeader {
		return nil, fmt.Errorf("event ring %s has %d bytes, which no ring has; move it away to start with an empty one", name, info.Size())
	}
	memory, err := mapFile(file, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("map the event ring: %w", err)
	}
	if string(memory[:8]) != ringMagic {
		return nil, errors.Join(fmt.Errorf("%s is no event ring of this version; move it away to start with an empty one", name), unmap(memory))
	}
	slots := binary.LittleEndian.Uint32(memory[16:])
	if slots < 1 || slots > maxSlots || info.Size() != ringSize(slots) {
		return nil, errors.Join(fmt.Errorf("event ring %s has %d bytes, but not %d slots; move it away to start with an empty one", name, info.Size(), slots), unmap(memory))
	}
	r := newRing(memory, slots)
	r.file = info
	return r, nil
}

func slotsAt(slots uint32) int { return ringHeader + (int(slots)*4+4095)&^4095 }

func ringSize(slots uint32) int64 { return int64(slotsAt(slots)) + int64(slots)*slotSize }

func newRing(memory []byte, slots uint32) *ring {
	words := (slots + 63) / 64
	r := &ring{memory: memory, slots: slots, base: slotsAt(slots), free: make([]atomic.Uint64, words), done: make([]atomic.Uint64, words)}
	r.spread = min(words, uint32(runtime.GOMAXPROCS(0)))
	for i := range slots {
		if r.state(i).Load() == stateFree {
			r.free[i/64].Or(1 << (i % 64))
		}
	}
	// Requests that outlive the log may still complete their events: the pages stay
	// until nobody can.
	runtime.AddCleanup(r, func(memory []byte) { _ = unmap(memory) }, memory)
	return r
}

// createRing makes a file for so many slots, with the chain's head and the counter
// of references in it, and puts it in the place of any other in one step.
func createRing(dir string, slots uint32, h head, key []byte, reference uint64) error {
	size := ringSize(slots)
	draft := ringFile(dir) + ".new"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("event ring: %w", err)
	}
	file, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("event ring: %w", err)
	}
	header := make([]byte, ringHeader)
	copy(header, ringMagic)
	binary.LittleEndian.PutUint64(header[8:], reference)
	binary.LittleEndian.PutUint32(header[16:], slots)
	putHead(header, 0, h, key)
	putHead(header, 1, h, key)
	err = reserve(file, size)
	if err == nil {
		_, err = file.WriteAt(header, 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("event ring %s: make room for %d MiB: %w; free some space on the disk", draft, size>>20, err), os.Remove(draft))
	}
	if err := os.Rename(draft, ringFile(dir)); err != nil {
		return fmt.Errorf("event ring: %w", err)
	}
	return syncFolder(dir)
}

func (r *ring) slot(i uint32) []byte {
	at := r.base + int(i)*slotSize
	return r.memory[at : at+slotSize : at+slotSize]
}

// state is the word that other goroutines, and the next process, look at.
func (r *ring) state(i uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.memory[ringHeader+int(i)*4])) // aligned, as the mapping is
}

// count is how many events a counted one stands for; 0 for every other.
func (r *ring) count(i uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.slot(i)[countAt]))
}

// reference is the counter that numbers events across restarts.
func (r *ring) reference() *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&r.memory[8]))
}

// claim takes a free slot: the lowest near one of a few beginnings, so that the
// same few pages are used again and again.
func (r *ring) claim() (uint32, error) {
	words := uint32(len(r.free))
	from := uint32(0)
	if r.spread > 1 {
		from = rand.Uint32N(r.spread)
	}
	for k := range words {
		w := (from + k) % words
		for {
			set := r.free[w].Load()
			if set == 0 {
				break
			}
			if r.free[w].CompareAndSwap(set, set&(set-1)) {
				i := w*64 + uint32(bits.TrailingZeros64(set))
				r.state(i).Store(stateFilling)
				return i, nil
			}
		}
	}
	return 0, errRingFull
}

// unclaimed is how many slots are free.
func (r *ring) unclaimed() (n int) {
	for i := range r.free {
		n += bits.OnesCount64(r.free[i].Load())
	}
	return n
}

// begin writes the event into slot i, which was claimed, and returns its handle.
func (r *ring) begin(i uint32, e *Event) uint64 {
	s := r.slot(i)
	text := appendHead(s[slotText:slotText:slotText+maxEvent], e)
	headLength := len(text)
	text = appendTail(text, e)
	if len(text) > maxEvent {
		panic("an event is longer than its bounds add up to")
	}
	ref := r.reference().Add(1)
	binary.LittleEndian.PutUint32(s[headLenAt:], uint32(headLength))
	binary.LittleEndian.PutUint32(s[wholeLenAt:], uint32(len(text)))
	binary.LittleEndian.PutUint32(s[tailLenAt:], 0)
	binary.LittleEndian.PutUint64(s[refAt:], ref)
	r.count(i).Store(0)
	r.state(i).Store(stateBegun)
	return ref<<slotBits | uint64(i)
}

// holder returns the slot of a handle, if the handle still owns it.
func (r *ring) holder(handle uint64) (uint32, bool) {
	i := uint32(handle & (maxSlots - 1))
	if i >= r.slots {
		return 0, false
	}
	ref := binary.LittleEndian.Uint64(r.slot(i)[refAt:])
	return i, ref<<slotBits == handle&^(maxSlots-1) && r.state(i).CompareAndSwap(stateBegun, stateEnding)
}

// complete writes the tail as it is now. A handle that owns no slot (any more) is
// passed over: an event is completed once.
func (r *ring) complete(handle uint64, e *Event) bool {
	i, ok := r.holder(handle)
	if !ok {
		return false
	}
	s := r.slot(i)
	at := slotText + bounded(s[wholeLenAt:], maxEvent)
	tail := appendTail(s[at:at:slotSize], e)
	if len(tail) > maxTail {
		panic("the tail of an event is longer than its bounds add up to")
	}
	binary.LittleEndian.PutUint32(s[tailLenAt:], uint32(len(tail)))
	r.keep(i, e)
	r.state(i).Store(stateComplete)
	r.done[i/64].Or(1 << (i % 64))
	return true
}

// keepCompleted has events kept beside their text until they are taken.
func (r *ring) keepCompleted() {
	r.events = make([]*Event, r.slots)
}

func (r *ring) keep(i uint32, e *Event) {
	if r.events == nil {
		return
	}
	kept, ok := r.unused.Get().(*Event)
	if !ok {
		kept = new(Event)
	}
	*kept = *e
	kept.Handle = 0
	r.events[i] = kept
}

// take returns the event of a slot that is complete, nil if it was not kept.
func (r *ring) take(i uint32) *Event {
	if r.events == nil {
		return nil
	}
	e := r.events[i]
	r.events[i] = nil
	return e
}

// drop gives back what take returned.
func (r *ring) drop(e *Event) {
	*e = Event{}
	r.unused.Put(e)
}

// collect appends the slots that were completed since the last call.
func (r *ring) collect(slots []uint32) []uint32 {
	for w := range r.done {
		if r.done[w].Load() == 0 {
			continue
		}
		for set := r.done[w].Swap(0); set != 0; set &= set - 1 {
			slots = append(slots, uint32(w)*64+uint32(bits.TrailingZeros64(set)))
		}
	}
	return slots
}

// release gives a slot back.
func (r *ring) release(i uint32) {
	r.state(i).Store(stateFree)
	r.free[i/64].Or(1 << (i % 64))
}

// wipe clears the free slots, which hold what was in them last.
func (r *ring) wipe() {
	for w := range r.free {
		for bit := range 64 {
			mask := uint64(1) << bit
			if set := r.free[w].Load(); set&mask == 0 || !r.free[w].CompareAndSwap(set, set&^mask) {
				continue // in use, or taken just now: it will be written over
			}
			if s := r.slot(uint32(w*64 + bit)); binary.LittleEndian.Uint64(s[refAt:]) != 0 {
				clear(s)
			}
			r.free[w].Or(mask)
		}
	}
}

// interrupt takes the slots that are begun away from their holders.
func (r *ring) interrupt() []uint32 {
	var taken []uint32
	for i := range r.slots {
		if r.state(i).CompareAndSwap(stateBegun, stateEnding) {
			taken = append(taken, i)
		}
	}
	return taken
}

// ref is the reference of the event in slot i.
func (r *ring) ref(i uint32) uint64 { return binary.LittleEndian.Uint64(r.slot(i)[refAt:]) }

// byReference orders slots by when their events were begun.
func (r *ring) byReference(a, b uint32) int { return cmp.Compare(r.ref(a), r.ref(b)) }

// appendEvent appends the text of slot i: as it was completed, or as it was begun.
func (r *ring) appendEvent(dst []byte, i uint32) []byte {
	s := r.slot(i)
	whole := bounded(s[wholeLenAt:], maxEvent)
	if r.state(i).Load() != stateComplete {
		return append(dst, s[slotText:slotText+whole]...)
	}
	headLength := min(bounded(s[headLenAt:], maxEvent), whole)
	tail := bounded(s[tailLenAt:], maxTail)
	dst = append(dst, s[slotText:slotText+headLength]...)
	return append(dst, s[slotText+whole:slotText+whole+tail]...)
}

func bounded(b []byte, most int) int { return int(min(binary.LittleEndian.Uint32(b), uint32(most))) }

// held returns the slots that hold an event. Slots that an earlier process was
// filling when it died hold nothing that was answered for, and are freed.
func (r *ring) held() []uint32 {
	var found []uint32
	for i := range r.slots {
		switch r.state(i).Load() {
		case stateFree:
		case stateBegun, stateEnding, stateComplete:
			found = append(found, i)
		default:
			r.release(i)
		}
	}
	return found
}

// head is how far the chain went. The ring keeps it, authenticated by the chain's
// key, so that a log whose end was cut off is recognised.
type head struct {
	seq  uint64
	mac  [macSize]byte
	boot [bootSize]byte // of the machine, when this was written
}

const (
	bootSize = 36
	headText = 8 + macSize + bootSize
)

func (h *head) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, h.seq)
	dst = append(dst, h.mac[:]...)
	return append(dst, h.boot[:]...)
}

// headTag authenticates a head.
func headTag(text, key []byte) []byte {
	m := hmac.New(newHash, key)
	m.Write([]byte("pavise-head-v1\n"))
	m.Write(text)
	return m.Sum(nil)
}

// putHead writes one of the two copies.
func putHead(memory []byte, turn int, h head, key []byte) {
	at := headAt + turn*headSpan
	text := h.append(memory[at:at])
	copy(memory[at+len(text):], headTag(text, key))
}

// readHead returns the newer of the whole copies; ok is false if there is none.
func readHead(memory, key []byte) (newest head, ok bool) {
	for turn := range 2 {
		at := headAt + turn*headSpan
		text := memory[at : at+headText]
		if !hmac.Equal(memory[at+headText:at+headText+macSize], headTag(text, key)) {
			continue
		}
		h := head{seq: binary.LittleEndian.Uint64(text)}
		copy(h.mac[:], text[8:])
		copy(h.boot[:], text[8+macSize:])
		if !ok || h.seq > newest.seq {
			newest, ok = h, true
		}
	}
	return newest, ok
}

// bootID names the present run of the machine's kernel; zero if it has no name.
func bootID() (id [bootSize]byte) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id // other systems: an end that was cut off counts as cut off
	}
	copy(id[:], bytes.TrimSpace(text))
	return id
}
