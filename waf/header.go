package waf

import "strings"

// findHeader looks for a line break that begins another header, of the answer (Set-Cookie) or
// of a mail (Bcc).
//
// Texts of several lines have colons too, and mails are quoted in them. So the header has to be
// one that an attacker wants, and to follow the first line of what was a single word; or the
// break was hidden in an escape, which no text does by itself.
func findHeader(t *text) grade {
	s := t.s
	best := none
	first := strings.IndexAny(s, "\r\n")
	word := first >= 0 && strings.IndexByte(s[:first], ' ') < 0 && first > 0
	begin := 0
	if first >= 0 {
		begin = skipSpace(s, first)
	}
	for i := max(first, 0); i < len(s) && best < plain; i++ {
		t.steps++
		if s[i] != '\n' && s[i] != '\r' {
			continue
		}
		if i+1 < len(s) && s[i] == '\r' && s[i+1] == '\n' {
			i++
		}
		follows := word && begin > i // nothing but breaks between
		best = max(best, t.headerAt(i+1, follows))
	}
	return best
}

// headerAt judges the line that begins at i.
func (t *text) headerAt(i int, follows bool) grade {
	s := t.s
	line := ahead(s, i, 80)
	end := 0
	for end < len(line) && (isAlphanumeric(line[end]) || line[end] == '-') {
		end++
	}
	t.steps += end
	if hasPrefixFold(line, "http/1.") && (follows || t.decoded) {
		return plain
	}
	if end == 0 || end >= len(line) || line[end] != ':' {
		return none
	}
	if hasPrefixFold(line, "access-control-") && (follows || t.decoded) {
		return plain
	}
	name := lower(line[:end])
	rest := strings.TrimLeft(line[end+1:], " ")
	switch string(name.bytes[:name.n]) {
	case "set-cookie", "transfer-encoding", "content-length", "x-xss-protection", "proxy-authorization":
		if follows || t.decoded {
			return plain
		}
		return faint
	case "location", "refresh", "link", "host", "x-forwarded-for", "x-forwarded-host", "content-type", "content-disposition", "authorization", "cookie":
		if follows && (t.decoded || strings.ContainsAny(rest, "/=.")) {
			return plain
		}
		return faint
	case "bcc", "cc", "to":
		if follows && strings.IndexByte(rest, '@') > 0 {
			return plain
		}
	}
	if follows && t.decoded && strings.IndexByte(line[:end], '-') > 0 {
		return plain
	}
	return none
}
