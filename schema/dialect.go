package schema

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// dialect turns the schemas of a document into JSON Schema 2020-12 as requests are to be
// judged by: OpenAPI 3.0 has words of its own (nullable, exclusiveMinimum: true), what is
// readOnly must not be sent, and what is not declared may be refused. Of answers, what is
// writeOnly must not be.
//
// Each schema that is referred to is a resource of the compiler, loaded when it is needed: its
// address says where it stands, and how it is read there.
type dialect struct {
	tree   *tree
	old    bool // OpenAPI 3.0
	closed bool // undeclared properties are refused
	// withheld is the word for what the other side alone may say: "readOnly" where requests
	// are judged, "writeOnly" where answers are.
	withheld string
	large    bool // whole numbers may be beyond 2^53
}

// reading is how a schema is read.
type reading string

const (
	// whole: it describes a value by itself, which takes nothing that is undeclared.
	whole reading = "whole"
	// part: it is one of several that describe a value together (allOf), whose properties
	// add up; the values of its properties are read whole.
	part reading = "part"
	// literal: as it stands. Under not, if and contains a stricter schema would be a hole: it
	// would not find what it looks for.
	literal reading = "literal"
)

// scheme is what the addresses of schemas begin with.
const scheme = "openapi:///"

// address names the schema at a pointer, read in one way.
func address(r reading, pointer string) string {
	return scheme + string(r) + "/" + url.PathEscape(join("", split(pointer)...))
}

// pointerOf is the pointer within an address.
func pointerOf(address string) (r reading, pointer string, ok bool) {
	kind, rest, ok := strings.Cut(strings.TrimPrefix(address, scheme), "/")
	pointer, err := url.PathUnescape(rest)
	return reading(kind), pointer, ok && err == nil && strings.HasPrefix(address, scheme)
}

// Load implements jsonschema.URLLoader. Nothing is fetched: a schema is in the document, or
// there is none.
func (d *dialect) Load(address string) (any, error) {
	r, pointer, ok := pointerOf(address)
	if !ok {
		return nil, fmt.Errorf("%s is not within the document: bundle it into one file", address)
	}
	v, err := d.tree.at(pointer)
	if err != nil {
		return nil, err
	}
	t := &translation{dialect: d}
	out := t.schema(v, r, surroundings{})
	return out, t.err
}

// translation is the translation of one schema.
type translation struct {
	*dialect
	err error // the first
}

func (t *translation) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf(format, args...)
	}
}

// surroundings are what stands around a schema that describes a value together with others.
type surroundings struct {
	declared map[string]bool // properties that another one declares, and reads whole
	withheld map[string]bool // properties that another one says are the other side's
}

// schema translates one schema.
func (t *translation) schema(v any, r reading, c surroundings) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v
	}
	if ref, refers := s["$ref"].(string); refers && (t.old || onlyRefers(s)) {
		// OpenAPI 3.0: what stands beside it is ignored.
		return map[string]any{"$ref": t.reference(ref, r)}
	}
	out := t.below(s, r, c)
	if r != whole || !t.closed || !t.isClosable(s, 0) {
		return out
	}
	if isPlain(s) {
		out["additionalProperties"] = false // judged faster than what is not evaluated
		if named := t.onlyRequired(s); len(named) > 0 {
			properties, _ := out["properties"].(map[string]any)
			maps.Copy(named, properties)
			out["properties"] = named
		}
		return out
	}
	return map[string]any{"allOf": []any{out}, "properties": t.onlyRequired(s), "unevaluatedProperties": false}
}

// onlyRequired are properties that a schema demands, and says nothing else of: they are
// declared, and may be anything.
func (t *translation) onlyRequired(s map[string]any) map[string]any {
	names := map[string]any{}
	t.made(s, 0, func(part map[string]any) {
		required, _ := part["required"].([]any)
		for _, one := range required {
			if name, ok := one.(string); ok {
				names[name] = map[string]any{}
			}
		}
	})
	t.allProperties(s, func(name string, _ any) { delete(names, name) })
	return names
}

func (t *translation) reference(ref string, r reading) string {
	if !strings.HasPrefix(ref, "#/") {
		t.fail("it refers to %q: only references within the document, by pointer, are followed; bundle it into one file", ref)
		return address(r, "")
	}
	return address(r, ref)
}

// onlyRefers reports whether nothing beside a reference says anything of a value.
func onlyRefers(s map[string]any) bool {
	for name := range s {
		if name != "$ref" && !isAnnotation(name) {
			return false
		}
	}
	return true
}

// isAnnotation reports whether a word says nothing of a value.
func isAnnotation(name string) bool {
	switch name {
	case "title", "description", "default", "example", "examples", "deprecated", "externalDocs", "xml", "readOnly", "writeOnly", "$comment", "$defs", "definitions":
		return true
	}
	return strings.HasPrefix(name, "x-")
}

// isKnown reports whether a word says something of a value, by itself.
func isKnown(name string) bool {
	switch name {
	case "type", "enum", "const", "format", "discriminator",
		"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
		"minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType", "contentSchema",
		"minItems", "maxItems", "uniqueItems", "minContains", "maxContains",
		"minProperties", "maxProperties", "dependentRequired":
		return true
	}
	return false
}

// isPlain reports whether a schema says by itself which properties there are.
func isPlain(s map[string]any) bool {
	for _, name := range []string{"$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"} {
		if _, there := s[name]; there {
			return false
		}
	}
	return true
}

// below translates what is in a schema.
func (t *translation) below(s map[string]any, r reading, c surroundings) map[string]any {
	inner, beside := whole, part
	if r == literal {
		inner, beside = literal, literal
	} else {
		c = t.around(s, c)
	}
	out := make(map[string]any, len(s))
	for name, v := range s {
		if isAnnotation(name) {
			continue
		}
		out[name] = v
		switch name {
		case "$ref":
			if ref, ok := v.(string); ok {
				out[name] = t.reference(ref, beside)
			}
		case "$schema":
			delete(out, name)
			if !isKnownDialect(v) {
				t.fail("it is written in %q; JSON Schema 2020-12 is read", v)
			}
		case "$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary":
			t.fail("%s is not followed: refer by pointer", name)
		case "properties":
			out[name] = t.properties(v, r, c)
		case "patternProperties":
			out[name] = each(v, func(below any) any { return t.value(below, inner) })
		case "additionalProperties", "unevaluatedProperties":
			out[name] = t.value(v, inner)
		case "items", "unevaluatedItems":
			out[name] = t.schema(v, inner, surroundings{})
		case "prefixItems":
			out[name] = each(v, func(below any) any { return t.schema(below, inner, surroundings{}) })
		case "allOf":
			out[name] = t.together(v, beside, c)
		case "anyOf", "oneOf":
			out[name] = t.either(s, v, beside, t.declaredToo(s, c))
		case "then", "else":
			out[name] = t.schema(v, beside, t.declaredToo(s, c))
		case "dependentSchemas":
			out[name] = each(v, func(below any) any { return t.schema(below, beside, t.declaredToo(s, c)) })
		case "not", "if", "contains", "propertyNames":
			out[name] = t.schema(v, literal, surroundings{})
		case "required":
			out[name] = without(v, c.withheld)
		case "nullable":
			if !t.old {
				delete(out, name) // of OpenAPI 3.0 alone
			}
		default:
			if !isKnown(name) {
				t.fail("%q is no word of a schema; what is your own begins with x-", name)
			}
		}
	}
	if t.old {
		return translateOld(out)
	}
	return out
}

// each translates every schema of a map or a list.
func each(v any, read func(any) any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, below := range v {
			out[name] = read(below)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, below := range v {
			out[i] = read(below)
		}
		return out
	}
	return v
}

// without takes names out of a list.
func without(v any, names map[string]bool) any {
	all, ok := v.([]any)
	if !ok {
		return v
	}
	return slices.DeleteFunc(slices.Clone(all), func(one any) bool {
		name, ok := one.(string)
		return ok && names[name]
	})
}

// around adds to what stands around a schema which of its own properties are the other side's,
// here or in what it is made of.
func (t *translation) around(s map[string]any, c surroundings) surroundings {
	withheld := maps.Clone(c.withheld)
	t.allProperties(s, func(name string, p any) {
		if t.isWithheld(p, 0) {
			if withheld == nil {
				withheld = map[string]bool{}
			}
			withheld[name] = true
		}
	})
	c.withheld = withheld
	return c
}

// allProperties goes through the properties of a schema and of what it is made of.
func (t *translation) allProperties(s map[string]any, each func(name string, p any)) {
	t.made(s, 0, func(part map[string]any) {
		properties, _ := part["properties"].(map[string]any)
		for name, p := range properties {
			each(name, p)
		}
	})
}

// made goes through what a schema is made of: itself, what it refers to, and allOf.
func (t *translation) made(s map[string]any, depth int, each func(map[string]any)) {
	if depth > maxReferences {
		return
	}
	each(s)
	if target := t.target(s); target != nil {
		t.made(target, depth+1, each)
	}
	all, _ := s["allOf"].([]any)
	for _, one := range all {
		if below, ok := one.(map[string]any); ok {
			t.made(below, depth+1, each)
		}
	}
}

// declaredToo adds the properties that a schema itself declares, for those that stand beside
// it: what they say of such a property comes in addition, and is read as it stands.
func (t *translation) declaredToo(s map[string]any, c surroundings) surroundings {
	c.declared = maps.Clone(c.declared)
	if c.declared == nil {
		c.declared = map[string]bool{}
	}
	t.allProperties(s, func(name string, _ any) { c.declared[name] = true })
	return c
}

// together translates a list of schemas that describe a value together.
func (t *translation) together(v any, r reading, c surroundings) any {
	all, ok := v.([]any)
	if !ok {
		return v
	}
	out := make([]any, len(all))
	for i, one := range all { // those that refer first: they are read without what is around them
		if s, ok := one.(map[string]any); ok && s["$ref"] != nil {
			out[i] = t.schema(s, r, c)
			c = t.declaredToo(s, c)
		}
	}
	for i, one := range all {
		if s, ok := one.(map[string]any); !ok || s["$ref"] == nil {
			out[i] = t.schema(one, r, c)
			if ok {
				c = t.declaredToo(s, c)
			}
		}
	}
	return out
}

// either translates a list of schemas of which one describes the value. A discriminator says
// which (OpenAPI 3.1 §4.8.25).
func (t *translation) either(s map[string]any, v any, r reading, c surroundings) any {
	all, ok := v.([]any)
	if !ok {
		return v
	}
	discriminator, _ := s["discriminator"].(map[string]any)
	property, _ := discriminator["propertyName"].(string)
	mapping, _ := discriminator["mapping"].(map[string]any)
	out := make([]any, len(all))
	for i, one := range all {
		if r != literal && t.isWithheld(one, 0) {
			out[i] = false
			continue
		}
		out[i] = t.schema(one, r, c)
		below, _ := one.(map[string]any)
		ref, _ := below["$ref"].(string)
		if property == "" || ref == "" || r == literal {
			continue
		}
		names := discriminated(ref, mapping)
		out[i] = map[string]any{"allOf": []any{out[i], map[string]any{"properties": map[string]any{property: map[string]any{"enum": names}}}}}
	}
	return out
}

// discriminated are the values of a discriminator that mean a schema.
func discriminated(ref string, mapping map[string]any) []any {
	own := split(ref)
	if len(own) == 0 {
		return nil
	}
	names := []any{own[len(own)-1]}
	for _, name := range slices.Sorted(maps.Keys(mapping)) {
		to, _ := mapping[name].(string)
		if (to == own[len(own)-1] || join("", split(to)...) == join("", own...)) && !slices.Contains(names, any(name)) {
			names = append(names, name)
		}
	}
	return names
}

// properties translates the properties of an object. What is readOnly is the server's to
// say: it is neither accepted nor demanded of a request; what is writeOnly is the client's
// (OpenAPI 3.1 §4.8.24).
func (t *translation) properties(v any, r reading, c surroundings) any {
	all, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(all))
	for name, p := range all {
		switch {
		case r == literal || c.declared[name] && !t.isWithheld(p, 0):
			out[name] = t.schema(p, literal, surroundings{})
		default:
			out[name] = t.value(p, whole)
		}
	}
	return out
}

// value translates the schema of a property's value.
func (t *translation) value(v any, r reading) any {
	if r != literal && t.isWithheld(v, 0) {
		return false
	}
	return t.schema(v, r, surroundings{})
}

func (d *dialect) isWithheld(v any, depth int) bool {
	s, ok := v.(map[string]any)
	if !ok || depth > maxReferences {
		return false
	}
	if s[d.withheld] == true {
		return true
	}
	if target := d.target(s); target != nil && d.isWithheld(target, depth+1) {
		return true
	}
	all, _ := s["allOf"].([]any)
	if slices.ContainsFunc(all, func(one any) bool { return d.isWithheld(one, depth+1) }) {
		return true
	}
	return d.areWithheld(s["oneOf"], depth) || d.areWithheld(s["anyOf"], depth)
}

// areWithheld reports whether all alternatives are, but for null, which says nothing.
func (d *dialect) areWithheld(v any, depth int) bool {
	all, _ := v.([]any)
	found := false
	for _, one := range all {
		if s, ok := one.(map[string]any); ok && s["type"] == "null" {
			continue
		}
		if found = d.isWithheld(one, depth+1); !found {
			return false
		}
	}
	return found
}

// target is what a schema refers to, nil if it refers to nothing within the document.
func (d *dialect) target(s map[string]any) map[string]any {
	ref, _ := s["$ref"].(string)
	if !strings.HasPrefix(ref, "#/") {
		return nil
	}
	found, _, err := d.tree.follow(ref[1:])
	if err != nil {
		return nil // compiling says so
	}
	return found
}

// isClosable reports whether a schema says which properties there are: an object about whose
// properties nothing is said takes any.
func (d *dialect) isClosable(s map[string]any, depth int) bool {
	if depth > maxReferences {
		return false
	}
	if _, said := s["additionalProperties"]; said {
		return false
	}
	if _, said := s["unevaluatedProperties"]; said {
		return false
	}
	for _, name := range []string{"properties", "patternProperties"} {
		if properties, ok := s[name].(map[string]any); ok && len(properties) > 0 {
			return true
		}
	}
	if target := d.target(s); target != nil && d.isClosable(target, depth+1) {
		return true
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		all, _ := s[name].([]any)
		for _, one := range all {
			if below, ok := one.(map[string]any); ok && d.isClosable(below, depth+1) {
				return true
			}
		}
	}
	return false
}

// translateOld turns OpenAPI 3.0's own words into those of JSON Schema 2020-12.
func translateOld(s map[string]any) map[string]any {
	nullable := s["nullable"] == true
	delete(s, "nullable")
	for strict, loose := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		switch s[strict] {
		case true:
			s[strict] = s[loose]
			delete(s, loose)
		case false:
			delete(s, strict)
		}
	}
	if !nullable {
		return s
	}
	if values, ok := s["enum"].([]any); ok && !slices.Contains(values, any(nil)) {
		s["enum"] = append(slices.Clone(values), nil)
	}
	kind, typed := s["type"].(string)
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		if _, there := s[name]; there { // what it is made of would refuse null
			return map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
		}
	}
	if typed {
		s["type"] = []any{kind, "null"}
	}
	return s
}
