package schema

import (
	"errors"
	"mime"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"pavise.dev/pavise/internal/strictjson"
)

// body is what an operation expects in its body.
type body struct {
	required bool
	media    []*media // the most exact first
}

// media is a media type with its schema.
type media struct {
	pattern string // "application/json", "text/*", "*/*"
	schema  *jsonschema.Schema
	shape   *shape
}

func (d *Document) bodyAt(pointer string) (*body, error) {
	described, pointer, err := d.tree.follow(pointer)
	if err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	b := &body{required: described["required"] == true}
	content, _ := described["content"].(map[string]any)
	for pattern := range content {
		at := join(pointer, "content", pattern)
		name, _, err := mime.ParseMediaType(pattern)
		if err != nil {
			return nil, d.fault(at, "%q is no media type", pattern)
		}
		m := &media{pattern: name}
		if raw, err := d.tree.at(join(at, "schema")); err == nil {
			m.shape = d.dialect.shapeOf(raw, 0)
			if m.schema, err = d.schemaAt(join(at, "schema")); err != nil {
				return nil, err
			}
		}
		if m.schema != nil && !isReadable(name) && !isOpaque(m.shape) {
			return nil, d.fault(at, "bodies of type %s cannot be held to a schema; describe it as {type: string, format: binary}, or leave the schema out", name)
		}
		b.media = append(b.media, m)
	}
	slices.SortFunc(b.media, func(a, c *media) int { return stars(a.pattern) - stars(c.pattern) })
	return b, nil
}

func stars(pattern string) int { return strings.Count(pattern, "*") }

// isJudged reports whether a schema judges bodies of a media type: others pass as they are.
func (m *media) isJudged(name string) bool { return m.schema != nil && isReadable(name) }

// isJudged reports whether any body is judged.
func (b *body) isJudged() bool {
	return slices.ContainsFunc(b.media, func(m *media) bool {
		return m.isJudged(m.pattern) || m.schema != nil && strings.Contains(m.pattern, "*")
	})
}

// isReadable reports whether bodies of a media type are read.
func isReadable(name string) bool {
	return isJSON(name) || name == form || strings.HasPrefix(name, "text/")
}

// isOpaque reports whether a schema says nothing but that there are bytes.
func isOpaque(s *shape) bool { return s != nil && len(s.types) == 1 && s.is("string") }

const form = "application/x-www-form-urlencoded"

func isJSON(name string) bool {
	return name == "application/json" || strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json")
}

// find returns what is declared for a media type.
func (b *body) find(name string) *media {
	kind, _, _ := strings.Cut(name, "/")
	for _, m := range b.media {
		if m.pattern == name || m.pattern == kind+"/*" || m.pattern == "*/*" {
			return m
		}
	}
	return nil
}

// Bounds of a JSON document in a request.
const (
	maxDepth   = 64
	maxEntries = 100_000
)

// document reads a JSON text.
func document(text []byte, large bool) (any, error) {
	return strictjson.Document(text, strictjson.Bounds{Depth: maxDepth, Entries: maxEntries, LargeIntegers: large})
}

// maxForm is how many fields a form may have.
const maxForm = 10_000

// read turns a body into the value that its schema judges.
func (m *media) read(name string, text []byte, large bool) (any, error) {
	switch {
	case isJSON(name):
		return document(text, large)
	case name == form:
		return m.form(string(text))
	}
	return string(text), nil
}

// form reads a form as the object that it stands for.
func (m *media) form(text string) (any, error) {
	object := map[string]any{}
	if text == "" {
		return object, nil
	}
	if strings.Count(text, "&") >= maxForm {
		return nil, errors.New("too many fields")
	}
	for part := range strings.SplitSeq(text, "&") {
		name, value, found := strings.Cut(part, "=")
		if !found || name == "" || strings.Contains(part, ";") {
			return nil, errors.New("a field without a name or value")
		}
		var plain [2]string
		for i, one := range []string{name, value} {
			var err error
			if plain[i], err = url.QueryUnescape(one); err != nil {
				return nil, errors.New("an escape that is none")
			}
		}
		property := m.property(plain[0])
		if property.is("array") {
			array, _ := object[plain[0]].([]any) // the first makes it
			object[plain[0]] = append(array, property.list(plain[1:])...)
			continue
		}
		if _, twice := object[plain[0]]; twice {
			return nil, errors.New("a field stands twice")
		}
		object[plain[0]] = property.value(plain[1])
	}
	return object, nil
}

func (m *media) property(name string) *shape {
	if m.shape != nil && m.shape.properties[name] != nil {
		return m.shape.properties[name]
	}
	return &shape{}
}
