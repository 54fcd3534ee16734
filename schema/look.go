package schema

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// look says which texts of a value its schema does not confine. nil: none is confined.
type look struct {
	text       bool // if it is a text, it may be anything
	properties map[string]*look
	more       *look // of names that are not declared
	entries    *look
	list       bool // it has entries that are described
}

// property is the look of a property, and whether that is declared.
func (l *look) property(name string) (*look, bool) {
	if l == nil {
		return nil, false
	}
	if below, declared := l.properties[name]; declared {
		return below, true
	}
	return l.more, false
}

func (l *look) entry() *look {
	if l == nil {
		return nil
	}
	return l.entries
}

// maxLooks is how many are made for a document; further values are not confined.
const maxLooks = 50_000

// looker makes looks: one for each set of schemas that describe a value together.
type looker struct {
	known   map[string]*look
	numbers map[*jsonschema.Schema]uint32 // of the schemas, in the order in which they were met
}

func newLooker() *looker {
	return &looker{known: map[string]*look{}, numbers: map[*jsonschema.Schema]uint32{}}
}

// of is the look of a value that all schemas of a set describe; nil of a looker that is nil,
// as that of answers, which nobody looks through for injections.
func (k *looker) of(set ...*jsonschema.Schema) *look {
	if k == nil || len(set) == 0 {
		return nil
	}
	key := k.key(set)
	if known, met := k.known[key]; met || len(k.known) >= maxLooks {
		return known
	}
	l := &look{text: !slices.ContainsFunc(set, func(s *jsonschema.Schema) bool { return confines(s, 0) })}
	k.known[key] = l
	var all []*jsonschema.Schema
	for _, s := range set {
		all = together(s, all)
	}
	declared, patterns := map[string]bool{}, false
	var more, entries []*jsonschema.Schema
	for _, s := range all {
		for name := range s.Properties {
			declared[name] = true
		}
		patterns = patterns || len(s.PatternProperties) > 0
		for _, v := range []any{s.AdditionalProperties, s.UnevaluatedProperties} {
			if one, ok := v.(*jsonschema.Schema); ok && one != nil {
				more = append(more, one)
			}
		}
		if s.Items2020 != nil && len(s.PrefixItems) == 0 {
			entries = append(entries, s.Items2020)
		}
	}
	l.properties = make(map[string]*look, len(declared))
	for name := range declared {
		l.properties[name] = k.of(describing(all, name)...)
	}
	if !patterns {
		l.more = k.of(more...)
	}
	l.entries, l.list = k.of(entries...), len(entries) > 0
	return l
}

// key names a set of schemas.
func (k *looker) key(set []*jsonschema.Schema) string {
	numbers := make([]uint32, len(set))
	for i, s := range set {
		if _, met := k.numbers[s]; !met {
			k.numbers[s] = uint32(len(k.numbers))
		}
		numbers[i] = k.numbers[s]
	}
	slices.Sort(numbers)
	var key []byte
	for _, n := range slices.Compact(numbers) {
		key = binary.LittleEndian.AppendUint32(key, n)
	}
	return string(key)
}

// describing are the schemas of a property.
func describing(all []*jsonschema.Schema, name string) (set []*jsonschema.Schema) {
	for _, s := range all {
		one, declared := s.Properties[name]
		if declared {
			set = append(set, one)
		}
		for pattern, other := range s.PatternProperties {
			if pattern.MatchString(name) {
				set, declared = append(set, other), true
			}
		}
		if more, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && !declared {
			set = append(set, more)
		}
	}
	return set
}

// together adds the schemas that describe the same value: what a schema refers to, all it is
// made of, and of alternatives the only one that can be more than a text or a number.
func together(s *jsonschema.Schema, all []*jsonschema.Schema) []*jsonschema.Schema {
	if s == nil || slices.Contains(all, s) || len(all) > 256 {
		return all
	}
	all = together(s.Ref, append(all, s))
	for _, one := range s.AllOf {
		all = together(one, all)
	}
	for _, list := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		var composed []*jsonschema.Schema
		for _, one := range list {
			if mayBe(one, "object", 0) || mayBe(one, "array", 0) {
				composed = append(composed, one)
			}
		}
		if len(composed) == 1 {
			all = together(composed[0], all)
		}
	}
	return all
}

// mayBe reports whether a value of a type may fit.
func mayBe(s *jsonschema.Schema, kind string, depth int) bool {
	switch {
	case s == nil || depth > maxReferences:
		return true
	case s.Bool != nil:
		return *s.Bool
	case s.Types != nil && !slices.Contains(s.Types.ToStrings(), kind):
		return false
	case s.Enum != nil || s.Const != nil:
		return false // whatever it is, it is known
	}
	if s.Ref != nil && !mayBe(s.Ref, kind, depth+1) {
		return false
	}
	for _, one := range s.AllOf {
		if !mayBe(one, kind, depth+1) {
			return false
		}
	}
	for _, list := range [][]*jsonschema.Schema{s.AnyOf, s.OneOf} {
		if len(list) > 0 && !slices.ContainsFunc(list, func(one *jsonschema.Schema) bool { return mayBe(one, kind, depth+1) }) {
			return false
		}
	}
	return true
}

// confines reports whether no text that fits a schema can harm: it is no text, one of a list, or
// of characters that mean nothing to anybody.
func confines(s *jsonschema.Schema, depth int) bool {
	switch {
	case s == nil || depth > maxReferences:
		return false
	case s.Bool != nil:
		return !*s.Bool
	case s.Types != nil && !slices.Contains(s.Types.ToStrings(), "string"), s.Enum != nil, s.Const != nil:
		return true
	case s.Format != nil && isNarrow(s.Format.Name):
		return true
	case s.Pattern != nil && isHarmless(s.Pattern.String()):
		return true
	case s.Ref != nil && confines(s.Ref, depth+1):
		return true
	}
	one := func(one *jsonschema.Schema) bool { return confines(one, depth+1) }
	other := func(one *jsonschema.Schema) bool { return !confines(one, depth+1) }
	return slices.ContainsFunc(s.AllOf, one) ||
		len(s.AnyOf) > 0 && !slices.ContainsFunc(s.AnyOf, other) ||
		len(s.OneOf) > 0 && !slices.ContainsFunc(s.OneOf, other)
}

// isNarrow reports formats of a few harmless characters. The local part of a mail address may
// be nearly anything, and so may a URI.
func isNarrow(format string) bool {
	switch format {
	case "uuid", "date", "date-time", "time", "duration", "ipv4", "ipv6", "hostname":
		return true
	}
	return false
}

// isHarmless reports whether a pattern holds a text from its beginning to its end to characters
// that mean nothing to a database, a shell, a template or a browser.
func isHarmless(pattern string) bool {
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return false
	}
	return isAnchored(tree) && hasHarmless(tree)
}

// isAnchored reports whether a pattern matches whole texts alone.
func isAnchored(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpCapture:
		return isAnchored(tree.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(tree.Sub, func(one *syntax.Regexp) bool { return !isAnchored(one) })
	case syntax.OpConcat:
		n := len(tree.Sub)
		return n > 1 && tree.Sub[0].Op == syntax.OpBeginText && tree.Sub[n-1].Op == syntax.OpEndText
	}
	return false
}

func hasHarmless(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return false
	case syntax.OpLiteral:
		if slices.ContainsFunc(tree.Rune, isMeaningful) {
			return false
		}
	case syntax.OpCharClass:
		for i := 0; i+1 < len(tree.Rune); i += 2 {
			if spans(tree.Rune[i], tree.Rune[i+1]) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(tree.Sub, func(one *syntax.Regexp) bool { return !hasHarmless(one) })
}

// wide are characters beyond ASCII that some readers take for one that means something.
const wide = "\u00a0\u02b9\u02ba\u02bc\u2024\u2028\u2029\u2032\u2033\u2044\u2215\u2216\u3000\ufe52\ufe64\ufe65"

func isMeaningful(r rune) bool {
	if r < 0x80 {
		return r < '0' && !strings.ContainsRune("-.+,", r) || r > '9' && r < '@' && r != ':' || r > 'Z' && r < 'a' && r != '_' || r > 'z'
	}
	return r >= 0xff01 && r <= 0xff5e || strings.ContainsRune(wide, r)
}

// spans reports whether a range has a character that means something.
func spans(low, high rune) bool {
	for r := low; r <= min(high, 0x7f); r++ {
		if isMeaningful(r) {
			return true
		}
	}
	if low <= 0xff5e && high >= 0xff01 {
		return true
	}
	return strings.ContainsFunc(wide, func(r rune) bool { return low <= r && r <= high })
}
