package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/shield"
)

// decoder turns YAML nodes into documented structs. It is strict: what it does not
// know is a problem, and it goes on after one to find the others.
type decoder struct {
	source   *Source
	kinds    []shield.Kind
	included bool // the file may not weaken anything
	places   places
	problems *Problems
}

// places knows where each setting stands, by its dotted path.
type places map[string]place

type place struct {
	source     *Source
	key, value Pos
}

// find returns the place of a path, or of what holds it.
func (p places) find(path string) (place, bool) {
	for {
		if at, ok := p[path]; ok {
			return at, true
		}
		end := strings.LastIndexByte(path, '.')
		if end < 0 {
			at, ok := p[""]
			return at, ok
		}
		path = path[:end]
	}
}

func (d *decoder) pos(n *yaml.Node) Pos { return d.source.pos(n) }

func (d *decoder) problem(n *yaml.Node, path, hint, format string, args ...any) {
	d.report(d.pos(n), path, hint, format, args...)
}

func (d *decoder) report(pos Pos, path, hint, format string, args ...any) {
	p := d.source.problem(pos, hint, format, args...)
	p.Path = path
	*d.problems = append(*d.problems, *p)
}

func (d *decoder) fault(n *yaml.Node, path string, f *fault) {
	d.problem(n, path, f.hint, "%s", f.message)
}

// value decodes n into v, which can be set.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, s setting) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem())) // something is meant to stand here, even if it cannot be read
	}
	if !d.plain(n, path) {
		return
	}
	if d.special(n, v, path) {
		return
	}
	switch {
	case single(v.Type()):
		d.scalar(n, v, path, s)
	case v.Kind() == reflect.Pointer:
		d.value(n, v.Elem(), path, s)
	case v.Kind() == reflect.Struct:
		d.structure(n, v, path)
	case v.Kind() == reflect.Map:
		d.mapping(n, v, path, s)
	case v.Kind() == reflect.Slice:
		d.list(n, v, path, s)
	default:
		d.scalar(n, v, path, s)
	}
}

// plain refuses what makes a value something else than what is written there.
func (d *decoder) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.problem(n, path, "write the value out, or put quotes around a text that begins with *", "aliases (*%s) are not accepted", n.Value)
	case n.Anchor != "":
		d.problem(n, path, "remove it, or put quotes around a text that begins with &", "anchors (&%s) are not accepted", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.problem(n, path, "write the value without it, or put quotes around a text that begins with !", "tags (%s) are not accepted", n.Tag)
	case n.Tag == "!!null":
		d.problem(n, path, "remove the setting, or write {} for settings that are all inherited", "nothing stands here")
	default:
		return true
	}
	return false
}

// special decodes the types that have several forms.
func (d *decoder) special(n *yaml.Node, v reflect.Value, path string) bool {
	switch into := v.Addr().Interface().(type) {
	case *Shield:
		*into = d.shield(n, path, 0)
	case *Certificate:
		if n.Kind != yaml.ScalarNode {
			into.Source = "files"
			return false
		}
		d.scalar(n, reflect.ValueOf(&into.Source).Elem(), path, setting{enum: []string{"acme", "local", "own"}})
	case *Detect:
		if n.Kind == yaml.MappingNode {
			return false
		}
		var words Words
		d.list(n, reflect.ValueOf(&words).Elem(), path, setting{enum: detectors()})
		into.setWords(words)
	case *Upstream:
		if n.Kind == yaml.MappingNode {
			return false
		}
		preset(v)
		into.Pos = d.pos(n)
		d.list(n, reflect.ValueOf(&into.URL).Elem(), path, setting{})
	default:
		return false
	}
	return true
}

// structure decodes a mapping into a struct by its tags.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode {
		if scalar, ok := v.Addr().Interface().(shield.Scalar); ok {
			stand(v, d.pos(n))
			if err := scalar.SetScalar(n.Value); err != nil {
				d.problem(n, path, "", "%v", err)
			}
			return
		}
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, settingsHint(v.Type()), "want settings, not %s", describe(n))
		return
	}
	preset(v)
	stand(v, d.pos(n))
	all := settingsOf(v.Type())
	seen := d.pairs(n, path, func(key, value *yaml.Node) {
		i := slices.IndexFunc(all, func(s setting) bool { return s.name == key.Value })
		switch {
		case i < 0:
			d.unknown(key, path, all)
			mean(key.Value, v, all)
		case d.included && strings.HasPrefix(key.Value, "insecure_"):
			d.problem(key, join(path, key.Value), "move the API to the main file", "an included file may tighten, never weaken")
		default:
			d.field(value, v.FieldByIndex(all[i].index), join(path, key.Value), all[i])
		}
	})
	d.missing(n, path, all, seen)
}

// maxHinted is how many settings a hint names.
const maxHinted = 8

// settingsHint names the settings that can stand there, those that must first.
func settingsHint(t reflect.Type) string {
	var must, may []string
	for _, s := range settingsOf(t) {
		if s.required {
			must = append(must, s.name)
		} else {
			may = append(may, s.name)
		}
	}
	names := append(must, may...)
	if len(names) == 0 {
		return "write settings: name: value"
	}
	hint := fmt.Sprintf("write {%s: value}; its settings are %s", names[0], strings.Join(names[:min(len(names), maxHinted)], ", "))
	if len(names) > maxHinted {
		hint += ", and others"
	}
	return hint
}

// mean makes a misspelled shield count as a shield that is there, so that its
// absence is not told at every endpoint.
func mean(name string, v reflect.Value, all []setting) {
	for _, s := range all {
		if f := v.FieldByIndex(s.index); f.Type() == reflect.TypeFor[*Shield]() && nearest(name, []string{s.name}) != "" && f.IsNil() {
			f.Set(reflect.ValueOf(&Shield{}))
		}
	}
}

// missing reports required settings that are not there, but not those whose name
// was only misspelled.
func (d *decoder) missing(n *yaml.Node, path string, all []setting, seen map[string]bool) {
	var names, strangers []string
	for _, s := range all {
		names = append(names, s.name)
	}
	for name := range seen {
		if !slices.Contains(names, name) {
			strangers = append(strangers, nearest(name, names), elsewhere(name, names))
		}
	}
	at := d.pos(n)
	if known, ok := d.places[path]; ok && path != "" {
		at = known.key
	}
	for _, s := range all {
		if s.required && !seen[s.name] && !slices.Contains(strangers, s.name) {
			d.report(at, join(path, s.name), s.doc, "%s is missing", s.name)
		}
	}
}

// field decodes one setting; what weakens protection must say why.
func (d *decoder) field(n *yaml.Node, v reflect.Value, path string, s setting) {
	before := len(*d.problems)
	d.value(n, v, path, s)
	if len(*d.problems) > before || !strings.HasPrefix(s.name, "insecure_") {
		return
	}
	if f := unreasoned(v, s.name); f != nil {
		d.fault(n, path, f)
	}
}

// stand tells a struct where it stands, if it wants to know.
func stand(v reflect.Value, pos Pos) {
	if v.Kind() != reflect.Struct {
		return
	}
	if f := v.FieldByName("Pos"); f.IsValid() && f.Type() == reflect.TypeFor[Pos]() {
		f.Set(reflect.ValueOf(pos))
	}
}

func (d *decoder) unknown(key *yaml.Node, path string, all []setting) {
	known := make([]string, 0, len(all))
	for _, s := range all {
		known = append(known, s.name)
	}
	if d.included && path == "" && slices.ContainsFunc(settingsOf(reflect.TypeFor[File]()), func(s setting) bool { return s.name == key.Value }) {
		d.problem(key, join(path, key.Value), "move it to the main file", "an included file holds apis and scopes, not %s", key.Value)
		return
	}
	hint := didYouMean(key.Value, known, "")
	if meant := elsewhere(key.Value, known); meant != "" {
		hint = "it is called " + meant + " here"
	}
	d.problem(key, join(path, key.Value), hint, "unknown setting %q", key.Value)
}

// pairs calls f for every key of a mapping and returns the keys. Doubles, merge
// keys and keys that are no text are refused.
func (d *decoder) pairs(n *yaml.Node, path string, f func(key, value *yaml.Node)) map[string]bool {
	seen, first := map[string]bool{}, map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Tag == "!!merge":
			d.problem(key, path, "write the settings out", "merge keys (<<) are not accepted")
		case key.Kind == yaml.ScalarNode && key.Tag != "!!str" && key.Tag != "!!null" && key.Anchor == "" && key.Style&yaml.TaggedStyle == 0:
			d.problem(key, path, fmt.Sprintf("put quotes around it: %q", key.Value), "the name %s is read as %s", key.Value, strings.TrimPrefix(key.Tag, "!!"))
		case key.Kind != yaml.ScalarNode || key.Tag == "!!null":
			d.problem(key, path, "write name: value", "a name must be one word")
		case !d.plain(key, path):
		case legible(key.Value) != nil:
			d.fault(key, path, legible(key.Value))
		case seen[key.Value]:
			d.problem(key, join(path, key.Value), fmt.Sprintf("remove one; the other stands at line %d", first[key.Value]), "%q stands twice", key.Value)
		default:
			seen[key.Value], first[key.Value] = true, key.Line
			d.places[join(path, key.Value)] = place{d.source, d.pos(key), d.pos(value)}
			f(key, value)
		}
	}
	return seen
}

// mapping decodes names with values.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, s setting) {
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "write name: value", "want names with values, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, path, func(key, value *yaml.Node) {
		if s.keys != "" {
			if f := (setting{pattern: s.keys, hint: s.hint, doc: s.doc}).check(reflect.ValueOf(key.Value)); f != nil {
				d.fault(key, join(path, key.Value), f)
			}
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element, join(path, key.Value), setting{enum: s.enum, pattern: s.pattern})
		stand(element, d.pos(key))
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	})
}

// list decodes a list; a single value stands for a list of one where that cannot
// be misread.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, s setting) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
		if len(items) == 0 {
			d.problem(n, path, "remove the setting", "the list is empty")
			return
		}
	} else if n.Kind == yaml.MappingNode && word(v.Type().Elem()) {
		d.problem(n, path, "write the values themselves: one, or several as [first, second]", "want one value or a list, not %s", describe(n))
		return
	} else if !word(v.Type().Elem()) {
		d.problem(n, path, "write a list: each entry on a line that begins with -", "want a list, not %s", describe(n))
		return
	}
	list := reflect.MakeSlice(v.Type(), 0, len(items))
	for i, item := range items {
		at := path
		if n.Kind == yaml.SequenceNode {
			at = fmt.Sprintf("%s.%d", path, i)
			d.places[at] = place{d.source, d.pos(item), d.pos(item)}
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(item, element, at, setting{enum: s.enum, pattern: s.pattern, hint: s.hint, least: s.least, top: s.top})
		if element.Kind() == reflect.String && slices.Contains(texts(list), element.String()) {
			d.problem(item, at, "remove one", "%q stands twice", element.String())
			continue
		}
		list = reflect.Append(list, element)
	}
	v.Set(list)
}

// word reports whether an entry of a list is one word, so that it may stand for the list.
func word(t reflect.Type) bool {
	return t.Kind() == reflect.String || t == reflect.TypeFor[Limit]() || t == reflect.TypeFor[Quota]()
}

// scalar decodes one word.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string, s setting) {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, path, "write one value", "want one value, not %s", describe(n))
		return
	}
	stand(v, d.pos(n))
	if v.Kind() == reflect.String && n.Tag != "!!str" {
		d.problem(n, path, fmt.Sprintf("put quotes around it: %q", n.Value), "want text; %s is read as %s", n.Value, strings.TrimPrefix(n.Tag, "!!"))
		return
	}
	if v.Kind() == reflect.String {
		if f := legible(n.Value); f != nil {
			d.fault(n, path, f)
			return
		}
	}
	if f := d.parse(n, v, s); f != nil {
		d.fault(n, path, f)
		return
	}
	if f := s.check(v); f != nil {
		d.fault(n, path, f)
	}
}

func (d *decoder) parse(n *yaml.Node, v reflect.Value, s setting) *fault {
	if s.bytes {
		var size int64
		if f := parseBytes(&size, n.Value); f != nil {
			return f
		}
		v.SetInt(size)
		return nil
	}
	return parseInto(v, n.Value)
}

// legible refuses texts that say nothing, or not what can be seen.
func legible(text string) *fault {
	switch {
	case strings.TrimSpace(text) == "":
		return faulty("remove the setting, or write what is meant", "the text is empty")
	case hides(text):
		return faulty("write it without", "the text holds characters that cannot be seen")
	}
	return nil
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "settings"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
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
