package schema

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// parameter is one declared parameter, compiled.
type parameter struct {
	name     string
	in       string // path, query, header, cookie
	required bool
	style    string
	explode  bool
	asJSON   bool // its value is a JSON text (content: application/json)
	schema   *jsonschema.Schema
	shape    *shape
}

// shape is what of a schema has to be known to read a parameter's text.
type shape struct {
	types      []string // that the value may have; empty: not said
	items      *shape   // of an array
	properties map[string]*shape
	open       bool // other properties may be there
}

func (s *shape) is(kind string) bool { return s != nil && slices.Contains(s.types, kind) }

// shapeOf reads the shape of a schema.
func (d *dialect) shapeOf(v any, depth int) *shape {
	s, ok := v.(map[string]any)
	if !ok || depth > maxReferences {
		return &shape{open: true}
	}
	if target := d.target(s); target != nil {
		return d.shapeOf(target, depth+1)
	}
	out := &shape{}
	switch kind := s["type"].(type) {
	case string:
		out.types = []string{kind}
	case []any:
		for _, one := range kind {
			if name, ok := one.(string); ok {
				out.types = append(out.types, name)
			}
		}
	}
	if items, ok := s["items"]; ok {
		out.items = d.shapeOf(items, depth+1)
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		out.properties = make(map[string]*shape, len(properties))
		for name, p := range properties {
			out.properties[name] = d.shapeOf(p, depth+1)
		}
	}
	more, said := s["additionalProperties"]
	out.open = said && more != false
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		all, _ := s[name].([]any)
		for _, one := range all {
			out.join(d.shapeOf(one, depth+1))
		}
	}
	return out
}

// join adds what another schema says of the same value.
func (s *shape) join(other *shape) {
	for _, kind := range other.types {
		if !slices.Contains(s.types, kind) {
			s.types = append(s.types, kind)
		}
	}
	if s.items == nil {
		s.items = other.items
	}
	for name, p := range other.properties {
		if s.properties == nil {
			s.properties = map[string]*shape{}
		}
		s.properties[name] = p
	}
	s.open = s.open || other.open
}

// value turns a text into the value that it stands for: a number or a truth value where the
// schema wants one and the text is written as JSON writes it; otherwise a string, which the
// schema then judges.
func (s *shape) value(text string) any {
	switch {
	case s.is("boolean") && (text == "true" || text == "false"):
		return text == "true"
	case (s.is("integer") || s.is("number")) && isNumber(text):
		return json.Number(text)
	case s.is("null") && text == "":
		return nil
	}
	return text
}

// isNumber reports whether a text is a number as JSON writes it, which exact arithmetic can
// work with.
func isNumber(text string) bool {
	if len(text) > 40 || !json.Valid([]byte(text)) || text == "" || text[0] == '"' {
		return false
	}
	if text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return false
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(text[i+1:])
		return err == nil && exponent <= 400 && exponent >= -400
	}
	return true
}

// list turns texts into an array.
func (s *shape) list(texts []string) []any {
	array := make([]any, 0, len(texts))
	items := s.items
	if items == nil {
		items = &shape{}
	}
	for _, text := range texts {
		array = append(array, items.value(text))
	}
	return array
}

// pairs turns names and values, which follow each other, into an object.
func (s *shape) pairs(texts []string) (map[string]any, error) {
	if len(texts)%2 != 0 {
		return nil, fmt.Errorf("a name without a value")
	}
	object := map[string]any{}
	for i := 0; i < len(texts); i += 2 {
		if err := s.set(object, texts[i], texts[i+1]); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// set gives an object a property.
func (s *shape) set(object map[string]any, name, text string) error {
	if _, twice := object[name]; twice {
		return fmt.Errorf("a property stands twice")
	}
	p := s.properties[name]
	if p == nil {
		p = &shape{}
	}
	object[name] = p.value(text)
	return nil
}

// parse reads the text of a parameter of style simple, label or matrix (RFC 6570 §3.2.2, .5
// and .7), or of a header. Escapes are taken away after the text was split, so that an
// escaped comma is part of a value.
func (p *parameter) parse(raw string, escaped bool) (any, error) {
	between, equals := ",", "="
	switch p.style {
	case "label":
		if !strings.HasPrefix(raw, ".") {
			return nil, fmt.Errorf("style label begins with a dot")
		}
		raw = raw[1:]
		if p.explode {
			between = "."
		}
	case "matrix":
		return p.matrix(raw, escaped)
	}
	switch {
	case p.shape.is("array"):
		texts, err := unescape(strings.Split(raw, between), escaped)
		return p.shape.list(texts), err
	case p.shape.is("object") && p.explode:
		return p.exploded(strings.Split(raw, between), equals, escaped)
	case p.shape.is("object"):
		texts, err := unescape(strings.Split(raw, between), escaped)
		if err != nil {
			return nil, err
		}
		return p.shape.pairs(texts)
	}
	texts, err := unescape([]string{raw}, escaped)
	if err != nil {
		return nil, err
	}
	return p.shape.value(texts[0]), nil
}

// exploded reads name=value, name=value.
func (p *parameter) exploded(parts []string, equals string, escaped bool) (any, error) {
	object := map[string]any{}
	for _, part := range parts {
		name, value, found := strings.Cut(part, equals)
		if !found {
			return nil, fmt.Errorf("a name without a value")
		}
		texts, err := unescape([]string{name, value}, escaped)
		if err != nil {
			return nil, err
		}
		if err := p.shape.set(object, texts[0], texts[1]); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// matrix reads ;name=value.
func (p *parameter) matrix(raw string, escaped bool) (any, error) {
	if !strings.HasPrefix(raw, ";") {
		return nil, fmt.Errorf("style matrix begins with a semicolon")
	}
	parts := strings.Split(raw[1:], ";")
	if p.shape.is("object") && p.explode {
		return p.exploded(parts, "=", escaped)
	}
	var values []string
	for _, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if name != p.name {
			return nil, fmt.Errorf("another name stands where %s should", p.name)
		}
		values = append(values, value)
	}
	if !p.explode && len(values) == 1 && (p.shape.is("array") || p.shape.is("object")) {
		values = strings.Split(values[0], ",")
	}
	texts, err := unescape(values, escaped)
	switch {
	case err != nil:
		return nil, err
	case p.shape.is("array"):
		return p.shape.list(texts), nil
	case p.shape.is("object"):
		return p.shape.pairs(texts)
	case len(texts) != 1:
		return nil, fmt.Errorf("it stands twice")
	}
	return p.shape.value(texts[0]), nil
}

func unescape(texts []string, escaped bool) ([]string, error) {
	if !escaped {
		return texts, nil
	}
	for i, text := range texts {
		plain, err := url.PathUnescape(text)
		if err != nil {
			return nil, fmt.Errorf("an escape that is none")
		}
		texts[i] = plain
	}
	return texts, nil
}
