package waf

import "strings"

// findLDAP looks for a value that ends a filter of a directory and goes on with another:
// *)(uid=*))(|(uid=*.
//
// A bracket has to close that was never opened, and a filter has to begin behind it: & | or !
// and a bracket, or a name with = and no space. Brackets of prose and of sums are opened before
// they are closed.
func findLDAP(t *text) grade {
	s := t.s
	best := t.wholeFilter()
	depth := 0
	for i := 0; i < len(s) && best < plain; i++ {
		t.steps++
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				depth = 0
				best = max(best, t.filterAfter(i))
			}
		}
	}
	return best
}

// wholeFilter judges a text that is a filter.
func (t *text) wholeFilter() grade {
	s := t.s
	switch {
	case strings.HasPrefix(s, "*)("), strings.HasPrefix(s, "*)|"), strings.HasPrefix(s, "*)&"), strings.HasPrefix(s, "*))("):
		return plain
	case strings.HasPrefix(s, "(&("), strings.HasPrefix(s, "(|("):
		if strings.HasSuffix(s, ")") && isFilter(s[2:]) {
			return plain
		}
	}
	return none
}

// filterAfter judges what follows a bracket that was never opened.
func (t *text) filterAfter(i int) grade {
	s := t.s
	if i+1 < len(s) && s[i+1] == ')' {
		return none // the last of them is looked at
	}
	for i < len(s) && (s[i] == ')' || s[i] == ' ') {
		i++
		t.steps++
	}
	if i >= len(s) {
		return none
	}
	if s[i] == 0 && i > 1 && s[i-1] == ')' {
		return plain // the rest is cut off
	}
	if s[i] != '(' || i+1 >= len(s) {
		return none
	}
	switch c := s[i+1]; {
	case (c == '&' || c == '|' || c == '!') && i+2 < len(s) && (s[i+2] == '(' || s[i+2] == ')'):
		return plain
	case c == '&' || c == '|' || c == '!':
		return faintOr(isFilter("(" + ahead(s, i+2, 64)))
	case isFilter(ahead(s, i, 64)):
		return plain
	}
	return none
}

func faintOr(is bool) grade {
	if is {
		return plain
	}
	return faint
}

// isFilter reports whether a text begins like a filter: (name=, (name~=, (name>=, (name:rule:=.
func isFilter(s string) bool {
	if len(s) < 3 || s[0] != '(' || !isLetter(s[1]) {
		return false
	}
	i := 1
	for i < len(s) && (isAlphanumeric(s[i]) || s[i] == '-' || s[i] == '.' || s[i] == ':' || s[i] == ';') {
		i++
	}
	if i < len(s) && (s[i] == '~' || s[i] == '>' || s[i] == '<') {
		i++
	}
	return i < len(s) && s[i] == '=' && (i+1 >= len(s) || s[i+1] != '=' && s[i+1] != ' ')
}
