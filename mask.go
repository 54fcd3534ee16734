package pavise

import (
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
)

// What goes into events is masked here: paths lose what stands where a pattern has
// {token} or the like, paths and texts lose whatever looks like a credential, queries
// lose every value; and what an API says of its own (Recorded).

const masked = "*"

// maxLogged is how much of a path and of a query stands in an event, in bytes.
const maxLogged = 1024

// maskQuery keeps the names of a query and hides the values, but for plain ones of the
// parameters that are to be shown. What stands alone, or before an equals sign that ends
// base64, may be a value as well.
func maskQuery(query string, show []string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(shorten(query), "&") {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case strings.Trim(value, "=") == "":
			b.WriteString(masked)
		case slices.Contains(show, name) && isPlainValue(value):
			b.WriteString(pair)
		default:
			b.WriteString(maskName(name) + "=" + masked)
		}
	}
	return b.String()
}

// maxShown is the longest value of a query that is shown, in bytes.
const maxShown = 64

// isPlainValue reports whether a value may be shown: short, of characters that mean nothing
// to anybody who reads a log, and nothing that looks like a credential.
func isPlainValue(value string) bool {
	if len(value) > maxShown {
		return false
	}
	for i := range len(value) {
		if c := value[i]; !isAlphanumeric(c) && strings.IndexByte("-._~:,", c) < 0 {
			return false
		}
	}
	found := false
	eachWord(value, func(word, _ string) { found = found || looksSecret(word) || isTooRich(word) })
	return !found
}

// isTooRich reports whether a word is more than pages, orders and dates are made of: a piece of
// a token, a key, or the number of a card. What is shown on purpose is held to more than what
// merely must not look like a credential.
func isTooRich(word string) bool {
	const rich = 14 // bytes; milliseconds since 1970 have 13
	if strings.HasPrefix(word, "eyJ") {
		return true
	}
	return len(word) >= rich && !isUUID(word) && (mixes(word) || strings.Trim(word, "0123456789") == "")
}

// mostParameters bounds what is looked for in each query.
const mostParameters = 32

// check refuses parameters that are better not shown, whoever asks for it.
func (r Recorded) check() error {
	if len(r.ShowQuery) > mostParameters {
		return fmt.Errorf("%d parameters are shown in events: want at most %d", len(r.ShowQuery), mostParameters)
	}
	for _, name := range r.ShowQuery {
		if name == "" || audit.IsSecretName(name) || maskName(name) != name {
			return fmt.Errorf("the parameter %q must not be shown in events: by its name it is a credential, personal, or no name", name)
		}
	}
	return nil
}

// maskName returns the decoded name of a parameter, if it looks like a name.
func maskName(name string) string {
	if strings.IndexByte(name, '%') >= 0 {
		name = string(unescape(name))
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte("-._[]$:", c) < 0 {
			return masked
		}
	}
	if len(name) > 64 || maskText(name) != name {
		return masked
	}
	return name
}

// maskPath hides segments that look like credentials, however they are escaped.
func maskPath(path string) string {
	path = shorten(path)
	if strings.IndexByte(path, '%') < 0 {
		return maskText(path)
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if hasSecretLike(string(unescape(part))) {
			parts[i] = masked
		} else {
			parts[i] = maskText(part)
		}
	}
	return strings.Join(parts, "/")
}

// shorten cuts between segments or parameters: the beginning of a credential no
// longer looks like one.
func shorten(s string) string {
	if len(s) <= maxLogged {
		return s
	}
	return s[:strings.LastIndexAny(s[:maxLogged], "/&")+1] + "…"
}

// unroutedPath is the path of an event before its endpoint is known. Where some
// endpoint takes a secret in its path, a misspelled, refused or unknown path may hold
// one anywhere: only segments that stand in patterns are shown.
func (x *exchange) unroutedPath() string {
	path, literals := x.path, x.guard.literals
	if x.host != nil {
		literals = x.host.literals
	}
	if literals != nil {
		path = maskStrange(path, literals)
	}
	return maskPath(path)
}

// routedPath is the path of an event of a known endpoint.
func (x *exchange) routedPath() string {
	return maskPath(x.endpoint.pattern.mask(x.path))
}

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
	if (strings.HasPrefix(word, "pvs_") || strings.HasPrefix(word, "pvshs_")) && len(word) >= 12 {
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
