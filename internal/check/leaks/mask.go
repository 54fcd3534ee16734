package leaks

import (
	"regexp"
	"strings"
)

// nearly is a secret of ours with a typing error, or without its end: what is left of it is most
// of it. A key's id alone, of 12 characters, is not.
var nearly = regexp.MustCompile(`\b(?:pvs_[0-9A-Za-z]{1,16}_[0-9A-Za-z]{16,}|pv(?:shs|scs|sat|srt|srm|sit|enr)_[0-9A-Za-z_-]{16,})`)

// First is the first credential that stands in a text, typing errors included; not a private key,
// which nobody types. One that is only nearly a credential has no ID.
func First(text string) (Leak, bool) {
	for _, l := range Scan([]byte(text)) {
		if l.Kind != PrivateKey {
			return l, true
		}
	}
	for _, word := range nearly.FindAllString(text, -1) {
		if isRandom([]byte(word)) {
			return Leak{Kind: kindOf(word), Masked: begin(word), Secret: word}, true
		}
	}
	return Leak{}, false
}

// Mask takes credentials out of a text that goes to a screen or into a log. Of each stays what may
// be shown of it: of an API key the id.
func Mask(text string) string {
	for range maxPerFile {
		l, found := First(text)
		if !found {
			return text
		}
		text = strings.ReplaceAll(text, l.Secret, l.Masked)
	}
	return text
}

// kindOf is the kind of a word that begins as one of ours does.
func kindOf(word string) Kind {
	for _, f := range forms() {
		if strings.HasPrefix(word, f.mark) {
			return f.kind
		}
	}
	return APIKey
}

// begin is what may be shown of something that is nearly a credential: its prefix.
func begin(word string) string { return word[:strings.IndexByte(word, '_')+1] + "…" }

// signing is a word of the form that secrets of signatures had before they got a prefix: 32 bytes in base64url.
// They are in force still. A part of a path is none: who is told which file to name has to be able to name it.
var signing = regexp.MustCompile(`(?:^|[^0-9A-Za-z_/-])([0-9A-Za-z_-]{43})(?:$|[^0-9A-Za-z_/-])`)

// MaskTyped is [Mask] for what somebody typed in the place of a name that turned out to be none:
// what has the old form of a secret of signatures goes too, although a thumbprint has it as well.
func MaskTyped(text string) string {
	text = Mask(text)
	for _, word := range signingWords(text) {
		text = strings.ReplaceAll(text, word, word[:shownOfTexts]+"…")
	}
	return text
}

// Signing finds a word of the old form of a secret of signatures (HMAC), without a prefix. A thumbprint has the form,
// too: who asks knows which names there are. masked is what may be shown. Those with a prefix are found by [First].
func Signing(text string) (word, masked string, found bool) {
	words := signingWords(text)
	if len(words) == 0 {
		return "", "", false
	}
	return words[0], words[0][:shownOfTexts] + "…", true
}

func signingWords(text string) (words []string) {
	for _, found := range signing.FindAllStringSubmatch(text, -1) {
		if word := found[1]; isRandom([]byte(word)) && strings.ToLower(word) != word && strings.ToUpper(word) != word {
			words = append(words, word)
		}
	}
	return words
}
