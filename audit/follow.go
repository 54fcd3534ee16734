package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Follow calls f for every event that the query selects and that is written from
// now on, until the context ends. It looks each time that tick delivers. Each event
// comes once, in the order of the log; a bad line ends it with a [Fault].
func Follow(ctx context.Context, dir string, q Query, tick <-chan time.Time, f func(Found)) error {
	place, err := endOf(dir)
	if err != nil {
		return err
	}
	s := searchIn(dir, q)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
			if err := place.read(ctx, s, f); err != nil {
				return err
			}
		}
	}
}

// place is how far a follower has read.
type place struct {
	name   string
	offset int64 // always the beginning of a line
	seq    uint64
	file   os.FileInfo // of the segment; one that was written anew is another file
	known  known
}

// known is the last line that was read of a segment. A file that was written anew twice may have
// the identity of the first: the line says then that it is another.
type known struct {
	seq      uint64 // 0: none was
	from, to int64
}

// isIn reports whether the line stands where it stood.
func (k *known) isIn(file *os.File) bool {
	if k.seq == 0 {
		return true
	}
	text := make([]byte, k.to-k.from)
	if _, err := file.ReadAt(text, k.from); err != nil || text[len(text)-1] != '\n' {
		return false
	}
	l, err := parseLine(text[:len(text)-1])
	return err == nil && l.seq == k.seq
}

// open opens the segment where it is to be read on. One that was written anew since is read
// from its beginning: lines up to seq are known.
func (p *place) open(dir string) (*os.File, error) {
	file, err := os.Open(filepath.Join(dir, p.name))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		if p.file != nil && !os.SameFile(p.file, info) || !p.known.isIn(file) {
			p.offset, p.known = 0, known{}
		}
		p.file = info
		_, err = file.Seek(p.offset, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// endOf is behind the last whole line.
func endOf(dir string) (*place, error) {
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		return &place{}, err
	}
	p := &place{name: names[len(names)-1]}
	l, offset, _, err := lastLine(dir, p.name)
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	p.offset, p.seq = offset, l.seq
	p.file, err = os.Stat(filepath.Join(dir, p.name))
	return p, err
}

// pass moves behind a line.
func (p *place) pass(l *line, to int64) {
	p.offset, p.known = to, known{l.seq, to - int64(len(l.text)) - 1, to}
}

func (p *place) read(ctx context.Context, s *search, f func(Found)) error {
	names, err := segments(s.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name < p.name {
			continue
		}
		if name > p.name {
			p.name, p.offset, p.file, p.known = name, 0, nil, known{}
		}
		err := p.readSegment(ctx, s, f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // retention removed it
			return fmt.Errorf("follow: %w", err)
		}
	}
	return nil
}

func (p *place) readSegment(ctx context.Context, s *search, f func(Found)) error {
	file, err := p.open(s.dir)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := newLineReader(p.name, file)
	for from := p.offset; ctx.Err() == nil; {
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil // an unfinished line is read when it is whole
		}
		if err != nil {
			return err
		}
		p.pass(&l, from+lines.offset)
		if l.seq <= p.seq {
			continue
		}
		p.seq = l.seq
		found, ok, err := s.look(l)
		if err != nil {
			return &Fault{p.name, int(l.seq - first(p.name) + 1), l.seq, err.Error()}
		}
		if ok {
			f(found)
		}
	}
	return nil
}
