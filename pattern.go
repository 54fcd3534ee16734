package pavise

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// pattern is the path of an endpoint's pattern, cut into segments, for what the mux
// does not tell: how a literal is spelled, and which wildcards hold secrets.
type pattern []segment

// segment is one part between slashes: a literal, or a wildcard.
type segment struct {
	literal  string // in its one spelling, escaped; only if it is no wildcard
	wildcard bool
	rest     bool // takes all that follows
	secret   bool // its value is not recorded: its name says that it is a credential, or the API does
}

// patternOf cuts "METHOD /path/{name}", which the mux has accepted. What stands for the
// wildcards in hide is not recorded.
func patternOf(text string, hide []string) pattern {
	_, path, _ := strings.Cut(text, " /")
	var p pattern
	for part := range strings.SplitSeq(path, "/") {
		name, wildcard := strings.CutPrefix(part, "{")
		name = strings.TrimSuffix(name, "}")
		switch {
		case part == "": // a slash at the end takes all that follows
			p = append(p, segment{wildcard: true, rest: true})
		case wildcard && name == "$": // nothing may follow
			p = append(p, segment{})
		case wildcard:
			plain, rest := strings.CutSuffix(name, "...")
			p = append(p, segment{wildcard: true, rest: rest, secret: isSecretName(plain) || slices.Contains(hide, plain)})
		default:
			p = append(p, segment{literal: spelling(part)})
		}
	}
	return p
}

// spelling is the one way to write a literal: what may stand unescaped does, other
// bytes are escaped with upper-case digits (RFC 3986 §2.1).
func spelling(literal string) string {
	if plain, err := url.PathUnescape(literal); err == nil {
		literal = plain // as the mux does
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(literal))
	for i := range len(literal) {
		if c := literal[i]; c != '/' && isPathByte(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

// isSecretName reports whether the last word of a wildcard's name says that its
// value is a credential: {token}, {resetToken}, {api_key}, but not {key_id}.
func isSecretName(name string) bool {
	start := strings.LastIndexByte(name, '_') + 1
	word := name[start:]
	if i := strings.LastIndexFunc(word, unicode.IsUpper); i > 0 && strings.ToUpper(word) != word {
		word = word[i:]
	}
	return slices.Contains([]string{
		"token", "secret", "key", "password", "passwd", "passcode", "code", "otp", "pin", "credential", "signature", "jwt", "ticket",
	}, strings.ToLower(word))
}

func (p pattern) isSecret() bool {
	return slices.ContainsFunc(p, func(s segment) bool { return s.secret })
}

// isSpelled reports whether the literals of a path that the pattern matches are
// written in their one spelling. The mux decodes before it compares; a service that
// does not would find another endpoint than the one whose policy was applied.
func (p pattern) isSpelled(path string) bool {
	if strings.IndexByte(path, '%') < 0 {
		return true
	}
	i := 0
	for part := range strings.SplitSeq(path[1:], "/") {
		if i == len(p) || p[i].rest {
			return true
		}
		if !p[i].wildcard && part != p[i].literal {
			return false
		}
		i++
	}
	return true
}

// mask hides what secret wildcards hold in an escaped path that the pattern matches.
func (p pattern) mask(path string) string {
	if !p.isSecret() {
		return path
	}
	parts := strings.Split(path[1:], "/")
	for i := range parts {
		switch at := p[min(i, len(p)-1)]; {
		case at.secret && (i < len(p) || at.rest):
			parts[i] = masked
		case i >= len(p) && !at.rest: // it does not match after all
			parts[i] = masked
		}
	}
	return "/" + strings.Join(parts, "/")
}

// maskStrange hides every segment of a path that is no literal of known patterns.
func maskStrange(path string, literals map[string]bool) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part != "" && !literals[part] {
			parts[i] = masked
		}
	}
	return strings.Join(parts, "/")
}
