// Package journal keeps entries in files to which is only appended: what was appended
// survives the death of the process, however sudden, and what was synced that of the
// machine.
//
// The files of a folder are one sequence. A full one is followed by the next, and the oldest
// is removed when nobody needs any entry of it ([Log.Drop]); so an entry that takes back an
// earlier one never goes before it. Each entry carries a checksum. Where the last file ends
// within an entry, because the process or the machine died there, the rest is cut off:
// nobody was answered for it.
//
// What entries mean, and which of them are still needed, is their owner's affair, who reads
// all of them at [Open].
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"pavise.dev/pavise/internal/store/lock"
)

// Options are the settings of a [Log].
type Options struct {
	Dir  string      // made if it is missing; one process at a time
	Size int64       // of a file after which the next is begun, in bytes; 0: 8 MiB
	Warn func(error) // is told of entries that cannot be read; nil: nobody
}

const defaultSize = 8 << 20

// MaxEntry is the longest entry, in bytes.
const MaxEntry = 4 << 20

// ErrClosed is what a closed log answers.
var ErrClosed = errors.New("the journal is closed")

// At is where an entry stands.
type At struct {
	File   uint32
	Offset int64
	Length int // of the entry
}

// Log is a sequence of files. It is safe for concurrent use.
type Log struct {
	options Options
	lock    *lock.Lock

	mu    sync.RWMutex
	files []*file // the last one is appended to
	fault error   // why nothing can be appended any more

	syncing sync.Mutex // of whoever writes to the disk for everybody who waits
	synced  position
}

// file is one of the sequence.
type file struct {
	number uint32
	handle *os.File
	size   int64
}

// position is how far something is done.
type position struct {
	file   uint32
	offset int64
}

func (p position) covers(other position) bool {
	return p.file > other.file || p.file == other.file && p.offset >= other.offset
}

// Open opens the log in a folder, or makes one, and calls load for every entry in order. The
// entry is load's only until it returns; an error of load ends Open.
func Open(o Options, load func(at At, entry []byte) error) (_ *Log, err error) {
	if o.Size == 0 {
		o.Size = defaultSize
	}
	if o.Warn == nil {
		o.Warn = func(error) {}
	}
	l := &Log{options: o}
	if l.lock, err = lock.Take(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	numbers, err := list(o.Dir)
	if err != nil {
		return nil, err
	}
	next := uint32(1)
	for i, number := range numbers {
		if err := l.read(number, i == len(numbers)-1, load); err != nil {
			return nil, err
		}
		next = number + 1
	}
	if len(l.files) > 0 && l.last().number == next-1 {
		return l, nil
	}
	return l, l.next(next)
}

// Append adds an entry. When it returns, the entry survives the death of the process.
func (l *Log) Append(entry []byte) (At, error) {
	if len(entry) == 0 || len(entry) > MaxEntry {
		return At{}, fmt.Errorf("an entry of %d bytes: want 1 to %d", len(entry), MaxEntry)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return At{}, l.fault
	}
	if f := l.last(); f.size+headSize+int64(len(entry)) > l.options.Size && f.size > magicSize {
		if err := l.turn(f); err != nil {
			return At{}, err
		}
	}
	f := l.last()
	framed := frame(entry)
	if _, err := f.handle.WriteAt(framed, f.size); err != nil {
		if back := f.handle.Truncate(f.size); back != nil {
			l.fault = fmt.Errorf("the journal ends within an entry: %w", back)
		}
		return At{}, fmt.Errorf("write the journal: %w", err)
	}
	at := At{f.number, f.size, len(entry)}
	f.size += int64(len(framed))
	return at, nil
}

// turn begins the next file. The one before is on the disk then, so that a sync is about the
// last one alone.
func (l *Log) turn(f *file) error {
	if err := f.handle.Sync(); err != nil {
		l.fault = fmt.Errorf("write the journal to the disk: %w", err)
		return l.fault
	}
	return l.next(f.number + 1)
}

// Sync writes everything up to and with the entry to the disk. Whoever waits at the same
// time shares one write.
func (l *Log) Sync(at At) error {
	want := position{at.File, at.Offset + headSize + int64(at.Length)}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if l.synced.covers(want) {
		return nil
	}
	f, done, err := l.end()
	if err != nil {
		return err
	}
	// Others append while this one writes; only Close, which waits, or two turns would close
	// the file, and a turn has written it.
	if err := f.handle.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return l.broken(fmt.Errorf("write the journal to the disk: %w", err))
	}
	l.synced = done
	return nil
}

// end is how far the journal goes at this moment.
func (l *Log) end() (*file, position, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.fault != nil {
		return nil, position{}, l.fault
	}
	f := l.last()
	return f, position{f.number, f.size}, nil
}

// broken keeps everybody from believing a disk that could not write once: what it holds is
// not known any more until everything is read anew.
func (l *Log) broken(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
	return err
}

// Read returns an entry.
func (l *Log) Read(at At) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	f := l.find(at.File)
	if f == nil {
		return nil, fmt.Errorf("the journal has no file %d any more", at.File)
	}
	framed := make([]byte, headSize+at.Length)
	if _, err := f.handle.ReadAt(framed, at.Offset); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	entry, ok := unframe(framed)
	if !ok || len(entry) != at.Length {
		return nil, fmt.Errorf("the entry at %d of file %d of the journal is damaged", at.Offset, at.File)
	}
	return entry, nil
}

// Oldest returns the number of the oldest file; ok is false if it is the one that is
// appended to.
func (l *Log) Oldest() (number uint32, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.files) < 2 {
		return 0, false
	}
	return l.files[0].number, true
}

// Files returns how many files there are.
func (l *Log) Files() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.files)
}

// Drop removes the oldest file.
func (l *Log) Drop() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.files) < 2 {
		return nil
	}
	f := l.files[0]
	l.files = l.files[1:]
	err := errors.Join(f.handle.Close(), os.Remove(l.path(f.number)))
	if err != nil {
		return fmt.Errorf("remove the oldest file of the journal: %w", err)
	}
	return nil
}

// Close writes everything to the disk and gives the folder free.
func (l *Log) Close() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.fault, ErrClosed) {
		return nil
	}
	var faults []error
	for i, f := range l.files {
		if i == len(l.files)-1 {
			faults = append(faults, f.handle.Sync())
		}
		faults = append(faults, f.handle.Close())
	}
	l.files, l.fault = nil, ErrClosed
	if l.lock != nil {
		faults = append(faults, l.lock.Close())
	}
	return errors.Join(faults...)
}

func (l *Log) last() *file { return l.files[len(l.files)-1] }

func (l *Log) find(number uint32) *file {
	for _, f := range l.files {
		if f.number == number {
			return f
		}
	}
	return nil
}

func (l *Log) path(number uint32) string {
	return filepath.Join(l.options.Dir, fmt.Sprintf("%08x.journal", number))
}

// An entry stands behind its checksum and its length.
const (
	headSize  = 8
	magicSize = int64(len(magic))
	magic     = "pvsjrnl1"
)

func frame(entry []byte) []byte {
	framed := make([]byte, headSize, headSize+len(entry))
	binary.BigEndian.PutUint32(framed[4:], uint32(len(entry)))
	framed = append(framed, entry...)
	binary.BigEndian.PutUint32(framed, checksum(framed[4:]))
	return framed
}

// unframe returns the first entry of what is read of a file; ok is false if there is none
// that is whole.
func unframe(rest []byte) (entry []byte, ok bool) {
	if len(rest) < headSize {
		return nil, false
	}
	length := int64(binary.BigEndian.Uint32(rest[4:]))
	if length == 0 || length > MaxEntry || length > int64(len(rest)-headSize) {
		return nil, false
	}
	whole := rest[:headSize+length]
	return whole[headSize:], checksum(whole[4:]) == binary.BigEndian.Uint32(whole)
}

func checksum(text []byte) uint32 { return crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli)) }
