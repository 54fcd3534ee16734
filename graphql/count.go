package graphql

import (
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// enough is where counting stops: fragments that name each other twice double with each.
const enough = 1 << 30

// tally is what a piece of an operation does, with its fragments written out.
type tally struct{ depth, fields, aliases, directives, deferred, cost int }

// and adds what stands beside: all but the depth, of which the deepest counts.
func (t tally) and(o tally) tally {
	return tally{
		depth: max(t.depth, o.depth), fields: plus(t.fields, o.fields), aliases: plus(t.aliases, o.aliases),
		directives: plus(t.directives, o.directives), deferred: plus(t.deferred, o.deferred), cost: plus(t.cost, o.cost),
	}
}

func plus(a, b int) int { return min(a+b, enough) }

func times(a, b int) int {
	if a > 0 && b > enough/a {
		return enough
	}
	return a * b
}

// maxSteps is how many selections are looked at for one operation. A fragment is looked at once
// for each way in which it stands.
const maxSteps = 100_000

// place is what a selection stands in.
type place struct {
	of    *ast.Definition // its type; nil: not known
	root  string          // "Query", "Mutation" or "Subscription" at the top; empty below
	sized bool            // lists right in it were counted by the field around them
}

// part is a fragment in a place, whose tally is the same every time.
type part struct {
	fragment string
	place
}

// counter counts one operation.
type counter struct {
	layer     *Layer
	document  document
	operation *ast.OperationDefinition
	variables map[string]any

	memo  map[part]tally
	used  map[string]bool // fragments that were counted, for this operation or another
	open  map[string]bool // fragments that are being counted: one that leads back is a circle
	asked []asked         // fields that have scopes
	steps int
	fault *fault // the first
}

func (l *Layer) counter(d document, o *ast.OperationDefinition, variables map[string]any, used map[string]bool) *counter {
	return &counter{layer: l, document: d, operation: o, variables: variables, memo: map[part]tally{}, used: used, open: map[string]bool{}}
}

func (c *counter) fail(f *fault) {
	if c.fault == nil {
		c.fault = f
	}
}

// whole counts the operation.
func (c *counter) whole() tally {
	o := c.operation
	p, f := c.layer.schema.root(o.Operation)
	if f != nil {
		c.fail(f)
		return tally{}
	}
	t := c.directives(o.Directives)
	for _, v := range o.VariableDefinitions {
		t = t.and(c.directives(v.Directives))
	}
	return t.and(c.selections(o.SelectionSet, p))
}

// unused looks at fragments that no operation uses: servers go through those too.
func (c *counter) unused() {
	for _, fragment := range c.document.Fragments {
		if c.fault == nil && !c.used[fragment.Name] {
			c.spread(fragment.Name, place{}, true)
		}
	}
}

// selections counts a selection set.
func (c *counter) selections(set ast.SelectionSet, p place) (t tally) {
	for _, one := range set {
		if c.steps++; c.steps > maxSteps {
			c.fail(broken("fields", "more fields and fragments than anybody counts"))
		}
		if c.fault != nil {
			return t
		}
		switch one := one.(type) {
		case *ast.Field:
			t = t.and(c.field(one, p))
		case *ast.InlineFragment:
			t = t.and(c.directives(one.Directives))
			t = t.and(c.selections(one.SelectionSet, c.within(one.TypeCondition, p, false)))
		case *ast.FragmentSpread:
			t = t.and(c.directives(one.Directives))
			t = t.and(c.spread(one.Name, p, false))
		}
	}
	return t
}

// within is the place of a fragment's selections.
func (c *counter) within(condition string, p place, alone bool) place {
	if condition == "" || c.layer.schema == nil {
		return p
	}
	of := c.layer.schema.Types[condition]
	if of == nil || !of.IsCompositeType() {
		c.fail(broken("field", "a fragment on a type that the schema does not have").at("/query/" + condition))
		return p
	}
	p.of = of
	if alone {
		p.root = c.layer.schema.rootName(of)
	}
	return p
}

// spread counts a fragment. One that stands alone is not used.
func (c *counter) spread(name string, p place, alone bool) tally {
	fragment := c.document.fragments[name]
	switch {
	case fragment == nil:
		c.fail(broken("form", "a fragment that the document does not have"))
		return tally{}
	case c.open[name]:
		c.fail(broken("cycle", "fragments that lead back to themselves"))
		return tally{}
	}
	p = c.within(fragment.TypeCondition, p, alone)
	key := part{fragment: name, place: p}
	if known, ok := c.memo[key]; ok {
		return known
	}
	c.open[name], c.used[name] = true, true
	t := c.directives(fragment.Directives).and(c.selections(fragment.SelectionSet, p))
	c.open[name] = false
	c.memo[key] = t
	return t
}

// field counts a field with what is below it.
func (c *counter) field(f *ast.Field, p place) tally {
	own := tally{depth: 1, fields: 1}
	if f.Alias != f.Name {
		own.aliases = 1
	}
	own = own.and(c.directives(f.Directives))
	switch {
	case f.Name == "__typename":
		return own
	case strings.HasPrefix(f.Name, "__"):
		return own.and(c.introspection(f))
	}
	definition, below := c.layer.schema.field(p.of, f)
	if below.fault != nil {
		c.fail(below.fault)
		return own
	}
	c.ask(f.Name, p)
	weight, size, sized := c.cost(f, definition, p)
	inside := c.selections(f.SelectionSet, place{of: below.of, sized: sized})
	own.cost = plus(weight, times(size, inside.cost))
	inside.cost, inside.depth = 0, inside.depth+1
	return own.and(inside)
}

// directives counts directives, and those that have an answer come in pieces.
func (c *counter) directives(all ast.DirectiveList) (t tally) {
	for _, d := range all {
		t.directives++
		if d.Name == "defer" || d.Name == "stream" {
			t.deferred++
		}
		if !c.layer.schema.hasDirective(d.Name) {
			c.fail(broken("field", "a directive that the schema does not have").at("/query/@" + d.Name))
		}
	}
	return t
}

// Bounds of questions about the schema. The question that tools ask goes 15 deep.
const (
	introspectionDepth = 20
	introspectionLists = 3 // lists of fields and types within each other
)

// introspection judges a question about the schema. It has a depth of its own.
func (c *counter) introspection(f *ast.Field) tally {
	if !c.layer.Introspection {
		c.fail(broken("introspection", "the service may not be asked for its schema").at("/query/" + f.Name))
		return tally{}
	}
	return tally{fields: c.inspect(f.SelectionSet, 1, 0)}
}

func (c *counter) inspect(set ast.SelectionSet, depth, lists int) (fields int) {
	for _, one := range set {
		if c.steps++; c.steps > maxSteps || depth > introspectionDepth {
			c.fail(broken("introspection", "the question about the schema is too large"))
		}
		if c.fault != nil {
			return fields
		}
		switch one := one.(type) {
		case *ast.Field:
			inside := lists
			switch one.Name {
			case "fields", "interfaces", "possibleTypes", "inputFields":
				if inside++; inside > introspectionLists {
					c.fail(broken("introspection", "the question about the schema goes in circles"))
				}
			}
			fields = plus(fields, 1+c.inspect(one.SelectionSet, depth+1, inside))
		case *ast.InlineFragment:
			fields = plus(fields, c.inspect(one.SelectionSet, depth, lists))
		case *ast.FragmentSpread:
			fragment := c.document.fragments[one.Name]
			switch {
			case fragment == nil:
				c.fail(broken("form", "a fragment that the document does not have"))
			case c.open[one.Name]:
				c.fail(broken("cycle", "fragments that lead back to themselves"))
			default:
				c.open[one.Name], c.used[one.Name] = true, true
				fields = plus(fields, c.inspect(fragment.SelectionSet, depth, lists))
				c.open[one.Name] = false
			}
		}
	}
	return fields
}
