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
//	{"seq":17,"ref":21,"event":{…},"salt":"…","mac":"…"}
//
// What the chain and the tree commit to is the line's form:
//
//	{"seq":17,"ref":21,"hash":"…"}
//
// where hash is the SHA-256 of the salt's 16 random bytes and the event. So an event can be
// taken away later, and whoever has the hash cannot find out by trying what it said, because
// the salt goes with it. What is left is a tombstone:
//
//	{"seq":17,"ref":21,"hash":"…","event":{…},"by":"…","mac":"…"}
//
// where event is what is not personal, or missing, and by is the id of the event that says
// why. mac is the HMAC-SHA-256, under the chain's key, of the line before's mac (32 zero
// bytes before the first) and of this line's form. A segment's name holds the number of its
// first line, so that the segments of a log have one order.

const (
	macSize       = 32
	segmentPrefix = "events-"
	segmentSuffix = ".jsonl"

	saltSize = 16
	markSize = 22 // of a salt, or the id of an erasure, in base64url

	// formSize bounds a line's form: two numbers of 20 digits, a hash, and names.
	formSize = 7 + 20 + 7 + 20 + 9 + 43 + 2

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

// line is one line of a segment, or its tombstone.
type line struct {
	seq, ref uint64
	event    []byte // nil: nothing is left of it
	salt     [saltSize]byte
	hash     [hashSize]byte // of a tombstone; else commit computes it
	by       string         // id of the event that says why it is a tombstone; empty: it is none
	mac      [macSize]byte
	withheld bool   // of an export: nothing but the form
	text     []byte // all of it, without the line break
}

// commit is the hash that the line's form holds.
func (l *line) commit() [hashSize]byte {
	if l.by != "" || l.withheld {
		return l.hash
	}
	return newLinker(nil).commitment(l.salt, l.event)
}

// appendForm appends what the chain and the tree commit to.
func appendForm(dst []byte, seq, ref uint64, hash [hashSize]byte) []byte {
	dst = append(appendNumbers(dst, seq, ref), `,"hash":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, hash[:])
	return append(dst, `"}`...)
}

func appendNumbers(dst []byte, seq, ref uint64) []byte {
	dst = append(dst, `{"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"ref":`...)
	return strconv.AppendUint(dst, ref, 10)
}

// appendLine appends a line with its event.
func appendLine(dst []byte, seq, ref uint64, event []byte, salt [saltSize]byte, mac [macSize]byte) []byte {
	dst = append(appendNumbers(dst, seq, ref), `,"event":`...)
	dst = append(append(dst, event...), `,"salt":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, salt[:])
	return appendMac(append(dst, '"'), mac)
}

// appendTombstone appends what stands in the place of a line. An empty event is left out.
func appendTombstone(dst []byte, l *line, event []byte, by string) []byte {
	hash := l.commit()
	dst = append(appendNumbers(dst, l.seq, l.ref), `,"hash":"`...)
	dst = append(base64.RawURLEncoding.AppendEncode(dst, hash[:]), '"')
	if len(event) > 0 {
		dst = append(append(dst, `,"event":`...), event...)
	}
	dst = append(append(dst, `,"by":"`...), by...)
	return appendMac(append(dst, '"'), l.mac)
}

// appendMac appends the rest of a line.
func appendMac(dst []byte, mac [macSize]byte) []byte {
	dst = append(dst, `,"mac":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, mac[:])
	return append(dst, "\"}\n"...)
}

var errNoLine = errors.New("it is no line of an event log")

// The ends of a line have one length: `,"mac":"`, the mac, `"}`; and the marks before it.
const (
	macField  = 8 + 43 + 2
	saltField = 9 + markSize + 1
	byField   = 7 + markSize + 1
	hashField = 9 + 43 + 1
)

// parseLine reads a line, without its line break, strictly. The event itself is
// not looked into. The result points into text.
func parseLine(text []byte) (l line, err error) {
	at := len(text) - macField
	if at < 0 || len(text) > maxLine || !bytes.HasPrefix(text[at:], []byte(`,"mac":"`)) || !bytes.HasSuffix(text, []byte(`"}`)) {
		return l, errNoLine
	}
	if !decodeMark(l.mac[:], text[at+8:len(text)-2]) {
		return l, errors.New("its mac is no mac")
	}
	l.text = text
	rest, ok := bytes.CutPrefix(text[:at], []byte(`{"seq":`))
	if !ok {
		return l, errNoLine
	}
	if l.seq, rest, ok = cutNumber(rest, `,"ref":`); !ok {
		return l, errors.New("it has no number")
	}
	if l.ref, rest, ok = cutNumber(rest, `,`); !ok {
		return l, errors.New("it has no reference")
	}
	if bytes.HasPrefix(rest, []byte(`"hash":"`)) {
		return l, l.parseTombstone(rest)
	}
	at = len(rest) - saltField
	if at < 0 || !bytes.HasPrefix(rest[at:], []byte(`,"salt":"`)) || !decodeMark(l.salt[:], rest[at+9:len(rest)-1]) || rest[len(rest)-1] != '"' {
		return l, errors.New("it has no salt")
	}
	return l, l.takeEvent(rest[:at])
}

// parseTombstone reads what stands between the reference and the mac.
func (l *line) parseTombstone(rest []byte) error {
	at := len(rest) - byField
	if at < hashField-1 || !bytes.HasPrefix(rest[at:], []byte(`,"by":"`)) || rest[len(rest)-1] != '"' || !isMark(rest[at+7:len(rest)-1]) {
		return errors.New("it has neither an event nor says who took it away")
	}
	l.by = string(rest[at+7 : len(rest)-1])
	hash := rest[len(`"hash":"`):at]
	if len(hash) < 44 || hash[43] != '"' || !decodeMark(l.hash[:], hash[:43]) {
		return errors.New("its hash is no hash")
	}
	if left := hash[44:]; len(left) > 0 {
		if left[0] != ',' {
			return errNoLine
		}
		return l.takeEvent(left[1:])
	}
	return nil
}

func (l *line) takeEvent(text []byte) error {
	event, ok := bytes.CutPrefix(text, []byte(`"event":`))
	if !ok || len(event) < 2 || len(event) > maxEvent || event[0] != '{' || event[len(event)-1] != '}' || bytes.IndexByte(event, '\n') >= 0 {
		return errors.New("it has no event")
	}
	l.event = event
	return nil
}

// decodeMark reads exactly as many bytes as dst has, in base64url.
func decodeMark(dst, text []byte) bool {
	var out [hashSize + 4]byte // Decode may touch more than it returns
	if len(text) != base64.RawURLEncoding.EncodedLen(len(dst)) || bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 {
		return false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(out[:], text)
	copy(dst, out[:])
	return err == nil && n == len(dst)
}

// isMark reports whether a text can be the id of an erasure.
func isMark(text []byte) bool {
	var mark [saltSize]byte
	return decodeMark(mark[:], text)
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
	l, _, err := r.nextWith(nil)
	return l, err
}

// nextWith is like next, but reads only the frame of a line that does not contain all the
// needles; possible is false then.
func (r *lineReader) nextWith(needles [][]byte) (l line, possible bool, err error) {
	text, err := r.lines.ReadSlice('\n')
	if errors.Is(err, io.EOF) {
		r.torn = text
		return line{}, false, io.EOF
	}
	r.number++
	r.offset += int64(len(text))
	if errors.Is(err, bufio.ErrBufferFull) {
		return line{}, false, r.skip()
	}
	if err != nil {
		return line{}, false, fmt.Errorf("read %s: %w", r.name, err)
	}
	text = text[:len(text)-1]
	for _, needle := range needles {
		if !bytes.Contains(text, needle) && bytes.HasPrefix(text, []byte(`{"seq":`)) && bytes.HasSuffix(text, []byte(`"}`)) {
			return line{}, false, nil
		}
	}
	if l, err = parseLine(text); err != nil {
		return line{}, false, &Fault{r.name, r.number, l.seq, err.Error()}
	}
	return l, true, nil
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
	return newLineReader(name, file).each(f)
}

// each calls f for every line that is left. Bad ones are passed over, as [eachLine] does.
func (r *lineReader) each(f func(line) error) error {
	var bad error
	for {
		l, err := r.next()
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
