package waf

import "strings"

// findXXE looks for XML that has a reader fetch something or fill its memory: entities, document
// types that lie elsewhere, XInclude.
//
// <!DOCTYPE html> and the document types of older HTML are harmless.
func findXXE(t *text) grade {
	s := t.s
	best := none
	for from := 0; best < sure; {
		at := strings.IndexByte(s[from:], '<')
		if at < 0 {
			return best
		}
		from += at
		t.steps += at + 1
		rest := s[from:]
		switch {
		case hasPrefixFold(rest, "<!entity"):
			best = max(best, t.entity(from+len("<!entity")))
		case hasPrefixFold(rest, "<!doctype"):
			best = max(best, t.documentType(from+len("<!doctype")))
		case hasPrefixFold(rest, "<xi:include"), hasPrefixFold(rest, "<include") && strings.Contains(ahead(s, from, 200), "www.w3.org/2001/XInclude"):
			best = max(best, plain)
		case hasPrefixFold(rest, "<?xml-stylesheet"):
			best = max(best, faint)
		}
		from++
	}
	return best
}

// entity judges the declaration of an entity: one that has a name and a value.
func (t *text) entity(i int) grade {
	s := t.s
	for i < len(s) && (isSpace(s[i]) || s[i] == '%') {
		i++
		t.steps++
	}
	name := wordAt(ahead(s, i, 64), 0)
	j := skipSpace(s, i+len(name))
	if rest := s[j:]; name != "" && (strings.HasPrefix(rest, `"`) || strings.HasPrefix(rest, "'") || hasPrefixFold(rest, "system") || hasPrefixFold(rest, "public")) {
		return sure
	}
	return faint
}

// documentType judges a document type: one with a subset of its own, or that lies elsewhere.
func (t *text) documentType(i int) grade {
	rest := ahead(t.s, i, 300)
	t.steps += 32
	if end := strings.IndexByte(rest, '>'); end >= 0 && strings.IndexByte(rest[:end], '[') < 0 {
		rest = rest[:end]
	}
	name := wordAt(rest, skipSpace(rest, 0))
	switch {
	case strings.IndexByte(rest, '[') >= 0:
		return plain
	case strings.EqualFold(name, "html"), strings.EqualFold(name, "svg"), strings.EqualFold(name, "plist"):
		return none
	case containsFold(rest, "system"), containsFold(rest, "public"):
		return plain
	}
	return none
}
