package leak

import "strings"

// Bounds of an address (RFC 5321 §4.5.3.1).
const (
	maxLocal  = 64
	maxDomain = 253
)

// isMail reads the address around an @: an unquoted local part, and a domain of two labels or
// more whose last is no number and no ending of a file's name (icon@2x.png).
func isMail(text []byte, at, floor int) (from, to int, ok bool) {
	from = at
	for from > floor && at-from < maxLocal && isLocal(text[from-1]) {
		from--
	}
	for from < at && text[from] == '.' {
		from++
	}
	to = at + 1
	for to < len(text) && to-at <= maxDomain && (isDomainByte(text[to]) || text[to] == '.') {
		to++
	}
	for to > at+1 && (text[to-1] == '.' || text[to-1] == '-') {
		to-- // of the sentence
	}
	if from == at || text[at-1] == '.' || after(text, to) == '@' || !isDomain(text[at+1:to]) {
		return 0, 0, false
	}
	if string(text[from:at]) == "git" {
		return 0, 0, false // the address of a repository
	}
	return from, to, true
}

// isLocal reports whether a byte is of a local part. Of what RFC 5322 (§3.2.3) allows, marks
// are left out that hardly anybody has, and that set words apart: what follows them is found.
func isLocal(c byte) bool { return isWord(c) || c == '.' || c == '+' || c == '-' }

func isDomainByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' || c >= 0x80 }

func isDomain(domain []byte) bool {
	if len(domain) > maxDomain {
		return false
	}
	labels := strings.Split(string(domain), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isDomainByte(label[i]) {
				return false
			}
		}
	}
	last := labels[len(labels)-1]
	return len(labels) > 1 && len(last) > 1 && !isDigit(last[0]) && !isEnding(strings.ToLower(last))
}

// isEnding reports whether a word ends names of files, and no domain.
func isEnding(word string) bool {
	switch word {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "bmp", "css", "js", "mjs", "cjs", "ts", "tsx", "jsx", "json", "html", "htm", "xml", "txt", "csv", "pdf", "woff", "woff2", "ttf", "mp4", "tgz", "gz", "yaml", "yml":
		return true
	}
	return false
}
