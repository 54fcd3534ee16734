package once

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The file is a page with the header, a page with one cache line for each
// stripe, and the slots. All numbers are 64-bit words in the byte order of the
// machine; a file of another order is damaged for us, which is a cold start.
//
// A stripe is a part of the table with a lock of its own. Its pages have eight
// buckets of 16 slots. A claim may stand in two buckets of one page, so a look-up
// touches one page and a claim never moves: what is written stays where it is
// until its time is over, and then its slot may be taken. The table has twice as
// many slots as its capacity; then both buckets are never full at once in practice.
const (
	pageSize    = 4096
	headerWords = 16
	lineWords   = 8 // of a stripe
	maxStripes  = 64
	slotsPer    = 16 // of a bucket
	bucketsPer  = 8  // of a page
	slotWords   = 4
	dataOffset  = 2 * pageSize

	version = 1
)

// Words that tell files and states apart; random numbers.
const (
	magic uint64 = 0x9a61_766f_6e63_6501
	clean uint64 = 0x5bd1_e995_c1ea_0001
	dirty uint64 = 0x27d4_eb2f_d127_0002
)

// header is the part of the file that never changes once it was made.
type header struct {
	stripes int // a power of two
	pages   int // of each stripe
	key     [32]byte
	created int64  // nanoseconds since 1970
	inode   uint64 // of the file itself: a copy differs
	device  uint64
}

// Words of the header page that change. cold is followed by its complement, so
// that a torn or damaged one is seen.
const (
	wordCold = headerWords + iota
	wordColdCheck
	wordBoot
	wordState
)

var errDamaged = errors.New("the file of used claims is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, args...))
}

func newHeader(capacity int) header {
	h := header{stripes: 1}
	for h.stripes < maxStripes && capacity/(2*h.stripes) >= 4096 {
		h.stripes *= 2
	}
	perPage := h.stripes * bucketsPer * slotsPer
	h.pages = (2*capacity + perPage - 1) / perPage
	return h
}

// size is the length of the whole file in bytes.
func (h header) size() int64 {
	return dataOffset + int64(h.stripes)*int64(h.pages)*pageSize
}

func (h header) words() [headerWords]uint64 {
	w := [headerWords]uint64{
		magic, version, uint64(h.stripes), uint64(h.pages),
		4: binary.NativeEndian.Uint64(h.key[0:]), 5: binary.NativeEndian.Uint64(h.key[8:]),
		6: binary.NativeEndian.Uint64(h.key[16:]), 7: binary.NativeEndian.Uint64(h.key[24:]),
		8: uint64(h.created), 9: h.inode, 10: h.device,
	}
	w[headerWords-1] = checksum(w[:headerWords-1])
	return w
}

func checksum(words []uint64) uint64 {
	b := make([]byte, 0, headerWords*8)
	for _, w := range words {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	sum := sha256.Sum256(b)
	return binary.NativeEndian.Uint64(sum[:])
}

// readHeader reads the first bytes of a file. It believes nothing: what it
// returns has sizes that can be calculated with.
func readHeader(b []byte) (header, error) {
	if len(b) < headerWords*8 {
		return header{}, damaged("it ends within its header")
	}
	var w [headerWords]uint64
	for i := range w {
		w[i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	switch {
	case w[0] != magic:
		return header{}, damaged("it does not begin as one")
	case checksum(w[:headerWords-1]) != w[headerWords-1]:
		return header{}, damaged("the checksum of its header does not match")
	case w[1] != version:
		return header{}, damaged("its version is %d, this program knows %d", w[1], version)
	case w[2] < 1 || w[2] > maxStripes || w[2]&(w[2]-1) != 0 || w[3] < 1 || w[3] > 1<<30:
		return header{}, damaged("it claims %d stripes of %d pages", w[2], w[3])
	case w[11]|w[12]|w[13]|w[14] != 0:
		return header{}, damaged("its header holds what this program does not know")
	}
	h := header{stripes: int(w[2]), pages: int(w[3]), created: int64(w[8]), inode: w[9], device: w[10]}
	copy(h.key[:], b[4*8:8*8])
	return h, nil
}

// state are the words of the header page that change.
type state struct {
	cold   int64 // nanoseconds since 1970; claims made before are refused
	boot   uint64
	clean  bool // closed in order
	copied bool // it is not the file that was written, but a copy
}

func readState(words []uint64) (state, error) {
	s := state{cold: int64(words[wordCold]), boot: words[wordBoot], clean: words[wordState] == clean}
	if words[wordCold] != ^words[wordColdCheck] {
		return s, damaged("the moment of its cold start does not match its check")
	}
	if words[wordState] != clean && words[wordState] != dirty {
		return s, damaged("it is neither closed nor open")
	}
	return s, nil
}

// moment returns the time of a word; the zero time for 0, which is long before
// any claim.
func moment(nanoseconds int64) time.Time {
	if nanoseconds == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}
