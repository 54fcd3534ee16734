package graphql

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner goes through a document's tokens (GraphQL §2.1), before anything is built of them. It
// is strict where readers differ: which one ends a string elsewhere reads another document.
type scanner struct {
	text string
	at   int
}

// Kinds of tokens: punctuators are their first character.
const (
	endToken    = 0
	nameToken   = 'a'
	numberToken = '1'
	textToken   = '"'
)

// scan counts tokens and brackets.
func scan(text string, most int) *fault {
	s := scanner{text: text}
	depth := 0
	for n := 0; ; n++ {
		kind, comments, err := s.next()
		switch n += comments; {
		case err != nil:
			return broken("form", "line %d of the document: %v", 1+strings.Count(text[:min(s.at, len(text))], "\n"), err)
		case n > most:
			return broken("tokens", "more than %d tokens", most)
		}
		switch kind {
		case endToken:
			return nil
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		}
		if depth > maxNesting {
			return broken("depth", "brackets are nested deeper than %d", maxNesting)
		}
	}
}

// next reads a token, and says how many comments stand before it.
func (s *scanner) next() (kind byte, comments int, err error) {
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',':
			s.at++
		case strings.HasPrefix(s.text[s.at:], "\ufeff"):
			s.at += len("\ufeff")
		case c == '#':
			comments++
			if err := s.comment(); err != nil {
				return 0, comments, err
			}
		case c == '"':
			return textToken, comments, s.string()
		case isNameStart(c):
			for s.at < len(s.text) && (isNameStart(s.text[s.at]) || isDigit(s.text[s.at])) {
				s.at++
			}
			return nameToken, comments, nil
		case isDigit(c) || c == '-':
			return numberToken, comments, s.number()
		case strings.HasPrefix(s.text[s.at:], "..."):
			s.at += 3
			return '.', comments, nil
		case strings.IndexByte("!$&():=@[]{|}", c) >= 0:
			s.at++
			return c, comments, nil
		default:
			return 0, comments, errors.New("what is no token")
		}
	}
	return endToken, comments, nil
}

func isNameStart(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool     { return c >= '0' && c <= '9' }

var errControl = errors.New("a control character")

func (s *scanner) comment() error {
	for s.at < len(s.text) && s.text[s.at] != '\n' && s.text[s.at] != '\r' {
		if c := s.text[s.at]; c < ' ' && c != '\t' {
			return errControl
		}
		s.at++
	}
	return nil
}

// number reads a number, which nothing may touch that could go on with it (§2.9.1).
func (s *scanner) number() error {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return errors.New("what is no number")
	}
	if s.take('.') && !s.digits() {
		return errors.New("a number without digits after its point")
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return errors.New("a number without digits in its exponent")
		}
	}
	if s.at < len(s.text) && (isDigit(s.text[s.at]) || isNameStart(s.text[s.at]) || s.text[s.at] == '.') {
		return errors.New("a number that goes on as something else")
	}
	return nil
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	return s.at > start
}

var errOpen = errors.New("a string that does not end")

func (s *scanner) string() error {
	if strings.HasPrefix(s.text[s.at:], `"""`) {
		return s.block()
	}
	s.at++
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c == '\n' || c == '\r':
			return errOpen
		case c < ' ' && c != '\t':
			return errControl
		default:
			s.at++
		}
	}
	return errOpen
}

// block reads a block string. It ends with its first three quotes; where more stand together,
// some readers take the last three, so that neither is read.
func (s *scanner) block() error {
	s.at += 3
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, `\"""`):
			s.at += 4
		case strings.HasPrefix(rest, `"""`):
			s.at += 3
			if s.at < len(s.text) && s.text[s.at] == '"' {
				return errors.New("a string that ends with more than three quotes")
			}
			return nil
		case c < ' ' && c != '\t' && c != '\n' && c != '\r':
			return errControl
		default:
			s.at++
		}
	}
	return errOpen
}

var errEscape = errors.New("an escape that is none")

func (s *scanner) escape() error {
	s.at++
	if s.at >= len(s.text) {
		return errOpen
	}
	c := s.text[s.at]
	s.at++
	if strings.IndexByte(`"\/bfnrt`, c) >= 0 {
		return nil
	}
	if c != 'u' {
		return errEscape
	}
	if s.take('{') {
		end := strings.IndexByte(s.text[s.at:], '}')
		if end < 1 || end > 8 {
			return errEscape
		}
		r, err := codePoint(s.text[s.at : s.at+end])
		s.at += end + 1
		if err != nil || !utf8.ValidRune(r) {
			return errEscape
		}
		return nil
	}
	r, err := s.four()
	if err != nil || !utf16.IsSurrogate(r) {
		return err
	}
	if !s.take('\\') || !s.take('u') {
		return errEscape
	}
	low, err := s.four()
	if err != nil || utf16.DecodeRune(r, low) == utf8.RuneError {
		return errEscape
	}
	return nil
}

func (s *scanner) four() (rune, error) {
	if len(s.text)-s.at < 4 {
		return 0, errEscape
	}
	s.at += 4
	return codePoint(s.text[s.at-4 : s.at])
}

func codePoint(text string) (rune, error) {
	if strings.ContainsAny(text, "+-_") {
		return 0, errEscape
	}
	n, err := strconv.ParseUint(text, 16, 31)
	return rune(n), err
}
