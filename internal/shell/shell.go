// Package shell writes words for a shell of Unix, so that what Pavise prints can be pasted: a word
// that comes from a configuration or a request stays one word, whatever it holds.
package shell

import "strings"

// Quoted is a word in single quotes, in which a shell reads everything as it stands.
func Quoted(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Word is a word that is quoted where it has to be.
func Word(word string) string {
	for i := range len(word) {
		if c := word[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-_./:@,+=%", c) < 0 {
			return Quoted(word)
		}
	}
	if word == "" {
		return "''"
	}
	return word
}
