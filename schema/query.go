package schema

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxQuery is how many parameters a query may have.
const maxQuery = 1000

// pair is a parameter of a query as it was written.
type pair struct{ name, raw string }

// query is a query taken apart, with what was used of it.
type query struct {
	pairs []pair
	used  []bool
}

// readQuery takes a query apart. Names are plain, values as they were written.
func readQuery(raw string) (*query, error) {
	q := &query{}
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			if raw == "" {
				break
			}
			return nil, fmt.Errorf("a parameter is empty")
		}
		name, value, _ := strings.Cut(part, "=")
		plain, err := plainText(name)
		if err != nil {
			return nil, err
		}
		if q.pairs = append(q.pairs, pair{plain, value}); len(q.pairs) > maxQuery {
			return nil, fmt.Errorf("more than %d parameters", maxQuery)
		}
	}
	q.used = make([]bool, len(q.pairs))
	return q, nil
}

// take returns the values of a name, as they were written.
func (q *query) take(name string) (values []string) {
	for i, p := range q.pairs {
		if p.name == name {
			values, q.used[i] = append(values, p.raw), true
		}
	}
	return values
}

// strangers are names that nothing has taken, or only those of them that some reader takes for
// a declared one: "Limit" and "limit[]" for "limit".
func (q *query) strangers(parameters []*parameter, all bool) (names []string) {
	for i, one := range q.pairs {
		if !q.used[i] && (all || slices.ContainsFunc(parameters, func(p *parameter) bool { return p.resembles(one.name) })) {
			names = append(names, one.name)
		}
	}
	return names
}

func (p *parameter) resembles(name string) bool {
	if p.in != "query" {
		return false
	}
	stem, _, _ := strings.Cut(strings.TrimSpace(name), "[")
	if isAlike(stem, p.name) {
		return true
	}
	if !p.isSpread() {
		return false
	}
	for own := range p.shape.properties {
		if isAlike(stem, own) {
			return true
		}
	}
	return false
}

// isAlike reports whether some reader takes a name for another: case is nothing to some, and PHP
// puts an underscore in the place of a dot or a blank.
func isAlike(name, own string) bool {
	plain := strings.NewReplacer(".", "_", " ", "_")
	return strings.EqualFold(plain.Replace(name), plain.Replace(own))
}

// isSpread reports whether the properties of an object are parameters of their own.
func (p *parameter) isSpread() bool {
	return p.shape.is("object") && p.explode && p.style == "form" && !p.asJSON
}

func plainValues(raw []string) ([]string, error) {
	out := make([]string, len(raw))
	for i, text := range raw {
		var err error
		if out[i], err = plainText(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// plainText takes the escapes of a query or a form away.
func plainText(raw string) (string, error) {
	plain, err := url.QueryUnescape(raw)
	switch {
	case err != nil:
		return "", errEscape
	case !utf8.ValidString(plain):
		return "", errUTF8
	}
	return plain, nil
}

// separators are those of arrays and objects in one value, as they may be written.
func separators(style string) []string {
	switch style {
	case "spaceDelimited":
		return []string{"%20", "+"}
	case "pipeDelimited":
		return []string{"|", "%7C", "%7c"}
	}
	return []string{","}
}

// nothing is an empty text that may be there whatever the schema says.
type nothing struct{}

// read finds a parameter in a query. There is none if nothing is returned.
func (p *parameter) read(q *query) (v any, there bool, err error) {
	switch {
	case p.style == "deepObject":
		return p.deep(q)
	case p.isSpread():
		return p.spread(q)
	}
	raw := q.take(p.name)
	switch {
	case len(raw) == 0:
		return nil, false, nil
	case p.shape.is("array") && p.explode && !p.asJSON:
		texts, err := plainValues(raw)
		return p.shape.list(texts), true, err
	case len(raw) > 1:
		return nil, true, fmt.Errorf("it stands twice")
	case (p.shape.is("array") || p.shape.is("object")) && !p.asJSON:
		one, err := divided(raw[0], separators(p.style)[0], p.commas)
		if err != nil {
			return nil, true, err
		}
		for _, s := range separators(p.style)[1:] {
			one = strings.ReplaceAll(one, s, separators(p.style)[0])
		}
		texts, err := plainValues(strings.Split(one, separators(p.style)[0]))
		if err != nil || p.shape.is("array") {
			return p.shape.list(texts), true, err
		}
		v, err = p.shape.pairs(texts)
		return v, true, err
	}
	texts, err := plainValues(raw)
	if err != nil {
		return nil, true, err
	}
	if texts[0] == "" && p.empty {
		return nothing{}, true, nil
	}
	if p.asJSON {
		v, err = document([]byte(texts[0]), p.large)
		return v, true, err
	}
	return p.shape.value(texts[0]), true, nil
}

// deep reads name[property]=value.
func (p *parameter) deep(q *query) (v any, there bool, err error) {
	object := map[string]any{}
	for i, one := range q.pairs {
		inner, found := strings.CutPrefix(one.name, p.name+"[")
		name, closed := strings.CutSuffix(inner, "]")
		if !found || !closed || strings.ContainsAny(name, "[]") {
			continue
		}
		q.used[i] = true
		texts, err := plainValues([]string{one.raw})
		if err != nil {
			return nil, true, err
		}
		property := p.shape.property(name)
		if property.is("array") {
			array, _ := object[name].([]any) // the first makes it
			object[name] = append(array, property.list(texts)...)
			continue
		}
		if err := p.shape.set(object, name, texts[0]); err != nil {
			return nil, true, err
		}
	}
	return object, len(object) > 0, nil
}

// spread reads an object whose properties are parameters of their own.
func (p *parameter) spread(q *query) (v any, there bool, err error) {
	object := map[string]any{}
	for name := range p.shape.properties {
		raw := q.take(name)
		if len(raw) > 1 {
			return nil, true, fmt.Errorf("a property stands twice")
		}
		if len(raw) == 0 {
			continue
		}
		texts, err := plainValues(raw)
		if err != nil {
			return nil, true, err
		}
		if err := p.shape.set(object, name, texts[0]); err != nil {
			return nil, true, err
		}
	}
	if !p.shape.open {
		return object, len(object) > 0, nil
	}
	for i, one := range q.pairs { // whatever nobody else takes is its own
		if q.used[i] {
			continue
		}
		q.used[i] = true
		texts, err := plainValues([]string{one.raw})
		if err != nil {
			return nil, true, err
		}
		if err := p.shape.set(object, one.name, texts[0]); err != nil {
			return nil, true, err
		}
	}
	return object, len(object) > 0, nil
}
