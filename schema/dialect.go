package schema

import (
	"maps"
	"slices"
	"strings"
)

// dialect turns the schemas of a document into JSON Schema 2020-12 as requests are to be
// judged by: OpenAPI 3.0 has words of its own (nullable, exclusiveMinimum: true), what is
// readOnly must not be sent, and what is not declared may be refused.
type dialect struct {
	tree   *tree
	old    bool // OpenAPI 3.0
	closed bool // undeclared properties are refused
}

// document returns the root of the document with every schema translated.
func (d *dialect) document() any {
	root, ok := d.tree.root.(map[string]any)
	if !ok {
		return d.tree.root
	}
	out := maps.Clone(root)
	if components, ok := root["components"].(map[string]any); ok {
		c := maps.Clone(components)
		if schemas, ok := components["schemas"].(map[string]any); ok {
			c["schemas"] = d.each(schemas, false)
			c[closedTwins] = d.twins(schemas)
		}
		for _, section := range []string{"parameters", "requestBodies", "pathItems"} {
			if found, ok := components[section]; ok {
				c[section] = d.places(found)
			}
		}
		out["components"] = c
	}
	if paths, ok := root["paths"]; ok {
		out["paths"] = d.places(paths)
	}
	return out
}

// places translates the schemas below parameters, bodies and operations: they stand under
// the name "schema".
func (d *dialect) places(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, below := range v {
			switch name {
			case "schema":
				out[name] = d.schema(below, true)
			case "example", "examples", "default", "responses", "callbacks":
				out[name] = below
			default:
				out[name] = d.places(below)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, below := range v {
			out[i] = d.places(below)
		}
		return out
	}
	return v
}

// each translates a map of schemas.
func (d *dialect) each(v any, whole bool) any {
	all, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(all))
	for name, s := range all {
		out[name] = d.schema(s, whole)
	}
	return out
}

func (d *dialect) list(v any, whole bool) any {
	all, ok := v.([]any)
	if !ok {
		return v
	}
	out := make([]any, len(all))
	for i, s := range all {
		out[i] = d.schema(s, whole)
	}
	return out
}

// schema translates one schema. Whole says that it describes a value by itself: not as one of
// several that do so together (allOf), whose properties add up.
func (d *dialect) schema(v any, whole bool) any {
	s, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := maps.Clone(s)
	if _, refers := s["$ref"]; refers && d.old {
		out = map[string]any{"$ref": s["$ref"]} // OpenAPI 3.0: what stands beside it is ignored
	} else {
		d.below(s, out)
	}
	if !whole || !d.closed || !d.isClosable(s, 0) {
		return out
	}
	if name, ok := d.twin(s); ok {
		return map[string]any{"$ref": "#" + join("/components", closedTwins, name)}
	}
	if isPlain(s) {
		out["additionalProperties"] = false
		return out
	}
	return map[string]any{"allOf": []any{out}, "unevaluatedProperties": false}
}

// closedTwins is where copies of plain schemas stand that take no undeclared property. The
// originals may be a part of others (allOf), whose properties add up; and what adds up costs
// more to judge.
const closedTwins = "x-pavise-closed"

func (d *dialect) twins(schemas map[string]any) map[string]any {
	all := map[string]any{}
	for name, v := range schemas {
		if s, ok := v.(map[string]any); ok && d.closed && isPlain(s) && d.isClosable(s, 0) {
			all[name] = d.schema(s, true)
		}
	}
	return all
}

// twin is the name of the closed copy of what a schema refers to, if it only refers.
func (d *dialect) twin(s map[string]any) (name string, ok bool) {
	ref, _ := s["$ref"].(string)
	names := split(ref)
	if len(names) != 3 || names[0] != "components" || names[1] != "schemas" || !d.old && len(s) > 1 {
		return "", false
	}
	found, err := d.tree.at(ref)
	target, isObject := found.(map[string]any)
	return names[2], err == nil && isObject && isPlain(target) && d.isClosable(target, 0)
}

// isPlain reports whether a schema says by itself which properties there are.
func isPlain(s map[string]any) bool {
	for _, name := range []string{"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"} {
		if _, there := s[name]; there {
			return false
		}
	}
	return true
}

// below translates what is in a schema.
func (d *dialect) below(s, out map[string]any) {
	for name, v := range s {
		switch name {
		case "properties":
			out[name] = d.properties(v, out)
		case "patternProperties":
			out[name] = d.each(v, true)
		case "$defs", "definitions", "dependentSchemas":
			out[name] = d.each(v, false)
		case "additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems":
			out[name] = d.schema(v, true)
		case "prefixItems":
			out[name] = d.list(v, true)
		case "allOf", "anyOf", "oneOf":
			out[name] = d.list(v, false)
		case "not", "if", "then", "else", "contains", "propertyNames":
			out[name] = d.schema(v, false)
		}
	}
	if d.old {
		translateOld(out)
	}
}

// properties translates the properties of an object. What is readOnly is the server's to
// say: it is neither accepted nor demanded of a request (OpenAPI 3.1 §4.8.24).
func (d *dialect) properties(v any, out map[string]any) any {
	all, ok := v.(map[string]any)
	if !ok {
		return v
	}
	translated := make(map[string]any, len(all))
	for name, s := range all {
		if d.isReadOnly(s) {
			translated[name] = false
			if required, ok := out["required"].([]any); ok {
				out["required"] = slices.DeleteFunc(slices.Clone(required), func(one any) bool { return one == name })
			}
			continue
		}
		translated[name] = d.schema(s, true)
	}
	return translated
}

func (d *dialect) isReadOnly(v any) bool {
	s, ok := v.(map[string]any)
	if !ok {
		return false
	}
	if s["readOnly"] == true {
		return true
	}
	target := d.target(s)
	return target != nil && target["readOnly"] == true
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
	if properties, ok := s["properties"].(map[string]any); ok && len(properties) > 0 {
		return true
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
func translateOld(s map[string]any) {
	if s["nullable"] == true {
		if kind, ok := s["type"].(string); ok {
			s["type"] = []any{kind, "null"}
		}
		if values, ok := s["enum"].([]any); ok && !slices.Contains(values, any(nil)) {
			s["enum"] = append(slices.Clone(values), nil)
		}
	}
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
}
