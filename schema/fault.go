package schema

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"pavise.dev/pavise/shield"
)

// maxFaults is how many faults of one request are told.
const maxFaults = 16

// maxPointer is how much of a pointer is told, in bytes.
const maxPointer = 256

// faults are what is wrong with a request, or an answer.
type faults []shield.Field

func (f *faults) add(in, pointer, rule string) {
	if len(pointer) > maxPointer { // names are the caller's
		pointer = pointer[:maxPointer] + "…"
	}
	if len(*f) < maxFaults {
		*f = append(*f, shield.Field{In: in, Pointer: pointer, Rule: rule})
	}
}

// judge adds what a schema has against a value.
func (f *faults) judge(in, pointer string, r *rule, v any) {
	if r == nil {
		return
	}
	err := r.ask(v)
	wrong, ok := errors.AsType[*jsonschema.ValidationError](err)
	switch {
	case err == nil:
	case ok:
		leaves(wrong, func(at []string, rule string) { f.add(in, join(pointer, at...), rule) })
	default:
		f.add(in, pointer, "schema")
	}
}

// leaves goes through the rules at the bottom: those above them fail because of them. Of
// several descriptions of which one should fit, none says what was meant: the rule is told that
// asks for it.
func leaves(wrong *jsonschema.ValidationError, tell func(at []string, rule string)) {
	at := wrong.InstanceLocation
	each := func(names []string, rule string) {
		for _, name := range names {
			tell(append(slices.Clone(at), name), rule)
		}
	}
	switch k := wrong.ErrorKind.(type) {
	case *kind.Required:
		each(k.Missing, "required")
	case *kind.AdditionalProperties:
		each(k.Properties, undeclared)
	case *kind.FalseSchema:
		tell(at, undeclared)
	case *kind.Not:
		tell(at, "not")
	case *kind.AnyOf, *kind.OneOf:
		tell(at, keyword(wrong.ErrorKind))
	default:
		if len(wrong.Causes) == 0 {
			tell(at, keyword(wrong.ErrorKind))
		}
	}
	switch wrong.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		return
	}
	others := slices.ContainsFunc(wrong.Causes, func(c *jsonschema.ValidationError) bool { return !isLeftOver(c) })
	for _, cause := range wrong.Causes {
		if !others || !isLeftOver(cause) {
			leaves(cause, tell)
		}
	}
}

// undeclared is the rule that what nobody declares breaks.
const undeclared = "undeclared"

// isLeftOver reports whether a property is refused because nothing has looked at it: that is
// so of all of them where what should have looked has failed itself.
func isLeftOver(wrong *jsonschema.ValidationError) bool {
	return strings.HasSuffix(wrong.SchemaURL, "/unevaluatedProperties")
}

func keyword(k jsonschema.ErrorKind) string {
	if path := k.KeywordPath(); len(path) > 0 {
		return path[0]
	}
	return "schema"
}

// refusal is what is told of the faults, nil if there are none.
func (f faults) refusal(code shield.Code) error {
	if len(f) == 0 {
		return nil
	}
	slices.SortFunc(f, func(a, b shield.Field) int {
		return cmp.Or(cmp.Compare(a.In, b.In), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule))
	})
	f = slices.Compact(f)
	var said []string
	for _, one := range f {
		said = append(said, one.In+" "+cmp.Or(one.Pointer, "/")+" "+one.Rule)
	}
	refusal := shield.Refuse(code, "%s", strings.Join(said, "; "))
	refusal.Fields = f
	return refusal
}
