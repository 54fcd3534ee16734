package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The ring is a mapped file of slots. What is in it survives the death of the
// process, because the pages belong to the kernel; only the loss of power can
// take what was not written back yet.
//
// A slot goes free → filling → begun → complete → free. Its first part holds the
// whole event as it was at Begin, its last part the tail as it is at Complete, so
// that a process that dies in between leaves a readable event in either case.

const (
	ringMagic   = "PAVISER1"
	ringHeader  = 4096
	slotSize    = 8 << 10
	slotHead    = 32 // state, lengths, reference
	slotTailAt  = slotSize - maxTail
	defaultRing = 4096

	free     = 0
	filling  = 1
	begun    = 2
	complete = 3
)

var errRingFull = errors.New("every slot of the event ring is in use")

type ring struct {
	memory []byte
	slots  uint32
	next   atomic.Uint32
}

// openRing maps the file, making it if there is none. A file of another size or
// kind is an error.
func openRing(name string, slots uint32) (*ring, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("event ring: %w", err)
	}
	defer func() { _ = file.Close() }() // the mapping keeps the pages
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("event ring: %w", err)
	}
	size := int64(ringHeader) + int64(slots)*slotSize
	fresh := info.Size() == 0
	if fresh {
		if err := syscall.Fallocate(int(file.Fd()), 0, 0, size); err != nil {
			return nil, fmt.Errorf("event ring %s: make room for %d MiB: %w; free some space on the disk", name, size>>20, err)
		}
	} else if (info.Size()-ringHeader)%slotSize != 0 || info.Size() < ringHeader+slotSize {
		return nil, fmt.Errorf("event ring %s has %d bytes, which no ring has; move it away to start with an empty one", name, info.Size())
	} else {
		size = info.Size()
		slots = uint32((size - ringHeader) / slotSize)
	}
	memory, err := syscall.Mmap(int(file.Fd()), 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the event ring: %w", err)
	}
	r := &ring{memory: memory, slots: slots}
	if fresh {
		copy(memory, ringMagic)
	} else if string(memory[:8]) != ringMagic {
		return nil, errors.Join(fmt.Errorf("%s is no event ring; move it away to start with an empty one", name), syscall.Munmap(memory))
	}
	return r, nil
}

func (r *ring) close() error { return syscall.Munmap(r.memory) }

func (r *ring) slot(i uint32) []byte {
	at := ringHeader + int(i)*slotSize
	return r.memory[at : at+slotSize : at+slotSize]
}

// state is the word that other goroutines, and the next process, look at.
func (r *ring) state(i uint32) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.slot(i)[0])) // aligned: slots begin at multiples of 4096
}

// reference is the counter that numbers events across restarts.
func (r *ring) reference() *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&r.memory[8]))
}

// claim takes a free slot. Slots that long requests hold are passed over.
func (r *ring) claim() (uint32, error) {
	for range r.slots {
		i := (r.next.Add(1) - 1) % r.slots
		if r.state(i).CompareAndSwap(free, filling) {
			return i, nil
		}
	}
	return 0, errRingFull
}

// begin writes the event into slot i.
func (r *ring) begin(i uint32, e *Event) {
	s := r.slot(i)
	text := appendHead(s[slotHead:slotHead:slotTailAt], e)
	head := len(text)
	text = appendTail(text, e)
	if len(text) > slotTailAt-slotHead {
		panic("an event is longer than its bounds add up to")
	}
	binary.LittleEndian.PutUint32(s[4:], uint32(head))
	binary.LittleEndian.PutUint32(s[8:], uint32(len(text)))
	binary.LittleEndian.PutUint32(s[12:], 0)
	binary.LittleEndian.PutUint64(s[16:], r.reference().Add(1))
	r.state(i).Store(begun)
}

// complete writes the tail as it is now.
func (r *ring) complete(i uint32, e *Event) {
	s := r.slot(i)
	tail := appendTail(s[slotTailAt:slotTailAt:slotSize], e)
	binary.LittleEndian.PutUint32(s[12:], uint32(len(tail)))
	r.state(i).Store(complete)
}

// appendEvent appends the text of a begun or complete slot.
func (r *ring) appendEvent(dst []byte, i uint32) (text []byte, ref uint64) {
	s := r.slot(i)
	head := bounded(s[4:], slotTailAt-slotHead)
	whole := bounded(s[8:], slotTailAt-slotHead)
	tail := bounded(s[12:], maxTail)
	ref = binary.LittleEndian.Uint64(s[16:])
	if r.state(i).Load() == complete {
		dst = append(dst, s[slotHead:slotHead+min(head, whole)]...)
		return append(dst, s[slotTailAt:slotTailAt+tail]...), ref
	}
	return append(dst, s[slotHead:slotHead+whole]...), ref
}

func bounded(b []byte, most int) int { return min(int(binary.LittleEndian.Uint32(b)), most) }

// left returns the slots that an earlier process left begun or complete, in the
// order in which they were begun. Slots that it was still filling hold nothing
// that was answered for.
func (r *ring) left() []uint32 {
	var found []uint32
	for i := range r.slots {
		switch r.state(i).Load() {
		case begun, complete:
			found = append(found, i)
		case filling:
			r.state(i).Store(free)
		}
	}
	return found
}

// head is what the ring remembers of the chain: how far it went.
type head struct {
	seq uint64
	mac [macSize]byte
	tag [macSize]byte // keyed, over the two
}

func (r *ring) readHead() head {
	m := r.memory[64:]
	h := head{seq: binary.LittleEndian.Uint64(m)}
	copy(h.mac[:], m[8:])
	copy(h.tag[:], m[8+macSize:])
	return h
}

func (r *ring) writeHead(h head) {
	m := r.memory[64:]
	binary.LittleEndian.PutUint64(m, h.seq)
	copy(m[8:], h.mac[:])
	copy(m[8+macSize:], h.tag[:])
}
