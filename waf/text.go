package waf

import (
	"strings"
	"unicode/utf8"
)

// text is a text as the detectors see it: as it came, or decoded.
type text struct {
	*tables
	s       string
	have    mark
	decoded bool // it was written in another way
	sql     sqlTokens
	closing int // the next bracket that closes an expression, from where one was looked for
	checked int // up to where expressions have been searched
	steps   int // bytes that scanners have passed; tests hold that it grows with the text alone
}

// grade is how sure a detector is.
type grade int

const (
	none  grade = iota
	faint       // it could be harmless: refused at level high
	plain       // harmless texts hardly look so: refused at level default
	sure        // nothing harmless looks so: refused at every level
)

// mark is a set of characters that a text has. It says at once which detectors have nothing to
// look for.
type mark uint32

const (
	hasQuote mark = 1 << iota
	hasDouble
	hasTick
	hasSemicolon
	hasPipe
	hasAmpersand
	hasDollar
	hasParenthesis
	hasAngle
	hasBrace
	hasPercent
	hasBackslash
	hasSlash
	hasDot
	hasColon
	hasBreak
	hasNul
	hasWide // beyond ASCII
	hasBlank
	hasUnderscore
	hasOther // what base64 has not
)

// tables are what the detectors look words and characters up in, made once.
type tables struct {
	marks        [256]mark
	sqlWords     map[string]string // words that mean something, to themselves
	sqlFunctions map[string]grade
	commands     map[string]command
}

func newTables() *tables {
	t := &tables{sqlWords: map[string]string{}, sqlFunctions: map[string]grade{}, commands: map[string]command{}}
	t.mark()
	for word := range strings.FieldsSeq(sqlWords) {
		t.sqlWords[word] = word
	}
	for word := range strings.FieldsSeq(sqlFunctions) {
		t.sqlFunctions[word] = plain
	}
	for word := range strings.FieldsSeq(sqlOwnFunctions) {
		t.sqlFunctions[word] = sure
	}
	for word := range strings.FieldsSeq(commandsAlone) {
		t.commands[word] = isCommand
	}
	for word := range strings.FieldsSeq(commandsAsWords) {
		t.commands[word] = isWordToo
	}
	return t
}

func (t *tables) mark() {
	m := &t.marks
	for c := range m {
		switch {
		case c >= utf8.RuneSelf:
			m[c] = hasWide
		case isAlphanumeric(byte(c)), strings.IndexByte("+/-_=", byte(c)) >= 0:
		default:
			m[c] = hasOther
		}
	}
	for chars, bit := range map[string]mark{
		"'": hasQuote, `"`: hasDouble, "`": hasTick, ";": hasSemicolon, "|": hasPipe, "&": hasAmpersand, "$": hasDollar,
		"()": hasParenthesis, "<>": hasAngle, "{}": hasBrace, "%": hasPercent, `\`: hasBackslash, "/": hasSlash, ".": hasDot,
		":": hasColon, "\r\n": hasBreak, "\x00": hasNul, " \t": hasBlank, "_": hasUnderscore,
	} {
		for _, c := range []byte(chars) {
			m[c] |= bit
		}
	}
}

// read begins with another text. What the earlier one held is used again.
func (t *text) read(s string, decoded bool) {
	var all mark
	for i := range len(s) {
		all |= t.marks[s[i]]
	}
	t.s, t.have, t.decoded = s, all, decoded
	t.closing, t.checked, t.steps = 0, 0, 0
}

func isAlphanumeric(c byte) bool { return isLetter(c) || isDigit(c) }
func isLetter(c byte) bool       { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool        { return c >= '0' && c <= '9' }
func isWordByte(c byte) bool     { return isAlphanumeric(c) || c == '_' || c >= utf8.RuneSelf }

// isSpace reports what separates words for most readers, vertical tabs and form feeds too.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// lowered is a word in small letters, without memory of its own. Longer words than any that is
// looked for are cut off, and are none of them.
type lowered struct {
	bytes [24]byte
	n     int
}

func lower(word string) (l lowered) {
	if len(word) > len(l.bytes) {
		return l
	}
	for i := range len(word) {
		c := word[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		l.bytes[i] = c
	}
	l.n = len(word)
	return l
}

// hasPrefixFold reports whether s begins with prefix, which is in small letters.
func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// hasSuffixFold reports whether s ends with suffix, which is in small letters.
func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && hasPrefixFold(s[len(s)-len(suffix):], suffix)
}

// indexFold finds a text in small letters, whatever the case of s. The first byte of what is
// looked for should be rare.
func indexFold(s, small string) int {
	first := small[0]
	for from := 0; ; {
		var at int
		if isLetter(first) {
			at = indexLetter(s[from:], first)
		} else {
			at = strings.IndexByte(s[from:], first)
		}
		if at < 0 {
			return -1
		}
		if from += at; hasPrefixFold(s[from:], small) {
			return from
		}
		from++
	}
}

func indexLetter(s string, small byte) int {
	for i := range len(s) {
		if s[i]|0x20 == small {
			return i
		}
	}
	return -1
}

func containsFold(s, small string) bool { return indexFold(s, small) >= 0 }

// skipSpace is the first place from i on where no space is.
func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// wordAt is the word that begins at i.
func wordAt(s string, i int) string {
	end := i
	for end < len(s) && isWordByte(s[end]) {
		end++
	}
	return s[i:end]
}

// ahead is what follows a place, as far as detectors look ahead of one.
func ahead(s string, i, most int) string { return s[i:min(len(s), i+most)] }
