package schema

import (
	"fmt"
	"net/url"
	"strings"
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
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return nil, fmt.Errorf("an escape that is none")
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

// strangers are names that nothing has taken.
func (q *query) strangers() (names []string) {
	for i, p := range q.pairs {
		if !q.used[i] {
			names = append(names, p.name)
		}
	}
	return names
}

func plainValues(raw []string) ([]string, error) {
	out := make([]string, len(raw))
	for i, text := range raw {
		plain, err := url.QueryUnescape(text)
		if err != nil {
			return nil, fmt.Errorf("an escape that is none")
		}
		out[i] = plain
	}
	return out, nil
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

// read finds a parameter in a query. There is none if nothing is returned.
func (p *parameter) read(q *query) (v any, there bool, err error) {
	switch {
	case p.style == "deepObject":
		return p.deep(q)
	case p.shape.is("object") && p.explode && p.style == "form" && !p.asJSON:
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
		one := raw[0]
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
	if p.asJSON {
		v, err = document([]byte(texts[0]), false)
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
		property := p.shape.properties[name]
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
