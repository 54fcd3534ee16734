// Package schema holds requests and answers to an API's description: an OpenAPI document, 3.0
// or 3.1.
//
// A [Document] is read once. An [Operation] of it, compiled once, is a layer of the guard
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
//	body.go       bodies by media type; multipart.go, xml.go
//	rule.go       a compiled schema, and what it may cost
//	quick.go      a quick look, which accepts what is simple; the library judges the rest
//	check.go      the judgement
//	alike.go      properties that are taken for others
//	texts.go, look.go, disguise.go, markup.go    texts that nothing confines, for injection rules
//	sunset.go     operations that will be gone, and that are
//	answer.go     answers, held to the same document; strip.go what may be taken out of them
//	sensitive.go  what of answers only some may see (x-pavise-sensitive)
//	words.go      Pavise's own words in a document
//
// What is told of a fault is where it is and which rule it breaks, never a value.
//
// A word that is not known is an error: it may be a bound that somebody misspelt. Schemas are
// compiled and asked by santhosh-tekuri/jsonschema; patterns are Go's regular expressions, which take linear time,
// so that no text can keep them busy. A pattern with look-ahead cannot be used, and
// [Document.Operation] says so.
package schema

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Options say how strict a document is taken. The zero value is the strictest.
type Options struct {
	// Undeclared lets parameters of the query and properties of bodies pass that the
	// document does not name.
	Undeclared bool
	// LargeIntegers lets whole numbers pass beyond ±2⁵³, which many readers round.
	LargeIntegers bool
	// EscapedCommas lets a comma that stands escaped in a list divide it as the others do. Services must
	// read it so: take escapes away, and split then.
	EscapedCommas bool
	// ClosedHeaders and ClosedCookies refuse headers and cookies that the document does not
	// name, but for headers that clients and proxies send by themselves.
	ClosedHeaders, ClosedCookies bool
	// Now says whether the sunset of an operation is over; nil: time.Now.
	Now func() time.Time
}

// Document is an API's description. It is safe for concurrent use.
type Document struct {
	name    string
	options Options
	tree    *tree
	dialect *dialect
	places  []place

	compiling sync.Mutex
	compiler  *jsonschema.Compiler
	looks     *looker
	answers   *Document // the same, as answers are read; nil: nobody has asked for it
	sensitive bool      // x-pavise-sensitive stands in it
}

// Open reads a document; name is for errors. Its operations are compiled when they are asked
// for, so that one that cannot be used does not stand in the way of the others.
func Open(name string, text []byte, o Options) (*Document, error) {
	d := &Document{name: name, options: o, looks: newLooker()}
	if o.Now == nil {
		d.options.Now = time.Now
	}
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
	if dialect, said := root["jsonSchemaDialect"]; said && !isKnownDialect(dialect) {
		return nil, fmt.Errorf("%s: its schemas are written in %q; JSON Schema 2020-12 is read", name, dialect)
	}
	if err := d.checkWords("", root, false); err != nil {
		return nil, err
	}
	d.dialect = &dialect{tree: d.tree, old: strings.HasPrefix(version, "3.0."), closed: !o.Undeclared, withheld: "readOnly", large: o.LargeIntegers}
	d.compiler = newCompiler(d.dialect)
	return d, d.list(root)
}

func isKnownDialect(v any) bool {
	return v == "https://json-schema.org/draft/2020-12/schema" || v == "https://spec.openapis.org/oas/3.1/dialect/base"
}

func newCompiler(d *dialect) *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	for _, f := range formats() {
		c.RegisterFormat(f)
	}
	c.UseLoader(d)
	return c
}

// errors with the place in the document, which is looked for when somebody reads them.
func (d *Document) fault(pointer, format string, args ...any) error {
	return &PlaceError{Pointer: pointer, Why: fmt.Sprintf(format, args...), document: d}
}

// schemaAt compiles the schema at a pointer.
func (d *Document) schemaAt(pointer string) (*rule, error) {
	compiled, err := d.compiler.Compile(address(whole, pointer))
	if err != nil {
		at, why := reason(err)
		return nil, d.fault(cmp.Or(at, pointer), "the schema cannot be used: %s", why)
	}
	r := newRule(compiled)
	r.look = d.looks.of(compiled)
	return r, nil
}

// reason is what a compiler's error says, and where the schema stands that it is about.
func reason(err error) (pointer, why string) {
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		_, pointer, _ = pointerOf(invalid.URL)
		if wrong, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			wrong = deepest(wrong)
			return join(pointer, wrong.InstanceLocation...), wrong.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		}
		return pointer, strings.ReplaceAll(invalid.Err.Error(), invalid.URL, pointer)
	}
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		_, pointer, _ = pointerOf(load.URL)
		return pointer, load.Err.Error()
	}
	text, _ := url.PathUnescape(err.Error())
	return "", text
}

// deepest is the cause that lies deepest in the document: what stands above it is wrong
// because of it.
func deepest(wrong *jsonschema.ValidationError) *jsonschema.ValidationError {
	best := wrong
	for i, cause := range wrong.Causes {
		if below := deepest(cause); i == 0 || len(below.InstanceLocation) > len(best.InstanceLocation) {
			best = below
		}
	}
	return best
}

// SaysSensitive reports whether the document says of any value that it is not for everybody.
func (d *Document) SaysSensitive() bool { return d.sensitive }

// Operations are the patterns of all operations of the document: "GET /v1/orders/{id}".
func (d *Document) Operations() []string {
	all := make([]string, len(d.places))
	for i, p := range d.places {
		all[i] = p.String()
	}
	return all
}

// ErrNotDeclared says that a document has no such operation.
var ErrNotDeclared = errors.New("declares no")

// Operation finds and compiles the operation for an endpoint's pattern ("GET /v1/orders/{id}",
// as http.ServeMux reads it): names of parameters may differ, what is fixed may not.
func (d *Document) Operation(pattern string) (*Operation, error) {
	p, err := d.find(pattern)
	if err != nil {
		return nil, err
	}
	d.compiling.Lock()
	defer d.compiling.Unlock()
	return d.operation(p)
}

// find is where the operation for an endpoint's pattern stands.
func (d *Document) find(pattern string) (place, error) {
	method, path, _ := strings.Cut(pattern, " ")
	var found []place
	for _, p := range d.places {
		if strings.ToUpper(p.method) == method && p.matches(path) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return place{}, fmt.Errorf("%s %w %s %s", d.name, ErrNotDeclared, method, path)
	case 1:
		return found[0], nil
	}
	return place{}, d.twice(found[1])
}

func (d *Document) twice(p place) error {
	return d.fault(p.item, "%s is described twice, with different names of parameters", p)
}

// Unusable are the errors of all operations that cannot be used.
func (d *Document) Unusable() (all []error) {
	d.Try(len(d.places), func(pattern string, err error) {
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", pattern, err))
		}
	})
	return all
}

// Try compiles the first so many operations, each by itself, and calls each with what came
// of it: nil, or what is wrong with it.
func (d *Document) Try(most int, each func(pattern string, err error)) {
	forms := map[string]int{}
	for _, p := range d.places {
		forms[p.form()]++
	}
	for _, p := range d.places[:min(most, len(d.places))] {
		if forms[p.form()] > 1 {
			each(p.String(), d.twice(p))
			continue
		}
		each(p.String(), d.try(p))
	}
}

func (d *Document) try(p place) error {
	d.compiling.Lock()
	defer d.compiling.Unlock()
	_, err := d.operation(p)
	return err
}
