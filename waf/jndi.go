package waf

import "strings"

// findJNDI looks for what log4j looks up when it is logged: ${jndi:ldap://…}, however it is
// written: ${${lower:j}ndi:…}, ${${::-j}${::-n}…}, ${${env:X:-j}ndi:…}.
//
// Lookups within lookups are resolved as log4j does. Other lookups, which scripts and settings
// have too (${HOME}, ${env:PATH}), are harmless.
func findJNDI(t *text) grade {
	s := t.s
	best := none
	for from := 0; best < sure; {
		at := strings.Index(s[from:], "${")
		if at < 0 {
			return best
		}
		from += at
		t.steps += at + 2
		g, read := lookupAt(s[from:])
		t.steps += read
		best = max(best, g)
		from += max(2, read)
	}
	return best
}

// maxLookup is how much of a lookup is resolved, in bytes: an evasion writes some thirty for
// each letter.
const maxLookup = 512

// lookupAt resolves the lookup that begins a text, and says how much of the text it has read.
func lookupAt(s string) (g grade, read int) {
	var out [maxLookup]byte
	var starts [16]int // where the lookups begin that are open
	n, depth := 0, 0
	for read < len(s) && read < maxLookup {
		rest := s[read:]
		switch {
		case strings.HasPrefix(rest, "${"):
			if depth == len(starts) {
				return plain, read // nobody writes that by hand
			}
			starts[depth] = n
			depth, read = depth+1, read+2
			continue
		case rest[0] == '}':
			read++
			if depth--; depth <= 0 {
				return none, read
			}
			continue
		case strings.HasPrefix(rest, ":-"):
			n, read = starts[depth-1], read+2 // what stands before is looked up, and not found
			continue
		case rest[0] == ':':
			name := string(out[starts[depth-1]:n])
			if hasPrefixFold(name, "lower") && len(name) == 5 || hasPrefixFold(name, "upper") && len(name) == 5 {
				n, read = starts[depth-1], read+1
				continue
			}
			if strings.EqualFold(name, "jndi") || strings.EqualFold(string(out[starts[0]:n]), "jndi") {
				return sure, read
			}
		}
		c := rest[0]
		if strings.HasPrefix(rest, "ı") || strings.HasPrefix(rest, "İ") { // upper case of which is I
			c, read = 'i', read+1
		}
		out[n], n, read = c, n+1, read+1
	}
	return none, read
}

// findShellshock looks for what an old bash runs when it is in its environment: a function,
// and something behind it (CVE-2014-6271). It begins the value, as nothing else does.
func findShellshock(t *text) grade {
	s := strings.TrimLeft(t.s, " \t")
	if !strings.HasPrefix(s, "()") {
		return none
	}
	i := skipSpace(s, 2)
	if i < len(s) && s[i] == '{' {
		t.steps += i
		if i > 2 {
			return sure
		}
		return plain
	}
	return none
}
