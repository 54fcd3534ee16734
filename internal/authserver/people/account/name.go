package account

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a name, in bytes as it is typed and in characters as it is kept.
const (
	maxTypedName = 512
	maxName      = 64
)

// ErrName says that a text cannot be the name of an account.
var ErrName = errors.New("a name has 1 to 64 letters of one script, digits, '.', '_', '-', '+' or '@', begins and ends with a letter or digit, and has no two marks in a row")

// NormaliseName returns the one spelling of a name: NFKC, lower case (in the manner of
// RFC 8265's UsernameCaseMapped). Two names that people take for the same are the same
// or refused: letters are ASCII's, Latin ones with marks, or all of one other script,
// and a word of Cyrillic or Greek letters that all look Latin is not a name.
func NormaliseName(typed string) (string, error) {
	if len(typed) > maxTypedName || !utf8.ValidString(typed) {
		return "", ErrName
	}
	name := norm.NFKC.String(strings.ToLower(norm.NFKC.String(strings.TrimSpace(typed))))
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return "", ErrName
	}
	var letters alphabet
	mark := true // at the beginning, a mark would be the second in a row
	for _, r := range name {
		if strings.ContainsRune("._-+@", r) {
			if mark {
				return "", ErrName
			}
			mark = true
			continue
		}
		mark = false
		if !(r >= '0' && r <= '9') && !letters.add(r) {
			return "", ErrName
		}
	}
	if mark || letters.looksLatin() {
		return "", ErrName
	}
	return name, nil
}

// alphabet is which letters a name has had so far.
type alphabet struct {
	script   *unicode.RangeTable // nil: none yet
	foreign  bool                // not Latin
	distinct bool                // has a letter that looks like no Latin one
}

// scripts are those that names may have besides Latin: written in letters that stand by
// themselves, without combining marks.
func scripts() []*unicode.RangeTable {
	return []*unicode.RangeTable{
		unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Georgian, unicode.Hebrew, unicode.Arabic,
		unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
	}
}

// add reports whether a name may go on with the letter r.
func (a *alphabet) add(r rune) bool {
	if !unicode.IsLetter(r) || unicode.IsUpper(r) || unicode.IsTitle(r) {
		return false
	}
	script := unicode.Latin
	if !isLatinLetter(r) {
		if script = scriptOf(r); script == nil {
			return false
		}
	}
	if a.script != nil && a.script != script {
		return false
	}
	a.script, a.foreign = script, script != unicode.Latin
	a.distinct = a.distinct || !strings.ContainsRune(looksLatin, r)
	return true
}

func scriptOf(r rune) *unicode.RangeTable {
	for _, script := range scripts() {
		if unicode.Is(script, r) {
			return script
		}
	}
	return nil
}

// isLatinLetter accepts ASCII and the letters with marks of European languages and of
// Vietnamese; not the letters of phonetics, nor dotless i and kra, which pass for others.
func isLatinLetter(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z':
		return true
	case r == 'ı' || r == 'ĸ' || r == 'ŋ' || r == 'ł' || r == 'ŀ':
		return r == 'ł' || r == 'ŋ'
	case r >= 0xdf && r <= 0xff && r != 0xf7, r >= 0x100 && r <= 0x17f, r >= 0x1e00 && r <= 0x1eff:
		return true
	}
	return false
}

// looksLatin are the small letters of other scripts that pass for Latin ones (UTS 39).
const looksLatin = "асеорхуѕіјһԁԛԝѵгкпнвмтьҽӏүқғ" + "αοινυρκτγωχεηßσ" + "օսոհցզքյւ" + "ѡєз" + "ــו" + "ןסا"

func (a *alphabet) looksLatin() bool { return a.foreign && !a.distinct }
