package account

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
)

// common.txt holds common passwords of five characters and more in lower case, one a line, sorted by
// bytes. It is made of the list of zxcvbn-ts (common.LICENSE).
//
//go:embed common.txt
var commonPasswords string

// isCommon reports whether a password, in lower case, is one of the common ones or made
// of one in the ways that everybody knows: something before or behind it, letters written
// as digits, twice the same, a row of the keyboard or the alphabet.
func isCommon(low string) bool {
	core := strings.TrimFunc(low, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, form := range []string{low, core, plain(low), plain(core)} {
		if form != "" && (isListed(form) || isListed(unit(form))) {
			return true
		}
	}
	return isRow(low) || len([]rune(unit(low))) <= 4 && len(low) > 4 || distinct(low) <= 3
}

// isListed looks a word up. Common words are shorter than any password may be; they are
// in the list so that what is made of them is found.
func isListed(word string) bool {
	lines := commonPasswords
	low, high := 0, len(lines)
	for low < high {
		middle := (low + high) / 2
		start := strings.LastIndexByte(lines[:middle], '\n') + 1
		end := middle + strings.IndexByte(lines[middle:], '\n')
		switch line := lines[start:end]; {
		case line == word:
			return true
		case line < word:
			low = end + 1
		default:
			high = start
		}
	}
	return false
}

// plain writes digits and signs that stand for letters as those letters.
func plain(text string) string {
	return strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i", " ", "", "-", "", "_", "", ".", "").Replace(text)
}

// unit is the shortest text that makes up the whole when it is repeated.
func unit(text string) string {
	for n := 1; n <= len(text)/2; n++ {
		if len(text)%n == 0 && strings.Repeat(text[:n], len(text)/n) == text {
			return text[:n]
		}
	}
	return text
}

// isRow reports whether a text goes along the alphabet, the digits or a row of keys, there
// or back, in pieces of at least four.
func isRow(text string) bool {
	rows := []string{
		"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiopü+", "yxcvbnm,.-",
		"azertyuiop", "qsdfghjklm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "!@#$%^&*()_+", "1q2w3e4r5t6y7u8i9o0p",
	}
	for i := range len(rows) {
		reversed := []rune(rows[i])
		slices.Reverse(reversed)
		rows = append(rows, string(reversed))
	}
	for text != "" {
		longest := 0
		for _, row := range rows {
			for n := min(len(text), len(row)); n > longest; n-- {
				if strings.Contains(row, text[:n]) {
					longest = n
				}
			}
		}
		if longest < min(4, len(text)) {
			return false
		}
		text = text[longest:]
	}
	return true
}

func distinct(text string) int {
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	return len(seen)
}
