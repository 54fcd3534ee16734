package schema

import (
	"errors"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// rule is a compiled schema.
type rule struct {
	schema    *jsonschema.Schema
	recursive bool // it describes parts of a value by itself
	open      bool // objects of it list properties, and take others
	quick     *quick
	look      *look // which texts it does not confine
}

func newRule(s *jsonschema.Schema) *rule {
	r := &rule{schema: s, recursive: isRecursive(s, map[*jsonschema.Schema]bool{}), open: isOpen(s, map[*jsonschema.Schema]bool{})}
	if !r.recursive {
		r.quick = quickOf(s)
	}
	return r
}

// maxSteps is how many times a value, or a part of it, is held against a schema. Where each of
// two alternatives leads back to the whole, every level of nesting doubles the work: without a
// bound, a body of a kilobyte would keep a processor busy for good.
const maxSteps = 1_000_000

var errTooMuch = errors.New("more alternatives than anybody weighs")

// ask holds a value against the schema.
func (r *rule) ask(v any) error {
	if r.quick.look(v) == yes {
		return nil
	}
	if steps := maxSteps; r.recursive && !isWithin(&steps, r.schema, v) {
		return errTooMuch
	}
	return r.schema.Validate(v)
}

// below calls each with the schemas that a schema holds against the same value.
func below(s *jsonschema.Schema, each func(*jsonschema.Schema)) {
	for _, one := range []*jsonschema.Schema{s.Ref, s.Not, s.If, s.Then, s.Else} {
		if one != nil {
			each(one)
		}
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for _, one := range list {
			each(one)
		}
	}
	for _, one := range s.DependentSchemas {
		each(one)
	}
}

// inside calls each with the schemas that a schema holds against parts of the value.
func inside(s *jsonschema.Schema, each func(*jsonschema.Schema)) {
	for _, one := range []*jsonschema.Schema{s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems, s.PropertyNames} {
		if one != nil {
			each(one)
		}
	}
	if one, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		each(one)
	}
	for _, one := range s.Properties {
		each(one)
	}
	for _, one := range s.PatternProperties {
		each(one)
	}
	for _, one := range s.PrefixItems {
		each(one)
	}
}

// isRecursive reports whether a schema leads back to one that is on the way to it. Open says of
// each schema that was met whether it is on that way.
func isRecursive(s *jsonschema.Schema, open map[*jsonschema.Schema]bool) bool {
	if onTheWay, met := open[s]; met {
		return onTheWay
	}
	open[s] = true
	found := false
	look := func(one *jsonschema.Schema) { found = found || isRecursive(one, open) }
	below(s, look)
	inside(s, look)
	open[s] = false
	return found
}

// isWithin counts what the judgement of a value costs at most, and stops where that is too much.
func isWithin(steps *int, s *jsonschema.Schema, v any) bool {
	if *steps--; *steps < 0 {
		return false
	}
	ok := true
	look := func(one *jsonschema.Schema) { ok = ok && isWithin(steps, one, v) }
	below(s, look)
	switch v := v.(type) {
	case map[string]any:
		more, _ := s.AdditionalProperties.(*jsonschema.Schema)
		for name, part := range v {
			for _, one := range []*jsonschema.Schema{s.Properties[name], more, s.UnevaluatedProperties} {
				ok = ok && (one == nil || isWithin(steps, one, part))
			}
			for _, one := range s.PatternProperties {
				ok = ok && isWithin(steps, one, part)
			}
		}
	case []any:
		for i, part := range v {
			for _, one := range []*jsonschema.Schema{s.Items2020, s.Contains, s.UnevaluatedItems} {
				ok = ok && (one == nil || isWithin(steps, one, part))
			}
			if i < len(s.PrefixItems) {
				ok = ok && isWithin(steps, s.PrefixItems[i], part)
			}
		}
	}
	return ok
}
