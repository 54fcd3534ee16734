package foreign

import (
	"encoding/json"
	"maps"
	"math/big"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// sample is a value that a schema takes: what the author shows, or else the plainest. One that would have
// too many parts has fewer.
func (d *reader) sample(s map[string]any) any {
	d.values = maxValues
	return d.sampleOf(s, 0)
}

func (d *reader) sampleOf(s map[string]any, depth int) any {
	d.values--
	if s = d.resolve(s); s == nil || depth > maxDepth || d.values < 0 {
		return nil
	}
	for _, word := range []string{"example", "const", "default"} {
		if v, ok := s[word]; ok && v != nil {
			return v
		}
	}
	for _, word := range []string{"examples", "enum"} {
		if list, _ := s[word].([]any); len(list) > 0 {
			return list[0]
		}
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		if list, _ := s[word].([]any); len(list) > 0 && s["properties"] == nil {
			return d.sampleOf(d.resolve(list[0]), depth+1)
		}
	}
	switch kindOf(s) {
	case "string":
		return sampleText(s)
	case "integer", "number":
		return sampleNumber(s)
	case "boolean":
		return false
	case "array":
		if least := number(s["minItems"]); least != nil && least.Sign() > 0 {
			return []any{d.sampleOf(d.resolve(s["items"]), depth+1)}
		}
		return []any{}
	case "object":
		return d.sampleObject(s, depth)
	}
	return nil
}

// sampleObject has every property that a caller may set.
func (d *reader) sampleObject(s map[string]any, depth int) map[string]any {
	object := map[string]any{}
	properties, _ := d.properties(s)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if p := properties[name]; p["readOnly"] != true && len(object) < maxProperties {
			if v := d.sampleOf(p, depth+1); v != nil {
				object[name] = v
			}
		}
	}
	return object
}

// kindOf is the type of a schema's values, as it says or as its words tell.
func kindOf(s map[string]any) string {
	if kinds := texts(s["type"]); len(kinds) > 0 {
		return kinds[0]
	}
	switch {
	case s["type"] != nil:
		return text(s["type"])
	case s["properties"] != nil || s["allOf"] != nil:
		return "object"
	case s["items"] != nil:
		return "array"
	}
	return "string"
}

func sampleText(s map[string]any) any {
	formats := map[string]string{
		"date": "2026-01-15", "date-time": "2026-01-15T12:00:00Z", "time": "12:00:00Z", "duration": "PT1H", "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
		"email": "pavise-attack@example.com", "hostname": "pavise-attack.example", "ipv4": "192.0.2.7", "ipv6": "2001:db8::7",
		"uri": "https://pavise-attack.example/", "url": "https://pavise-attack.example/", "uri-reference": "/pavise-attack", "byte": "cGF2aXNl",
	}
	if value, ok := formats[text(s["format"])]; ok {
		return value
	}
	value := "pavise"
	if pattern := text(s["pattern"]); pattern != "" {
		value = fitting(pattern)
	}
	if least := number(s["minLength"]); least != nil && least.Cmp(big.NewFloat(float64(len(value)))) > 0 && least.Cmp(big.NewFloat(1000)) < 0 {
		n, _ := least.Int64()
		value += strings.Repeat("a", int(n)-len(value))
	}
	if most := number(s["maxLength"]); most != nil && most.Cmp(big.NewFloat(float64(len(value)))) < 0 && most.Sign() > 0 {
		n, _ := most.Int64()
		value = value[:n]
	}
	return value
}

func sampleNumber(s map[string]any) any {
	value := big.NewFloat(1)
	if least := number(s["minimum"]); least != nil && least.Cmp(value) > 0 {
		value = least
	}
	if least := number(s["exclusiveMinimum"]); least != nil && least.Cmp(value) >= 0 {
		value = new(big.Float).Add(least, big.NewFloat(1))
	}
	if most := number(s["maximum"]); most != nil && most.Cmp(value) < 0 {
		value = most
	}
	return json.Number(value.Text('f', -1))
}

func number(v any) *big.Float {
	n, ok := v.(json.Number)
	if !ok || len(n) > 40 {
		return nil
	}
	f, ok := new(big.Float).SetString(n.String())
	if !ok {
		return nil
	}
	return f
}

// fitting is a short text that a pattern takes, where one is easy to find.
func fitting(pattern string) string {
	compiled, err := regexp.Compile(pattern)
	if err != nil || len(pattern) > 500 {
		return "pavise"
	}
	for _, common := range []string{"pavise", "1", "PAVISE", "pavise-1"} {
		if compiled.MatchString(common) {
			return common
		}
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "pavise"
	}
	var b strings.Builder
	spell(&b, parsed.Simplify(), 0)
	return b.String()
}

// maxSpelt bounds a text that is made of a pattern, in bytes.
const maxSpelt = 200

// spell writes the shortest text of an expression.
func spell(b *strings.Builder, e *syntax.Regexp, depth int) {
	if b.Len() > maxSpelt || depth > 50 {
		return
	}
	switch e.Op {
	case syntax.OpLiteral:
		b.WriteString(string(e.Rune))
	case syntax.OpCharClass:
		b.WriteRune(plainest(e.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('a')
	case syntax.OpCapture, syntax.OpPlus:
		spell(b, e.Sub[0], depth+1)
	case syntax.OpRepeat:
		for range e.Min {
			spell(b, e.Sub[0], depth+1)
		}
	case syntax.OpConcat:
		for _, part := range e.Sub {
			spell(b, part, depth+1)
		}
	case syntax.OpAlternate:
		spell(b, e.Sub[0], depth+1)
	}
}

// plainest is a letter or digit of a class, if it has one.
func plainest(class []rune) rune {
	for _, want := range "a1A" {
		for i := 0; i+1 < len(class); i += 2 {
			if class[i] <= want && want <= class[i+1] {
				return want
			}
		}
	}
	if len(class) == 0 {
		return 'a'
	}
	return class[0]
}
