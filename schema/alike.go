package schema

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Many readers of JSON and of forms take "Role" for "role": Go's, those of .NET. Where an object
// takes properties that nobody declares, such a one would be read as the declared one, past its
// schema. So it is refused as undeclared, wherever the object is open.

// isOpen reports whether a schema describes objects that list properties and may take others. Seen
// are the schemas that were met.
func isOpen(s *jsonschema.Schema, seen map[*jsonschema.Schema]bool) bool {
	if seen[s] {
		return false
	}
	seen[s] = true
	if len(s.Properties) > 0 && s.AdditionalProperties != false {
		return true
	}
	found := false
	look := func(one *jsonschema.Schema) { found = found || isOpen(one, seen) }
	below(s, look)
	inside(s, look)
	return found
}

// alike tells the properties of a value that some readers take for a declared one. The names that
// lead to them are valid during the call.
func (l *look) alike(v any, at []string, tell func(at []string)) {
	if l == nil {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range l.mistaken(v) {
			tell(append(at, name))
		}
		for name, one := range v {
			if below, _ := l.property(name); !isPlainValue(one) {
				below.alike(one, append(at, name), tell)
			}
		}
	case []any:
		for i, one := range v {
			if !isPlainValue(one) {
				l.entry().alike(one, append(at, strconv.Itoa(i)), tell)
			}
		}
	}
}

// mistaken are the names of an object that are not declared, but differ from a declared one in
// case alone.
func (l *look) mistaken(object map[string]any) (names []string) {
	var strange map[string]string // as readers compare it → as it came
	for name := range object {
		if _, declared := l.properties[name]; !declared {
			if strange == nil {
				strange = map[string]string{}
			}
			strange[folded(name)] = name
		}
	}
	if strange == nil {
		return nil
	}
	for own := range l.properties {
		if name, there := strange[folded(own)]; there {
			names = append(names, name)
		}
	}
	return names
}

// folded is the same for names that differ in case alone, as strings.EqualFold has it.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' && r != 'k' && r != 's' {
			return r - 'a' + 'A'
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}
