package config

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// decoder turns YAML nodes into the structs of file.go. It is strict: what it does
// not know is a problem, and it goes on after one to find the others.
type decoder struct {
	source   *source
	kinds    []shield.Kind
	problems Problems
}

// maxDepth bounds the nesting of a file.
const maxDepth = 24

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{d.source.name, n.Line, n.Column} }

func (d *decoder) problem(n *yaml.Node, path, hint, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Pos: d.pos(n), Path: path, Message: fmt.Sprintf(format, args...), Hint: hint, Line: d.source.line(n.Line),
	})
}

// value decodes n into v, which can be set.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if depth > maxDepth {
		d.problem(n, path, "write it flatter", "nested more than %d deep", maxDepth)
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		d.problem(n, path, "write the value out", "anchors and aliases are not accepted")
		return
	}
	if d.special(n, v, path, depth) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path, depth)
	case reflect.Struct:
		d.structure(n, v, path, depth)
	case reflect.Map:
		d.mapping(n, v, path, depth)
	case reflect.Slice:
		d.list(n, v, path, depth)
	default:
		d.scalar(n, v, path)
	}
}

// special decodes the types that are written as one word.
func (d *decoder) special(n *yaml.Node, v reflect.Value, path string, depth int) bool {
	switch into := v.Addr().Interface().(type) {
	case *Shield:
		*into = d.shield(n, path, depth)
	case *Words:
		d.words(n, into, path)
	case *Duration:
		d.duration(n, into, path)
	case *time.Duration:
		var long Duration
		d.duration(n, &long, path)
		*into = long.Duration
	case *Size:
		d.size(n, into, path)
	case *Limit:
		d.limit(n, into, path)
	case *[]Limit:
		d.limits(n, into, path)
	case *Certificate:
		if n.Kind != yaml.ScalarNode {
			into.Source = "files"
			d.structure(n, v, path, depth)
			return true
		}
		d.text(n, &into.Source, path)
		if into.Source != "acme" && into.Source != "local" {
			d.problem(n, path, "write acme, local, or {cert: chain.pem, key: key.pem}", "%q is no source of certificates", into.Source)
		}
	case *Upstream:
		into.Pos = d.pos(n)
		if n.Kind == yaml.MappingNode {
			d.structure(n, v, path, depth)
			return true
		}
		d.words(n, &into.URL, path)
	default:
		return false
	}
	return true
}

// structure decodes a mapping into a struct by its yaml tags.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	if scalar, ok := v.Addr().Interface().(shield.Scalar); ok && n.Kind == yaml.ScalarNode {
		if err := scalar.SetScalar(n.Value); err != nil {
			d.problem(n, path, "", "%v", err)
		}
		return
	}
	if position := v.FieldByName("Pos"); position.IsValid() && position.Type() == reflect.TypeFor[Pos]() {
		position.Set(reflect.ValueOf(d.pos(n)))
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "write it as settings: name: value", "want settings, not %s", describe(n))
		return
	}
	fields := fieldsOf(v.Type())
	d.pairs(n, path, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		if i < 0 {
			d.unknown(key, path, fields)
			return
		}
		target := v.FieldByIndex(fields[i].index)
		d.value(value, target, join(path, key.Value), depth+1)
		d.enum(value, target, fields[i], join(path, key.Value))
	})
}

func (d *decoder) unknown(key *yaml.Node, path string, fields []field) {
	known := make([]string, 0, len(fields))
	for _, f := range fields {
		known = append(known, f.name)
	}
	hint := "known here: " + strings.Join(known, ", ")
	if near := nearest(key.Value, known); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	d.problem(key, path, hint, "unknown setting %q", key.Value)
}

func (d *decoder) enum(n *yaml.Node, v reflect.Value, f field, path string) {
	if f.enum == nil || v.Kind() != reflect.String || v.String() == "" || slices.Contains(f.enum, v.String()) {
		return
	}
	d.problem(n, path, "one of "+strings.Join(f.enum, ", "), "%q is not accepted here", v.String())
}

// pairs calls f for every key of a mapping, refusing doubles and merge keys.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key, value *yaml.Node)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			d.problem(key, path, "write the settings out", "merge keys and keys that are no words are not accepted")
		case seen[key.Value]:
			d.problem(key, path, "remove one of the two", "%q stands twice", key.Value)
		default:
			seen[key.Value] = true
			f(key, value)
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "write it as name: value", "want names with values, not %s", describe(n))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.pairs(n, path, func(key, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, join(path, key.Value), depth+1)
		if position := element; position.Kind() == reflect.Struct {
			if field := position.FieldByName("Pos"); field.IsValid() && field.Type() == reflect.TypeFor[Pos]() {
				field.Set(reflect.ValueOf(d.pos(key)))
			}
		}
		v.SetMapIndex(reflect.ValueOf(key.Value), element)
	})
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	} else if v.Type().Elem().Kind() != reflect.String {
		d.problem(n, path, "write a list: [a, b]", "want a list, not %s", describe(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		d.value(item, list.Index(i), fmt.Sprintf("%s.%d", path, i), depth+1)
	}
	v.Set(list)
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, path, "write one value", "want one value, not %s", describe(n))
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, v.Addr().Interface(), path)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			d.problem(n, path, "write true or false", "%q is neither true nor false", n.Value)
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int64:
		number, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil || v.OverflowInt(number) {
			d.problem(n, path, "write a whole number", "%q is no whole number", n.Value)
			return
		}
		v.SetInt(number)
	default:
		panic(fmt.Sprintf("the configuration has a field of kind %s", v.Kind()))
	}
}

func (d *decoder) text(n *yaml.Node, into any, path string) {
	if n.Tag != "!!str" && n.Tag != "" {
		d.problem(n, path, fmt.Sprintf("put quotes around it: %q", n.Value), "want text, not %s", describe(n))
		return
	}
	reflect.ValueOf(into).Elem().SetString(n.Value)
}

func (d *decoder) words(n *yaml.Node, into *Words, path string) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	*into = Words{}
	for i, item := range items {
		if item.Kind != yaml.ScalarNode {
			d.problem(item, path, "write a word, or a list of words", "want a word, not %s", describe(item))
			continue
		}
		if item.Value == "" {
			d.problem(item, fmt.Sprintf("%s.%d", path, i), "remove it", "an empty word")
			continue
		}
		*into = append(*into, item.Value)
	}
}

func (d *decoder) duration(n *yaml.Node, into *Duration, path string) {
	parsed, err := ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.problem(n, path, "write a number with a unit: 30s, 5m, 24h or 90d", "%s is no duration", describe(n))
		return
	}
	into.Duration = parsed
}

// ParseDuration reads 30s, 5m, 24h or 90d: a whole number and a unit.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("duration %q: want a number of days, for example 90d", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return 0, fmt.Errorf("duration %q: want for example 30s, 5m, 24h or 90d", text)
	}
	return parsed, nil
}

func (d *decoder) size(n *yaml.Node, into *Size, path string) {
	parsed, err := parseSize(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.problem(n, path, "write bytes, or 64KiB, 10MiB, 1GiB", "%s is no size", describe(n))
		return
	}
	*into = parsed
}

func parseSize(text string) (Size, error) {
	units := map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "": 1}
	number := strings.TrimRight(text, "KMGiB")
	unit, ok := units[strings.TrimSpace(text[len(number):])]
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || !ok || n < 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("size %q", text)
	}
	return Size(n * unit), nil
}

func (d *decoder) limits(n *yaml.Node, into *[]Limit, path string) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	for i, item := range items {
		var l Limit
		d.limit(item, &l, fmt.Sprintf("%s.%d", path, i))
		*into = append(*into, l)
	}
}

func (d *decoder) limit(n *yaml.Node, into *Limit, path string) {
	into.Pos = d.pos(n)
	parsed, err := limit.ParseLimit(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.problem(n, path, "write for example 600/minute per client; per is client, user, address or endpoint", "%q is no limit", n.Value)
		return
	}
	into.Limit = parsed
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "settings"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return strconv.Quote(n.Value)
	}
	return "this"
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// field is a setting of a struct.
type field struct {
	name, doc string
	enum      []string
	index     []int
}

// fieldsOf returns the settings of a struct type, in their order.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		var enum []string
		if words := f.Tag.Get("enum"); words != "" {
			enum = strings.Split(words, ",")
		}
		fields = append(fields, field{name, f.Tag.Get("doc"), enum, f.Index})
	}
	return fields
}
