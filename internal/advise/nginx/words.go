package nginx

import (
	"fmt"
	"strings"
)

// kind is what a token is.
type kind string

const (
	word      kind = "word"
	semicolon kind = ";"
	opening   kind = "{"
	closing   kind = "}"
	endOfFile kind = "end of file"
)

// token is a word, or what stands between words.
type token struct {
	kind kind
	text string
	line int
}

// words takes a text apart as nginx does: blanks end a word, so do ; { and }, but not the brace of
// ${name}; quotes hold blanks; a backslash takes the next character as it is, but for \t, \r, \n.
type words struct {
	file string
	text []byte
	at   int
	line int
}

func (w *words) fault(format string, args ...any) error {
	return &Error{w.file, w.line, fmt.Sprintf(format, args...)}
}

// skip passes over blanks and comments.
func (w *words) skip() {
	for w.at < len(w.text) {
		switch c := w.text[w.at]; {
		case c == '\n':
			w.line++
		case c == ' ' || c == '\t' || c == '\r':
		case c == '#':
			for w.at < len(w.text) && w.text[w.at] != '\n' {
				w.at++
			}
			continue
		default:
			return
		}
		w.at++
	}
}

func (w *words) next() (token, error) {
	w.skip()
	if w.at == len(w.text) {
		return token{endOfFile, "", w.line}, nil
	}
	switch c := w.text[w.at]; c {
	case ';', '{', '}':
		w.at++
		return token{kind(c), "", w.line}, nil
	case '"', '\'':
		return w.quoted(c)
	}
	return w.bare()
}

// quoted reads a word in quotes. What follows must end it, as nginx demands.
func (w *words) quoted(quote byte) (token, error) {
	line := w.line
	w.at++
	var b strings.Builder
	for w.at < len(w.text) {
		switch c := w.text[w.at]; c {
		case quote:
			w.at++
			if w.at < len(w.text) && !strings.ContainsRune(" \t\r\n;{)", rune(w.text[w.at])) {
				return token{}, w.fault("after a word in quotes stands a blank, ; or {")
			}
			if w.at < len(w.text) && w.text[w.at] == ')' { // if ($a = "b")
				b.WriteByte(')')
				w.at++
			}
			return token{word, b.String(), line}, nil
		case '\\':
			w.escaped(&b)
		case 0:
			return token{}, w.fault("a byte that is no text")
		default:
			if c == '\n' {
				w.line++
			}
			b.WriteByte(c)
			w.at++
		}
		if b.Len() > maxWord {
			return token{}, w.fault("a word of more than %d bytes", maxWord)
		}
	}
	return token{}, &Error{w.file, line, "the quote is not closed"}
}

// escaped reads a backslash and what it stands before. In front of a letter that it does nothing
// to, it stays: regular expressions are full of them.
func (w *words) escaped(b *strings.Builder) {
	w.at++
	if w.at == len(w.text) {
		b.WriteByte('\\')
		return
	}
	switch c := w.text[w.at]; c {
	case '"', '\'', '\\':
		b.WriteByte(c)
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case 'n':
		b.WriteByte('\n')
	case '\n':
		w.line++
		b.WriteByte(c)
	default:
		b.WriteByte('\\')
		b.WriteByte(c)
	}
	w.at++
}

func (w *words) bare() (token, error) {
	line := w.line
	var b strings.Builder
	for w.at < len(w.text) {
		c := w.text[w.at]
		switch {
		case c == '{' && strings.HasSuffix(b.String(), "$"): // ${name}
			end := w.at
			for end < len(w.text) && w.text[end] != '}' && end-w.at < 256 {
				end++
			}
			if end == len(w.text) || w.text[end] != '}' {
				return token{}, w.fault("the name of a variable is not closed")
			}
			b.Write(w.text[w.at : end+1])
			w.line += strings.Count(string(w.text[w.at:end]), "\n")
			w.at = end + 1
			continue
		case strings.IndexByte(" \t\r\n;{", c) >= 0:
			return token{word, b.String(), line}, nil
		case c == '}' || c == 0:
			if c == '}' && b.Len() > 0 {
				return token{}, w.fault("} stands within %.40q: is a ; missing before it?", b.String())
			}
			return token{}, w.fault("a byte that is no text")
		case c == '\\':
			w.escaped(&b)
		default:
			b.WriteByte(c)
			w.at++
		}
		if b.Len() > maxWord {
			return token{}, w.fault("a word of more than %d bytes", maxWord)
		}
	}
	return token{word, b.String(), line}, nil
}
