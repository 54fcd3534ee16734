package schema

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// quick is a schema of which a quick look says whether a value fits: a few words, and no
// arithmetic but with whole numbers. Where it is in doubt, and wherever it would refuse, the
// library is asked, which also knows why. So all it is trusted with is to accept; that it
// accepts nothing else than the library is fuzzed.
type quick struct {
	types      kinds // 0: any
	never      bool
	values     []any // of enum: texts, truth values and null; nil: not said
	numbers    bool  // enum has others
	format     func(any) error
	pattern    jsonschema.Regexp
	length     bounds // of texts, in characters
	items      bounds
	size       bounds // of objects
	low, high  *int64
	loosely    bool // numbers are judged by more than that
	unique     bool
	required   []string
	properties map[string]*quick
	further    *quick // other properties; nil: not said
	closed     bool   // nothing that nobody looks at
	entry      *quick
	all        []*quick
	any, one   []*quick
}

type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	integer
	text
	array
	object
)

type bounds struct{ least, most *int }

func (b bounds) hold(n int) bool {
	return (b.least == nil || n >= *b.least) && (b.most == nil || n <= *b.most)
}

// verdict is what a quick look says.
type verdict uint8

const (
	no verdict = iota
	doubt
	yes
)

// quickOf prepares a schema that does not lead back to itself; nil: the library is to be asked.
func quickOf(s *jsonschema.Schema) *quick {
	if s.Bool != nil {
		return &quick{never: !*s.Bool}
	}
	for _, one := range []*jsonschema.Schema{s.Not, s.If, s.Then, s.Else, s.PropertyNames, s.Contains, s.UnevaluatedItems, s.ContentSchema, s.RecursiveRef} {
		if one != nil {
			return nil
		}
	}
	if len(s.PatternProperties)+len(s.DependentRequired)+len(s.DependentSchemas)+len(s.Dependencies)+len(s.PrefixItems)+len(s.Extensions) > 0 ||
		s.DynamicRef != nil || s.Items != nil || s.ContentEncoding != nil || s.ContentMediaType != nil || s.DraftVersion != 2020 {
		return nil
	}
	q := &quick{
		pattern: s.Pattern, unique: s.UniqueItems, required: s.Required,
		length: bounds{s.MinLength, s.MaxLength}, items: bounds{s.MinItems, s.MaxItems}, size: bounds{s.MinProperties, s.MaxProperties},
	}
	if s.Types != nil {
		for _, name := range s.Types.ToStrings() {
			q.types |= map[string]kinds{"null": null, "boolean": boolean, "number": number | integer, "integer": integer, "string": text, "array": array, "object": object}[name]
		}
	}
	if s.Format != nil {
		q.format = s.Format.Validate
	}
	q.choices(s)
	q.span(s)
	return q.compose(s)
}

// choices prepares enum and const.
func (q *quick) choices(s *jsonschema.Schema) {
	var lists [][]any
	if s.Enum != nil {
		lists = append(lists, s.Enum.Values)
	}
	if s.Const != nil {
		lists = append(lists, []any{*s.Const})
	}
	for i, list := range lists {
		if i > 0 {
			q.all = append(q.all, &quick{})
			q.all[0].values, q.all[0].numbers = plainValuesOf(list)
			continue
		}
		q.values, q.numbers = plainValuesOf(list)
	}
}

func plainValuesOf(list []any) (plain []any, others bool) {
	plain = []any{}
	for _, v := range list {
		switch v.(type) {
		case string, bool, nil:
			plain = append(plain, v)
		default:
			others = true
		}
	}
	return plain, others
}

// span prepares the bounds of numbers, where whole numbers are enough.
func (q *quick) span(s *jsonschema.Schema) {
	q.loosely = s.MultipleOf != nil
	whole := func(r *big.Rat, add int64) *int64 {
		if r == nil {
			return nil
		}
		if !r.IsInt() || !r.Num().IsInt64() || r.Num().BitLen() > 60 {
			q.loosely = true
			return nil
		}
		n := r.Num().Int64() + add
		return &n
	}
	q.low, q.high = whole(s.Minimum, 0), whole(s.Maximum, 0)
	if low := whole(s.ExclusiveMinimum, 1); low != nil && (q.low == nil || *low > *q.low) {
		q.low = low
	}
	if high := whole(s.ExclusiveMaximum, -1); high != nil && (q.high == nil || *high < *q.high) {
		q.high = high
	}
}

// compose prepares what is below. Something that is not quick leaves a nil, which is a doubt.
func (q *quick) compose(s *jsonschema.Schema) *quick {
	if s.Ref != nil {
		q.all = append(q.all, quickOf(s.Ref))
	}
	for _, one := range s.AllOf {
		q.all = append(q.all, quickOf(one))
	}
	for _, one := range s.AnyOf {
		q.any = append(q.any, quickOf(one))
	}
	for _, one := range s.OneOf {
		q.one = append(q.one, quickOf(one))
	}
	if s.Items2020 != nil {
		if q.entry = quickOf(s.Items2020); q.entry == nil {
			return nil
		}
	}
	if len(s.Properties) > 0 {
		q.properties = make(map[string]*quick, len(s.Properties))
		for name, one := range s.Properties {
			q.properties[name] = quickOf(one)
		}
	}
	switch more := s.AdditionalProperties.(type) {
	case bool:
		q.further = &quick{never: !more}
	case *jsonschema.Schema:
		if q.further = quickOf(more); q.further == nil {
			return nil
		}
	}
	if s.UnevaluatedProperties != nil {
		if s.UnevaluatedProperties.Bool == nil || *s.UnevaluatedProperties.Bool {
			return nil
		}
		q.closed = true
	}
	return q
}

// look says whether a value fits.
func (q *quick) look(v any) verdict {
	switch {
	case q == nil:
		return doubt
	case q.never:
		return no
	}
	out := q.choice(v)
	if q.format != nil && out != no && q.format(v) != nil {
		return no
	}
	var kind kinds
	switch v := v.(type) {
	case nil:
		kind = null
	case bool:
		kind = boolean
	case json.Number:
		return min(out, q.number(string(v)), q.composed(v))
	case string:
		if kind = text; !q.isText(v) {
			return no
		}
	case []any:
		kind = array
		out = min(out, q.list(v))
	case map[string]any:
		kind = object
		out = min(out, q.object(v))
	default:
		return doubt
	}
	if q.types != 0 && q.types&kind == 0 {
		return no
	}
	return min(out, q.composed(v))
}

func (q *quick) choice(v any) verdict {
	if q.values == nil {
		return yes
	}
	switch v.(type) {
	case string, bool, nil:
		if slices.Contains(q.values, v) {
			return yes
		}
		return no
	}
	if q.numbers {
		return doubt
	}
	return no
}

func (q *quick) number(n string) verdict {
	if q.types != 0 && q.types&(number|integer) == 0 {
		return no
	}
	if strings.ContainsAny(n, ".eE") || len(n) > 18 {
		if q.types == 0 || q.types&number != 0 {
			if q.low == nil && q.high == nil && !q.loosely {
				return yes
			}
		}
		return doubt
	}
	if q.loosely {
		return doubt
	}
	if q.low == nil && q.high == nil {
		return yes
	}
	whole, err := json.Number(n).Int64()
	switch {
	case err != nil:
		return doubt
	case q.low != nil && whole < *q.low, q.high != nil && whole > *q.high:
		return no
	}
	return yes
}

func (q *quick) isText(v string) bool {
	if q.length.least != nil || q.length.most != nil {
		if !q.length.hold(utf8.RuneCountInString(v)) {
			return false
		}
	}
	return q.pattern == nil || q.pattern.MatchString(v)
}

func (q *quick) list(v []any) verdict {
	if !q.items.hold(len(v)) {
		return no
	}
	out := yes
	if q.unique && len(v) > 1 {
		out = doubt
	}
	if q.entry == nil {
		return out
	}
	for _, one := range v {
		if out = min(out, q.entry.look(one)); out == no {
			return no
		}
	}
	return out
}

func (q *quick) object(v map[string]any) verdict {
	if !q.size.hold(len(v)) {
		return no
	}
	for _, name := range q.required {
		if _, there := v[name]; !there {
			return no
		}
	}
	if q.properties == nil && q.further == nil {
		return yes
	}
	out := yes
	for name, one := range v {
		below, known := q.properties[name]
		if !known {
			if q.further == nil {
				continue
			}
			below = q.further
		}
		if out = min(out, below.look(one)); out == no {
			return no
		}
	}
	return out
}

// composed looks at what else describes the same value.
func (q *quick) composed(v any) verdict {
	out := yes
	for _, one := range q.all {
		out = min(out, one.look(v))
	}
	if len(q.any) > 0 {
		best := no
		for _, one := range q.any {
			best = max(best, one.look(v))
		}
		out = min(out, best)
	}
	if len(q.one) > 0 {
		fit, unsure := 0, false
		for _, one := range q.one {
			switch one.look(v) {
			case yes:
				fit++
			case doubt:
				unsure = true
			}
		}
		switch {
		case fit > 1, fit == 0 && !unsure:
			out = no
		case unsure:
			out = min(out, doubt)
		}
	}
	if o, ok := v.(map[string]any); ok && q.closed && out == yes && !q.covers(o) {
		return doubt
	}
	return out
}

// covers reports whether each property of a value has been looked at by something that fits it.
func (q *quick) covers(v map[string]any) bool {
	fitting := q.fitting(v, nil)
	for name := range v {
		if !slices.ContainsFunc(fitting, func(one *quick) bool { return one.properties[name] != nil || one.further != nil }) {
			return false
		}
	}
	return true
}

// fitting adds whatever of a schema describes a value that fits it.
func (q *quick) fitting(v any, all []*quick) []*quick {
	all = append(all, q)
	for _, one := range q.all {
		all = one.fitting(v, all)
	}
	for _, list := range [][]*quick{q.any, q.one} {
		for _, one := range list {
			if one.look(v) == yes {
				all = one.fitting(v, all)
			}
		}
	}
	return all
}
