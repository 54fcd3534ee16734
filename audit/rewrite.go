package audit

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Segments that have ended can be written anew with tombstones in the place of some lines.
// The order makes it safe against death at any moment:
//
//  1. The new form lies beside the segment, durable, under a name with the id of the
//     event that will tell of it.
//  2. The event is in the log, durable.
//  3. The new form takes the place of the segment, in one step.
//
// A start that finds a form without its event removes it; one with its event is put in place.

// rewrite is the new form of one segment.
type rewrite struct {
	taken
	draft string // file
}

// choice decides about a line: whether it becomes a tombstone, and what is left of it.
// It may keep event until it returns.
type choice func(l *line) (left []byte, take bool, err error)

// draft writes the new form of a segment; nil: nothing in it is to be taken away.
func draft(ctx context.Context, dir, segment string, choose choice) (_ *rewrite, err error) {
	by := newMark()
	w := &rewriter{rewrite: rewrite{draft: draftName(filepath.Join(dir, segment), by)}, digest: sha256.New()}
	w.by, w.segment = by, segment
	source, err := os.Open(filepath.Join(dir, segment))
	if err != nil {
		return nil, fmt.Errorf("read a segment: %w", err)
	}
	defer func() {
		_ = source.Close() // it was only read
		if w.file != nil {
			err = errors.Join(err, w.file.Close())
		}
		if w.file != nil && (err != nil || w.records == 0) {
			err = errors.Join(err, os.Remove(w.draft))
		}
	}()
	lines := newLineReader(segment, source)
	for {
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if err := w.line(source, &l, choose); err != nil {
			return nil, err
		}
	}
	if w.records == 0 {
		return nil, nil
	}
	copy(w.taken.digest[:], w.digest.Sum(nil))
	if err := errors.Join(w.out.Flush(), w.file.Sync()); err != nil {
		return nil, fmt.Errorf("write %s: %w", w.draft, err)
	}
	return &w.rewrite, nil
}

// rewriter writes a new form. The file is made when the first line is taken away.
type rewriter struct {
	rewrite
	file   *os.File
	out    *bufio.Writer
	digest hash.Hash
	offset int64 // of the line in the segment
	text   []byte
}

func (w *rewriter) line(source *os.File, l *line, choose choice) error {
	left, take, err := choose(l)
	if err != nil {
		return err
	}
	if w.first == 0 {
		w.first = l.seq
	}
	w.last = l.seq
	w.text = append(append(w.text[:0], l.text...), '\n')
	if take {
		if err := w.begin(source); err != nil {
			return err
		}
		w.text = appendTombstone(w.text[:0], l, left, w.by)
		w.digest.Write(w.text)
		w.records++
	}
	w.offset += int64(len(l.text)) + 1
	if w.file == nil {
		return nil
	}
	if _, err := w.out.Write(w.text); err != nil {
		return fmt.Errorf("write %s: %w", w.draft, err)
	}
	return nil
}

// begin makes the file, and copies what was passed over.
func (w *rewriter) begin(source *os.File) (err error) {
	if w.file != nil {
		return nil
	}
	if w.file, err = os.OpenFile(w.draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return fmt.Errorf("write a segment anew: %w", err)
	}
	w.out = bufio.NewWriterSize(w.file, 1<<18)
	if _, err = io.Copy(w.out, io.NewSectionReader(source, 0, w.offset)); err != nil {
		return fmt.Errorf("write %s: %w", w.draft, err)
	}
	return nil
}

// newMark makes the id of an erasure.
func newMark() string {
	var mark [saltSize]byte
	_, _ = rand.Read(mark[:]) // it never fails: the program ends first
	return base64.RawURLEncoding.EncodeToString(mark[:])
}

// putInPlace tells of new forms in events that about fills, and then puts them in the place
// of their segments. It belongs to the drain. Segments that retention has removed meanwhile
// are passed over.
func (c *chain) putInPlace(forms []*rewrite, about func(*rewrite) *Event) (done []*rewrite, err error) {
	for _, r := range forms {
		if _, err := os.Stat(filepath.Join(c.Dir, r.segment)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		e := about(r)
		e.ID, e.Target, e.Time = r.by, r.segment, c.Now()
		e.Change = r.String() + e.Change
		c.add(AppendJSON(nil, e), c.ring.reference().Add(1))
		done = append(done, r)
	}
	c.unplaced = append(c.unplaced, done...)
	if err := c.write(); err != nil {
		return nil, err // upkeep does the rest when the log can be written again
	}
	return done, c.place()
}

// place puts new forms of which the log tells in the place of their segments.
func (c *chain) place() error {
	if len(c.unplaced) == 0 {
		return nil
	}
	c.poll(true) // a segment that has just ended is being made durable
	if err := errors.Join(c.sealFault, c.file.Sync()); err != nil {
		return fmt.Errorf("make the event of an erasure durable: %w", err)
	}
	for _, r := range c.unplaced {
		name := filepath.Join(c.Dir, r.segment)
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(r.draft) // retention took the segment meanwhile; what is left of it must not come back
			continue
		}
		_ = os.Remove(filepath.Join(c.Dir, indexName(r.segment))) // it may have none, and gets a new one
		err := os.Rename(r.draft, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // an earlier try did it
			return fmt.Errorf("put the new form of a segment in its place: %w", err)
		}
	}
	if err := syncFolder(c.Dir); err != nil {
		return err
	}
	c.unplaced = nil
	return nil
}

// endSegment ends the segment that grows, so that all of its lines can be written anew.
// It belongs to the drain. It returns the segments that have ended.
func (c *chain) endSegment() ([]string, error) {
	c.poll(true)
	if c.file != nil && c.size > 0 {
		if err := c.rotate(); err != nil {
			return nil, err
		}
		c.poll(true)
	}
	if c.sealFault != nil {
		return nil, c.sealFault
	}
	names, err := segments(c.Dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return names[:len(names)-1], nil
}

// finishRewrites ends what a process that died had begun.
func (c *chain) finishRewrites() error {
	drafts, err := c.drafts()
	if err != nil || len(drafts) == 0 {
		return err
	}
	told, err := c.told(drafts)
	if err != nil {
		return err
	}
	for name, by := range drafts {
		segment := strings.TrimSuffix(name, "."+by)
		_, gone := os.Stat(filepath.Join(c.Dir, segment))
		if told[by] && gone == nil {
			_ = os.Remove(filepath.Join(c.Dir, indexName(segment))) // it may have none, and gets a new one
			err = os.Rename(filepath.Join(c.Dir, name), filepath.Join(c.Dir, segment))
		} else {
			err = os.Remove(filepath.Join(c.Dir, name))
		}
		if err != nil {
			return fmt.Errorf("end an erasure that was broken off: %w", err)
		}
	}
	return syncFolder(c.Dir)
}

// drafts are new forms of segments by their names, with the ids of their events.
func (c *chain) drafts() (map[string]string, error) {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		name := entry.Name()
		at := strings.LastIndexByte(name, '.')
		if at < 0 || !isMark([]byte(name[at+1:])) {
			continue
		}
		if _, ok := segmentFirst(name[:at]); ok {
			found[name] = name[at+1:]
		}
	}
	return found, nil
}

// told looks in the log for the events of drafts.
func (c *chain) told(drafts map[string]string) (map[string]bool, error) {
	told := map[string]bool{}
	names, err := segments(c.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		err := eachLine(c.Dir, name, func(l line) error {
			if l.by != "" || !tells(l.event) {
				return nil
			}
			if e, err := ParseJSON(l.event); err == nil {
				if what, ok := parseTaken(&e); ok {
					told[what.by] = true
				}
			}
			return nil
		})
		var fault *Fault
		if err != nil && !errors.As(err, &fault) { // Verify is there to name bad lines
			return nil, err
		}
	}
	return told, nil
}
