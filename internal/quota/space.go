//go:build unix

package quota

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// space is the file's slots: mapped chunk by chunk, so that none ever moves.
type space struct {
	file   *os.File
	chunks atomic.Pointer[[][]uint64] // never changed, replaced

	mu   sync.Mutex // of free, and of growing
	free []int32
}

// open maps the file at path, and makes it if there is none.
func (s *space) open(path string) (err error) {
	s.chunks.Store(&[][]uint64{})
	s.file, err = os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		s.file, err = create(path)
	}
	if err != nil {
		return fmt.Errorf("open the file of quotas: %w", err)
	}
	if err := s.mapAll(); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

// create makes an empty file, whole or not at all.
func create(path string) (*os.File, error) {
	made, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = made.Write(header())
	if err == nil {
		err = made.Sync()
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, made.Close())
	}
	return made, nil
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (s *space) mapAll() error {
	info, err := s.file.Stat()
	if err != nil {
		return fmt.Errorf("look at the file of quotas: %w", err)
	}
	first := make([]byte, 32)
	if _, err := s.file.ReadAt(first, 0); err != nil {
		return fmt.Errorf("%w: read its beginning: %v", errDamaged, err)
	}
	size := info.Size()
	if whole := size - max(size-headerSize, 0)%chunkSize; whole != size { // it died while it grew
		if err := s.file.Truncate(whole); err != nil {
			return fmt.Errorf("cut the half chunk off the file of quotas: %w", err)
		}
		size = whole
	}
	if err := checkHeader(first, size); err != nil {
		return err
	}
	for at := int64(headerSize); at < size; at += chunkSize {
		if err := s.mapChunk(at); err != nil {
			return err
		}
	}
	return nil
}

func (s *space) mapChunk(at int64) error {
	mapping, err := unix.Mmap(int(s.file.Fd()), at, chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the file of quotas: %w", err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mapping))), chunkWords)
	old := *s.chunks.Load()
	next := append(old[:len(old):len(old)], words)
	s.chunks.Store(&next)
	return nil
}

// grow adds a chunk. It is filled with zeros: a hole would be found missing when the disk is
// full, in the middle of a request.
func (s *space) grow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) > 0 {
		return nil // somebody else was faster
	}
	n := len(*s.chunks.Load())
	at := headerSize + int64(n)*chunkSize
	if _, err := s.file.WriteAt(make([]byte, chunkSize), at); err != nil {
		return errors.Join(fmt.Errorf("make room for more quotas: %w", err), s.file.Truncate(at))
	}
	if err := s.mapChunk(at); err != nil {
		return err
	}
	for id := (n+1)*chunkSlots - 1; id >= n*chunkSlots; id-- {
		s.free = append(s.free, int32(id))
	}
	return nil
}

// slots is how many there are.
func (s *space) slots() int32 { return int32(len(*s.chunks.Load()) * chunkSlots) }

func (s *space) slot(id int32) slot {
	at := int(id%chunkSlots) * slotWords
	return (*s.chunks.Load())[id/chunkSlots][at : at+slotWords : at+slotWords]
}

// take returns a free slot, if there is one.
func (s *space) take() (int32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return 0, false
	}
	id := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	return id, true
}

func (s *space) give(id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, id)
}

// sync writes everything to the disk.
func (s *space) sync() error {
	for _, words := range *s.chunks.Load() {
		if err := unix.Msync(bytesOf(words), unix.MS_SYNC); err != nil {
			return fmt.Errorf("write the file of quotas: %w", err)
		}
	}
	return nil
}

// close gives file and mappings free. Nobody may use a slot any more.
func (s *space) close() error {
	var faults []error
	for _, words := range *s.chunks.Load() {
		faults = append(faults, unix.Munmap(bytesOf(words)))
	}
	s.chunks.Store(&[][]uint64{})
	return errors.Join(append(faults, s.file.Close())...)
}

func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}

// asError turns a fault of the mapping into an error. Any other panic goes on.
func asError(fault any) error {
	at, ok := fault.(interface {
		runtime.Error
		Addr() uintptr
	})
	if !ok {
		panic(fault)
	}
	return fmt.Errorf("the file of quotas cannot be read or written: %w", at)
}
