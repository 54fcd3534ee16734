package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/shield"
)

// shield decodes `api_key`, `{jwt: {…}}`, `{public: why}`, `{any: […]}` or
// `{all: […]}`.
func (d *decoder) shield(n *yaml.Node, path string, depth int) Shield {
	s := Shield{Pos: d.pos(n)}
	if depth > maxDepth {
		d.problem(n, path, "write it flatter", "nested more than %d deep", maxDepth)
		return s
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		s.Kind = n.Value
		s.Config = d.settings(n, n.Value, nil, path, depth)
	case n.Kind == yaml.MappingNode && len(n.Content) == 2:
		key, value := n.Content[0], n.Content[1]
		path = join(path, key.Value)
		switch key.Value {
		case "any":
			for i, item := range d.items(value, path) {
				s.Any = append(s.Any, d.shield(item, fmt.Sprintf("%s.%d", path, i), depth+1))
			}
		case "all":
			for i, item := range d.items(value, path) {
				s.All = append(s.All, d.part(item, fmt.Sprintf("%s.%d", path, i), depth+1))
			}
		default:
			s.Kind = key.Value
			s.Config = d.settings(key, key.Value, value, path, depth)
		}
	default:
		d.problem(n, path, "write a kind, {kind: settings}, {any: […]} or {all: […]}", "want one shield, not %s", describe(n))
	}
	return s
}

func (d *decoder) items(n *yaml.Node, path string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		d.problem(n, path, "write a list: [api_key, {jwt: {issuer: corp}}]", "want a list of shields, not %s", describe(n))
		return nil
	}
	return n.Content
}

// part decodes one proof of an all, which may carry `actor: true`.
func (d *decoder) part(n *yaml.Node, path string, depth int) Part {
	if n.Kind != yaml.MappingNode || len(n.Content) != 4 {
		return Part{Shield: d.shield(n, path, depth)}
	}
	var p Part
	rest := *n
	rest.Content = nil
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == "actor" {
			d.scalar(n.Content[i+1], reflect.ValueOf(&p.Actor).Elem(), join(path, "actor"))
			continue
		}
		rest.Content = append(rest.Content, n.Content[i], n.Content[i+1])
	}
	p.Shield = d.shield(&rest, path, depth)
	return p
}

// settings decodes the settings of a kind and asks it what cannot work.
func (d *decoder) settings(at *yaml.Node, kind string, value *yaml.Node, path string, depth int) shield.Config {
	for _, k := range d.kinds {
		if k.Name != kind {
			continue
		}
		c := k.Config()
		before := len(d.problems)
		if value != nil {
			d.settingsValue(value, c, path, depth)
		}
		if len(d.problems) == before {
			d.validate(at, value, c, path)
		}
		return c
	}
	names := make([]string, 0, len(d.kinds))
	for _, k := range d.kinds {
		names = append(names, k.Name)
	}
	hint := "known kinds: " + strings.Join(names, ", ")
	if near := nearest(kind, names); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	d.problem(at, path, hint, "unknown kind of shield %q", kind)
	return nil
}

func (d *decoder) settingsValue(value *yaml.Node, c shield.Config, path string, depth int) {
	v := reflect.ValueOf(c)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		d.value(value, v.Elem(), path, depth+1)
		return
	}
	if scalar, ok := c.(shield.Scalar); ok && value.Kind == yaml.ScalarNode {
		if err := scalar.SetScalar(value.Value); err != nil {
			d.problem(value, path, "", "%v", err)
		}
		return
	}
	d.problem(value, path, "", "this kind has no settings like that")
}

func (d *decoder) validate(at, value *yaml.Node, c shield.Config, path string) {
	for _, p := range c.Validate() {
		n := locate(value, p.Path)
		if n == nil {
			n = at
		}
		full := path
		if p.Path != "" {
			full = join(path, p.Path)
		}
		d.problem(n, full, p.Hint, "%s", p.Message)
	}
}

// locate finds the node that a dotted path names, or the deepest one above it.
func locate(n *yaml.Node, path string) *yaml.Node {
	if n == nil || path == "" {
		return n
	}
	name, rest, _ := strings.Cut(path, ".")
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return locate(n.Content[i+1], rest)
			}
		}
	case yaml.SequenceNode:
		var i int
		if _, err := fmt.Sscan(name, &i); err == nil && i >= 0 && i < len(n.Content) {
			return locate(n.Content[i], rest)
		}
	}
	return n
}
