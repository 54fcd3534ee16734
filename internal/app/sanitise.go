package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/sanitise"
	"pavise.dev/pavise/schema"
)

// declaring is what says which fields an endpoint has: its description, or the schema of its
// bodies.
type declaring interface {
	sanitise.Contract
	Declares(in string, names []string) bool
}

// declaring is that of an endpoint; nil: nothing says.
func (g *generation) declaring(from config.Resolved) (declaring, error) {
	layer, err := g.described(from, nil)
	if layer == nil || err != nil {
		return nil, err
	}
	d, ok := layer.(declaring)
	if !ok {
		return nil, fmt.Errorf("%T does not say which fields there are", layer)
	}
	return d, nil
}

// sanitiser is what cleans an endpoint's input, nil if nothing does. Rules of the API whose
// fields the endpoint does not have are left out: they are for its other endpoints.
func (g *generation) sanitiser(from config.Resolved) (pavise.Sanitiser, error) {
	if len(from.Sanitise) == 0 {
		return nil, nil
	}
	described, err := g.declaring(from)
	if err != nil {
		return nil, err
	}
	options := sanitise.Options{MaxBody: from.MaxBody}
	if described != nil {
		options.Contract = described
	}
	var rules []sanitise.Rule
	for i, one := range from.Sanitise {
		rule := one.Rule()
		switch isOwn := i >= len(from.Sanitise)-from.OwnSanitise; {
		case has(described, rule):
			rules = append(rules, rule)
		case isOwn:
			return nil, fmt.Errorf("sanitise (%s:%d): what describes %s has no field %s", one.Pos.File, one.Pos.Line, from.Pattern, rule.Field)
		}
	}
	if len(rules) == 0 {
		return nil, nil
	}
	return sanitise.New(rules, options)
}

// has reports whether an endpoint has the field of a rule. Where nothing describes it, fields are
// what they are, but that nothing can be said to be undeclared.
func has(described declaring, rule sanitise.Rule) bool {
	field, err := sanitise.ParseField(rule.Field)
	if err != nil {
		return true // the sanitiser says why
	}
	strips := rule.Do[0] == sanitise.StripUndeclared
	switch {
	case described == nil:
		return !strips
	case strips && field.In == "query":
		_, isOperation := described.(*schema.Operation)
		return isOperation
	}
	return described.Declares(field.In, field.Names)
}

// checkSanitise refuses rules of an API whose fields none of its endpoints has.
func (g *generation) checkSanitise(rules []config.Sanitise, endpoints []config.Resolved) error {
	for _, one := range rules {
		used := false
		for _, e := range endpoints {
			described, err := g.declaring(e)
			if err != nil {
				return nil // told at the endpoint
			}
			if used = has(described, one.Rule()); used {
				break
			}
		}
		if !used {
			return fmt.Errorf("sanitise (%s:%d): no endpoint has a field %s", one.Pos.File, one.Pos.Line, one.Field)
		}
	}
	return nil
}
