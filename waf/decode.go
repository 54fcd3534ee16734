package waf

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// Bounds of decoding.
const (
	maxRounds = 3         // a text is decoded so many times, one coding within another
	maxBase64 = 256 << 10 // bytes of a value that is decoded from base64
	minBase64 = 4
)

// escapes are the marks without which decoding changes nothing.
const escapes = hasPercent | hasAmpersand | hasBackslash | hasWide

// variants calls each with a text and with what it decodes to: up to [maxRounds] rounds of
// escapes, and what base64 it is, with its own escapes. That is at most eight texts, none longer
// than the first, one after the other in t. It stops where each says so.
func (t *text) variants(s string, each func(*text) bool) {
	t.read(s, false)
	if !each(t) || !t.rounds(each) || t.have&hasOther != 0 {
		return
	}
	if plain, ok := unbase64(t.s); ok {
		t.read(plain, true)
		if each(t) {
			t.rounds(each)
		}
	}
}

// rounds takes escapes away until there are none, or it is enough, and reports whether to go on.
func (t *text) rounds(each func(*text) bool) bool {
	for range maxRounds {
		if t.have&escapes == 0 {
			return true
		}
		decoded, changed := unescape(t.s)
		if !changed {
			return true
		}
		t.read(decoded, true)
		if !each(t) {
			return false
		}
	}
	return true
}

// unescape takes one layer of every escape away that some reader of texts takes away: percent,
// entities of HTML, \u0027 and %u0027, wide and overlong forms of ASCII. All in one pass, since
// what an attacker wants is read somewhere by one of them, and what is harmless is harmless
// without its escapes too.
func unescape(s string) (string, bool) {
	at := firstEscape(s)
	if at < 0 {
		return s, false
	}
	out := make([]byte, at, len(s))
	copy(out, s)
	plus := strings.IndexByte(s, ' ') < 0 // a form's spaces
	for i := at; i < len(s); {
		r, n := escapeAt(s, i)
		switch {
		case n == 0 && s[i] == '+' && plus && s[at] == '%':
			out, i = append(out, ' '), i+1
		case n == 0:
			out, i = append(out, s[i]), i+1
		case r < 0: // a byte by itself
			out, i = append(out, byte(-r-1)), i+n
		default:
			out, i = utf8.AppendRune(out, r), i+n
		}
	}
	return string(out), true
}

func firstEscape(s string) int {
	for i := range len(s) {
		if c := s[i]; c == '%' || c == '&' || c == '\\' || c >= utf8.RuneSelf {
			if _, n := escapeAt(s, i); n > 0 {
				return i
			}
		}
	}
	return -1
}

// escapeAt reads the escape at i: the character that it stands for, and its length; 0 if there
// is none. A single byte b is -b-1.
func escapeAt(s string, i int) (r rune, n int) {
	switch c := s[i]; {
	case c == '%':
		return percentAt(s, i)
	case c == '&':
		return entityAt(s, i)
	case c == '\\':
		return backslashAt(s, i)
	case c >= utf8.RuneSelf:
		return wideAt(s, i)
	}
	return 0, 0
}

func percentAt(s string, i int) (rune, int) {
	if v, ok := hexadecimal(s, i+1, 2); ok {
		if v < utf8.RuneSelf {
			return v, 3
		}
		return -v - 1, 3
	}
	if i+1 < len(s) && s[i+1]|0x20 == 'u' {
		if v, ok := hexadecimal(s, i+2, 4); ok {
			return v, 6
		}
	}
	return 0, 0
}

// backslashAt reads \u0027, \u{27} and \x27.
func backslashAt(s string, i int) (rune, int) {
	if i+1 >= len(s) {
		return 0, 0
	}
	switch s[i+1] {
	case 'u', 'U':
		if v, ok := hexadecimal(s, i+2, 4); ok {
			return v, 6
		}
		if end := strings.IndexByte(ahead(s, i, 12), '}'); end > 3 && s[i+2] == '{' {
			if v, ok := hexadecimal(s, i+3, end-3); ok {
				return v, end + 1
			}
		}
	case 'x', 'X':
		if v, ok := hexadecimal(s, i+2, 2); ok && v < utf8.RuneSelf {
			return v, 4
		}
	}
	return 0, 0
}

func hexadecimal(s string, i, digits int) (v rune, ok bool) {
	if i+digits > len(s) || digits > 6 {
		return 0, false
	}
	for _, c := range []byte(s[i : i+digits]) {
		switch {
		case isDigit(c):
			v = v<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// entityAt reads &#39; &#x27; and those names whose character means something to a detector.
func entityAt(s string, i int) (rune, int) {
	rest := ahead(s, i+1, 14)
	if rest == "" {
		return 0, 0
	}
	if rest[0] != '#' {
		return namedAt(rest)
	}
	at, base := 1, rune(10)
	if len(rest) > 1 && rest[1]|0x20 == 'x' {
		at, base = 2, 16
	}
	begin, v := at, rune(0)
	for at < len(rest) && v < utf8.MaxRune {
		d, ok := hexadecimal(rest, at, 1)
		if !ok || d >= base {
			break
		}
		v, at = v*base+d, at+1
	}
	if at == begin || v > utf8.MaxRune {
		return 0, 0
	}
	if at < len(rest) && rest[at] == ';' { // browsers do without
		at++
	}
	return v, at + 1
}

func namedAt(rest string) (rune, int) {
	name := wordAt(rest, 0)
	r := rune(0)
	switch l := lower(name); string(l.bytes[:l.n]) {
	case "lt":
		r = '<'
	case "gt":
		r = '>'
	case "amp":
		r = '&'
	case "quot":
		r = '"'
	case "apos":
		r = '\''
	case "lpar":
		r = '('
	case "rpar":
		r = ')'
	case "colon":
		r = ':'
	case "semi":
		r = ';'
	case "sol":
		r = '/'
	case "bsol":
		r = '\\'
	case "lbrace", "lcub":
		r = '{'
	case "rbrace", "rcub":
		r = '}'
	case "dollar":
		r = '$'
	case "num":
		r = '#'
	case "equals":
		r = '='
	case "grave":
		r = '`'
	case "vert", "verbar":
		r = '|'
	case "period":
		r = '.'
	case "percnt":
		r = '%'
	case "ast":
		r = '*'
	case "tab":
		r = '\t'
	case "newline":
		r = '\n'
	case "nbsp":
		r = ' '
	}
	if r == 0 || len(name) >= len(rest) || rest[len(name)] != ';' {
		return 0, 0 // without the semicolon it is a parameter of an address
	}
	return r, len(name) + 2
}

// wideAt folds what some readers take for an ASCII character: full width forms, other dots,
// slashes and apostrophes, and UTF-8 that is longer than it should be.
func wideAt(s string, i int) (rune, int) {
	if c := s[i]; c == 0xC0 || c == 0xC1 {
		if i+1 < len(s) && s[i+1]&0xC0 == 0x80 {
			return rune(c&1)<<6 | rune(s[i+1]&0x3F), 2
		}
		return 0, 0
	}
	if s[i] == 0xE0 && i+2 < len(s) && s[i+1]&0xFE == 0x80 && s[i+2]&0xC0 == 0x80 {
		return rune(s[i+1]&1)<<6 | rune(s[i+2]&0x3F), 3
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	switch {
	case r >= 0xFF01 && r <= 0xFF5E:
		return r - 0xFF01 + '!', n
	case r == 0x3000, r == 0x00A0, r == 0x2028, r == 0x2029:
		return ' ', n
	case r == 0x2024, r == 0xFE52:
		return '.', n
	case r == 0x2215, r == 0x2044:
		return '/', n
	case r == 0x2216:
		return '\\', n
	case r == 0x02B9, r == 0x02BC, r == 0x2032:
		return '\'', n
	case r == 0x02BA, r == 0x2033:
		return '"', n
	case r == 0xFE64:
		return '<', n
	case r == 0xFE65:
		return '>', n
	}
	return 0, 0
}

// unbase64 decodes a value that is base64 as a whole, in either alphabet, padded or not, and
// of which every byte decodes to text.
func unbase64(s string) (string, bool) {
	s = strings.TrimRight(s, "=")
	if len(s) < minBase64 || len(s) > maxBase64 || len(s)%4 == 1 {
		return "", false
	}
	coding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		coding = base64.RawURLEncoding
	}
	if !beginsPrintable(s) {
		return "", false // words, pictures and keys end here
	}
	out, err := coding.DecodeString(s)
	if err != nil || !isPrintable(string(out)) {
		return "", false
	}
	return string(out), true
}

// beginsPrintable reports whether the first bytes that base64 decodes to can be those of a text.
func beginsPrintable(s string) bool {
	for i := 0; i+3 < len(s) && i < 32; i += 4 {
		v := sextet(s[i])<<18 | sextet(s[i+1])<<12 | sextet(s[i+2])<<6 | sextet(s[i+3])
		for _, c := range [...]byte{byte(v >> 16), byte(v >> 8), byte(v)} {
			if c < ' ' && !isSpace(c) && c != 0 || c == 0x7f || c >= 0xf5 {
				return false
			}
		}
	}
	return true
}

func sextet(c byte) uint32 {
	switch {
	case c >= 'A' && c <= 'Z':
		return uint32(c - 'A')
	case c >= 'a' && c <= 'z':
		return uint32(c - 'a' + 26)
	case isDigit(c):
		return uint32(c - '0' + 52)
	case c == '+' || c == '-':
		return 62
	}
	return 63
}

// isPrintable reports whether a text has only characters that people read.
func isPrintable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || r < ' ' && !isSpace(byte(r)) && r != 0 || r == 0x7f {
			return false
		}
	}
	return true
}
