package config

import (
	"fmt"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/shield"
)

// Bounds of combinations.
const (
	maxCombined = 16 // shields in one any or all
	maxNested   = 4  // combinations within combinations
)

// Names of the file's language in a shield.
const (
	anyWord   = "any"
	allWord   = "all"
	actorWord = "actor"
)

const shieldForms = "write a kind, {kind: settings}, {any: [...]} or {all: [...]}"

// shield decodes `api_key`, `{jwt: {...}}`, `{public: why}`, `{any: [...]}` or
// `{all: [...]}`.
func (d *decoder) shield(n *yaml.Node, path string, nested int) Shield {
	s := Shield{Pos: d.pos(n)}
	if !d.plain(n, path) {
		return s
	}
	if nested > maxNested {
		d.problem(n, path, "name the shields in one any or all", "combinations nested more than %d deep", maxNested)
		return s
	}
	switch {
	case n.Kind == yaml.ScalarNode && (n.Value == anyWord || n.Value == allWord):
		d.problem(n, path, fmt.Sprintf("write {%s: [api_key, {jwt: {issuer: corp}}]}", n.Value), "%s of what?", n.Value)
	case n.Kind == yaml.ScalarNode:
		s.Kind = n.Value
		s.Config = d.settings(n, nil, s.Kind, join(path, s.Kind))
	case n.Kind == yaml.MappingNode:
		d.oneShield(n, &s, path, nested)
	default:
		d.problem(n, path, shieldForms, "want one shield, not %s", describe(n))
	}
	return s
}

// oneShield decodes a mapping with one key: a kind or a combination.
func (d *decoder) oneShield(n *yaml.Node, s *Shield, path string, nested int) {
	decoded := 0
	d.pairs(n, path, func(key, value *yaml.Node) {
		decoded++
		if decoded > 1 {
			d.problem(key, path, "write {any: [...]} if one is enough, {all: [...]} if every one is demanded", "two shields side by side say neither any nor all")
			return
		}
		at := join(path, key.Value)
		switch key.Value {
		case anyWord:
			d.combined(value, at, func(item *yaml.Node, path string) { s.Any = append(s.Any, d.shield(item, path, nested+1)) })
		case allWord:
			d.combined(value, at, func(item *yaml.Node, path string) { s.All = append(s.All, d.part(item, path, nested+1)) })
		case actorWord:
			d.problem(key, at, "write it beside a kind in an all", "actor is no kind of shield")
		default:
			s.Kind = key.Value
			s.Config = d.settings(key, value, s.Kind, at)
		}
	})
	if len(n.Content) == 0 {
		d.problem(n, path, shieldForms, "no shield stands here")
	}
}

func (d *decoder) combined(n *yaml.Node, path string, each func(item *yaml.Node, path string)) {
	if !d.plain(n, path) {
		return
	}
	switch {
	case n.Kind != yaml.SequenceNode:
		d.problem(n, path, "write a list: [api_key, {jwt: {issuer: corp}}]", "want a list of shields, not %s", describe(n))
		return
	case len(n.Content) < 2:
		d.problem(n, path, "name two or more, or the one alone", "a combination of %d shields combines nothing", len(n.Content))
		return
	case len(n.Content) > maxCombined:
		d.problem(n, path, "", "%d shields, at most %d can be combined", len(n.Content), maxCombined)
		return
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s.%d", path, i)
		d.places[at] = place{d.source, d.pos(item), d.pos(item)}
		each(item, at)
	}
}

// part decodes one proof of an all, which may carry `actor: true`.
func (d *decoder) part(n *yaml.Node, path string, nested int) Part {
	var p Part
	at := -1
	if n.Kind == yaml.MappingNode && len(n.Content) > 2 {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == actorWord {
				at = i
			}
		}
	}
	if at < 0 {
		p.Shield = d.shield(n, path, nested)
		return p
	}
	d.places[join(path, actorWord)] = place{d.source, d.pos(n.Content[at]), d.pos(n.Content[at+1])}
	d.value(n.Content[at+1], reflect.ValueOf(&p.Actor).Elem(), join(path, actorWord), setting{})
	rest := *n
	rest.Content = slices.Delete(slices.Clone(n.Content), at, at+2)
	p.Shield = d.shield(&rest, path, nested)
	return p
}

// settings decodes the settings of a kind and asks it what cannot work.
func (d *decoder) settings(at, value *yaml.Node, kind, path string) shield.Config {
	i := slices.IndexFunc(d.kinds, func(k shield.Kind) bool { return k.Name == kind })
	if i < 0 {
		names := make([]string, 0, len(d.kinds))
		for _, k := range d.kinds {
			names = append(names, k.Name)
		}
		d.problem(at, path, didYouMean(kind, names, "name a kind, any or all"), "unknown kind of shield %q", kind)
		return nil
	}
	c := d.kinds[i].Config()
	before := len(*d.problems)
	if value != nil {
		d.settingsValue(value, c, path)
	}
	if len(*d.problems) > before {
		return c
	}
	for _, p := range c.Validate() {
		d.invalid(at, path, p)
	}
	return c
}

func (d *decoder) settingsValue(value *yaml.Node, c shield.Config, path string) {
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("the settings %T are no pointer to a struct", c))
	}
	if value.Kind == yaml.ScalarNode && value.Tag != "!!str" && d.plain(value, path) {
		d.problem(value, path, "write settings: {name: value}", "want settings, not %s", describe(value))
		return
	}
	d.value(value, v.Elem(), path, setting{})
}

// invalid reports what a kind says of its settings, where that setting stands.
func (d *decoder) invalid(at *yaml.Node, path string, p shield.Problem) {
	full := path
	if p.Path != "" {
		full = join(path, p.Path)
	}
	pos := d.pos(at)
	if found, ok := d.places.find(full); ok {
		pos = found.value
	}
	d.report(pos, full, p.Hint, "%s", p.Message)
}
