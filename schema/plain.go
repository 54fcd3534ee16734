package schema

import (
	"fmt"
	"maps"
	"net/http"

	"pavise.dev/pavise/shield"
)

// Body holds bodies of JSON to a plain JSON Schema. It is a layer of the guard, safe for
// concurrent use. Path, query, headers and cookies are not looked at.
type Body struct {
	body       *body
	undeclared bool // properties may pass that the schema does not name
}

// OpenBody reads a JSON Schema (2020-12), as strictly as those of an OpenAPI document; name is
// for errors. A body is demanded, of the media type application/json.
func OpenBody(name string, text []byte, o Options) (*Body, error) {
	d := &Document{name: name, options: o, looks: newLooker()}
	var err error
	if d.tree, err = readTree(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if root, ok := d.tree.root.(map[string]any); ok {
		if dialect, said := root["$schema"]; said && !isKnownDialect(dialect) {
			return nil, d.fault("/$schema", "it is written in %v; JSON Schema 2020-12 is read", dialect)
		}
		root = maps.Clone(root)
		delete(root, "$schema")
		delete(root, "$id") // of the whole: nothing here is found by it
		d.tree.root = root
	}
	d.dialect = &dialect{tree: d.tree, closed: !o.Undeclared, withheld: "readOnly", large: o.LargeIntegers}
	d.compiler = newCompiler(d.dialect)
	m := &media{pattern: "application/json", large: o.LargeIntegers, shape: d.dialect.shapeOf(d.tree.root)}
	if m.schema, err = d.schemaAt(""); err != nil {
		return nil, err
	}
	return &Body{body: &body{required: true, media: []*media{m}}, undeclared: o.Undeclared}, nil
}

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit.
func (b *Body) Body() int64 { return b.body.most() }

// Reads says that the body and its kind are looked at.
func (*Body) Reads() shield.Reads { return shield.ReadsBody | shield.ReadsHeader }

// Check implements pavise.Layer.
func (b *Body) Check(r *http.Request, _ *shield.Identity) error {
	var f faults
	if err := b.body.check(&f, r); err != nil {
		return err
	}
	return f.refusal(shield.InvalidInput)
}
