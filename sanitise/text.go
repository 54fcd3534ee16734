package sanitise

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// trim takes blanks away at both ends: whatever Unicode says is white space.
func trim(text string) string { return strings.TrimFunc(text, unicode.IsSpace) }

// withoutControls takes away C0 and C1 controls and DEL, but for tabs and line breaks. The two
// separators of Unicode, which scripts take for line breaks and few others see, become one.
func withoutControls(text string) string {
	return mapped(text, func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return r
		case r == '\u2028' || r == '\u2029':
			return '\n'
		case unicode.IsControl(r):
			return -1
		}
		return r
	})
}

// mapped is strings.Map, but that broken UTF-8 stays as it is where there is nothing to do.
func mapped(text string, each func(rune) rune) string {
	for _, r := range text {
		if r != utf8.RuneError && each(r) != r {
			return strings.Map(each, text)
		}
	}
	return text
}
