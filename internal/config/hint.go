package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// didYouMean proposes the closest of known, or lists them after otherwise.
func didYouMean(word string, known []string, otherwise string) string {
	if near := nearest(word, known); near != "" {
		return "did you mean " + near + "?"
	}
	if len(known) == 0 || len(known) > 24 {
		return otherwise
	}
	return strings.TrimPrefix(otherwise+"; known: ", "; ") + strings.Join(known, ", ")
}

// elsewhere is the setting that a word of other gateways' files stands for, if it is one of known.
func elsewhere(word string, known []string) string {
	for setting, words := range map[string][]string{
		"apis":      {"services", "routes", "backends"},
		"endpoints": {"routes", "paths", "locations", "rules"},
		"host":      {"hostname", "server_name", "domain", "domains"},
		"https":     {"port", "bind", "address", "addr"},
		"limit":     {"rate_limit", "rate_limits", "ratelimit", "rate_limiting", "rate", "throttle"},
		"scopes":    {"permissions", "roles"},
		"shield":    {"auth", "authentication", "security", "plugin", "plugins"},
		"upstream":  {"backend", "service", "target", "target_url", "proxy_pass", "proxy", "forward_to", "url"},
	} {
		if slices.Contains(known, setting) && slices.Contains(words, strings.ReplaceAll(strings.ToLower(word), "-", "_")) {
			return setting
		}
	}
	return ""
}

// UnknownScopes tells of scopes that the file does not describe, so that no endpoint demands them, each
// with the one that may have been meant.
func (f *File) UnknownScopes(scopes []string) (all []string) {
	known := slices.Collect(maps.Keys(f.Scopes))
	for _, scope := range scopes {
		if _, is := f.Scopes[scope]; is || f.OAuth.Issuer != "" && slices.Contains([]string{"openid", "profile", "email", "offline_access"}, scope) {
			continue
		}
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%q is not described under scopes, so that no endpoint demands it; %s", scope, didYouMean(scope, known, "")), "; "))
	}
	return all
}

// nearest returns the word of known that is closest to word, or "" if none is
// close enough to be meant. Of two that are as close, the first in the alphabet.
func nearest(word string, known []string) string {
	known = slices.Sorted(slices.Values(known))
	word = strings.ToLower(word)
	best, least := "", max(1, len(word)/3)+1
	for _, candidate := range known {
		if difference := len(candidate) - len(word); difference >= least || -difference >= least {
			continue
		}
		if d := distance(word, strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of letters to add, drop, change, or swap with their
// neighbour. Words over 64 bytes are far from all others.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before, last, row [65]int
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// printable replaces what could steer a terminal or reorder a line, each
// character by one, so that columns stay what they are.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case steers(r) || !unicode.IsGraphic(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// hides reports whether a text holds characters that cannot be seen, other than
// the line breaks and tabs of a text of several lines.
func hides(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (steers(r) || !unicode.IsGraphic(r))
	})
}

var userInfo = regexp.MustCompile(`://[^/@\s"']*@`)

// redact hides user and password of an address, character by character, so that
// columns stay what they are.
func redact(text string) string {
	return userInfo.ReplaceAllStringFunc(text, func(found string) string {
		return "://" + strings.Repeat("*", utf8.RuneCountInString(found)-len("://@")) + "@"
	})
}

// steers reports whether a character changes the direction or the place of
// others, so that a line reads otherwise than it is (Trojan Source).
func steers(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
