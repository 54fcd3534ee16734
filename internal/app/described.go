package app

import (
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/schema"
)

// described is the layer that holds an endpoint's requests to the API's description, nil if
// there is none.
func (g *generation) described(from config.Resolved, credentials []string) (pavise.Layer, error) {
	if from.Schema != nil {
		return g.bodySchema(from.Schema)
	}
	operation, err := g.operation(from)
	if operation == nil {
		return nil, err
	}
	operation.Credentials(credentials...)
	return operation, err
}

// sunset is what answers of a described endpoint say about its end.
func sunset(layer pavise.Layer) http.Header {
	if operation, ok := layer.(*schema.Operation); ok {
		return operation.Header()
	}
	return nil
}

// operation is an endpoint as the API's description has it, nil if there is none.
func (g *generation) operation(from config.Resolved) (*schema.Operation, error) {
	if from.OpenAPI == nil {
		return nil, nil
	}
	document, err := g.document(from.OpenAPI)
	if err != nil {
		return nil, err
	}
	key := described{of: document, pattern: from.Pattern}
	if known := g.operations[key]; known != nil {
		return known, nil
	}
	operation, err := document.Operation(from.Pattern)
	if errors.Is(err, schema.ErrNotDeclared) {
		return nil, fmt.Errorf("%w: describe it there, or say why it is outside with insecure_undescribed", err)
	}
	if err != nil {
		return nil, err
	}
	if g.operations == nil {
		g.operations = map[described]*schema.Operation{}
	}
	g.operations[key] = operation
	return operation, nil
}

// described names an operation, which is compiled once for all that ask for it.
type described struct {
	of      *schema.Document
	pattern string
}

// document opens a description, once for all the endpoints that are held to it alike.
func (g *generation) document(from *config.OpenAPI) (*schema.Document, error) {
	as := *from
	as.Pos = config.Pos{}
	if known := g.documents[as]; known != nil {
		return known, nil
	}
	text, err := g.files.Read(from.File)
	if err != nil {
		return nil, err
	}
	opened, err := schema.Open(from.File, text, schema.Options{Undeclared: from.Undeclared != "", LargeIntegers: from.LargeIntegers, EscapedCommas: from.EscapedCommas, ClosedHeaders: from.Headers, ClosedCookies: from.Cookies, Now: g.now})
	if err != nil {
		return nil, err
	}
	if g.documents == nil {
		g.documents = map[config.OpenAPI]*schema.Document{}
	}
	g.documents[as] = opened
	return opened, nil
}

// bodySchema is the layer that holds bodies to a plain JSON Schema.
func (g *generation) bodySchema(from *config.BodySchema) (pavise.Layer, error) {
	text, err := g.files.Read(from.File)
	if err != nil {
		return nil, fmt.Errorf("body_schema: %w", err)
	}
	opened, err := schema.OpenBody(from.File, text, schema.Options{Undeclared: from.Undeclared != "", LargeIntegers: from.LargeIntegers})
	if err != nil {
		return nil, fmt.Errorf("body_schema: %w", err)
	}
	return opened, nil
}
