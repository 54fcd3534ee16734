package graphql

import (
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
)

// maxNesting is how deep brackets of any kind may be nested in a document. It bounds the stack
// of whoever parses it.
const maxNesting = 100

// document is a parsed document.
type document struct {
	*ast.QueryDocument
	fragments map[string]*ast.FragmentDefinition
}

// operation finds an operation by its name.
func (d document) operation(name string) *ast.OperationDefinition {
	for _, o := range d.Operations {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// parse reads a document of at most so many bytes and tokens. Errors of the parser quote what
// they found, so that none is told.
func parse(text string, maxBytes, maxTokens int) (document, *fault) {
	var d document
	switch {
	case len(text) > maxBytes:
		return d, broken("bytes", "a document of %d bytes, at most %d", len(text), maxBytes)
	case !utf8.ValidString(text):
		return d, broken("form", "the document is not UTF-8")
	}
	parsed, f := grammar(text, maxTokens)
	if f != nil {
		return d, f
	}
	d = document{parsed, map[string]*ast.FragmentDefinition{}}
	return d, d.check()
}

// grammar parses a text, when its tokens and brackets were counted.
func grammar(text string, maxTokens int) (*ast.QueryDocument, *fault) {
	if f := scan(text, maxTokens); f != nil {
		return nil, f
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: text}, maxTokens+1)
	if err != nil || len(parsed.Operations)+len(parsed.Fragments) == 0 {
		return nil, broken("form", "the document is no GraphQL")
	}
	for _, f := range parsed.Fragments {
		if len(f.VariableDefinition) > 0 {
			return nil, broken("form", "a fragment with variables, which no standard has")
		}
	}
	return parsed, nil
}

// check holds what the grammar leaves open, and what readers differ about.
func (d document) check() *fault {
	if len(d.Operations) == 0 {
		return broken("form", "the document has no operation")
	}
	names := map[string]bool{}
	for _, o := range d.Operations {
		switch {
		case names[o.Name]:
			return broken("form", "two operations have one name")
		case o.Name == "" && len(d.Operations) > 1: // GraphQL §5.2.2.1
			return broken("form", "an operation without a name stands beside others")
		}
		names[o.Name] = true
	}
	for _, f := range d.Fragments {
		if d.fragments[f.Name] != nil {
			return broken("form", "two fragments have one name")
		}
		d.fragments[f.Name] = f
	}
	return nil
}
