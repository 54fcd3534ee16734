//go:build unix

package once

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// file is a mapped file with a table in it.
type file struct {
	table
	mapping []byte
}

// openFile maps the file at path after it has checked every part of it. The
// error is errDamaged if the file is there and cannot be trusted.
func openFile(path string) (*file, state, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, state{}, fmt.Errorf("open the file of used claims: %w", err)
	}
	defer f.Close() // a mapping outlives its descriptor
	first := make([]byte, pageSize)
	if _, err := io.ReadFull(f, first); err != nil {
		return nil, state{}, damaged("read its first page: %v", err)
	}
	h, err := readHeader(first)
	if err != nil {
		return nil, state{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, state{}, fmt.Errorf("look at the file of used claims: %w", err)
	}
	if info.Size() != h.size() {
		return nil, state{}, damaged("it is %d bytes long and should be %d", info.Size(), h.size())
	}
	kept, err := mapFile(f, h)
	if err != nil {
		return nil, state{}, err
	}
	s, err := kept.verify(info)
	if err != nil {
		return nil, state{}, errors.Join(err, kept.unmap())
	}
	return kept, s, nil
}

// verify checks the changing words and every slot.
func (f *file) verify(info os.FileInfo) (state, error) {
	s, err := readState(f.words)
	if err != nil {
		return s, err
	}
	inode, device := identity(info)
	s.copied = inode != f.inode || device != f.device
	return s, f.each(func(print, int64) error { return nil })
}

// createFile makes a file of its own beside path and maps it. It takes the place
// of path when publish is called.
func createFile(path string, h header) (*file, error) {
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the file of used claims: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the file of used claims: %w", err)
	}
	h.inode, h.device = identity(info)
	if h.key == ([32]byte{}) {
		rand.Read(h.key[:]) // never fails (crypto/rand)
	}
	if err := reserve(f, h.size()); err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %d MiB for the file of used claims: %w; make room on the disk", h.size()>>20, err), os.Remove(path+".new"))
	}
	made, err := mapFile(f, h)
	if err != nil {
		return nil, err
	}
	words := h.words()
	copy(made.words, words[:])
	return made, nil
}

// reserve fills the file with zeros: a hole in it would be found missing when
// the disk is full, in the middle of a request.
func reserve(f *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(zeros[:min(size, int64(len(zeros)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// publish puts a file that createFile made at its path, for good.
func (f *file) publish(path string) error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("put the file of used claims in its place: %w", err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open the folder of used claims: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("write the folder of used claims: %w", err)
	}
	return nil
}

func mapFile(f *os.File, h header) (*file, error) {
	mapping, err := unix.Mmap(int(f.Fd()), 0, int(h.size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the file of used claims: %w", err)
	}
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mapping))), len(mapping)/8)
	return &file{table{h, words}, mapping}, nil
}

// sync writes everything to the disk.
func (f *file) sync() error { return f.syncFirst(len(f.mapping)) }

func (f *file) syncFirst(bytes int) error {
	if err := unix.Msync(f.mapping[:bytes], unix.MS_SYNC); err != nil {
		return fmt.Errorf("write the file of used claims: %w", err)
	}
	return nil
}

func (f *file) unmap() error {
	f.words = nil
	if err := unix.Munmap(f.mapping); err != nil {
		return fmt.Errorf("unmap the file of used claims: %w", err)
	}
	return nil
}

// lockFile takes the lock that says whose the file is. It is on a file of its
// own, because the other one is replaced.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of used claims: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w (hint: another process uses this data folder; stop it first)", path, err), f.Close())
	}
	return f, nil
}

// identity returns what tells a file from its copy.
func identity(info os.FileInfo) (inode, device uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino), uint64(s.Dev)
	}
	return 0, 0
}

// bootID names this run of the machine; 0 if it has no name, which makes every
// unclean start a cold one.
func bootID() uint64 {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	sum := sha256.Sum256(id)
	return binary.NativeEndian.Uint64(sum[:])
}
