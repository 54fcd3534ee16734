package audit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A segment is a file of lines. Each line is
//
//	{"seq":17,"ref":21,"event":{…},"mac":"…"}
//
// where mac is the HMAC-SHA-256, under the chain's key, of the line before's mac
// (32 zero bytes before the first) and of this line up to `,"mac"`. A segment's
// name holds the number of its first line, so that the segments of a log have one
// order.

const (
	macSize       = 32
	segmentPrefix = "events-"
	segmentSuffix = ".jsonl"

	// maxLine bounds what is read as one line, in bytes.
	maxLine = maxEvent + 512
)

func ringFile(dir string) string { return filepath.Join(dir, ringName) }

// segmentName is the name of the segment whose first line is number seq.
func segmentName(seq uint64) string {
	return fmt.Sprintf("%s%020d%s", segmentPrefix, seq, segmentSuffix)
}

// segmentFirst is the number in a segment's name.
func segmentFirst(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(name, segmentPrefix), segmentSuffix)
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0 && segmentName(n) == name
}

// segments returns the names of the segments, oldest first. A folder that is not
// there has none.
func segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the segments: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, ok := segmentFirst(entry.Name()); ok && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// first is the number of a listed segment's first line.
func first(name string) uint64 {
	n, _ := segmentFirst(name) // segments listed it
	return n
}

// line is one line of a segment.
type line struct {
	seq, ref uint64
	event    []byte
	body     []byte // what the mac covers
	mac      [macSize]byte
}

// appendLine appends a line up to its mac.
func appendLine(dst []byte, seq, ref uint64, event []byte) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"ref":`...)
	dst = strconv.AppendUint(dst, ref, 10)
	dst = append(dst, `,"event":`...)
	return append(dst, event...)
}

// appendMac appends the rest of a line.
func appendMac(dst []byte, mac [macSize]byte) []byte {
	dst = append(dst, `,"mac":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, mac[:])
	return append(dst, "\"}\n"...)
}

var errNoLine = errors.New("it is no line of an event log")

// macField is how long the end of a line is: `,"mac":"`, the mac, `"}`.
const macField = 8 + 43 + 2

// parseLine reads a line, without its line break, strictly. The event itself is
// not looked into. The result points into text.
func parseLine(text []byte) (l line, err error) {
	at := len(text) - macField
	if at < 0 || len(text) > maxLine || !bytes.HasPrefix(text[at:], []byte(`,"mac":"`)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return l, errNoLine
	}
	var mac [macSize + 1]byte // Decode may touch one more
	n, err := base64.RawURLEncoding.Strict().Decode(mac[:], text[at+8:len(text)-2])
	if err != nil || n != macSize {
		return l, errors.New("its mac is no mac")
	}
	l.mac, l.body = [macSize]byte(mac[:macSize]), text[:at]
	rest, ok := bytes.CutPrefix(l.body, []byte(`{"seq":`))
	if !ok {
		return l, errNoLine
	}
	if l.seq, rest, ok = cutNumber(rest, `,"ref":`); !ok {
		return l, errors.New("it has no number")
	}
	if l.ref, rest, ok = cutNumber(rest, `,"event":`); !ok {
		return l, errors.New("it has no reference")
	}
	if len(rest) < 2 || rest[0] != '{' || rest[len(rest)-1] != '}' || bytes.IndexByte(rest, '\n') >= 0 {
		return l, errors.New("it has no event")
	}
	l.event = rest
	return l, nil
}

// cutNumber reads a number as strconv writes it, and what must stand behind it.
func cutNumber(text []byte, behind string) (n uint64, rest []byte, ok bool) {
	digits, rest, ok := bytes.Cut(text, []byte(behind))
	if !ok || len(digits) == 0 || len(digits) > 20 || digits[0] == '+' || digits[0] == '0' && len(digits) > 1 {
		return 0, nil, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 64)
	return n, rest, err == nil
}

// lineReader reads a segment line by line, in bounded memory.
type lineReader struct {
	name   string
	lines  *bufio.Reader
	number int   // of the line that was read last, from 1
	offset int64 // behind it
	torn   []byte
}

func newLineReader(name string, r io.Reader) *lineReader {
	return &lineReader{name: name, lines: bufio.NewReaderSize(r, max(maxLine+1, 64<<10))}
}

// next returns the next line, io.EOF behind the last (an unfinished one is then in
// torn), or a [Fault]. After a Fault it may be called again: it goes on behind the
// bad line. The line is valid until the next call.
func (r *lineReader) next() (line, error) {
	text, err := r.lines.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		r.torn = text
		return line{}, io.EOF
	}
	r.number++
	r.offset += int64(len(text))
	if errors.Is(err, bufio.ErrBufferFull) {
		return line{}, r.skip()
	}
	if err != nil {
		return line{}, fmt.Errorf("read %s: %w", r.name, err)
	}
	l, err := parseLine(text[:len(text)-1])
	if err != nil {
		return line{}, &Fault{r.name, r.number, l.seq, err.Error()}
	}
	return l, nil
}

// skip passes over the rest of a line that is too long.
func (r *lineReader) skip() error {
	for {
		text, err := r.lines.ReadSlice('\n')
		r.offset += int64(len(text))
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return &Fault{r.name, r.number, 0, fmt.Sprintf("it is longer than %d bytes", maxLine)}
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read %s: %w", r.name, err)
		}
	}
}

// eachLine calls f for every line of a segment; an unfinished last line is left
// out. Bad lines are passed over; the first is returned as a [Fault], unless f
// returns an error first.
func eachLine(dir, name string, f func(line) error) error {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := newLineReader(name, file)
	var bad error
	for {
		l, err := lines.next()
		var fault *Fault
		switch {
		case errors.Is(err, io.EOF):
			return bad
		case errors.As(err, &fault):
			if bad == nil {
				bad = fault
			}
		case err != nil:
			return err
		default:
			if err := f(l); err != nil {
				return err
			}
		}
	}
}
