package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/internal/strictjson"
)

// parameter is one declared parameter, compiled.
type parameter struct {
	name     string
	in       string // path, query, header, cookie
	required bool
	style    string
	explode  bool
	asJSON   bool // its value is a JSON text (content: application/json)
	empty    bool // an empty text may stand for it, whatever its schema (allowEmptyValue)
	large    bool // whole numbers beyond 2^53
	commas   bool // escaped ones divide a list, too
	schema   *rule
	shape    *shape
}

// shape is what of a schema has to be known to read a parameter's text.
type shape struct {
	types      []string // that the value may have; empty: not said
	items      *shape   // of an array
	properties map[string]*shape
	more       *shape // of other properties, if that is said
	open       bool   // other properties may be there
	file       bool   // nothing is said of it but that there are bytes, and how many
	sized      bool   // how many is said
	large      bool   // whole numbers may be beyond 2^53
}

func (s *shape) is(kind string) bool { return s != nil && slices.Contains(s.types, kind) }

// maxShape is how deep a shape is known: an object, its properties, and their items.
const maxShape = 3

// shapeOf reads the shape of a schema.
func (d *dialect) shapeOf(v any) *shape { return d.shape(v, 0, 0) }

func (d *dialect) shape(v any, references, depth int) *shape {
	s, ok := v.(map[string]any)
	if !ok || references > maxReferences || depth > maxShape {
		return &shape{open: true}
	}
	out := &shape{types: typesOf(s), file: isFile(s), sized: s["minLength"] != nil || s["maxLength"] != nil, large: d.large}
	if target := d.target(s); target != nil {
		out.join(d.shape(target, references+1, depth))
		if d.old {
			return out
		}
	}
	if items, ok := s["items"]; ok {
		out.items = d.shape(items, references, depth+1)
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		for name, p := range properties {
			out.join(&shape{properties: map[string]*shape{name: d.shape(p, references, depth+1)}})
		}
	}
	if more, said := s["additionalProperties"]; said && more != false {
		out.open = true
		out.more = d.shape(more, references, depth+1)
	}
	for _, name := range []string{"allOf", "anyOf", "oneOf"} {
		all, _ := s[name].([]any)
		for _, one := range all {
			out.join(d.shape(one, references+1, depth))
		}
		out.file = out.file && len(all) <= 1 // together, or one of several, they say more
	}
	return out
}

// isFile reports whether a schema says nothing but that there are bytes, and how many.
func isFile(s map[string]any) bool {
	binary := true
	for name, said := range s {
		switch name {
		case "type":
			binary = binary && said == "string" && (s["format"] == "binary" || s["contentMediaType"] != nil)
		case "format":
			binary = binary && said == "binary"
		case "contentMediaType", "contentEncoding", "nullable", "minLength", "maxLength":
		default:
			binary = binary && isAnnotation(name)
		}
	}
	return binary
}

// typesOf are the types that a schema names, or that its other words are about.
func typesOf(s map[string]any) (types []string) {
	switch kind := s["type"].(type) {
	case string:
		return []string{kind}
	case []any:
		for _, one := range kind {
			if name, ok := one.(string); ok {
				types = append(types, name)
			}
		}
		return types
	}
	values, _ := s["enum"].([]any)
	if one, said := s["const"]; said {
		values = append(slices.Clone(values), one)
	}
	for _, one := range values {
		switch one.(type) {
		case json.Number:
			types = append(types, "number")
		case bool:
			types = append(types, "boolean")
		case string:
			types = append(types, "string")
		}
	}
	for about, words := range map[string][]string{
		"number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
		"string": {"minLength", "maxLength", "pattern"},
		"array":  {"items", "minItems", "maxItems"},
		"object": {"properties"},
	} {
		for _, word := range words {
			if _, said := s[word]; said && !slices.Contains(types, about) {
				types = append(types, about)
			}
		}
	}
	return types
}

// join adds what another schema says of the same value.
func (s *shape) join(other *shape) {
	s.file, s.sized = s.file || other.file, s.sized || other.sized
	for _, kind := range other.types {
		if !s.is(kind) {
			s.types = append(s.types, kind)
		}
	}
	if s.items == nil {
		s.items = other.items
	} else if other.items != nil {
		s.items.join(other.items)
	}
	for name, p := range other.properties {
		if s.properties == nil {
			s.properties = map[string]*shape{}
		}
		if known := s.properties[name]; known != nil {
			known.join(p)
			continue
		}
		s.properties[name] = p
	}
	s.open = s.open || other.open
	if s.more == nil {
		s.more = other.more
	}
}

// property is the shape of a property.
func (s *shape) property(name string) *shape {
	if s == nil {
		return &shape{file: true}
	}
	if p := s.properties[name]; p != nil {
		return p
	}
	if s.more != nil {
		return s.more
	}
	return &shape{file: true}
}

// value turns a text into the value that it stands for: a number or a truth value where the
// schema wants one and the text is written as JSON writes it, without a blank or line break
// around it, and all readers read it alike; otherwise a string, which the schema then judges.
func (s *shape) value(text string) any {
	switch {
	case s.is("boolean") && (text == "true" || text == "false"):
		return text == "true"
	case (s.is("integer") || s.is("number")) && strictjson.IsNumber(text, s.large):
		return json.Number(text)
	case s.is("null") && text == "" && !s.is("string"):
		return nil
	}
	return text
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
	object[name] = s.property(name).value(text)
	return nil
}

// parse reads the text of a parameter of style simple, label or matrix (RFC 6570 §3.2.2, .5
// and .7), or of a header. Escapes are taken away after the text was split; an escaped comma in a list is
// refused, or divides it ([divided]).
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
	if escaped && (p.shape.is("array") || p.shape.is("object")) {
		var err error
		if raw, err = divided(raw, between, p.commas); err != nil {
			return nil, err
		}
	}
	switch {
	case p.shape.is("array"):
		texts, err := unescape(p.parts(raw, between), escaped)
		return p.shape.list(texts), err
	case p.shape.is("object") && p.explode:
		return p.exploded(p.parts(raw, between), equals, escaped)
	case p.shape.is("object"):
		texts, err := unescape(p.parts(raw, between), escaped)
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

var errHidden = errors.New("an escaped separator, which some take for one")

// divided is a list in which a comma that stands escaped divides as the others do, if commas says that the
// service reads it so, and an error otherwise. RFC 6570 §3.2.1 and OpenAPI 3.1.1 (Appendix C) have it as part of a
// value; many frameworks take escapes away first and split then: what is one value here is two there, of which the
// second was never judged.
func divided(raw, between string, commas bool) (string, error) {
	switch {
	case between != "," || !strings.Contains(strings.ToUpper(raw), "%2C"):
		return raw, nil
	case !commas:
		return "", errHidden
	}
	return strings.NewReplacer("%2C", ",", "%2c", ",").Replace(raw), nil
}

// parts splits a text. In a header, blanks may stand around a comma (RFC 9110 §5.6.1).
func (p *parameter) parts(raw, between string) []string {
	all := strings.Split(raw, between)
	if p.in == "header" {
		for i, one := range all {
			all[i] = strings.Trim(one, " \t")
		}
	}
	return all
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
		one := values[0]
		if escaped {
			var err error
			if one, err = divided(one, ",", p.commas); err != nil {
				return nil, err
			}
		}
		values = strings.Split(one, ",")
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
	for i, text := range texts {
		if escaped {
			var err error
			if text, err = url.PathUnescape(text); err != nil {
				return nil, errEscape
			}
		}
		if !utf8.ValidString(text) {
			return nil, errUTF8
		}
		texts[i] = text
	}
	return texts, nil
}

var (
	errEscape = errors.New("an escape that is none")
	errUTF8   = errors.New("a text that is not UTF-8")
)
