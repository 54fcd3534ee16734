package sanitise

import (
	"strings"
	"unicode"
)

// folded writes letters of the Cyrillic, Greek, Armenian and Cherokee scripts that look like
// Latin ones (Unicode TR 39) as those, in words that have Latin letters too: "pаypal" with a
// Cyrillic а. A word that is all of another script stays: it may well be one.
func folded(text string) string {
	if !hasTwin(text) {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for len(text) > 0 {
		end := strings.IndexFunc(text, isNoLetter)
		switch {
		case end < 0:
			end = len(text)
		case end == 0:
			end = len(text) - len(strings.TrimLeftFunc(text, isNoLetter))
			out.WriteString(text[:end])
			text = text[end:]
			continue
		}
		out.WriteString(foldedWord(text[:end]))
		text = text[end:]
	}
	return out.String()
}

func isNoLetter(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }

func hasTwin(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return twin(r) != 0 })
}

func foldedWord(word string) string {
	if !hasTwin(word) || !strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
		return word
	}
	return strings.Map(func(r rune) rune {
		if latin := twin(r); latin != 0 {
			return latin
		}
		return r
	}, word)
}

// twin is the Latin letter that a letter of another script looks like, 0 for none.
func twin(r rune) rune {
	if r < 0x37a {
		return 0
	}
	switch r {
	case 'а', 'α':
		return 'a'
	case 'А', 'Α', 'Ꭺ':
		return 'A'
	case 'В', 'Β', 'Ᏼ':
		return 'B'
	case 'с', 'ϲ':
		return 'c'
	case 'С', 'Ϲ', 'Ꮯ':
		return 'C'
	case 'ԁ':
		return 'd'
	case 'Ꭰ':
		return 'D'
	case 'е', 'ҽ':
		return 'e'
	case 'Е', 'Ε', 'Ꭼ':
		return 'E'
	case 'ց':
		return 'g'
	case 'һ', 'հ':
		return 'h'
	case 'Н', 'Η', 'Ꮋ':
		return 'H'
	case 'і', 'ι':
		return 'i'
	case 'І', 'Ι', 'Ӏ':
		return 'I'
	case 'ј', 'ϳ':
		return 'j'
	case 'Ј', 'Ꭻ':
		return 'J'
	case 'К', 'Κ', 'Ꮶ':
		return 'K'
	case 'ӏ':
		return 'l'
	case 'Ꮮ':
		return 'L'
	case 'М', 'Μ', 'Ꮇ':
		return 'M'
	case 'Ν':
		return 'N'
	case 'ո':
		return 'n'
	case 'о', 'ο', 'օ':
		return 'o'
	case 'О', 'Ο', 'Օ':
		return 'O'
	case 'р', 'ρ':
		return 'p'
	case 'Р', 'Ρ', 'Ꮲ':
		return 'P'
	case 'ԛ':
		return 'q'
	case 'ѕ':
		return 's'
	case 'Ѕ', 'Տ', 'Ꮪ':
		return 'S'
	case 'Т', 'Τ', 'Ꭲ':
		return 'T'
	case 'ս', 'υ':
		return 'u'
	case 'Ս':
		return 'U'
	case 'ν', 'ѵ':
		return 'v'
	case 'Ꮩ':
		return 'V'
	case 'ԝ':
		return 'w'
	case 'Ԝ', 'Ꮃ':
		return 'W'
	case 'х':
		return 'x'
	case 'Х', 'Χ':
		return 'X'
	case 'у', 'γ':
		return 'y'
	case 'У', 'Υ', 'Ү':
		return 'Y'
	case 'Ζ', 'Ꮓ':
		return 'Z'
	}
	return 0
}
