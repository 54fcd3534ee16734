package pavise

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
)

// A body that no layer keeps is looked through on its way: each scan is given what has come and is not
// handed on yet, and says how much of it may go. What could be the beginning of a parameter that names
// the method is held until it is known, so that a service which makes do with half a body never sees it.
// Nothing else is held; the memory for a body is some bytes, however long it is.

// scan looks for the parameter. Its state is that of the first byte that it has not let go.
type scan interface {
	// next returns how many bytes of p may go; found: those behind them begin the parameter. last: there
	// are no more.
	next(p []byte, last bool) (safe int, found bool)
}

// formScan reads application/x-www-form-urlencoded.
type formScan struct {
	within bool // a name that is another one, or a value
}

// longestName is how long a spelling of the parameter can be: every character is an escape, and one more
// tells that the name goes on.
const longestName = 3 * (len(methodParameter) + 1)

func (s *formScan) next(p []byte, last bool) (safe int, found bool) {
	i := 0
	for i < len(p) {
		if s.within {
			for i < len(p) && p[i] != '&' && p[i] != ';' {
				i++
			}
			if i == len(p) {
				break
			}
			i++
			s.within = false
			continue
		}
		for i < len(p) && (p[i] == ' ' || p[i] == '+') { // readers leave blanks before a name away
			i++
		}
		if i+3 <= len(p) && string(p[i:i+3]) == "%20" {
			i += 3
			continue
		}
		if i < len(p) && strings.IndexByte("_.[%", p[i]) < 0 { // nobody waits for the rest of another name
			s.within = true
			continue
		}
		end := i
		for end < len(p) && end-i < longestName && p[end] != '=' && p[end] != '&' && p[end] != ';' {
			end++
		}
		if end == len(p) && end-i < longestName && !last {
			return i, false
		}
		if end > i && isMethodParameter(string(unescape(strings.ReplaceAll(string(p[i:end]), "+", " ")))) {
			return i, true
		}
		i, s.within = end, true
	}
	return i, false
}

// partScan reads multipart/form-data, and what is alike. It does not look for boundaries, over which
// readers differ: whatever names itself a part's header is one, until an empty line.
type partScan struct {
	within bool // such a header
	before byte // the byte before those that next is given
}

const heldOfPart = 128 // bytes of a header, in which the name may have begun

func (s *partScan) next(p []byte, last bool) (safe int, found bool) {
	i := 0
	for {
		if !s.within {
			at := markOfPart(p[i:])
			if at < 0 {
				break
			}
			i, s.within = i+at, true
		}
		head, closed := p[i:], false
		if end := emptyLine(head); end >= 0 {
			head, closed = head[:end], true
		}
		before := s.before
		if i > 0 {
			before = p[i-1]
		}
		if namesMethod(head, before, closed || last) {
			return i, true
		}
		if !closed {
			break
		}
		i, s.within = i+len(head), false
	}
	safe = len(p)
	switch {
	case last:
	case s.within:
		safe = max(i, len(p)-heldOfPart)
	default:
		safe -= begunMark(p[i:])
	}
	if safe > 0 {
		s.before = p[safe-1]
	}
	return safe, false
}

// markOfPart is where the name of a header begins by which readers name a part (RFC 7578 §4.2; some take
// Content-ID as well), -1: nowhere.
func markOfPart(p []byte) int {
	const content = len("content")
	for i := 0; ; i++ {
		at := bytes.IndexByte(p[i:], '-')
		if at < 0 {
			return -1
		}
		if i += at; i < content || !strings.EqualFold(string(p[i-content:i]), "content") {
			continue
		}
		for _, rest := range []string{"-disposition", "-id"} {
			if len(p)-i >= len(rest) && strings.EqualFold(string(p[i:i+len(rest)]), rest) {
				return i - content
			}
		}
	}
}

// begunMark is how many bytes at the end of p may begin the name of such a header.
func begunMark(p []byte) int {
	for _, mark := range []string{"content-disposition", "content-id"} {
		for n := min(len(mark)-1, len(p)); n > 0; n-- {
			if strings.EqualFold(string(p[len(p)-n:]), mark[:n]) {
				return n
			}
		}
	}
	return 0
}

// emptyLine is where the line break before an empty line begins, -1: there is none.
func emptyLine(p []byte) int {
	lf, crlf := bytes.Index(p, []byte("\n\n")), bytes.Index(p, []byte("\n\r\n"))
	if lf < 0 || crlf >= 0 && crlf < lf {
		return crlf
	}
	return lf
}

// namesMethod reports whether a header holds the parameter's name by itself, in quotes or bare: not as part
// of a longer name, nor of the name of a file (_method.pdf). before is the byte before it; whole: what
// follows does not belong to it.
func namesMethod(head []byte, before byte, whole bool) bool {
	if !bytes.ContainsAny(head, "_.[%\\") {
		return false
	}
	text := bytes.ToLower(unescape(strings.ReplaceAll(string(head), `\`, ""))) // \_method is _method to some
	word := []byte(methodParameter[1:])
	for i := 0; ; i++ {
		at := bytes.Index(text[i:], word)
		if at < 0 {
			return false
		}
		i += at
		if i == 0 || bytes.IndexByte([]byte("_.["), text[i-1]) < 0 {
			continue
		}
		if i > 1 {
			before = text[i-2]
		}
		end := i + len(word)
		if !isNamePart(before) && (end < len(text) && !isNamePart(text[end]) && text[end] != '.' || end == len(text) && whole) {
			return true
		}
	}
}

func isNamePart(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' }

// jsonScan reads an object in JSON: Laravel takes its members for parameters.
type jsonScan struct {
	depth       int
	text, slash bool // within a text; behind a backslash there
	name        bool // a text is a member's name
	other       bool // the value is no object
}

// longestMember is how long the parameter's name can be in JSON: every character is an escape.
const longestMember = len(`"`) + 6*len(methodParameter) + len(`"`)

func (s *jsonScan) next(p []byte, last bool) (safe int, found bool) {
	if s.other {
		return len(p), false
	}
	for i := 0; i < len(p); i++ {
		c := p[i]
		if s.text {
			s.text, s.slash = s.slash || c != '"', !s.slash && c == '\\'
			continue
		}
		switch c {
		case '"':
			if s.depth == 1 && s.name {
				end := endOfText(p[i:])
				if end < 0 && len(p)-i < longestMember && !last {
					return i, false
				}
				var name string
				if end > 0 && bytes.ContainsAny(p[i:i+end], `_\`) && json.Unmarshal(p[i:i+end], &name) == nil && strings.EqualFold(name, methodParameter) {
					return i, true
				}
			}
			s.text = true
		case '{', '[':
			if s.depth++; s.depth == 1 {
				s.name, s.other = c == '{', c == '['
			}
		case '}', ']':
			s.depth--
		case ',':
			s.name = true
		case ':':
			s.name = false
		}
		if s.other {
			break
		}
	}
	return len(p), false
}

// endOfText is where a text in JSON ends that begins with p, -1: not yet.
func endOfText(p []byte) int {
	for i := 1; i < len(p) && i < longestMember; i++ {
		switch p[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// scanned hands a body on as scans let it go.
type scanned struct {
	io.ReadCloser

	scans []scan
	at    []int  // in held, where each scan stands
	held  []byte // read, and not handed on
	found error  // what Read ends with where the parameter begins
	err   error
	small []byte // let go, for a reader with little room
	room  []byte
}

// leastRoom is the shortest slice into which is read at once, in bytes.
const leastRoom = 1 << 10

// Read hands on what may go.
func (s *scanned) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.small) == 0 {
		if len(p) >= leastRoom {
			return s.read(p)
		}
		if s.room == nil {
			s.room = make([]byte, leastRoom)
		}
		n, err := s.read(s.room)
		if s.small = s.room[:n]; n == 0 {
			return 0, err
		}
	}
	n := copy(p, s.small)
	s.small = s.small[n:]
	return n, nil
}

func (s *scanned) read(p []byte) (int, error) {
	for s.err == nil {
		held := copy(p, s.held)
		n, err := s.ReadCloser.Read(p[held:])
		got := p[:held+n]
		safe, found := s.look(got, err != nil)
		switch {
		case found:
			s.held, s.err = nil, s.found
		case err == nil:
			s.held = append(s.held[:0], got[safe:]...)
		case err == io.EOF: //nolint:errorlint // as the contract of io.Reader has it
			safe, s.held, s.err = len(got), nil, err
		default:
			s.held, s.err = nil, err
		}
		if safe > 0 {
			return safe, nil
		}
	}
	return 0, s.err
}

// look is how much of p all scans let go.
func (s *scanned) look(p []byte, last bool) (safe int, found bool) {
	safe = len(p)
	for i, each := range s.scans {
		n, is := each.next(p[s.at[i]:], last)
		s.at[i] += n
		safe, found = min(safe, s.at[i]), found || is
	}
	for i := range s.at {
		s.at[i] -= safe
	}
	return safe, found
}
