package edge

import (
	"bytes"
	"encoding/binary"
)

// scanner follows the bytes of one HTTP/1.1 connection: it checks the grammar of
// every head (RFC 9112 §2–§5, without leniency) and follows the framing of
// every body (§6, §7), so that it knows at each byte to which request it belongs. It
// changes nothing. The same bytes get the same verdict however they are split.
//
// A line is checked when it is complete, so there is one grammar and not a second
// one for the pieces; what came of an unfinished line waits in line.
type scanner struct {
	lim   *Limits
	state state
	line  []byte // the beginning of a line whose end has not come yet

	size   int // bytes so far of this head, or of this trailer section
	fields int // header or trailer fields so far
	seen   field
	left   int64 // bytes still to come of the body, or of the chunk
	digits int   // of the chunk size

	declared []byte // value of the Trailer field
}

// state is where in a message the next byte belongs.
type state uint8

const (
	inRequestLine state = iota
	inFields
	inBody      // of Content-Length
	inChunkSize // the framing of a chunked body: framing.go
	inChunkSizeLF
	inChunk
	inChunkCR
	inChunkLF
	inTrailers
)

// field is a set of the header fields that framing depends on.
type field uint8

const (
	hasHost field = 1 << iota
	hasLength
	hasChunked
	hasTrailer
	hasExpect
	isOld // HTTP/1.0
)

// fresh says that not one byte of the next request has been seen.
func (s *scanner) fresh() bool { return s.state == inRequestLine && len(s.line) == 0 }

// inHead says that the head of a request is not complete.
func (s *scanner) inHead() bool { return s.state <= inFields }

// next looks at b and says how many of its bytes belong to the current request:
// all, unless it ends within them, which done tells. After a reject the scanner
// is of no more use.
func (s *scanner) next(b []byte) (used int, done bool, bad *reject) {
	for used < len(b) {
		n := 0
		switch s.state {
		case inRequestLine, inFields, inTrailers:
			n, done, bad = s.nextLine(b[used:])
		default:
			n, done, bad = s.nextBody(b[used:])
		}
		used += n
		if bad != nil || done {
			break
		}
	}
	if done {
		s.reset()
	}
	return used, done, bad
}

// reset makes ready for the next request. What one large head needed is not
// kept for the life of the connection.
func (s *scanner) reset() {
	line, declared := s.line[:0], s.declared[:0]
	if cap(line) > 4096 {
		line = nil
	}
	*s = scanner{lim: s.lim, line: line, declared: declared}
}

// nextLine takes one line, or what there is of it.
func (s *scanner) nextLine(b []byte) (n int, done bool, bad *reject) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		s.line = append(s.line, b...)
		return len(b), false, s.checkSize(s.line)
	}
	line := b[:end+1]
	if len(s.line) > 0 {
		s.line = append(s.line, line...)
		line, s.line = s.line, s.line[:0]
	}
	if bad := s.checkSize(line); bad != nil {
		return end + 1, false, bad
	}
	s.size += len(line)
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return end + 1, false, s.badLine("a line ends with LF alone")
	}
	done, bad = s.takeLine(line[:len(line)-2])
	return end + 1, done, bad
}

// checkSize refuses a line, complete or not, that makes its section too large.
func (s *scanner) checkSize(line []byte) *reject {
	switch {
	case s.state == inRequestLine && !class[line[0]].is(tchar):
		return &reject{BadRequestLine, 400, "the first byte is not one of a method"}
	case s.state == inRequestLine && len(line) > s.lim.RequestLine:
		return &reject{PathTooLong, 414, "the request line is too long"}
	case s.state == inTrailers && s.size+len(line) > maxTrailer:
		return &reject{HeadersTooLarge, 431, "the trailer section is too large"}
	case s.size+len(line) > s.lim.Head:
		return &reject{HeadersTooLarge, 431, "the head is too large"}
	}
	return nil
}

// badLine is a reject with the code of the section in which the line stands.
func (s *scanner) badLine(detail string) *reject {
	if s.state == inRequestLine {
		return &reject{BadRequestLine, 400, detail}
	}
	return &reject{BadHeader, 400, detail}
}

// takeLine checks a line without its CRLF and moves to the next state.
func (s *scanner) takeLine(line []byte) (done bool, bad *reject) {
	switch {
	case s.state == inRequestLine:
		s.state = inFields
		return false, s.takeRequestLine(line)
	case len(line) == 0 && s.state == inTrailers:
		return true, nil
	case len(line) == 0:
		return s.endHead()
	}
	if s.fields++; s.fields > s.lim.Fields || s.state == inTrailers && s.fields > maxTrailerFields {
		return false, &reject{HeadersTooLarge, 431, "there are too many fields"}
	}
	name, value, bad := splitField(line)
	if bad != nil {
		return false, bad
	}
	if s.state == inTrailers {
		return false, s.takeTrailer(name)
	}
	return false, s.takeField(name, value)
}

// takeRequestLine checks the first line. HTTP/1.0 has no Host and no transfer codings.
func (s *scanner) takeRequestLine(line []byte) *reject {
	if rest, old := bytes.CutSuffix(line, []byte(" HTTP/1.0")); old && s.lim.http10 {
		s.seen |= isOld
		line = append(rest[:len(rest):len(rest)], " HTTP/1.1"...)
	}
	return checkRequestLine(line)
}

// checkRequestLine holds RFC 9112 §3: one space each, a method, a target in
// origin-form, HTTP/1.1.
func checkRequestLine(line []byte) *reject {
	end := bytes.IndexByte(line, ' ')
	if end < 1 || end > maxMethod || !all(line[:end], tchar) {
		return &reject{BadRequestLine, 400, "the method is not a token of at most 32 bytes"}
	}
	if string(line[:end]) == "CONNECT" {
		return &reject{RefusedUpgrade, 400, "CONNECT is for proxies"}
	}
	line = line[end+1:]
	end = bytes.IndexByte(line, ' ')
	if end < 0 {
		return &reject{BadRequestLine, 400, "there is no version"}
	}
	target, version := line[:end], line[end+1:]
	if bad := checkTarget(target); bad != nil {
		return bad
	}
	if string(version) == "HTTP/1.1" {
		return nil
	}
	if len(version) == 8 && string(version[:5]) == "HTTP/" && isDigit(version[5]) && version[6] == '.' && isDigit(version[7]) {
		return &reject{BadVersion, 505, "the version is not HTTP/1.1"}
	}
	return &reject{BadRequestLine, 400, "the version is malformed"}
}

// checkTarget holds the origin-form of RFC 9112 §3.2.1 as far as net/http cannot
// be left alone with it: printable ASCII without a fragment, and whole escapes in
// the path. The canonical form is the door's question, for HTTP/2 has it too.
func checkTarget(target []byte) *reject {
	if len(target) == 0 || target[0] != '/' {
		return &reject{BadRequestLine, 400, "the target is not in origin-form"}
	}
	if !all(target, visible) {
		return &reject{BadRequestLine, 400, "the target has a byte that no target may have"}
	}
	path, _, _ := bytes.Cut(target, []byte{'?'})
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return nil
		}
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return &reject{BadRequestLine, 400, "the path has a broken escape"}
		}
		path = path[i+3:]
	}
}

// splitField holds RFC 9112 §5: a token, a colon at once, a value without
// control characters. A folded line (§5.2) starts with white space and so has no
// name.
func splitField(line []byte) (name, value []byte, bad *reject) {
	i := 0
	for i < len(line) && class[line[i]].is(tchar) {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return nil, nil, &reject{BadHeader, 400, "a field's name is not a token with a colon right after it"}
	}
	name, value = line[:i], line[i+1:]
	if !isValue(value) {
		return nil, nil, &reject{BadHeader, 400, "a field's value has a control character"}
	}
	return name, bytes.Trim(value, " \t"), nil
}

// takeField looks at those header fields that decide about framing, or that
// net/http would answer for by itself.
func (s *scanner) takeField(name, value []byte) *reject {
	switch {
	case is(name, "host"):
		return s.takeHost(value)
	case is(name, "content-length"), is(name, "transfer-encoding"), is(name, "trailer"):
		return s.takeFraming(name, value)
	case is(name, "expect"):
		if s.seen&hasExpect != 0 || !is(value, "100-continue") {
			return &reject{BadExpectation, 417, "the expectation is not 100-continue"}
		}
		s.seen |= hasExpect
	case is(name, "http2-settings"):
		return &reject{RefusedUpgrade, 400, "an upgrade to HTTP/2 without TLS is asked for"}
	case is(name, "upgrade"):
		for token := range bytes.SplitSeq(value, []byte{','}) {
			if is(bytes.Trim(token, " \t"), "h2c") {
				return &reject{RefusedUpgrade, 400, "an upgrade to HTTP/2 without TLS is asked for"}
			}
		}
	}
	return nil
}

// takeHost holds RFC 9112 §3.2: exactly one Host, valid, and never empty.
func (s *scanner) takeHost(value []byte) *reject {
	if s.seen&hasHost != 0 {
		return &reject{BadHost, 400, "there is more than one Host"}
	}
	s.seen |= hasHost
	if !isHost(value) {
		return &reject{BadHost, 400, "Host is not a name or address with an optional port"}
	}
	return nil
}

// isHost holds host and port of RFC 3986 §3.2.2, without escapes and
// sub-delimiters: no name that a certificate can carry has them.
func isHost(b []byte) bool {
	name, port := b, []byte(nil)
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 3 || !all(b[1:end], address) {
			return false
		}
		name, port = b[:end+1], b[end+1:]
	} else if i := bytes.IndexByte(b, ':'); i >= 0 {
		name, port = b[:i], b[i:]
	}
	if len(name) == 0 || len(name) > 255 || name[0] != '[' && !all(name, hostname) {
		return false
	}
	if len(port) == 0 {
		return true
	}
	return port[0] == ':' && len(port) >= 2 && len(port) <= 6 && all(port[1:], digit)
}

// kind is a set of grammars in which a byte may stand.
type kind uint8

const (
	tchar    kind = 1 << iota // RFC 9110 §5.6.2
	visible                   // in a target: VCHAR without the fragment's mark
	hostname                  // letters, digits, "-", ".", "_"
	address                   // inside the brackets of an IPv6 address
	digit
	hexadecimal
	text // field-vchar, obs-text, SP and HTAB
)

func (k kind) is(want kind) bool { return k&want != 0 }

var class = classes()

func classes() (t [256]kind) {
	set := func(chars string, k kind) {
		for i := range len(chars) {
			t[chars[i]] |= k
		}
	}
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	set(digits+letters+"!#$%&'*+-.^_`|~", tchar)
	set(digits+letters+"-._", hostname)
	set(digits+"abcdefABCDEF:.", address)
	set(digits, digit)
	set(digits+"abcdefABCDEF", hexadecimal)
	for b := 0x21; b <= 0x7e; b++ {
		t[b] |= visible | text
	}
	t['#'] &^= visible
	for b := 0x80; b <= 0xff; b++ {
		t[b] |= text
	}
	set(" \t", text)
	return t
}

func isDigit(b byte) bool { return class[b].is(digit) }
func isHex(b byte) bool   { return class[b].is(hexadecimal) }

func all(b []byte, k kind) bool {
	for _, c := range b {
		if class[c]&k == 0 {
			return false
		}
	}
	return true
}

// isValue is all(b, text), eight bytes at a time: a byte below 0x20 or equal to
// 0x7f sends its word to the slow look.
func isValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b)
		low := (w - ones*0x20) & ^w
		del := w ^ ones*0x7f
		if (low|(del-ones)&^del)&highs != 0 && !all(b[:8], text) {
			return false
		}
		b = b[8:]
	}
	return all(b, text)
}

// is compares with a lower-case word, without regard to ASCII case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
