package openapi

import (
	"maps"
	"slices"
	"strconv"
)

// direction is whether callers send a value, or get it.
type direction int

const (
	input direction = iota
	output
)

// task is a schema that is to be judged: references are put aside, so that chains of them
// take no stack.
type task struct {
	at        *at
	value     any
	direction direction
	good      bool // of an answer that says all is well
	part      bool // it describes a value together with others (allOf): bounds may stand there
	name      string
}

// visit is a schema that was judged in one way.
type visit struct {
	schema    uintptr
	direction direction
	good      bool
	part      bool
}

// value has a schema judged.
func (c *check) value(a *at, v any, d direction, good bool) {
	c.queue = append(c.queue, task{at: a, value: v, direction: d, good: good})
}

func (c *check) drain() {
	for len(c.queue) > 0 {
		last := c.queue[len(c.queue)-1]
		c.queue = c.queue[:len(c.queue)-1]
		c.schema(last)
	}
}

// schema judges one schema, and those in it.
func (c *check) schema(t task) {
	if !c.step() {
		return
	}
	s, ok := t.value.(map[string]any)
	if !ok {
		if t.value == true && t.direction == input && !t.part {
			c.report("value-free", t.at, "%s may be anything", t.called())
		}
		return
	}
	key := visit{identityOf(s), t.direction, t.good, t.part}
	if c.visited[key] {
		return
	}
	c.visited[key] = true
	if _, refers := s["$ref"].(string); refers {
		if a, target := c.resolve(t.at, s); target != nil {
			next := t
			next.at, next.value = a, target
			c.queue = append(c.queue, next)
		}
		return
	}
	m := c.merged(s)
	if t.direction == input && !t.part {
		c.bounds(t, m)
	}
	if t.direction == output && !t.part {
		c.lets(t, m)
	}
	c.inside(t, s)
}

// called is how a finding calls a schema: by the property or parameter that it is for.
func (t *task) called() string {
	if t.name != "" {
		return strconv.Quote(shorten(t.name))
	}
	names := t.at.names()
	if len(names) > 2 && names[0] == "components" {
		return strconv.Quote(shorten(names[2]))
	}
	return "the value"
}

// inside goes on to the schemas that are in one.
func (c *check) inside(t task, s map[string]any) {
	below := func(v any, name string, part bool, names ...string) {
		next := t
		next.at, next.value, next.name, next.part = t.at.to(names...), v, name, part
		c.schema(next)
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		for i, one := range entries(s, word) {
			// Beside a type, alternatives say which of the values of that type are meant.
			below(one, t.name, word == "allOf" || t.part || has(s, "type", "properties"), word, strconv.Itoa(i))
		}
	}
	for _, word := range []string{"then", "else"} {
		if one, there := s[word]; there {
			below(one, t.name, true, word)
		}
	}
	for _, word := range []string{"items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"} {
		if one, ok := s[word].(map[string]any); ok && len(one) > 0 {
			below(one, t.name, false, word)
		}
	}
	for i, one := range entries(s, "prefixItems") {
		below(one, t.name, false, "prefixItems", strconv.Itoa(i))
	}
	for _, word := range []string{"properties", "patternProperties", "dependentSchemas"} {
		names, in := members(s, word)
		for _, name := range names {
			if word == "properties" && !c.property(t, name, in[name]) {
				continue
			}
			below(in[name], name, word == "dependentSchemas", word, name)
		}
	}
}

// hidden is a writeOnly property.
type hidden struct {
	at   *at
	name string
	sent bool // requests take it
}

// property judges a property, and reports whether its value is to be looked at: what is
// readOnly is not sent, and what is writeOnly is not answered.
func (c *check) property(t task, name string, v any) bool {
	_, s := c.resolve(t.at, v)
	if s == nil {
		return true
	}
	own, _ := v.(map[string]any)
	readOnly := s["readOnly"] == true || own["readOnly"] == true
	writeOnly := s["writeOnly"] == true || own["writeOnly"] == true
	a := t.at.to("properties", name)
	if writeOnly {
		key := identityOf(own)
		h := c.hidden[key]
		c.hidden[key] = hidden{a, name, h.sent || t.direction == input}
	}
	switch {
	case t.direction == input && readOnly, t.direction == output && writeOnly:
		return false
	case t.direction == input:
		if isServerSet(name) {
			c.report("mass-assignment", a, "a caller may write %.80q", name)
		}
		return true
	}
	types := typesOf(c.merged(s))
	isText := len(types) == 0 || slices.Contains(types, "string")
	switch {
	case isTrace(name):
		c.report("stack-trace-returned", a, "an answer has %.80q", name)
	case isText && (isKept(name) || s["format"] == "password"):
		c.report("password-returned", a, "an answer has %.80q", name)
	}
	return true
}

// onlyReturned tells of writeOnly properties that no request takes.
func (c *check) onlyReturned() {
	for _, h := range c.hidden {
		if !h.sent {
			c.report("write-only-returned", h.at, "%.80q is writeOnly, and only answers have it", h.name)
		}
	}
}

// maxParts bounds how many parts of allOf are taken together.
const maxParts = 64

// merged is a schema with what the parts of its allOf say beside it; the outermost word wins.
func (c *check) merged(s map[string]any) map[string]any {
	if s["allOf"] == nil {
		return s
	}
	out := maps.Clone(s)
	open := entries(s, "allOf")
	for n := 0; len(open) > 0 && n < maxParts && c.step(); n++ {
		_, part := c.resolve(nil, open[0])
		open = open[1:]
		for word, v := range part {
			switch _, there := out[word]; {
			case word == "allOf":
				open = append(slices.Clone(open), entries(part, word)...)
			case !there, word == "additionalProperties" && v == false:
				out[word] = v
			case word == "properties":
				both := maps.Clone(objectOf(out, word))
				maps.Copy(both, objectOf(part, word))
				out[word] = both
			}
		}
	}
	return out
}

// typesOf are the types of a schema; what says none by type may say it by another word.
func typesOf(s map[string]any) (types []string) {
	switch t := s["type"].(type) {
	case string:
		return []string{t}
	case []any:
		for _, one := range t {
			if text, ok := one.(string); ok && text != "null" {
				types = append(types, text)
			}
		}
		return types
	}
	for word, of := range map[string]string{
		"properties": "object", "additionalProperties": "object", "patternProperties": "object", "maxProperties": "object", "required": "object",
		"items": "array", "prefixItems": "array", "maxItems": "array", "minItems": "array",
		"maxLength": "string", "minLength": "string", "pattern": "string", "format": "string",
		"minimum": "number", "maximum": "number", "multipleOf": "number",
	} {
		if _, there := s[word]; there && !slices.Contains(types, of) {
			types = append(types, of)
		}
	}
	slices.Sort(types)
	return types
}
