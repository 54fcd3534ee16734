package waf

import "strings"

// findScript looks for what a browser would run if the value were written into a page.
//
// Three ways lead there: an element that runs something (<script>, <svg onload=…>), an
// attribute that does behind a quote (" onfocus=…), and a call behind a quote within a script
// ('-alert(1)-'). Elements are read as browsers read them: a name, attributes with or without
// quotes. <b>, <p>, links and pictures are harmless, and so are a<b and List<String>.
func findScript(t *text) grade {
	s := t.s
	best := t.schemeAt(0)
	first := strings.IndexByte(s, '<')
	for i := 0; i < len(s) && best < sure; i++ {
		t.steps++
		var g grade
		switch s[i] {
		case '<':
			g = t.elementAt(i, i == first)
		case '"', '\'', '`':
			g = max(t.attributeBehind(i), t.callBehind(i))
		case '\\':
			if i+1 < len(s) && (s[i+1] == '\'' || s[i+1] == '"') {
				g = t.callBehind(i + 1)
			}
		}
		best = max(best, g)
	}
	return best
}

// maxElement is how much of an element's head is read, in bytes.
const maxElement = 512

// elementAt judges the element that begins at i.
func (t *text) elementAt(i int, first bool) grade {
	s := t.s
	j := i + 1
	closing := j < len(s) && s[j] == '/'
	if closing {
		j++
	}
	for j < len(s) && (s[j] == 0 || s[j] == '\v' || s[j] == '\f') { // passed by some browsers
		j++
	}
	begin := j
	for j < len(s) && (isAlphanumeric(s[j]) || s[j] == ':' || s[j] == '-') && j-begin < 32 {
		j++
	}
	if begin == j || !isLetter(s[begin]) {
		return none
	}
	t.steps += j - i
	ended := j == len(s) || isSpace(s[j]) || s[j] == '/' || s[j] == '>' || s[j] == '<' || s[j] == 0
	name := lower(s[begin:j])
	g := elementGrade(string(name.bytes[:name.n]))
	if closing {
		if g == sure && ended && first {
			return plain // </script> that nobody began: it ends the one around
		}
		return none
	}
	if !ended {
		return none
	}
	if g >= plain && j < len(s) {
		return g
	}
	if j == len(s) {
		return min(g, faint)
	}
	return max(g, t.attributes(j))
}

// elementGrade says what an element does by itself.
func elementGrade(name string) grade {
	switch name {
	case "script", "svg:script":
		return sure
	case "iframe", "frame", "frameset", "object", "embed", "applet", "base", "isindex":
		return plain
	case "style", "meta", "link", "form", "xml", "animate", "set", "marquee", "portal":
		return faint
	}
	return none
}

// attributes judges the attributes of an element, from behind its name.
func (t *text) attributes(i int) grade {
	s := t.s
	best := none
	end := min(len(s), i+maxElement)
	for i < end && best < plain {
		t.steps++
		c := s[i]
		if c == '>' || c == '<' { // another element is read by itself
			break
		}
		if isSpace(c) || c == '/' || c == '"' || c == '\'' || c == 0 {
			i++
			continue
		}
		begin := i
		for i < end && !isSpace(s[i]) && strings.IndexByte("/<>=\"'", s[i]) < 0 {
			i++
		}
		name := s[begin:i]
		i = skipSpace(s, i)
		if i >= end || s[i] != '=' {
			if i == begin {
				i++
			}
			continue
		}
		i = skipSpace(s, i+1)
		value := i
		if i < end && (s[i] == '"' || s[i] == '\'' || s[i] == '`') {
			value++
			closed := strings.IndexByte(s[i+1:end], s[i])
			if closed < 0 {
				i = end
			} else {
				i += closed + 2
			}
		} else {
			for i < end && !isSpace(s[i]) && s[i] != '>' {
				i++
			}
		}
		t.steps += i - begin
		best = max(best, t.attribute(name, value))
	}
	return best
}

// attribute judges an attribute whose value begins at i.
func (t *text) attribute(name string, i int) grade {
	l := lower(name)
	switch small := string(l.bytes[:l.n]); {
	case isEvent(small):
		return plain
	case small == "srcdoc":
		return plain
	case small == "style":
		if rest := ahead(t.s, i, 200); containsFold(rest, "expression(") || containsFold(rest, "javascript:") || containsFold(rest, "-moz-binding") {
			return plain
		}
	case small == "href" || small == "src" || small == "action" || small == "formaction" || small == "xlink:href" || small == "data" || small == "to" || small == "from" || small == "values" || small == "background" || small == "poster" || small == "content" || small == "dynsrc" || small == "lowsrc":
		return t.schemeAt(i)
	}
	return none
}

// isEvent reports whether an attribute is run when something happens.
func isEvent(name string) bool {
	if len(name) < 5 || !strings.HasPrefix(name, "on") {
		return false
	}
	for i := 2; i < len(name); i++ {
		if !isLetter(name[i]) && name[i] != '-' && name[i] != ':' {
			return false
		}
	}
	return true
}

// schemeAt judges an address that begins at i: a script, or a page in itself. Blanks and control
// characters within the scheme are passed, as browsers do.
func (t *text) schemeAt(i int) grade {
	s := t.s
	for i < len(s) && s[i] <= ' ' {
		i++
		t.steps++
	}
	if i >= len(s) || strings.IndexByte("jJvVdD", s[i]) < 0 {
		return none
	}
	var out lowered
	for ; i < len(s) && out.n < 11; i++ {
		c := s[i]
		t.steps++
		if c == '\t' || c == '\n' || c == '\r' || c == 0 {
			continue
		}
		if c == ':' {
			break
		}
		if !isLetter(c) {
			return none
		}
		out.bytes[out.n] = c | 0x20
		out.n++
	}
	if i >= len(s) || s[i] != ':' {
		return none
	}
	rest := s[i+1:]
	switch string(out.bytes[:out.n]) {
	case "javascript", "vbscript":
		if isCode(rest) {
			return plain
		}
	case "data":
		if hasPrefixFold(rest, "text/html") || hasPrefixFold(rest, "image/svg+xml") && containsFold(ahead(rest, 0, 512), "script") || hasPrefixFold(rest, "text/xml") || hasPrefixFold(rest, "application/x-javascript") || hasPrefixFold(rest, "text/javascript") {
			return plain
		}
	}
	return none
}

// isCode reports whether what follows javascript: is a statement and not a title.
func isCode(s string) bool {
	spaces := skipSpace(s, 0)
	rest := ahead(s, spaces, 64)
	if rest == "" {
		return false
	}
	if strings.IndexByte("/*%[('\"`;!+~&{\\", rest[0]) >= 0 {
		return true
	}
	word := wordAt(rest, 0)
	if len(word) >= len(rest) {
		return false
	}
	c := rest[len(word)]
	return word != "" && (strings.IndexByte("(=`[.&\\", c) >= 0 || c == '/' || c == '%') && !(c == '.' && (len(word)+1 >= len(rest) || rest[len(word)+1] == ' '))
}

// attributeBehind judges a quote that ends an attribute and is followed by one that runs
// something.
func (t *text) attributeBehind(i int) grade {
	s := t.s
	j := i + 1
	for j < len(s) && (isSpace(s[j]) || s[j] == '/' || s[j] == '>' || s[j] == '"' || s[j] == '\'') && j-i < 8 {
		j++
	}
	if j+5 >= len(s) || s[j]|0x20 != 'o' || s[j+1]|0x20 != 'n' || j == i+1 && s[i] == '`' {
		return none
	}
	end := j
	for end < len(s) && isLetter(s[end]) && end-j < 24 {
		end++
	}
	l := lower(s[j:end])
	if !isEvent(string(l.bytes[:l.n])) {
		return none
	}
	t.steps += end - i
	end = skipSpace(s, end)
	if end >= len(s) || s[end] != '=' {
		return none
	}
	if value := ahead(s, end+1, 80); strings.ContainsAny(value, "(`:") || containsFold(value, "throw") || containsFold(value, "location") {
		return plain
	}
	return faint
}

// callBehind judges a quote that ends a text of a script and is followed by a call: '-alert(1)-',
// ";alert(1)//.
func (t *text) callBehind(i int) grade {
	s := t.s
	j := i + 1
	signs := 0
	for j < len(s) && j-i < 12 {
		c := s[j]
		if strings.IndexByte("-+*/;,|&^%?)}]<>=:!~", c) >= 0 {
			signs++
		} else if !isSpace(c) {
			break
		}
		j++
	}
	if signs == 0 || j >= len(s) || strings.IndexByte(s[i+1:j], ',') >= 0 && signs == 1 {
		return none
	}
	rest := ahead(s, j, 64)
	t.steps += j - i + 8
	for _, call := range []string{"alert", "confirm", "prompt", "eval", "document.", "window[", "window.", "self[", "top[", "fetch", "settimeout", "setinterval", "function", "import", "location", "constructor", "console.log", "parent.", "frames["} {
		if !hasPrefixFold(rest, call) {
			continue
		}
		after := rest[len(call):]
		switch {
		case strings.IndexByte(".[", call[len(call)-1]) >= 0:
			if strings.ContainsAny(after, "(=`") {
				return t.breaks(i)
			}
		case strings.HasPrefix(after, "(") || strings.HasPrefix(after, "`") || strings.HasPrefix(after, "?.(") || strings.HasPrefix(after, "/**/"):
			return t.breaks(i)
		case call == "location" && strings.HasPrefix(strings.TrimLeft(after, " "), "="):
			return t.breaks(i)
		}
	}
	return none
}

// breaks is sure where the quote is the first: it ends what is around the value. In a piece of
// code quotes come in pairs.
func (t *text) breaks(i int) grade {
	before := strings.Count(ahead(t.s, max(0, i-200), i-max(0, i-200)), t.s[i:i+1])
	if before%2 == 0 {
		return plain
	}
	return faint
}
