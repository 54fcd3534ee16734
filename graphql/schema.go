package graphql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// known is the service's schema. A nil one is not known: then every field may be there.
type known struct {
	*ast.Schema
	weights map[*ast.FieldDefinition]int
	lists   map[*ast.FieldDefinition]list
}

// list is what a directive says of a field's size.
type list struct {
	assumed    int // 0: not said
	slicing    []string
	connection bool // the sizes are those of lists right below
}

// maxSchema is the longest schema that is read, in bytes.
const maxSchema = 16 << 20

// costs are the directives of the cost specification, for schemas that use them without
// declaring them.
const (
	costDirective = "directive @cost(weight: String!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR"
	listDirective = "directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION"
)

// openSchema reads a schema.
func openSchema(text []byte) (*known, error) {
	if len(text) > maxSchema {
		return nil, fmt.Errorf("the schema has %d bytes, at most %d are read", len(text), maxSchema)
	}
	source := &ast.Source{Name: "schema", Input: string(text)}
	document, err := parser.ParseSchema(source)
	if err != nil {
		return nil, located(err)
	}
	sources := []*ast.Source{validator.Prelude, source}
	for name, text := range map[string]string{"cost": costDirective, "listSize": listDirective} {
		if document.Directives.ForName(name) == nil {
			sources = append(sources, &ast.Source{Name: name, Input: text})
		}
	}
	schema, err := validator.LoadSchema(sources...)
	if err != nil {
		return nil, located(err)
	}
	if schema.Query == nil {
		return nil, errors.New("the schema has no type Query")
	}
	k := &known{Schema: schema, weights: map[*ast.FieldDefinition]int{}, lists: map[*ast.FieldDefinition]list{}}
	for _, t := range schema.Types {
		for _, f := range t.Fields {
			k.learn(f)
		}
	}
	return k, nil
}

// located is an error of the library, with its line.
func located(err error) error {
	if one, ok := errors.AsType[*gqlerror.Error](err); ok && len(one.Locations) > 0 {
		return fmt.Errorf("the schema, line %d, column %d: %s", one.Locations[0].Line, one.Locations[0].Column, one.Message)
	}
	return fmt.Errorf("the schema: %w", err)
}

// learn reads what directives say of a field's cost.
func (k *known) learn(f *ast.FieldDefinition) {
	k.weights[f] = 1
	of := k.Types[f.Type.Name()]
	for _, all := range []ast.DirectiveList{directivesOf(of), f.Directives} {
		d := all.ForName("cost")
		if d == nil || d.Arguments.ForName("weight") == nil {
			continue
		}
		if w, err := strconv.ParseFloat(d.Arguments.ForName("weight").Value.Raw, 64); err == nil && w >= 0 {
			k.weights[f] = int(min(w, enough))
		}
	}
	d := f.Directives.ForName("listSize")
	if d == nil {
		return
	}
	var l list
	for _, a := range d.Arguments {
		switch a.Name {
		case "assumedSize":
			l.assumed, _ = entries(a.Value.Raw)
		case "slicingArguments":
			for _, child := range a.Value.Children {
				name := child.Value.Raw
				l.slicing = append(l.slicing, name[strings.LastIndexByte(name, '.')+1:])
			}
		case "sizedFields":
			l.connection = len(a.Value.Children) > 0
		}
	}
	k.lists[f] = l
}

func directivesOf(d *ast.Definition) ast.DirectiveList {
	if d == nil {
		return nil
	}
	return d.Directives
}

func (k *known) weight(f *ast.FieldDefinition) int { return k.weights[f] }

func (k *known) listSize(f *ast.FieldDefinition) (assumed int, connection bool) {
	return k.lists[f].assumed, k.lists[f].connection
}

// slicing are the names of a field's arguments that say how many entries are wanted.
func (k *known) slicing(f *ast.FieldDefinition) []string {
	if k != nil && f != nil && len(k.lists[f].slicing) > 0 {
		return k.lists[f].slicing
	}
	return sizes()
}

// root is where an operation begins.
func (k *known) root(o ast.Operation) (place, *fault) {
	name := map[ast.Operation]string{ast.Query: rootQuery, ast.Mutation: rootMutation, ast.Subscription: rootSubscription}[o]
	if k == nil {
		return place{root: name}, nil
	}
	of := map[ast.Operation]*ast.Definition{ast.Query: k.Query, ast.Mutation: k.Mutation, ast.Subscription: k.Subscription}[o]
	if of == nil {
		return place{}, broken("field", "the schema has no operations of this kind")
	}
	return place{of: of, root: name}, nil
}

// rootName is the name of a root under which scopes are given; empty for other types.
func (k *known) rootName(of *ast.Definition) string {
	switch of {
	case k.Query:
		return rootQuery
	case k.Mutation:
		return rootMutation
	case k.Subscription:
		return rootSubscription
	}
	return ""
}

// found is what a field leads to.
type found struct {
	of    *ast.Definition
	fault *fault
}

// field looks a field up. Where there is no schema, nothing is known and everything may be.
func (k *known) field(of *ast.Definition, f *ast.Field) (*ast.FieldDefinition, found) {
	if k == nil {
		return nil, found{}
	}
	unknown := func(what, pointer string) (*ast.FieldDefinition, found) {
		return nil, found{fault: broken("field", "%s", what).at("/query/" + pointer)}
	}
	if of == nil {
		return unknown("a field of a type that is not known", f.Name)
	}
	d := of.Fields.ForName(f.Name)
	if d == nil {
		return unknown("a field that the schema does not have", of.Name+"."+f.Name)
	}
	for _, a := range f.Arguments {
		if d.Arguments.ForName(a.Name) == nil {
			return unknown("an argument that the schema does not have", of.Name+"."+f.Name+"/"+a.Name)
		}
	}
	below := k.Types[d.Type.Name()]
	if below != nil && below.IsCompositeType() != (len(f.SelectionSet) > 0) {
		return unknown("a field of an object without fields, or of a value with some", of.Name+"."+f.Name)
	}
	return d, found{of: below}
}

func (k *known) hasDirective(name string) bool {
	return k == nil || k.Directives[name] != nil || slices.Contains([]string{"defer", "stream"}, name)
}

// possible are the object types that a type may turn out to be, and what they implement: a
// field may be asked of any of them.
func (k *known) possible(of *ast.Definition) []*ast.Definition {
	return slices.Concat([]*ast.Definition{of}, k.GetPossibleTypes(of), k.GetImplements(of))
}
