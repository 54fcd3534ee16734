package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Reader reads a log in order from a number on, piece by piece, while it is written. It is
// how events get elsewhere: the log is their spool, and a number is all that whoever sends
// them has to remember. It is not safe for concurrent use.
type Reader struct {
	search *search
	place  place
	last   uint64
	mark   [macSize]byte // of the line last, once it was read
	found  bool          // place is where the last line was
}

// NewReader reads the log in dir behind the event number after; 0: from its beginning. The
// query selects what is returned; its limit is not looked at.
func NewReader(dir string, after uint64, q Query) *Reader {
	return &Reader{search: searchIn(dir, q), last: after}
}

// Piece is what was read at once.
type Piece struct {
	Events []Found
	Last   uint64 // the number up to which the log was read: what was not selected counts too
	Mark   string // of that line, for [Resume]; "" if none was read
	Lost   uint64 // events that retention removed before they were read
}

// Read returns the next events, at most the number given; none where nothing new was written.
// A line that is no event ends it with a [Fault]; the next call goes on behind it.
func (r *Reader) Read(ctx context.Context, most int) (p Piece, err error) {
	from := r.last
	p.Last = from
	names, err := segments(r.search.dir)
	if err != nil || len(names) == 0 {
		return p, err
	}
	defer func() {
		if p.Last > from {
			p.Mark = markOf(r.mark)
		}
	}()
	r.find(names)
	for _, name := range names {
		if name < r.place.name {
			continue
		}
		if name > r.place.name {
			r.place = place{name: name}
		}
		err := r.readSegment(ctx, &p, most)
		if errors.Is(err, fs.ErrNotExist) {
			continue // retention removed it meanwhile; what it held is counted at the next line
		}
		if err != nil {
			return p, fmt.Errorf("read the log: %w", err)
		}
		if len(p.Events) >= most || ctx.Err() != nil {
			break
		}
	}
	return p, ctx.Err()
}

// find begins with the segment that holds the next line.
func (r *Reader) find(names []string) {
	if r.found {
		return
	}
	r.place = place{name: names[0]}
	for _, name := range names {
		if first(name) <= r.last+1 {
			r.place.name = name
		}
	}
	r.found = true
}

func (r *Reader) readSegment(ctx context.Context, p *Piece, most int) error {
	file, err := r.place.open(r.search.dir)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines, from := newLineReader(r.place.name, file), r.place.offset
	for len(p.Events) < most && ctx.Err() == nil {
		l, err := lines.next()
		if errors.Is(err, io.EOF) {
			return nil // an unfinished line is read when it is whole
		}
		if err != nil {
			r.place.offset = from + lines.offset
			return err
		}
		r.place.pass(&l, from+lines.offset)
		if err := r.take(l, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) take(l line, p *Piece) error {
	if l.seq <= r.last {
		return nil
	}
	p.Lost += l.seq - r.last - 1
	r.last, p.Last, r.mark = l.seq, l.seq, l.mac
	found, ok, err := r.search.look(l)
	if err != nil {
		return &Fault{r.place.name, int(l.seq - first(r.place.name) + 1), l.seq, err.Error()}
	}
	if ok {
		p.Events = append(p.Events, found)
	}
	return nil
}

func markOf(mac [macSize]byte) string { return base64.RawURLEncoding.EncodeToString(mac[:]) }

// Resume returns the number behind which to go on for whoever has read up to the event number
// after, whose mark was given with it: the same number, unless the log is not the one that he
// has read. It may have lost its end when the machine stopped, or somebody began another one, or
// put an older copy back; its numbers are then given a second time, and who went on by them would
// pass over what has them now. Some events may come again. Without a mark, only a log that ends
// before that number is found to be another.
func Resume(dir string, after uint64, mark string) (uint64, error) {
	names, err := segments(dir)
	if err != nil || len(names) == 0 || after == 0 {
		return 0, err
	}
	newest, err := Newest(dir)
	if err != nil {
		return 0, err
	}
	if after <= newest && (mark == "" || first(names[0]) > after || isMarked(dir, names, after, mark)) {
		return after, nil
	}
	begin := first(names[0]) - 1
	err = Each(context.Background(), dir, Query{Class: System, Code: codeTailLost}, func(f Found) error {
		if from, to, ok := parseTailLost(&f.Event); ok && from <= after && after <= to {
			begin = max(begin, from-1)
			return errResumed
		}
		return nil
	})
	var fault *Fault
	if err != nil && !errors.Is(err, errResumed) && !errors.As(err, &fault) { // Verify is there to name bad lines
		return 0, err
	}
	return begin, nil
}

var errResumed = errors.New("it is known where to go on")

// isMarked reports whether a line has a mark. One that cannot be read may have it.
func isMarked(dir string, names []string, seq uint64, mark string) bool {
	name := names[0]
	for _, n := range names {
		if first(n) <= seq {
			name = n
		}
	}
	same := true
	_ = eachLine(dir, name, func(l line) error { // what cannot be read is no reason to send everything again
		if l.seq == seq {
			same = markOf(l.mac) == mark
			return errResumed
		}
		return nil
	})
	return same
}

// Oldest is the number of the first line that is still there, or would be: retention has
// removed those before it. 0: there is no log yet.
func Oldest(dir string) (uint64, error) {
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	return first(names[0]), nil
}

// Newest is the number of the last whole line of a log; 0: it has none.
func Newest(dir string) (uint64, error) {
	names, err := segments(dir)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	name := names[len(names)-1]
	l, _, _, err := lastLine(dir, name)
	if err != nil {
		return 0, fmt.Errorf("find the end of the log: %w", err)
	}
	if l.seq == 0 {
		return first(name) - 1, nil
	}
	return l.seq, nil
}
