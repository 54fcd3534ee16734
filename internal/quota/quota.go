// Package quota keeps what was used of quotas in a file of the data folder, so that a
// restart gives nobody a new one.
//
// [File] is a [limit.Quotas]: exact under concurrency, and bounded. What was taken is in the
// page cache before Take returns: it survives the death of the process, however sudden. Every
// second what is new is written to the disk, so that the machine's own death costs what was
// taken in its last second. A file that was put back from a backup counts from there on;
// nobody can tell.
//
// The file is a header and chunks of slots. A slot has a key that people can read, and a
// [limit.Tally]: one word, which changes whole or not at all. Chunks are added while the keys
// become more; keys of periods that are over give their slots back.
//
// It counts for one node. The lock of the data folder keeps other processes away.
package quota

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/limit"
)

// DefaultMaxKeys is how many keys are kept where [Options] say nothing: 256 MiB of file.
const DefaultMaxKeys = 1 << 20

// SyncEvery is how often what is new is written to the disk.
const SyncEvery = time.Second

// ErrClosed says that the file was closed.
var ErrClosed = errors.New("the file of quotas is closed")

// Options are the settings of a [File].
type Options struct {
	Path    string           // a damaged file is set aside as Path.damaged
	MaxKeys int              // that used something in this period or the one before; 0: [DefaultMaxKeys]
	Now     func() time.Time // whose days and months count; nil: time.Now
	Warn    func(error)      // told what was lost, and what cannot be written; nil: nobody
}

func (o Options) complete() (Options, error) {
	if o.MaxKeys < 0 || o.MaxKeys > 1<<24 {
		return o, fmt.Errorf("quotas for %d keys: want 1 to %d", o.MaxKeys, 1<<24)
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	return o, nil
}

// Use is what one key has used in the present period.
type Use struct {
	Key    string
	Period limit.Period
	Used   int
	Ends   time.Time // when the period does
}

// Sizes of the file, in bytes. The header is as long as the largest page of any machine, so
// that chunks can be mapped by themselves.
const (
	headerSize = 64 << 10
	slotSize   = 256
	chunkSlots = 4096
	chunkSize  = chunkSlots * slotSize
	slotWords  = slotSize / 8
	chunkWords = chunkSize / 8
	maxStored  = slotSize - 3*8 // of a key
)

// Words of a slot: the tally, a check of the key, and length and period of the key.
const (
	wordTally = iota
	wordCheck
	wordForm
	wordKey
)

// The header is three words and their check.
const (
	magic   uint64 = 0x9a61_7175_6f74_6101
	version uint64 = 1
)

var errDamaged = errors.New("the file of quotas is damaged")

func header() []byte {
	b := make([]byte, 0, headerSize)
	for _, w := range []uint64{magic, version, slotSize} {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	sum := sha256.Sum256(b)
	return append(append(b, sum[:8]...), make([]byte, headerSize-32)...)
}

// checkHeader holds the first bytes of a file to what this program writes.
func checkHeader(b []byte, size int64) error {
	want := header()
	if len(b) < 32 || string(b[:32]) != string(want[:32]) {
		return fmt.Errorf("%w: it does not begin as one, or another version or machine wrote it", errDamaged)
	}
	if size < headerSize || (size-headerSize)%chunkSize != 0 {
		return fmt.Errorf("%w: it is %d bytes long", errDamaged, size)
	}
	return nil
}

// stored is a key as a slot has it: a long one keeps its beginning, which people read, and
// a digest of the whole.
func stored(key string) string {
	if len(key) <= maxStored {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return key[:maxStored-len(sum)] + string(sum[:])
}

// slot is the words of one. Only its tally is read without the lock of its key.
type slot []uint64

// write puts a key into a free slot. The tally, which comes after it, makes it count.
func (s slot) write(key string, p limit.Period) {
	form := uint64(len(key))
	if p == limit.Month {
		form |= 1 << 32
	}
	var b [maxStored]byte
	copy(b[:], key)
	for i := range slotWords - wordKey {
		s[wordKey+i] = binary.NativeEndian.Uint64(b[8*i:])
	}
	s[wordForm] = form
	s[wordCheck] = s.check()
}

// read returns what write put in; ok is false if it was never that.
func (s slot) read() (key string, p limit.Period, ok bool) {
	form := s[wordForm]
	length := form & (1<<32 - 1)
	if length == 0 || length > maxStored || form>>33 != 0 || s[wordCheck] != s.check() {
		return "", "", false
	}
	return string(s.bytes()[:length]), s.period(), true
}

func (s slot) period() limit.Period {
	if s[wordForm]>>32 == 1 {
		return limit.Month
	}
	return limit.Day
}

func (s slot) bytes() []byte {
	b := make([]byte, 0, maxStored)
	for _, w := range s[wordKey:] {
		b = binary.NativeEndian.AppendUint64(b, w)
	}
	return b
}

func (s slot) check() uint64 {
	sum := sha256.Sum256(binary.NativeEndian.AppendUint64(s.bytes(), s[wordForm]))
	return binary.NativeEndian.Uint64(sum[:])
}
