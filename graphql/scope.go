package graphql

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"pavise.dev/pavise/shield"
)

// Names of the types with which operations begin, whatever a schema calls them.
const (
	rootQuery        = "Query"
	rootMutation     = "Mutation"
	rootSubscription = "Subscription"
)

func isRoot(name string) bool {
	return name == rootQuery || name == rootMutation || name == rootSubscription
}

// scopes are those that fields need, by type and name; a name of "*" is any other of the type.
// nil: no field needs any.
type scopes map[string]map[string]shield.Scopes

// asked is a field that an operation asks for, with the types that it may be of.
type asked struct {
	name  string
	types []string // the first is told
}

// scopes reads which scopes fields need. Where one is named, each field of Query, Mutation and
// Subscription must be named: access is stated, never implied.
func (k *known) scopes(from map[string][]string) (scopes, error) {
	if len(from) == 0 {
		return nil, nil
	}
	all := scopes{}
	for _, name := range slices.Sorted(maps.Keys(from)) {
		of, field, ok := strings.Cut(name, ".")
		if !ok || of == "" || field == "" {
			return nil, fmt.Errorf("scopes of %q: write Type.field, or Type.*", name)
		}
		if err := k.checkNamed(of, field); err != nil {
			return nil, fmt.Errorf("scopes of %q: %w", name, err)
		}
		if all[of] == nil {
			all[of] = map[string]shield.Scopes{}
		}
		wanted := shield.Scopes{}
		if !slices.Equal(from[name], []string{Any}) {
			wanted = append(wanted, from[name]...)
		}
		all[of][field] = wanted
	}
	return all, nil
}

// checkNamed refuses types and fields that the schema does not have.
func (k *known) checkNamed(of, field string) error {
	if k == nil {
		if !isRoot(of) {
			return fmt.Errorf("without a schema, only fields of Query, Mutation and Subscription are known")
		}
		return nil
	}
	d := k.Types[of]
	for name, root := range map[string]*ast.Definition{rootQuery: k.Query, rootMutation: k.Mutation, rootSubscription: k.Subscription} {
		if name == of && root != nil {
			d = root
		}
	}
	switch {
	case d == nil || !d.IsCompositeType():
		return fmt.Errorf("the schema has no type %s with fields", of)
	case field != "*" && d.Fields.ForName(field) == nil:
		return fmt.Errorf("the type %s has no field %s", of, field)
	}
	return nil
}

// ask notes a field of which scopes are to be looked at.
func (c *counter) ask(name string, p place) {
	if c.layer.scopes == nil {
		return
	}
	var types []string
	if p.root != "" {
		types = append(types, p.root)
	}
	if k := c.layer.schema; k != nil && p.of != nil {
		for _, one := range k.possible(p.of) {
			if root := k.rootName(one); root != "" {
				types = append(types, root) // an interface may be asked of it
			} else {
				types = append(types, one.Name)
			}
		}
	}
	if len(types) > 0 {
		c.asked = append(c.asked, asked{name, types})
	}
}

// missing says which field's scopes the caller does not have, nil if there is none.
func (s scopes) missing(all []asked, id *shield.Identity) *fault {
	for _, one := range all {
		for _, of := range one.types {
			wanted, named := s[of][one.name]
			if !named {
				wanted, named = s[of]["*"]
			}
			var lacks shield.Scopes
			switch {
			case !named && !isRoot(of):
				continue
			case named && id != nil:
				lacks = id.Scopes.Missing(wanted)
			case named:
				lacks = wanted
			}
			if named && len(lacks) == 0 {
				continue
			}
			f := &fault{code: shield.InsufficientScope, rule: "scope", missing: wanted, detail: "missing " + strings.Join(lacks, " ")}
			if !named {
				f.detail = "no scopes are stated for the field"
			}
			return f.at("/query/" + of + "." + one.name)
		}
	}
	return nil
}
