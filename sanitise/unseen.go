package sanitise

import (
	"strings"
	"unicode"
)

// Characters that join what stands around them. Persian, the scripts of India and emoji need
// them; between other characters nobody sees them.
const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
)

// withoutUnseen takes away characters that show nothing, or that turn the direction in which
// others are shown, with which a text says something else than what a person reads. Joiners and
// variation selectors stay where they do what they are for.
func withoutUnseen(text string) string {
	if !hasUnseen(text) {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	before := rune(0) // what was written last
	next := ahead{text: text}
	for at, r := range text {
		switch {
		case r == joiner || r == nonJoiner:
			if !joins(before) || !joins(next.seen(at)) {
				continue
			}
		case isSelector(r):
			if !takesSelector(before) {
				continue
			}
		case isUnseen(r):
			continue
		}
		out.WriteRune(r)
		before = r
	}
	return out.String()
}

func hasUnseen(text string) bool {
	for _, r := range text {
		if r >= 0xad && (r == joiner || r == nonJoiner || isSelector(r) || isUnseen(r)) {
			return true
		}
	}
	return false
}

// ahead looks for what comes next. It goes through a text once, however often it is asked.
type ahead struct {
	text string
	at   int  // where it has looked
	r    rune // what is there; 0: nothing
}

// seen is the next character behind a place that will not be taken away.
func (a *ahead) seen(behind int) rune {
	if a.at > behind {
		return a.r
	}
	for i, r := range a.text[behind:] {
		if r != joiner && r != nonJoiner && !isSelector(r) && !isUnseen(r) {
			a.at, a.r = behind+i, r
			return r
		}
	}
	a.at, a.r = len(a.text), 0
	return 0
}

// joins reports whether a joiner beside a character may show: letters and marks of scripts that
// join, symbols of which emoji are made, and the selectors and tones behind those.
func joins(r rune) bool {
	switch {
	case r < 0x300:
		return false
	case unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana):
		return false
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsSymbol(r)
}

func isSelector(r rune) bool {
	return r >= 0xfe00 && r <= 0xfe0f || r >= 0xe0100 && r <= 0xe01ef || r >= 0x180b && r <= 0x180d
}

// takesSelector reports whether a character has variants: symbols, the digits of keycaps, and
// Han and Mongolian letters. One selector is enough.
func takesSelector(r rune) bool {
	switch {
	case isSelector(r) || r == 0:
		return false
	case r >= '0' && r <= '9', r == '#', r == '*':
		return true
	}
	return r >= 0xa9 && (unicode.IsSymbol(r) || unicode.IsPunct(r) || unicode.In(r, unicode.Han, unicode.Mongolian, unicode.Myanmar))
}

// isUnseen reports whether a character shows nothing by itself.
func isUnseen(r rune) bool {
	switch {
	case r < 0xad:
		return false
	case r == 0xad, // soft hyphen
		r == 0x34f,               // grapheme joiner
		r == 0x61c,               // mark of direction
		r == 0x17b4, r == 0x17b5, // Khmer vowels that are never shown
		r == 0x180e,              // Mongolian separator
		r == 0x200b,              // blank of no width
		r == 0x200e, r == 0x200f, // marks of direction
		r >= 0x202a && r <= 0x202e, // embeddings and overrides of direction
		r >= 0x2060 && r <= 0x206f, // word joiner, mathematics that is not shown, isolates of direction
		r == 0x3164, r == 0xffa0,   // fillers of Hangul
		r == 0x2800,                  // a Braille cell without dots
		r == 0xfeff,                  // byte order mark
		r >= 0xfff9 && r <= 0xfffb,   // annotations
		r >= 0x1d173 && r <= 0x1d17a, // of music
		r >= 0xe0000 && r <= 0xe00ff, // tags, which spell any text unseen
		r >= 0xe01f0 && r <= 0xe0fff: // kept for more of them
		return true
	}
	return false
}
