package pavise

import (
	"net/http"
	"strings"
)

// What goes into events is masked here: paths and texts lose whatever looks
// like a credential, queries lose every value.

const masked = "*"

// maskQuery keeps the names of a query and hides the values.
func maskQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(clip(query, 1024), "&") {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		name, _, hasValue := strings.Cut(pair, "=")
		b.WriteString(maskText(name))
		if hasValue {
			b.WriteString("=" + masked)
		}
	}
	return b.String()
}

// maskPath hides segments that look like credentials.
func maskPath(path string) string { return maskText(clip(path, 1024)) }

// maskText hides words that look like credentials: our own prefix, JWTs, and
// long runs without a vowel-like rhythm of words (32 or more letters and digits
// in a row that mix cases or letters with digits, except UUIDs, which are names).
func maskText(text string) string {
	if len(text) < 16 || !hasSecretLike(text) {
		return text
	}
	var b strings.Builder
	eachWord(text, func(word string, separator string) {
		if looksSecret(word) {
			word = masked
		}
		b.WriteString(word)
		b.WriteString(separator)
	})
	return b.String()
}

func hasSecretLike(text string) bool {
	found := false
	eachWord(text, func(word, _ string) { found = found || looksSecret(word) })
	return found
}

// eachWord cuts text into runs of base64url characters and what follows them.
func eachWord(text string, f func(word, separator string)) {
	for len(text) > 0 {
		end := 0
		for end < len(text) && isWordByte(text[end]) {
			end++
		}
		next := end
		for next < len(text) && !isWordByte(text[next]) {
			next++
		}
		f(text[:end], text[end:next])
		text = text[next:]
	}
}

func isWordByte(c byte) bool { return isAlphanumeric(c) || c == '_' || c == '-' || c == '+' }

// secretLength is the shortest run that is taken for a credential by its looks.
const secretLength = 24

func looksSecret(word string) bool {
	if strings.HasPrefix(word, "pvs_") && len(word) >= 12 {
		return true
	}
	if len(word) < secretLength {
		return false
	}
	if strings.HasPrefix(word, "eyJ") {
		return true
	}
	return !isUUID(word) && mixes(word)
}

// mixes reports whether letters and digits, or cases, are mixed as no word of a
// language mixes them.
func mixes(word string) bool {
	var digits, upper, lower int
	for i := range len(word) {
		switch c := word[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		}
	}
	return digits >= 3 && (upper > 0 || lower > 0) || upper >= 4 && lower >= 4
}

func isUUID(word string) bool {
	if len(word) != 36 {
		return false
	}
	for i := range len(word) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (word[i] == '-') || !dash && !isHex(word[i]) {
			return false
		}
	}
	return true
}

// maskValues hides the values of path wildcards whose names say that they are
// secret: {token}, {secret}, {key}, {password}, {code}.
func maskValues(path string, r *http.Request) string {
	for _, name := range [...]string{"token", "secret", "key", "password", "code"} {
		if value := r.PathValue(name); value != "" {
			path = strings.ReplaceAll(path, value, masked)
		}
	}
	return path
}
