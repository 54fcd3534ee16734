package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// list returns the numbers of the files in a folder, in order.
func list(dir string) ([]uint32, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for the journal: %w", err)
	}
	var numbers []uint32
	for _, one := range found {
		text, ok := strings.CutSuffix(one.Name(), ".journal")
		number, err := strconv.ParseUint(text, 16, 32)
		if ok && err == nil && one.Name() == fmt.Sprintf("%08x.journal", number) {
			numbers = append(numbers, uint32(number))
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// next begins a file.
func (l *Log) next(number uint32) error {
	handle, err := os.OpenFile(l.path(number), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of the journal: %w", err)
	}
	if err := l.begin(handle); err != nil {
		return errors.Join(fmt.Errorf("begin a file of the journal: %w", err), handle.Close(), os.Remove(l.path(number)))
	}
	l.files = append(l.files, &file{number, handle, magicSize})
	return nil
}

// begin writes what a file begins with, and its name, to the disk.
func (l *Log) begin(handle *os.File) error {
	if _, err := handle.WriteString(magic); err != nil {
		return err
	}
	if err := handle.Sync(); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Clean(l.options.Dir))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// read opens a file that is there, and reads all its entries. The last one is cut behind
// them; if it has not even a beginning, it is removed.
func (l *Log) read(number uint32, last bool, load func(At, []byte) error) error {
	handle, err := os.OpenFile(l.path(number), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	f := &file{number: number, handle: handle}
	l.files = append(l.files, f)
	end, length, err := l.entries(f, load)
	if err != nil {
		return err
	}
	if end < length {
		l.options.Warn(fmt.Errorf("%s: %d bytes from %d on are no whole entries and are left out", l.path(number), length-end, end))
	}
	f.size = end
	switch {
	case !last:
		return nil
	case end < magicSize:
		l.files = l.files[:len(l.files)-1]
		return errors.Join(handle.Close(), os.Rename(l.path(number), l.path(number)+".damaged"))
	case end < length:
		if err := handle.Truncate(end); err != nil {
			return fmt.Errorf("cut the journal behind its last whole entry: %w", err)
		}
	}
	return nil
}

// entries calls load for each entry of a file and returns where they end, and the file.
func (l *Log) entries(f *file, load func(At, []byte) error) (end, length int64, err error) {
	text, err := io.ReadAll(io.NewSectionReader(f.handle, 0, l.longest()))
	if err != nil {
		return 0, 0, fmt.Errorf("read the journal: %w", err)
	}
	length = int64(len(text))
	if !bytes.HasPrefix(text, []byte(magic)) {
		return 0, length, nil
	}
	for end = magicSize; ; {
		entry, ok := unframe(text[end:])
		if !ok {
			return end, length, nil
		}
		if err := load(At{f.number, end, len(entry)}, entry); err != nil {
			return end, length, fmt.Errorf("entry at %d of %s: %w", end, l.path(f.number), err)
		}
		end += headSize + int64(len(entry))
	}
}

// longest is the size that no file exceeds.
func (l *Log) longest() int64 { return max(l.options.Size, MaxEntry+headSize+magicSize) }

// Each calls visit for every entry of a file, in order.
func (l *Log) Each(number uint32, visit func(At, []byte) error) error {
	l.mu.RLock()
	f := l.find(number)
	l.mu.RUnlock()
	if f == nil {
		return nil
	}
	_, _, err := l.entries(f, visit)
	return err
}
