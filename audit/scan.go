package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Raw is a record as a [Scan] finds it. It is valid until the call that gets it returns.
type Raw struct {
	Seq   uint64
	Event []byte // as it was recorded; nil: nothing is left of it
}

// scanBytes is how long the pieces are that one goroutine reads at once.
const scanBytes = 8 << 20

// Scan calls f for every record that can be within a time, for tools that count: from several
// goroutines at once, each with its number from 0 on. Every piece of the log is read by one of them,
// in its order; pieces come in any. Records just outside the time are among them, and events are not
// read: that is f's business, which knows the few fields that it wants.
//
// Damage is treated as [Search] does. A panic of f is one of the caller's goroutine.
func Scan(ctx context.Context, dir string, since, until time.Time, workers int, f func(worker int, r Raw) error) error {
	s, err := newSearch(dir, Query{Since: since, Until: until})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	pieces := make(chan scanPiece)
	bad := make([]error, workers)
	var running sync.WaitGroup
	fell := make([]any, workers)
	for w := range workers {
		running.Go(func() {
			defer func() {
				if fell[w] = recover(); fell[w] != nil {
					stop(errors.New("a worker panicked"))
				}
			}()
			for p := range pieces {
				err := s.scan(ctx, p, func(r Raw) error { return f(w, r) })
				if err := keepGoing(err, &bad[w]); err != nil {
					stop(err)
				}
			}
		})
	}
	s.cut(ctx, pieces)
	close(pieces)
	running.Wait()
	for _, fault := range fell {
		if fault != nil {
			panic(fault)
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, fault := range bad {
		if fault != nil {
			return fault
		}
	}
	return nil
}

// scanPiece is a part of a segment.
type scanPiece struct {
	name string
	at   span
}

// cut hands out pieces of all segments: whole blocks of those that have an index.
func (s *search) cut(ctx context.Context, pieces chan<- scanPiece) {
	give := func(name string, at span) bool {
		select {
		case pieces <- scanPiece{name, at}:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, name := range s.names {
		x, ok := readIndex(s.dir, name)
		if !ok {
			if !give(name, span{0, 1<<63 - 1, 0}) {
				return
			}
			continue
		}
		open := span{from: -1}
		for i, b := range x.blocks {
			to := x.size
			if i+1 < len(x.blocks) {
				to = x.blocks[i+1].offset
			}
			switch {
			case !s.in(&b):
			case open.from < 0:
				open = span{b.offset, to, i * blockLines}
			case open.to == b.offset && to-open.from <= scanBytes:
				open.to = to
			default:
				if !give(name, open) {
					return
				}
				open = span{b.offset, to, i * blockLines}
			}
		}
		if open.from >= 0 && !give(name, open) {
			return
		}
	}
}

// scan reads one piece. The first bad line is put aside.
func (s *search) scan(ctx context.Context, p scanPiece, f func(Raw) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	file, err := os.Open(filepath.Join(s.dir, p.name))
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	lines := newLineReader(p.name, io.NewSectionReader(file, p.at.from, p.at.to-p.at.from))
	lines.number = p.at.line
	return lines.each(func(l line) error {
		if err := f(Raw{l.seq, l.event}); err != nil {
			return err
		}
		if lines.number%1024 == 0 {
			return ctx.Err()
		}
		return nil
	})
}

// Begins is when the oldest event was of which a log still tells; zero: it tells of none.
func Begins(dir string) (begin time.Time, err error) {
	names, err := segments(dir)
	if err != nil {
		return begin, err
	}
	found := errors.New("found")
	for _, name := range names {
		err := eachLine(dir, name, func(l line) error {
			if l.event == nil {
				return nil
			}
			e, err := ParseJSON(l.event)
			if err != nil {
				return nil // Verify is there to name bad lines
			}
			begin = e.Time
			return found
		})
		if errors.Is(err, found) {
			return begin, nil
		}
		if err := keepGoing(err, new(error)); err != nil {
			return begin, err
		}
	}
	return begin, nil
}
