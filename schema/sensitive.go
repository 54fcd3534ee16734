package schema

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"pavise.dev/pavise/internal/jsonedit"
	"pavise.dev/pavise/leak"
	"pavise.dev/pavise/shield"
)

// cover is what a schema says about who may see a value (x-pavise-sensitive, x-pavise-scopes).
type cover struct {
	how    string   // "": nothing is said
	scopes []string // with one of them the value is shown; none: nobody sees it
}

// How a value is covered. The later is the stricter.
const (
	spared   = "spared" // it is what it is: detectors leave it alone
	asCard   = "card"
	asEmail  = "email"
	asMasked = "mask"
	removed  = "remove"
)

func strictness(how string) int {
	return slices.Index([]string{"", spared, asCard, asEmail, asMasked, removed}, how)
}

// coverOf reads what a schema says by itself.
func coverOf(s map[string]any) (c cover, err error) {
	switch said := s[wordSensitive].(type) {
	case bool:
		c.how = map[bool]string{true: asMasked, false: spared}[said]
	case string:
		if c.how = said; !slices.Contains([]string{asCard, asEmail, asMasked, removed}, said) {
			return c, fmt.Errorf("%s is true, false, mask, remove, card or email", wordSensitive)
		}
	default:
		if _, there := s[wordSensitive]; there {
			return c, fmt.Errorf("%s is true, false, mask, remove, card or email", wordSensitive)
		}
	}
	raw, there := s[wordScopes]
	if !there {
		return c, nil
	}
	list, _ := raw.([]any)
	for _, one := range list {
		scope, ok := one.(string)
		if !ok || scope == "" {
			return c, fmt.Errorf("%s is a list of scopes", wordScopes)
		}
		c.scopes = append(c.scopes, scope)
	}
	if len(c.scopes) == 0 || c.how == "" || c.how == spared {
		return c, fmt.Errorf("%s is a list of scopes, beside an %s that covers the value", wordScopes, wordSensitive)
	}
	return c, nil
}

// veil is what lies over a value, and over what is in it. Several may lie over one.
type veil struct {
	cover
	names    map[string]*veil
	patterns []patterned
	further  *veil // over other names
	first    []*veil
	entries  *veil // over further entries
	also     []*veil
	covers   bool    // something here or below is said
	over     []*veil // itself and those that lie over the same value, as far as they cover something
}

type patterned struct {
	name *regexp.Regexp
	veil *veil
}

// cover gives media types their veils.
func (d *Document) cover(a *Answers, b *body, pointer string, content map[string]any) error {
	for _, pattern := range slices.Sorted(maps.Keys(content)) {
		described, at, err := d.tree.follow(join(pointer, "content", pattern))
		if err != nil || described["schema"] == nil {
			continue // contentAt has said so
		}
		known := map[string]*veil{}
		v := d.veilAt(join(at, "schema"), known)
		for changed := true; changed; {
			changed = false
			for _, one := range known {
				changed = one.learn() || changed
			}
		}
		for _, one := range known {
			one.over = one.together(nil)
		}
		if !v.covers {
			continue
		}
		name, _, _ := mime.ParseMediaType(pattern)
		if !isJSON(name) {
			return d.fault(at, "%s can be kept to in JSON alone, and %s is none", wordSensitive, pattern)
		}
		for _, m := range b.media {
			if m.pattern == name {
				m.veil = v
			}
		}
		a.veils = append(a.veils, v)
		for _, one := range known {
			a.scopes = append(a.scopes, one.scopes...)
			a.spares = a.spares || one.how == spared
		}
	}
	slices.Sort(a.scopes)
	a.scopes = slices.Compact(a.scopes)
	return nil
}

// together gathers those that lie over the same value.
func (v *veil) together(seen []*veil) []*veil {
	if !v.covers || slices.Contains(seen, v) {
		return seen
	}
	seen = append(seen, v)
	for _, one := range v.also {
		seen = one.together(seen)
	}
	return seen
}

// learn notes whether something here or below is said; true if that is new.
func (v *veil) learn() bool {
	if v.covers {
		return false
	}
	v.covers = v.how != ""
	v.each(func(below *veil) { v.covers = v.covers || below.covers })
	return v.covers
}

// each goes through the veils right below, and those that lie over the same value.
func (v *veil) each(f func(*veil)) {
	for _, one := range v.names {
		f(one)
	}
	for _, one := range v.patterns {
		f(one.veil)
	}
	for _, one := range slices.Concat(v.first, v.also, []*veil{v.further, v.entries}) {
		if one != nil {
			f(one)
		}
	}
}

// veilAt reads the veil of the schema at a pointer. A schema that leads back to itself has one
// that does.
func (d *Document) veilAt(pointer string, known map[string]*veil) *veil {
	if v := known[pointer]; v != nil {
		return v
	}
	v := &veil{}
	known[pointer] = v
	raw, _ := d.tree.at(pointer)
	s, ok := raw.(map[string]any)
	if !ok {
		return v
	}
	v.cover, _ = coverOf(s) // checked when the document was opened
	at := func(names ...string) *veil { return d.veilAt(join(pointer, names...), known) }
	if ref, ok := s["$ref"].(string); ok {
		v.also = append(v.also, d.veilAt(join("", split(ref)...), known)) // what stands beside it counts, too
	}
	properties, _ := s["properties"].(map[string]any)
	v.names = make(map[string]*veil, len(properties))
	for name := range properties {
		v.names[name] = at("properties", name)
	}
	patterns, _ := s["patternProperties"].(map[string]any)
	for pattern := range patterns {
		if name, err := regexp.Compile(pattern); err == nil {
			v.patterns = append(v.patterns, patterned{name, at("patternProperties", pattern)})
		}
	}
	for _, word := range []string{"additionalProperties", "unevaluatedProperties"} {
		if _, ok := s[word].(map[string]any); ok {
			v.further = at(word)
		}
	}
	for _, word := range []string{"items", "unevaluatedItems"} {
		if _, ok := s[word].(map[string]any); ok {
			v.entries = at(word)
		}
	}
	first, _ := s["prefixItems"].([]any)
	for i := range first {
		v.first = append(v.first, at("prefixItems", strconv.Itoa(i)))
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		all, _ := s[word].([]any)
		for i := range all {
			v.also = append(v.also, at(word, strconv.Itoa(i)))
		}
	}
	for _, word := range []string{"then", "else"} {
		if _, ok := s[word].(map[string]any); ok {
			v.also = append(v.also, at(word))
		}
	}
	depending, _ := s["dependentSchemas"].(map[string]any)
	for name := range depending {
		v.also = append(v.also, at("dependentSchemas", name))
	}
	return v
}

// Scopes are those that the document names for values of these answers.
func (a *Answers) Scopes() []string { return a.scopes }

// Sensitive reports whether some value of these answers is not for everybody.
func (a *Answers) Sensitive() bool {
	var sees func(v *veil, seen map[*veil]bool) bool
	sees = func(v *veil, seen map[*veil]bool) bool {
		if seen[v] {
			return false
		}
		seen[v] = true
		found := strictness(v.how) > strictness(spared)
		v.each(func(below *veil) { found = found || sees(below, seen) })
		return found
	}
	return slices.ContainsFunc(a.veils, func(v *veil) bool { return sees(v, map[*veil]bool{}) })
}

// Filtered is an answer without what its caller may not see.
type Filtered struct {
	Body            []byte
	Masked, Removed int
	Spared          map[string]bool // pointers to what detectors leave alone
}

// Filter masks or removes what the caller, who has these scopes, may not see. All else keeps
// every byte. An answer in which that cannot be told is refused: one that says that it went
// well, is not declared, and is no JSON.
func (a *Answers) Filter(r *http.Request, status int, h http.Header, body []byte, scopes shield.Scopes) (Filtered, error) {
	out := Filtered{Body: body}
	if len(a.veils) == 0 || len(body) == 0 || !mayHaveBody(r, status) {
		return out, nil
	}
	veils, err := a.over(r, status, h)
	if err != nil || len(veils) == 0 {
		return out, err
	}
	tree, err := jsonedit.Parse(body)
	if err != nil {
		return out, (&faults{{In: "body", Rule: "form"}}).refusal(shield.BadAnswer)
	}
	w := wearer{tree: tree, scopes: scopes}
	w.whole(veils)
	tree.Remove(&w.edits, w.gone...)
	out.Removed, out.Masked = len(w.gone), w.masked
	if w.edits.Len() > 0 {
		out.Body = w.edits.Apply(body)
	}
	if !a.spares {
		return out, nil
	}
	if len(w.gone) > 0 { // places have changed
		if tree, err = jsonedit.Parse(out.Body); err != nil {
			return out, fmt.Errorf("read an answer again: %w", err)
		}
		w = wearer{tree: tree, scopes: scopes}
		w.whole(veils)
	}
	out.Spared = map[string]bool{}
	for _, i := range w.spared {
		out.Spared[w.tree.Pointer(i, nil)] = true
	}
	return out, nil
}

// over are the veils that lie over an answer: those of its media type, or, where that is not
// declared, all of them.
func (a *Answers) over(r *http.Request, status int, h http.Header) ([]*veil, error) {
	name, parameters, refusal := mediaOf(h)
	if declared := a.of(r, status); declared != nil && declared.body != nil && refusal == nil {
		if m := declared.body.find(name, parameters); m != nil {
			if m.veil == nil {
				return nil, nil
			}
			return []*veil{m.veil}, nil
		}
	}
	switch {
	case refusal == nil && isJSON(name):
		return a.veils, nil
	case status >= 200 && status < 300 && a.Sensitive():
		return nil, (&faults{{In: "header", Pointer: "/Content-Type", Rule: undeclared}}).refusal(shield.BadAnswer)
	}
	return nil, nil
}

// wearer lays veils over the values of a text.
type wearer struct {
	tree   *jsonedit.Tree
	scopes shield.Scopes
	stack  []*veil // over the values on the way to the one that is looked at
	edits  jsonedit.Edits
	gone   []int
	spared []int
	masked int
}

// whole covers the whole text.
func (w *wearer) whole(veils []*veil) {
	for _, v := range veils {
		w.stack = append(w.stack, v.over...)
	}
	w.value(0, w.stack)
}

// value covers a value, or what is in it.
func (w *wearer) value(i int, veils []*veil) {
	how := ""
	for _, v := range veils {
		if strictness(v.how) > strictness(how) && !slices.ContainsFunc(v.scopes, w.scopes.Has) {
			how = v.how
		}
	}
	switch how {
	case removed:
		w.gone = append(w.gone, i)
		return
	case asCard, asEmail, asMasked:
		w.mask(i, how)
		return
	case spared:
		for below := i; below < w.tree.Nodes[i].Next; below++ {
			w.spared = append(w.spared, below)
		}
	}
	index := 0
	for c := range w.tree.Children(i) {
		mark := len(w.stack)
		if w.below(veils, i, c, index); len(w.stack) > mark {
			w.value(c, w.stack[mark:])
		}
		w.stack = w.stack[:mark]
		index++
	}
}

// below puts the veils of a part on the stack.
func (w *wearer) below(veils []*veil, i, part, index int) {
	if w.tree.Nodes[i].Kind == '[' {
		for _, v := range veils {
			switch {
			case index < len(v.first):
				w.stack = append(w.stack, v.first[index].over...)
			case v.entries != nil:
				w.stack = append(w.stack, v.entries.over...)
			}
		}
		return
	}
	n := &w.tree.Nodes[part]
	name := w.tree.Text[n.NameFrom+1 : n.NameTo-1]
	if n.NameEscaped {
		name = jsonedit.Unquote(nil, name)
	}
	for _, v := range veils {
		one, known := v.names[string(name)]
		if known {
			w.stack = append(w.stack, one.over...)
		}
		for _, p := range v.patterns {
			if p.name.Match(name) {
				w.stack, known = append(w.stack, p.veil.over...), true
			}
		}
		if !known && v.further != nil {
			w.stack = append(w.stack, v.further.over...)
		}
	}
}

// mask shows a rest of a text, and of a number that is a card's; null of anything else.
func (w *wearer) mask(i int, how string) {
	n := &w.tree.Nodes[i]
	raw := w.tree.Text[n.From:n.To]
	shown := "null"
	switch {
	case n.Kind == '"' && how == asCard:
		shown = `"` + leak.MaskCard(string(jsonedit.Unquote(nil, raw[1:len(raw)-1]))) + `"`
	case n.Kind == '0' && how == asCard:
		shown = `"` + leak.MaskCard(string(raw)) + `"`
	case n.Kind == '"' && how == asEmail:
		shown = `"` + leak.MaskEmail(string(jsonedit.Unquote(nil, raw[1:len(raw)-1]))) + `"`
	case n.Kind == '"':
		shown = `"***"`
	}
	if shown != string(raw) {
		w.edits.Replace(n.From, n.To, shown)
		w.masked++
	}
}
