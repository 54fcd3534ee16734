package graphql

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// sizes are arguments that say how many entries of a list are wanted, where no directive of the
// schema names them.
func sizes() []string {
	return []string{"first", "last", "limit", "take", "pageSize", "page_size", "perPage", "per_page"}
}

// named is the argument that names the entries that are wanted, so that its length is their
// number.
const named = "ids"

// cost is what a field costs by itself, how many times what is below it counts, and whether
// lists right below were counted with it, as those of a connection are.
func (c *counter) cost(f *ast.Field, d *ast.FieldDefinition, p place) (weight, size int, sized bool) {
	weight, size = 1, 1
	asked, said := c.size(f.Arguments, d)
	if d == nil { // no schema: a size that is asked for counts, whatever it is of
		if said {
			size = asked
		}
		return weight, size, false
	}
	weight = c.layer.schema.weight(d)
	assumed, connection := c.layer.schema.listSize(d)
	switch {
	case said:
		size = asked
	case assumed > 0:
		size = assumed
	case d.Type.Elem != nil && !p.sized:
		size = c.layer.ListSize
	}
	return weight, size, d.Type.Elem == nil && (said || connection)
}

// size is how many entries the arguments ask for: the largest number, if there are several.
func (c *counter) size(given ast.ArgumentList, d *ast.FieldDefinition) (size int, said bool) {
	names := c.layer.schema.slicing(d)
	for _, a := range given {
		if n, ok := c.number(a.Name, a.Value, names, 0); ok {
			size, said = max(size, n), true
		}
	}
	if d == nil {
		return size, said
	}
	for _, a := range d.Arguments { // what holds where nothing is given
		if a.DefaultValue == nil || given.ForName(a.Name) != nil {
			continue
		}
		if n, ok := c.number(a.Name, a.DefaultValue, names, 0); ok {
			size, said = max(size, n), true
		}
	}
	return size, said
}

// maxInside is how deep a size is looked for in an argument that is an object.
const maxInside = 3

// number is the size that an argument of some name asks for, by itself or inside.
func (c *counter) number(name string, v *ast.Value, names []string, depth int) (n int, ok bool) {
	isSize := slices.Contains(names, name)
	switch {
	case v == nil || depth > maxInside:
	case v.Kind == ast.Variable:
		return c.variable(name, v.Raw, names, depth)
	case isSize && (v.Kind == ast.IntValue || v.Kind == ast.FloatValue || v.Kind == ast.StringValue):
		return entries(v.Raw)
	case v.Kind == ast.ListValue && name == named:
		return len(v.Children), true
	case v.Kind == ast.ListValue && isSize: // a list of one may stand for its entry
		for _, child := range v.Children {
			if inside, found := c.number(name, child.Value, names, depth+1); found {
				n, ok = max(n, inside), true
			}
		}
	case v.Kind == ast.ObjectValue:
		for _, child := range v.Children {
			if inside, found := c.number(child.Name, child.Value, names, depth+1); found {
				n, ok = max(n, inside), true
			}
		}
	}
	return n, ok
}

// variable is number for a variable: its value, or its default.
func (c *counter) variable(name, variable string, names []string, depth int) (int, bool) {
	if v, given := c.variables[variable]; given {
		return inside(name, v, names, depth)
	}
	if d := c.operation.VariableDefinitions.ForName(variable); d != nil && d.DefaultValue != nil && d.DefaultValue.Kind != ast.Variable {
		return c.number(name, d.DefaultValue, names, depth)
	}
	return 0, false
}

// inside is number for the value of a variable.
func inside(name string, v any, names []string, depth int) (n int, ok bool) {
	if depth > maxInside {
		return 0, false
	}
	isSize := slices.Contains(names, name)
	switch v := v.(type) {
	case json.Number:
		if isSize {
			return entries(string(v))
		}
	case string:
		if isSize {
			return entries(v)
		}
	case []any:
		if name == named {
			return len(v), true
		}
		for _, one := range v {
			if m, found := inside(name, one, names, depth+1); found && isSize {
				n, ok = max(n, m), true
			}
		}
	case map[string]any:
		for own, one := range v {
			if m, found := inside(own, one, names, depth+1); found {
				n, ok = max(n, m), true
			}
		}
	}
	return n, ok
}

// entries reads a number of entries. What is no number asks for nothing that is known.
func entries(text string) (int, bool) {
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil && (f == 0 || f != f):
		return 0, false
	case f < 0:
		f = -f // some count from the end
	}
	return int(min(f, enough)), true
}
