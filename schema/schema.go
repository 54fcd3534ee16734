// Package schema holds requests to an API's description: an OpenAPI document, 3.0 or 3.1.
//
// A [Document] is read and compiled once. An [Operation] of it is a layer of the guard
// (pavise.Layer): what a request says in its path, query, headers, cookies and body is read
// strictly, once, and judged by the schemas that the document has for it. Whatever the
// document does not declare is refused: a parameter of the query, a property of a body, a
// media type, a body where none is expected.
//
//	tree.go       the document as values, with the places where they were written
//	dialect.go    its schemas as JSON Schema 2020-12: OpenAPI 3.0's own words, what is
//	              readOnly, what is not declared
//	compile.go    operations, compiled
//	parameter.go, query.go    texts turned into values, by style and explode
//	body.go       bodies by media type
//	check.go      the judgement
//
// What is told of a fault is where it is and which rule it breaks, never a value.
//
// The document itself is linted by kin-openapi, schemas are compiled and asked by
// santhosh-tekuri/jsonschema; patterns are Go's regular expressions, which take linear time,
// so that no text can keep them busy. A pattern with look-ahead cannot be used, and opening
// the document says so.
package schema

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Options say how strict a document is taken. The zero value is the strictest.
type Options struct {
	// Undeclared lets parameters of the query and properties of bodies pass that the
	// document does not name.
	Undeclared bool
	// LargeIntegers lets whole numbers pass beyond ±2⁵³, which many readers round.
	LargeIntegers bool
}

// Document is an API's description, compiled. It is immutable.
type Document struct {
	name       string
	options    Options
	tree       *tree
	dialect    *dialect
	compiler   *jsonschema.Compiler
	operations []*Operation
}

// resource is the document's address within the compiler.
const resource = "openapi:///document"

// Open reads and compiles a document; name is for errors. Every operation is compiled, so that
// what cannot be used is told now.
func Open(name string, text []byte, o Options) (*Document, error) {
	d := &Document{name: name, options: o}
	var err error
	if d.tree, err = readTree(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	root, ok := d.tree.root.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: it is no OpenAPI document", name)
	}
	version, _ := root["openapi"].(string)
	if !strings.HasPrefix(version, "3.0.") && !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("%s: it is written in OpenAPI %q; 3.0 and 3.1 are read", name, version)
	}
	if err := lint(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d.dialect = &dialect{tree: d.tree, old: strings.HasPrefix(version, "3.0."), closed: !o.Undeclared}
	d.compiler = newCompiler()
	if err := d.compiler.AddResource(resource, d.dialect.document()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err := d.compile(root); err != nil {
		return nil, err
	}
	return d, nil
}

// lint lets another reader of OpenAPI look at the document.
func lint(text []byte) error {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = false
	doc, err := loader.LoadFromData(text)
	if err != nil {
		return err
	}
	return doc.Validate(context.Background(), openapi3.DisableExamplesValidation(), openapi3.DisableSchemaPatternValidation())
}

func newCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for _, f := range formats() {
		c.RegisterFormat(f)
	}
	c.UseLoader(nowhere{})
	return c
}

// nowhere is a loader that fetches nothing: a schema is in the document, or there is none.
type nowhere struct{}

// Load implements jsonschema.URLLoader.
func (nowhere) Load(address string) (any, error) {
	return nil, fmt.Errorf("%s is not within the document: bundle it into one file", address)
}

// errors with the place in the document.
func (d *Document) fault(pointer, format string, args ...any) error {
	line, column := d.tree.line(pointer)
	return fmt.Errorf("%s:%d:%d: %s", d.name, line, column, fmt.Sprintf(format, args...))
}

// schemaAt compiles the schema at a pointer.
func (d *Document) schemaAt(pointer string) (*jsonschema.Schema, error) {
	compiled, err := d.compiler.Compile(resource + "#" + escaped(pointer))
	if err != nil {
		return nil, d.fault(pointer, "the schema cannot be used: %s", reason(err))
	}
	return compiled, nil
}

// escaped writes a pointer as a fragment (RFC 6901 §6).
func escaped(pointer string) string { return (&url.URL{Fragment: pointer}).EscapedFragment() }

// reason is what a compiler's error says, without the address that only it knows.
func reason(err error) string {
	var invalid *jsonschema.SchemaValidationError
	if errors.As(err, &invalid) {
		err = invalid.Err
	}
	return strings.ReplaceAll(err.Error(), resource, "")
}

// Operations are all operations of the document.
func (d *Document) Operations() []*Operation { return d.operations }

// Operation finds the operation for an endpoint's pattern ("GET /v1/orders/{id}", as
// http.ServeMux reads it): names of parameters may differ, what is fixed may not.
func (d *Document) Operation(pattern string) (*Operation, error) {
	method, path, _ := strings.Cut(pattern, " ")
	for _, o := range d.operations {
		if o.Method == method && o.matches(path) {
			return o, nil
		}
	}
	return nil, fmt.Errorf("%s declares no %s %s", d.name, method, path)
}
