package waf

import "strings"

// findNoSQL looks for a value, or a name, that becomes part of a query to a document store:
// {"$ne": null} where a text was expected, user[$gt]= in a form, JavaScript in $where.
//
// Only names of query operators count, so that $ref, $schema and OData's $filter are
// harmless; they have to be the whole name, or stand where JSON has names.
func findNoSQL(t *text) grade {
	s := t.s
	best := none
	if t.have&hasDollar != 0 {
		for from := 0; best < sure; {
			at := strings.IndexByte(s[from:], '$')
			if at < 0 {
				break
			}
			from += at
			t.steps += at + 1
			best = max(best, t.operatorAt(from))
			from++
		}
	}
	if best < plain && t.have&(hasQuote|hasDouble|hasSemicolon|hasDot) != 0 {
		best = max(best, t.scriptedQuery())
	}
	return best
}

// operatorAt judges a dollar sign.
func (t *text) operatorAt(i int) grade {
	s := t.s
	word := wordAt(s, i+1)
	g := operatorGrade(word)
	if g == none {
		return none
	}
	end := i + 1 + len(word)
	switch {
	case i == 0 && end == len(s), i > 0 && (s[i-1] == '[' || s[i-1] == '.') && (end == len(s) || s[end] == ']' || s[end] == '['):
		return g
	case i > 0 && (s[i-1] == '"' || s[i-1] == '\'') && end < len(s) && s[end] == s[i-1]:
		if j := skipSpace(s, end+1); j < len(s) && s[j] == ':' && strings.LastIndexAny(ahead(s, max(0, i-24), i-max(0, i-24)), "{,") >= 0 {
			return min(g, plain)
		}
	case end < len(s):
		j := skipSpace(s, end)
		if j < len(s) && s[j] == ':' && t.opensObject(i) {
			return min(g, plain)
		}
	}
	return none
}

// opensObject reports whether a brace or a comma stands before i.
func (t *text) opensObject(i int) bool {
	for i--; i >= 0 && isSpace(t.s[i]); i-- {
		t.steps++
	}
	return i >= 0 && (t.s[i] == '{' || t.s[i] == ',')
}

// operatorGrade says how a name of an operator is to be taken. Some are names elsewhere too.
func operatorGrade(word string) grade {
	switch word {
	case "ne", "gt", "gte", "lt", "lte", "nin", "regex", "where", "exists", "nor", "elemMatch", "expr", "function", "accumulator", "jsonSchema", "not", "or", "and", "in", "eq", "mod", "lookup", "near", "geoWithin":
		return sure
	case "type", "all", "size", "text", "comment", "options", "set", "unset", "inc", "push", "pull":
		return faint
	}
	return none
}

// scriptedQuery looks for JavaScript behind a quote: '; return true, ' || this.a == this.b,
// '||'1'=='1.
func (t *text) scriptedQuery() grade {
	s := t.s
	best := none
	for _, quote := range []byte{'\'', '"'} {
		for from, tries := 0, 0; tries < maxQuotes && best < plain; tries++ {
			at := strings.IndexByte(s[from:], quote)
			if at < 0 {
				break
			}
			from += at + 1
			t.steps += at + 1
			if tries%2 == 0 { // of a pair, the second ends a text of a piece of code
				best = max(best, t.behindQuote(skipSpace(s, from)))
			}
		}
	}
	if at := strings.Index(s, "this."); at == 0 && (strings.Contains(s, "==") || strings.Contains(s, ".match(")) {
		best = max(best, plain)
	}
	if i := strings.Index(s, "db."); i >= 0 && (i == 0 || !isWordByte(s[i-1])) {
		rest := ahead(s, i, 80)
		for _, call := range []string{".drop()", ".remove({", ".insert({", ".find().", "dropDatabase()", ".getCollectionNames()", ".shutdownServer("} {
			if strings.Contains(rest, call) && (i == 0 || strings.IndexByte(";'\"", s[max(0, i-1)]) >= 0) {
				best = max(best, plain)
			}
		}
	}
	return best
}

func (t *text) behindQuote(i int) grade {
	s := t.s
	rest := ahead(s, i, 64)
	for len(rest) > 0 && rest[0] == ')' {
		rest = rest[1:]
	}
	switch {
	case strings.HasPrefix(rest, ";"):
		rest = strings.TrimLeft(rest[1:], " ")
		for _, word := range []string{"return ", "return(", "while(", "sleep(", "it=new", "this.", "db."} {
			if strings.HasPrefix(rest, word) {
				return plain
			}
		}
	case strings.HasPrefix(rest, "||"), strings.HasPrefix(rest, "&&"):
		rest = strings.TrimLeft(rest[2:], " (")
		if strings.HasPrefix(rest, "this.") || strings.HasPrefix(rest, "this[") || strings.HasPrefix(rest, "sleep(") || strings.HasPrefix(rest, "true") || strings.HasPrefix(rest, "!") {
			return plain
		}
		if n := constantAt(rest, 0); n > 0 && strings.HasPrefix(strings.TrimLeft(rest[n:], " "), "==") {
			return plain
		}
	case strings.HasPrefix(rest, ","):
		if rest = strings.TrimLeft(rest[1:], " "); strings.HasPrefix(rest, "$where") || strings.HasPrefix(rest, "$or") {
			return plain
		}
	}
	return none
}
