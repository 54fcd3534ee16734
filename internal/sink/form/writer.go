package form

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"
)

// maxText bounds a text, in bytes before it is escaped. No text of the log is longer.
const maxText = 640

// writer appends one JSON object, field by field. Fields that are empty are left out.
type writer struct{ b []byte }

// begin opens an object that stands for itself.
func (w *writer) begin() { w.b = append(w.b, '{') }

// finish closes it.
func (w *writer) finish() []byte { return append(w.b, '}') }

// open begins an object within; what it returns is for end.
func (w *writer) open(name string) (mark int) {
	mark = len(w.b)
	w.key(name)
	w.b = append(w.b, '{')
	return mark
}

// end closes an object, or takes it away if nothing stands in it.
func (w *writer) end(mark int) {
	if w.b[len(w.b)-1] == '{' {
		w.b = w.b[:mark]
		return
	}
	w.b = append(w.b, '}')
}

func (w *writer) key(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) text(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.quoted(value)
}

func (w *writer) quoted(value string) {
	w.b = append(w.b, '"')
	w.b = appendText(w.b, value)
	w.b = append(w.b, '"')
}

// list is an array of one text.
func (w *writer) list(name, value string) {
	if value == "" {
		return
	}
	w.key(name)
	w.b = append(w.b, '[')
	w.quoted(value)
	w.b = append(w.b, ']')
}

// number is left out if it is not above zero.
func (w *writer) number(name string, value int64) {
	if value > 0 {
		w.whole(name, value)
	}
}

// small is a number of 32 bits; what is larger becomes the largest.
func (w *writer) small(name string, value int64) { w.number(name, min(value, 1<<31-1)) }

func (w *writer) whole(name string, value int64) {
	w.key(name)
	w.b = strconv.AppendInt(w.b, value, 10)
}

func (w *writer) flag(name string, value bool) {
	if value {
		w.key(name)
		w.b = append(w.b, "true"...)
	}
}

// address leaves the zone out, which may be any text.
func (w *writer) address(name string, addr netip.Addr) {
	if !addr.IsValid() {
		return
	}
	w.key(name)
	w.b = append(w.b, '"')
	w.b = addr.WithZone("").AppendTo(w.b)
	w.b = append(w.b, '"')
}

// timeForm is RFC 3339 in UTC with microseconds.
const timeForm = "2006-01-02T15:04:05.000000Z"

func (w *writer) time(name string, t time.Time) {
	w.key(name)
	w.b = append(w.b, '"')
	w.b = appendTime(w.b, t)
	w.b = append(w.b, '"')
}

func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if year := t.Year(); year < 0 || year > 9999 {
		t = time.Time{}
	}
	return t.AppendFormat(dst, timeForm)
}

const hexDigits = "0123456789abcdef"

// appendText appends the inside of a JSON string. What does not print, or turns the direction
// of text, is escaped; what is no UTF-8 becomes U+FFFD.
func appendText(dst []byte, s string) []byte {
	s, isCut := cut(s)
	dst = appendEscaped(dst, s)
	if isCut {
		dst = append(dst, "…"...)
	}
	return dst
}

func appendEscaped(dst []byte, s string) []byte {
	for len(s) > 0 {
		if n := plain(s); n > 0 {
			dst, s = append(dst, s[:n]...), s[n:]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == utf8.RuneError || !strconv.IsPrint(r):
			dst = appendUnicode(dst, r)
		default:
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return dst
}

// cut bounds a text, between two characters.
func cut(s string) (string, bool) {
	if len(s) <= maxText {
		return s, false
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end], true
}

// plain counts the bytes at the front of s that stand for themselves in JSON.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}

// appendUnicode appends \uXXXX, or two of them for what is beyond 16 bits.
func appendUnicode(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnicode(dst, 0xd800+r>>10)
		r = 0xdc00 + r&0x3ff
	}
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// Quote writes a text as JSON, escaped as texts of events are, but not bounded.
func Quote(s string) []byte { return append(appendEscaped([]byte{'"'}, s), '"') }
