package schema

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// UndeclaredQuery returns the names of a query's parameters that nothing declares. They are
// those that [Operation.Check] refuses as undeclared.
func (o *Operation) UndeclaredQuery(raw string) ([]string, error) {
	q, err := readQuery(raw)
	if err != nil {
		return nil, err
	}
	for _, p := range o.parameters {
		if p.in == "query" {
			_, _, _ = p.read(q) // marks what it uses; what is wrong with it is for Check to say
		}
	}
	return q.strangers(o.parameters, true), nil
}

// UndeclaredBody returns pointers to properties of a body that nothing declares, or that are
// the server's to say. They are those that [Operation.Check] refuses as undeclared. Of
// alternatives (anyOf, oneOf), the one counts that fits but for them; where several do, or none,
// nothing is returned.
func (o *Operation) UndeclaredBody(h http.Header, text []byte) ([]string, error) {
	return o.body.undeclared(h, text)
}

// UndeclaredQuery returns nothing: the schema is not about queries.
func (b *Body) UndeclaredQuery(string) ([]string, error) { return nil, nil }

// UndeclaredBody is that of an [Operation].
func (b *Body) UndeclaredBody(h http.Header, text []byte) ([]string, error) {
	return b.body.undeclared(h, text)
}

func (b *body) undeclared(h http.Header, text []byte) ([]string, error) {
	if b == nil {
		return nil, nil
	}
	name, parameters, refusal := mediaOf(h)
	if refusal != nil {
		return nil, refusal
	}
	m := b.find(name, parameters)
	if m == nil || m.schema == nil || !m.isJudged(name) {
		return nil, nil
	}
	v, err := m.read(name, parameters, text)
	if err != nil {
		return nil, err
	}
	return m.schema.undeclared(v), nil
}

// maxStripped is how often a value is judged again, after what was undeclared was taken away:
// in a schema of many parts, each time others may come to light.
const maxStripped = 8

// undeclared finds what is to be taken away of a value, and takes it away.
func (r *rule) undeclared(v any) (pointers []string) {
	if r.open {
		var found [][]string
		r.look.alike(v, nil, func(at []string) { found = append(found, slices.Clone(at)) })
		for _, names := range found {
			take(v, names)
			pointers = append(pointers, join("", names...))
		}
	}
	for range maxStripped {
		wrong, ok := errors.AsType[*jsonschema.ValidationError](r.ask(v))
		if !ok {
			return pointers
		}
		found, _ := strippable(wrong)
		if len(found) == 0 {
			return pointers
		}
		for _, names := range found {
			take(v, names)
			pointers = append(pointers, join("", names...))
		}
	}
	return pointers
}

// take takes a member away.
func take(v any, names []string) {
	for i, name := range names {
		switch in := v.(type) {
		case map[string]any:
			if i == len(names)-1 {
				delete(in, name)
				return
			}
			v = in[name]
		case []any:
			at, err := strconv.Atoi(name)
			if err != nil || at < 0 || at >= len(in) {
				return
			}
			v = in[at]
		}
	}
}

// strippable gathers the members that are there although nothing declares them. all says that
// nothing else is wrong.
func strippable(wrong *jsonschema.ValidationError) (found [][]string, all bool) {
	switch k := wrong.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			found = append(found, append(slices.Clone(wrong.InstanceLocation), name))
		}
		return found, true
	case *kind.FalseSchema:
		if len(wrong.InstanceLocation) == 0 {
			return nil, false
		}
		return [][]string{wrong.InstanceLocation}, true
	case *kind.AnyOf, *kind.OneOf:
		return alternative(wrong.Causes)
	case *kind.Not:
		return nil, false
	}
	if len(wrong.Causes) == 0 {
		return nil, false
	}
	others := slices.ContainsFunc(wrong.Causes, func(c *jsonschema.ValidationError) bool { return !isLeftOver(c) })
	all = true
	for _, cause := range wrong.Causes {
		if others && isLeftOver(cause) {
			continue // as long as something else is wrong, everything is left over
		}
		more, only := strippable(cause)
		found, all = append(found, more...), all && only
	}
	return found, all
}

// alternative is what is to be taken away for the one alternative that then fits.
func alternative(branches []*jsonschema.ValidationError) (found [][]string, all bool) {
	for _, branch := range branches {
		more, only := strippable(branch)
		if !only {
			continue
		}
		if all {
			return nil, false // which one was meant?
		}
		found, all = more, true
	}
	return found, all
}

// Declares reports whether the operation's description has a place for a field: in is "query",
// with a parameter's name, or "body", with the names of a pointer. "*" stands for any name, "**"
// for whatever is inside.
func (o *Operation) Declares(in string, names []string) bool {
	if in == "query" {
		return len(names) == 1 && slices.ContainsFunc(o.parameters, func(p *parameter) bool { return p.in == in && (names[0] == "*" || p.takes(names[0])) })
	}
	return o.body.declares(names)
}

// Declares reports whether the schema has a place for a field of the body; it is not about
// queries, so that any of their fields may be.
func (b *Body) Declares(in string, names []string) bool {
	return in == "query" || b.body.declares(names)
}

func (b *body) declares(names []string) bool {
	return b != nil && slices.ContainsFunc(b.media, func(m *media) bool {
		return m.schema == nil || hasPlace(m.schema.schema, names, 0)
	})
}

// takes reports whether a query's parameter of a name is read as this one.
func (p *parameter) takes(name string) bool {
	switch {
	case p.style == "deepObject":
		inner, ok := strings.CutPrefix(name, p.name+"[")
		return ok && strings.HasSuffix(inner, "]")
	case p.isSpread():
		return p.shape.open || p.shape.properties[name] != nil
	}
	return p.name == name
}

// hasPlace reports whether a value that fits a schema may have something at a pointer.
func hasPlace(s *jsonschema.Schema, names []string, depth int) bool {
	if depth > maxReferences || s.Bool != nil && !*s.Bool {
		return false
	}
	if len(names) == 0 || names[0] == "**" {
		return true
	}
	found, open := false, s.Bool == nil || *s.Bool
	below(s, func(one *jsonschema.Schema) {
		found, open = found || one != s.Not && one != s.If && hasPlace(one, names, depth+1), false
	})
	inside(s, func(*jsonschema.Schema) { open = false })
	if s.Types != nil && !slices.ContainsFunc(s.Types.ToStrings(), func(kind string) bool { return kind == "object" || kind == "array" }) {
		return found
	}
	return found || open && s.AdditionalProperties == nil || isInside(s, names)
}

// isInside looks among the members and entries that a schema describes.
func isInside(s *jsonschema.Schema, names []string) bool {
	name, rest := names[0], names[1:]
	for own, one := range s.Properties {
		if (own == name || name == "*") && hasPlace(one, rest, 0) {
			return true
		}
	}
	for pattern, one := range s.PatternProperties {
		if (name == "*" || pattern.MatchString(name)) && hasPlace(one, rest, 0) {
			return true
		}
	}
	switch more := s.AdditionalProperties.(type) {
	case *jsonschema.Schema:
		if hasPlace(more, rest, 0) {
			return true
		}
	case bool:
		if more {
			return true
		}
	}
	at, err := strconv.Atoi(name)
	if err != nil && name != "*" {
		return false
	}
	for i, one := range s.PrefixItems {
		if (name == "*" || i == at) && hasPlace(one, rest, 0) {
			return true
		}
	}
	return s.Items2020 != nil && hasPlace(s.Items2020, rest, 0)
}
