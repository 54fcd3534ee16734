package schema

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

func isXML(name string) bool {
	return name == "application/xml" || name == "text/xml" || strings.HasPrefix(name, "application/") && strings.HasSuffix(name, "+xml")
}

// element is how a value stands in XML, by OpenAPI's object xml (3.1 §4.8.26).
type element struct {
	name      string
	namespace string // "": that of what it is in
	text      *shape // of a value that is a text; nil: it has elements
	attribute bool
	entries   *element         // of an array
	wrapped   bool             // an array that has an element of its own
	fields    []field          // of an object
	inside    map[string]field // the fields by name; attributes as "@name"
}

// field is a property as an element, or an attribute.
type field struct {
	*element
	property string
	pointer  string
	list     bool // the element is one entry of the array that the property is
}

// elementAt reads how the schema at a pointer stands in XML.
func (d *Document) elementAt(pointer string) (*element, error) {
	m := &mapping{d: d, known: map[string]*element{}}
	raw, err := d.tree.at(pointer)
	if err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	name := ""
	if s, ok := raw.(map[string]any); ok {
		if names := split(asText(s["$ref"])); len(names) > 0 {
			name = names[len(names)-1]
		}
	}
	e, err := m.element(raw, pointer, name)
	if err == nil {
		err = m.finish()
	}
	if err == nil && e.name == "" {
		err = d.fault(pointer, "the element has no name: say xml: {name: …}")
	}
	if err == nil && (e.attribute || e.entries != nil && !e.wrapped) {
		err = d.fault(pointer, "a body in XML is one element")
	}
	return e, err
}

func asText(v any) string { s, _ := v.(string); return s }

// mapping is the reading of one schema; known are the elements by pointer and name, since
// schemas lead back to themselves.
type mapping struct {
	d     *Document
	known map[string]*element
	all   []*element
}

// finish gives the fields of every element their names, which are known only when all are read.
func (m *mapping) finish() error {
	for _, e := range m.all {
		for _, f := range e.fields {
			if f.entries != nil && !f.wrapped {
				f.element, f.list = f.entries, true
			}
			key := f.name
			if f.attribute {
				key = "@" + key
			}
			if other, there := e.inside[key]; there && other.property != f.property {
				return m.d.fault(f.pointer, "a body in XML: %s stands for two properties", key)
			}
			e.inside[key] = f
		}
	}
	return nil
}

// described are the schemas that describe a value together: what is referred to, and allOf.
func (m *mapping) described(v any, depth int) (all []map[string]any, err error) {
	s, ok := v.(map[string]any)
	if !ok || depth > maxReferences {
		return nil, errors.New("a schema that is none")
	}
	for _, word := range []string{"oneOf", "anyOf", "not", "if", "patternProperties", "prefixItems", "dependentSchemas"} {
		if _, said := s[word]; said {
			return nil, fmt.Errorf("%s cannot be told in XML", word)
		}
	}
	all = append(all, s)
	if target := m.d.dialect.target(s); target != nil {
		more, err := m.described(target, depth+1)
		if err != nil || m.d.dialect.old {
			return more, err
		}
		all = append(all, more...)
	}
	parts, _ := s["allOf"].([]any)
	for _, one := range parts {
		more, err := m.described(one, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func (m *mapping) element(v any, pointer, name string) (*element, error) {
	if s, ok := v.(map[string]any); ok {
		if ref := asText(s["$ref"]); strings.HasPrefix(ref, "#/") && onlyRefers(s) {
			pointer = ref[1:]
		}
	}
	if e := m.known[pointer+"\x00"+name]; e != nil {
		return e, nil
	}
	all, err := m.described(v, 0)
	if err != nil {
		return nil, m.d.fault(pointer, "a body in XML: %v", err)
	}
	e := &element{name: name, inside: map[string]field{}}
	m.known[pointer+"\x00"+name] = e
	m.all = append(m.all, e)
	shape := m.d.dialect.shapeOf(v)
	var items any
	wrapped, named := false, false
	for _, s := range all {
		said, _ := s["xml"].(map[string]any)
		if n := asText(said["name"]); n != "" && !named {
			e.name, named = n, true
		}
		if ns := asText(said["namespace"]); ns != "" && e.namespace == "" {
			e.namespace = ns
		}
		e.attribute = e.attribute || said["attribute"] == true
		wrapped = wrapped || said["wrapped"] == true
		if items == nil {
			items = s["items"]
		}
	}
	switch {
	case shape.is("array"):
		return m.array(e, items, pointer, name, wrapped)
	case shape.is("object") && e.attribute, len(shape.types) == 0, len(slices.DeleteFunc(slices.Clone(shape.types), func(t string) bool { return t == "null" })) > 1:
		return nil, m.d.fault(pointer, "a body in XML: say of which one type each value is")
	case !shape.is("object"):
		e.text = shape
		return e, nil
	}
	for _, s := range all {
		properties, _ := s["properties"].(map[string]any)
		for _, property := range slices.Sorted(maps.Keys(properties)) {
			if err := m.property(e, property, properties[property], join(pointer, "properties", property)); err != nil {
				return nil, err
			}
		}
	}
	return e, nil
}

// array maps an array: its entries stand beside each other, or in an element of their own.
func (m *mapping) array(e *element, items any, pointer, name string, wrapped bool) (*element, error) {
	entryName := name
	if wrapped {
		entryName = e.name
	}
	entry, err := m.element(items, join(pointer, "items"), entryName)
	if err != nil {
		return nil, err
	}
	if entry.entries != nil || entry.attribute || e.attribute {
		return nil, m.d.fault(pointer, "a body in XML: an array in an array, or in an attribute, cannot be told")
	}
	e.entries, e.wrapped = entry, wrapped
	return e, nil
}

func (m *mapping) property(e *element, name string, v any, pointer string) error {
	p, err := m.element(v, pointer, name)
	if err == nil {
		e.fields = append(e.fields, field{element: p, property: name, pointer: pointer})
	}
	return err
}

// reader reads a body in XML: no document type, no entities but the five, no processing
// instructions, no encoding but UTF-8 (XML 1.0, Namespaces in XML 1.0).
type reader struct {
	tokens *xml.Decoder
	count  int // of elements and attributes
}

// xml reads a body; without an element, only its form is judged.
func (m *media) xml(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errUTF8
	}
	r := &reader{tokens: xml.NewDecoder(bytes.NewReader(text))}
	start, err := r.prolog()
	if err != nil {
		return nil, err
	}
	scope := namespaces{"xml": "http://www.w3.org/XML/1998/namespace"}
	if m.element != nil && start.Name.Local != m.element.name {
		return nil, errors.New("another element than is declared")
	}
	v, err := r.value(m.element, start, scope, "", 1)
	if err != nil {
		return nil, err
	}
	for {
		token, err := r.tokens.RawToken()
		if errors.Is(err, io.EOF) {
			return v, nil
		}
		if text, isText := token.(xml.CharData); err != nil || !isText || len(bytes.TrimSpace(text)) > 0 {
			return nil, errors.New("something follows the element")
		}
	}
}

// prolog reads up to the first element.
func (r *reader) prolog() (xml.StartElement, error) {
	for first := true; ; first = false {
		token, err := r.tokens.RawToken()
		if err != nil {
			return xml.StartElement{}, errXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			return t, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) == 0 {
				continue
			}
		case xml.ProcInst:
			if first && t.Target == "xml" && isDeclaration(string(t.Inst)) {
				continue
			}
		}
		return xml.StartElement{}, errors.New("something stands before the element")
	}
}

// isDeclaration reports whether an XML declaration says 1.0 and, if anything, UTF-8.
func isDeclaration(text string) bool {
	fields := strings.Fields(strings.ReplaceAll(text, "'", `"`))
	if len(fields) == 0 || fields[0] != `version="1.0"` {
		return false
	}
	for _, field := range fields[1:] {
		if f := strings.ToLower(field); f != `encoding="utf-8"` && f != `standalone="yes"` && f != `standalone="no"` {
			return false
		}
	}
	return true
}

var errXML = errors.New("XML that cannot be read")

// namespaces are those that prefixes stand for.
type namespaces map[string]string

// declare adds what an element declares.
func (n namespaces) declare(attributes []xml.Attr) (namespaces, error) {
	var out namespaces
	for _, a := range attributes {
		prefix, isPrefix := a.Name.Local, a.Name.Space == "xmlns"
		if a.Name.Space == "" && a.Name.Local == "xmlns" {
			prefix, isPrefix = "", true
		}
		if !isPrefix {
			continue
		}
		if prefix == "xml" || prefix == "xmlns" || prefix != "" && a.Value == "" {
			return nil, errors.New("a prefix that must not be declared so")
		}
		if out == nil {
			out = maps.Clone(n)
		}
		out[prefix] = a.Value
	}
	if out == nil {
		return n, nil
	}
	return out, nil
}

// of is the namespace of a name.
func (n namespaces) of(name xml.Name) (string, error) {
	space, declared := n[name.Space]
	if name.Space != "" && !declared || name.Local == "" || strings.Contains(name.Local, ":") {
		return "", errors.New("a prefix that is not declared, or a name that is none")
	}
	return space, nil
}

func (r *reader) more() error {
	if r.count++; r.count > maxEntries {
		return errors.New("more elements than anybody reads")
	}
	return nil
}

// value reads an element. Without a description, only its form is judged.
func (r *reader) value(e *element, start xml.StartElement, scope namespaces, above string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep")
	}
	if err := r.more(); err != nil {
		return nil, err
	}
	scope, err := scope.declare(start.Attr)
	if err != nil {
		return nil, err
	}
	space, err := scope.of(start.Name)
	if err != nil {
		return nil, err
	}
	if e != nil && !(space == e.namespace || e.namespace == "" && space == above) {
		return nil, errors.New("an element of another namespace than is declared")
	}
	object := map[string]any{}
	if err := r.attributes(e, start, scope, object); err != nil {
		return nil, err
	}
	c := content{object: object, array: []any{}}
	for {
		token, err := r.tokens.RawToken()
		if err != nil {
			return nil, errXML
		}
		switch t := token.(type) {
		case xml.StartElement:
			err = r.child(e, &c, t.Copy(), scope, space, depth)
		case xml.EndElement:
			if t.Name != start.Name {
				return nil, errXML
			}
			return c.value(e)
		case xml.CharData:
			c.text.Write(t)
		case xml.Comment:
			c.comment = true
		default:
			err = errors.New("a document type or a processing instruction")
		}
		if err != nil {
			return nil, err
		}
	}
}

// content is what is in an element.
type content struct {
	object  map[string]any
	array   []any
	text    strings.Builder
	comment bool
	nested  bool
}

// value is what the content of an element stands for.
func (c *content) value(e *element) (any, error) {
	switch {
	case e == nil:
		return "", nil
	case e.text != nil:
		if c.nested || c.comment || len(c.object) > 0 { // some readers stop at a comment
			return nil, errors.New("an element or a comment in a text")
		}
		return e.text.value(c.text.String()), nil
	case strings.TrimSpace(c.text.String()) != "":
		return nil, errors.New("a text between elements")
	case e.entries != nil:
		if len(c.object) > 0 {
			return nil, errors.New("an attribute of a list")
		}
		return c.array, nil
	}
	return c.object, nil
}

// attributes reads those of an element. None may stand twice, which the tokenizer lets pass.
func (r *reader) attributes(e *element, start xml.StartElement, scope namespaces, object map[string]any) error {
	seen := map[xml.Name]bool{}
	for _, a := range start.Attr {
		if err := r.more(); err != nil {
			return err
		}
		space := ""
		if a.Name.Space != "" && a.Name.Space != "xmlns" {
			var err error
			if space, err = scope.of(a.Name); err != nil {
				return err
			}
		}
		full := xml.Name{Space: space + " " + map[bool]string{true: "xmlns"}[a.Name.Space == "xmlns"], Local: a.Name.Local}
		if seen[full] || strings.Contains(a.Name.Local, ":") || a.Name.Local == "" {
			return errors.New("an attribute that stands twice, or has no name")
		}
		seen[full] = true
		if e == nil || a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			continue
		}
		known, declared := e.inside["@"+a.Name.Local]
		if !declared || known.namespace != space {
			if err := stranger(e, object, a.Name.Local); err != nil {
				return err
			}
			continue
		}
		object[known.property] = known.text.value(a.Value)
	}
	return nil
}

// stranger notes a name that is not declared under itself, for the schema to judge.
func stranger(e *element, object map[string]any, name string) error {
	for _, known := range e.inside {
		if known.property == name {
			return errors.New("an undeclared element has the name of a property")
		}
	}
	object[name] = ""
	return nil
}

// child reads an element within another.
func (r *reader) child(e *element, c *content, start xml.StartElement, scope namespaces, space string, depth int) error {
	c.nested = true
	if e != nil && e.entries != nil {
		if start.Name.Local != e.entries.name {
			return errors.New("another element than the entries of a list")
		}
		v, err := r.value(e.entries, start, scope, space, depth+1)
		c.array = append(c.array, v)
		return err
	}
	var known field
	if e != nil {
		known = e.inside[start.Name.Local]
	}
	v, err := r.value(known.element, start, scope, space, depth+1)
	switch {
	case err != nil || e == nil || e.text != nil:
		return err
	case known.element == nil:
		return stranger(e, c.object, start.Name.Local)
	case known.list:
		array, _ := c.object[known.property].([]any)
		c.object[known.property] = append(array, v)
		return nil
	}
	if _, twice := c.object[known.property]; twice {
		return errors.New("an element stands twice")
	}
	c.object[known.property] = v
	return nil
}
