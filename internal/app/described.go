package app

import (
	"errors"
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/schema"
)

// described is the layer that holds an endpoint's requests to the API's description, nil if
// there is none.
func (g *generation) described(from config.Resolved) (pavise.Layer, error) {
	if from.OpenAPI == nil {
		return nil, nil
	}
	document, err := g.document(from.API, from.OpenAPI)
	if err != nil {
		return nil, err
	}
	operation, err := document.Operation(from.Pattern)
	if errors.Is(err, schema.ErrNotDeclared) {
		return nil, fmt.Errorf("%w: describe it there, or say why it is outside with insecure_undescribed", err)
	}
	if err != nil {
		return nil, err
	}
	return operation, nil
}

// document opens the description of an API, once for all its endpoints.
func (g *generation) document(api string, from *config.OpenAPI) (*schema.Document, error) {
	if known := g.documents[api]; known != nil {
		return known, nil
	}
	text, err := g.files.Read(from.File)
	if err != nil {
		return nil, err
	}
	opened, err := schema.Open(from.File, text, schema.Options{Undeclared: from.Undeclared != "", LargeIntegers: from.LargeIntegers})
	if err != nil {
		return nil, err
	}
	if g.documents == nil {
		g.documents = map[string]*schema.Document{}
	}
	g.documents[api] = opened
	return opened, nil
}
