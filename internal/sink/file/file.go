// Package file writes events to a file of their own, one a line: for an agent that ships
// files, or for an archive in another form than the event log's.
//
//	file.go     the file that is written
//	rotate.go   the files before it: compressed, and removed when they are old
//
// A batch is synced to the disk before it counts as delivered. One that was written in part,
// because the disk was full or the program died, is cut off again, so that there are only
// whole lines.
package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/sink/form"
)

// Settings of a [Destination].
type Settings struct {
	Path     string
	Form     form.Form
	Size     int64         // bytes at which the file is put aside; 0: never
	Every    time.Duration // it is put aside when a multiple of this has passed (UTC); 0: never
	Compress bool          // gzip what was put aside
	Keep     time.Duration // files older than this are removed; 0: none is
	Files    int           // so many that were put aside are kept; 0: all
	Now      func() time.Time
	Held     func() bool // nothing is removed because of its age now: the clock is in doubt; nil: it never is
	Warn     func(error) // what is wrong with files that were put aside; nil: nobody is told
}

// Destination implements sink.Destination.
type Destination struct {
	s     Settings
	file  *os.File // nil: not open
	size  int64    // bytes of whole batches
	begun time.Time
	text  []byte
	aside *aside
}

// New returns a destination. The file is opened with the first batch.
func New(s Settings) *Destination {
	if s.Warn == nil {
		s.Warn = func(error) {}
	}
	if s.Held == nil {
		s.Held = func() bool { return false }
	}
	return &Destination{s: s, aside: startAside(s)}
}

// Send implements sink.Destination.
func (d *Destination) Send(ctx context.Context, events []audit.Found) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write events to %s: %w", d.s.Path, err)
	}
	d.text = d.text[:0]
	for _, e := range events {
		d.text = append(d.s.Form(d.text, e), '\n')
	}
	if err := d.write(d.text); err != nil {
		return fmt.Errorf("write events to %s: %w", d.s.Path, err)
	}
	return nil
}

func (d *Destination) write(text []byte) error {
	if err := d.ready(int64(len(text))); err != nil {
		return err
	}
	_, err := d.file.Write(text)
	if err == nil {
		err = d.file.Sync()
	}
	if err != nil {
		return d.takeBack(err)
	}
	d.size += int64(len(text))
	return nil
}

// takeBack cuts off what was written of a batch. Where that fails, too, the file is opened
// anew, which cuts it off at its last whole line.
func (d *Destination) takeBack(err error) error {
	fault := d.file.Truncate(d.size)
	if fault != nil {
		fault = errors.Join(fault, d.file.Close())
		d.file = nil
	}
	return errors.Join(err, fault)
}

// ready has the right file open for so many bytes more.
func (d *Destination) ready(more int64) error {
	if d.file != nil && !d.isThere() {
		err := d.file.Close() // somebody else has put it aside
		d.file = nil
		if err != nil {
			return err
		}
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	if d.size == 0 || !d.isFull(more) {
		return nil
	}
	if err := d.putAside(); err != nil {
		return err
	}
	return d.open()
}

// isThere reports whether the path still leads to the file that is open.
func (d *Destination) isThere() bool {
	at, err := os.Stat(d.s.Path)
	if err != nil {
		return false
	}
	own, err := d.file.Stat()
	return err == nil && os.SameFile(at, own) && own.Size() == d.size
}

func (d *Destination) isFull(more int64) bool {
	if d.s.Size > 0 && d.size+more > d.s.Size {
		return true
	}
	return d.s.Every > 0 && !d.s.Now().UTC().Truncate(d.s.Every).Equal(d.begun.UTC().Truncate(d.s.Every))
}

func (d *Destination) open() error {
	if err := os.MkdirAll(filepath.Dir(d.s.Path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(d.s.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	if !info.Mode().IsRegular() {
		return errors.Join(errors.New("it is no regular file"), file.Close())
	}
	d.size, err = wholeLines(file, info.Size())
	if err == nil && d.size < info.Size() {
		err = file.Truncate(d.size)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.begun = file, info.ModTime()
	if d.size == 0 {
		d.begun = d.s.Now()
	}
	return syncFolder(filepath.Dir(d.s.Path))
}

// wholeLines is the size of a file up to its last line break.
func wholeLines(file io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(end-int64(len(block)), 0)
		part := block[:end-start]
		if _, err := file.ReadAt(part, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return start + int64(at) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// putAside gives the file a name with the time, and lets it be compressed.
func (d *Destination) putAside() error {
	name, err := asideName(d.s.Path, d.s.Now())
	if err != nil {
		return err
	}
	if err := os.Rename(d.s.Path, name); err != nil {
		return err
	}
	err = d.file.Close()
	d.file = nil
	d.aside.wake()
	return err
}

// Close implements sink.Destination. It waits for a file that is being compressed.
func (d *Destination) Close() error {
	d.aside.stop()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// syncFolder makes a new name durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, fs.ErrInvalid) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // some file systems cannot
	}
	return errors.Join(err, folder.Close())
}
