package schema

import (
	"cmp"
	"errors"
	"maps"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/internal/strictjson"
)

// body is what an operation expects in its body.
type body struct {
	required bool
	media    []*media // the most exact first
}

// media is a media type with its schema.
type media struct {
	pattern    string            // "application/json", "text/*", "*/*"
	parameters map[string]string // that it must have
	schema     *rule
	shape      *shape
	encoding   map[string]encoding
	element    *element // how it stands in XML
	large      bool     // whole numbers beyond 2^53
	commas     bool     // escaped ones divide lists, too
	veil       *veil    // what of an answer not everybody may see; nil: nothing is said
}

// encoding is how a property stands in a form.
type encoding struct {
	media     string // the media type of its text; "": by its type
	separator string // of an array in one text; "": each value by itself
}

func (d *Document) bodyAt(pointer string) (*body, error) {
	described, pointer, err := d.tree.follow(pointer)
	if err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	if err := d.words(pointer, described, "description", "content", "required"); err != nil {
		return nil, err
	}
	content, ok := described["content"].(map[string]any)
	if !ok || len(content) == 0 {
		return nil, d.fault(pointer, "the body has no content: say which media types it may have")
	}
	b, err := d.contentAt(pointer, content)
	if err == nil {
		b.required = described["required"] == true
	}
	return b, err
}

// contentAt compiles the media types of a body.
func (d *Document) contentAt(pointer string, content map[string]any) (*body, error) {
	b := &body{}
	for _, pattern := range slices.Sorted(maps.Keys(content)) {
		m, err := d.mediaAt(join(pointer, "content", pattern), pattern)
		if err != nil {
			return nil, err
		}
		b.media = append(b.media, m)
	}
	slices.SortStableFunc(b.media, func(a, c *media) int {
		return cmp.Or(cmp.Compare(stars(a.pattern), stars(c.pattern)), cmp.Compare(len(c.parameters), len(a.parameters)))
	})
	return b, nil
}

func (d *Document) mediaAt(at, pattern string) (*media, error) {
	name, parameters, err := mime.ParseMediaType(pattern)
	if err != nil {
		return nil, d.fault(at, "%q is no media type", pattern)
	}
	if charset := parameters["charset"]; strings.EqualFold(charset, "utf-8") {
		delete(parameters, "charset") // nothing else is read
	}
	m := &media{pattern: name, parameters: parameters, large: d.options.LargeIntegers, commas: d.options.EscapedCommas}
	described, _, err := d.tree.follow(at)
	if err != nil {
		return nil, d.fault(at, "%v", err)
	}
	if err := d.words(at, described, "schema", "example", "examples", "encoding"); err != nil {
		return nil, err
	}
	raw, there := described["schema"]
	if !there {
		return m, nil
	}
	if isXML(name) && d.dialect.isOpaque(raw, 0) {
		return m, nil // its form is judged
	}
	if !isReadable(name) {
		if !d.dialect.isOpaque(raw, 0) {
			return nil, d.fault(at, "bodies of type %s cannot be held to a schema; describe it as {type: string, format: binary}, or leave the schema out", name)
		}
		return m, nil
	}
	m.shape = d.dialect.shapeOf(raw)
	if m.encoding, err = d.encodings(at, described); err != nil {
		return nil, err
	}
	if m.schema, err = d.schemaAt(join(at, "schema")); err == nil && isXML(name) {
		m.element, err = d.elementAt(join(at, "schema"))
	}
	return m, err
}

// encodings reads how properties stand in a form (OpenAPI 3.1 §4.8.15).
func (d *Document) encodings(at string, described map[string]any) (map[string]encoding, error) {
	all, _ := described["encoding"].(map[string]any)
	out := map[string]encoding{}
	for name, one := range all {
		said, _ := one.(map[string]any)
		e := encoding{}
		e.media, _ = said["contentType"].(string)
		style, _ := said["style"].(string)
		switch explode, isSaid := said["explode"].(bool); {
		case style == "deepObject":
			return nil, d.fault(join(at, "encoding", name), "properties of style deepObject are not read in bodies")
		case style != "" && style != "form" && !explode, isSaid && !explode:
			e.separator = map[string]string{"spaceDelimited": " ", "pipeDelimited": "|"}[style]
			if e.separator == "" {
				e.separator = ","
			}
		}
		out[name] = e
	}
	return out, nil
}

func stars(pattern string) int { return strings.Count(pattern, "*") }

// isJudged reports whether bodies of a media type are read: others pass as they are.
func (m *media) isJudged(name string) bool {
	return isReadable(name) && (m.schema != nil || isXML(name) || !strings.HasPrefix(name, "text/"))
}

// isJudged reports whether any body is read.
func (b *body) isJudged() bool {
	return slices.ContainsFunc(b.media, func(m *media) bool {
		return m.isJudged(m.pattern) || strings.Contains(m.pattern, "*")
	})
}

// isReadable reports whether bodies of a media type are read.
func isReadable(name string) bool {
	return isJSON(name) || isXML(name) || name == form || name == multipartForm || strings.HasPrefix(name, "text/")
}

// isOpaque reports whether a schema says nothing but that there are bytes.
func (d *dialect) isOpaque(v any, depth int) bool {
	s, ok := v.(map[string]any)
	if !ok || depth > maxReferences {
		return v == true
	}
	if target := d.target(s); target != nil && onlyRefers(s) {
		return d.isOpaque(target, depth+1)
	}
	for name, said := range s {
		switch name {
		case "type":
			if said != "string" {
				return false
			}
		case "format":
			if said != "binary" && said != "byte" {
				return false
			}
		case "contentMediaType", "contentEncoding", "nullable":
		default:
			if !isAnnotation(name) {
				return false
			}
		}
	}
	return true
}

const form = "application/x-www-form-urlencoded"

func isJSON(name string) bool {
	return name == "application/json" || strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+json")
}

// find returns what is declared for a media type.
func (b *body) find(name string, parameters map[string]string) *media {
	kind, _, _ := strings.Cut(name, "/")
	for _, m := range b.media {
		if (m.pattern == name || m.pattern == kind+"/*" || m.pattern == "*/*") && m.wants(parameters) {
			return m
		}
	}
	return nil
}

// wants reports whether a media type has the parameters that are declared.
func (m *media) wants(parameters map[string]string) bool {
	for name, value := range m.parameters {
		if parameters[name] != value {
			return false
		}
	}
	return true
}

// Bounds of a JSON document in a request.
const (
	maxDepth   = 64
	maxEntries = 100_000
)

// document reads a JSON text.
func document(text []byte, large bool) (any, error) {
	return strictjson.Document(text, within(large))
}

func within(large bool) strictjson.Bounds {
	return strictjson.Bounds{Depth: maxDepth, Entries: maxEntries, LargeIntegers: large}
}

// maxForm is how many fields a form may have.
const maxForm = 10_000

// read turns a body into the value that its schema judges.
func (m *media) read(name string, parameters map[string]string, text []byte) (any, error) {
	switch {
	case isXML(name) && (m.element != nil || m.schema == nil):
		return m.xml(text)
	case name == multipartForm:
		return m.multipart(parameters["boundary"], text)
	case isJSON(name) && m.schema == nil:
		return nil, strictjson.Scan(text, within(m.large))
	case isJSON(name):
		return document(text, m.large)
	case name == form:
		return m.form(string(text))
	case !utf8.Valid(text):
		return nil, errUTF8
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
		name, err := plainText(name)
		if err != nil {
			return nil, err
		}
		if value, err = divided(value, m.encoding[name].separator, m.commas); err != nil {
			return nil, err
		}
		if value, err = plainText(value); err != nil {
			return nil, err
		}
		if err := m.field(object, name, value); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// field gives the object that a form stands for a property.
func (m *media) field(object map[string]any, name, text string) error {
	property, e := m.shape.property(name), m.encoding[name]
	known, twice := object[name]
	if property.is("array") && !isJSON(e.media) && e.separator == "" {
		item := property.items
		if item == nil {
			item = &shape{}
		}
		v, err := m.fieldValue(item, e, text)
		array, _ := known.([]any) // the first makes it
		object[name] = append(array, v)
		return err
	}
	if twice {
		return errors.New("a field stands twice")
	}
	v, err := m.fieldValue(property, e, text)
	object[name] = v
	return err
}

// fieldValue is the value of a field's text: of an object it is JSON (OpenAPI 3.0 §4.7.14).
func (m *media) fieldValue(s *shape, e encoding, text string) (any, error) {
	switch {
	case isJSON(e.media), e.media == "" && s.is("object"):
		return document([]byte(text), m.large)
	case s.is("array") && e.separator != "":
		return s.list(strings.Split(text, e.separator)), nil
	}
	return s.value(text), nil
}
