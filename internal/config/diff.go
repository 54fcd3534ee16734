package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Change is one difference between two configurations.
type Change struct {
	Path string `json:"path"`          // dotted: apis.orders.max_body
	Old  string `json:"old,omitempty"` // as the file writes it; empty: it was not there
	New  string `json:"new,omitempty"` // empty: it is not there any more

	// Restart says that it takes effect with the next start, and not before.
	Restart bool `json:"restart,omitempty"`
}

// String is "path: old → new", "+ path: new" or "- path: old", with a word where it
// waits for the next start.
func (c Change) String() string {
	if c.Restart {
		return c.text() + " (with the next start)"
	}
	return c.text()
}

func (c Change) text() string {
	switch {
	case c.Old == "":
		return "+ " + printable(c.Path) + ": " + printable(c.New)
	case c.New == "":
		return "- " + printable(c.Path) + ": " + printable(c.Old)
	}
	return printable(c.Path) + ": " + printable(c.Old) + " → " + printable(c.New)
}

// Bounds of what an event holds of a difference.
const (
	maxChanges = 200
	maxValue   = 200 // characters of one side
)

// Diff tells what changed from one configuration to the next, for the event of a
// reload: at most 200 changes in the order of the language, the last one saying
// how many more there are. Secrets are shown as stars.
func Diff(old, new *File) []Change {
	all := Changes(old, new)
	if len(all) > maxChanges {
		rest := len(all) - maxChanges + 1
		all = append(all[:maxChanges-1], Change{Path: "…", New: fmt.Sprintf("%d more changes", rest)})
	}
	return all
}

// Changes are all of them, for whoever must not miss one.
func Changes(old, new *File) []Change {
	d := &differ{}
	d.structure(reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), "")
	return d.changes
}

type differ struct {
	changes []Change
	restart bool // of what is looked at
}

func (d *differ) add(path, old, new string) {
	if old != new {
		d.changes = append(d.changes, Change{Path: path, Old: clip(old), New: clip(new), Restart: d.restart})
	}
}

func clip(text string) string {
	if utf8.RuneCountInString(text) <= maxValue {
		return text
	}
	return string([]rune(text)[:maxValue-1]) + "…"
}

func (d *differ) structure(old, new reflect.Value, path string) {
	outer := d.restart
	defer func() { d.restart = outer }()
	for _, s := range settingsOf(old.Type()) {
		d.restart = outer || s.restart
		d.value(old.FieldByIndex(s.index), new.FieldByIndex(s.index), join(path, s.name), s.secret)
	}
}

func (d *differ) value(old, new reflect.Value, path string, secret bool) {
	switch {
	case secret:
		if !reflect.DeepEqual(old.Interface(), new.Interface()) {
			d.add(path, hidden(old, "(old)"), hidden(new, "(new)"))
		}
	case old.Type() == reflect.TypeFor[Certificate](), old.Kind() == reflect.Pointer, single(old.Type()):
		d.whole(old, new, path)
	case old.Kind() == reflect.Struct:
		d.structure(old, new, path)
	case old.Kind() == reflect.Map && old.Type().Key().Kind() == reflect.String:
		d.mapping(old, new, path)
	default:
		d.add(path, brief(old), brief(new))
	}
}

// whole compares what is shown as one value; shields of one kind by their settings.
func (d *differ) whole(old, new reflect.Value, path string) {
	before, after := shieldOf(old), shieldOf(new)
	if before == nil || after == nil || before.Kind == "" || before.Kind != after.Kind || before.Config == nil || after.Config == nil {
		d.add(path, brief(old), brief(new))
		return
	}
	a, b := reflect.ValueOf(before.Config), reflect.ValueOf(after.Config)
	if a.Type() != b.Type() {
		d.add(path, brief(old), brief(new))
		return
	}
	d.structure(a.Elem(), b.Elem(), join(path, before.Kind))
}

func shieldOf(v reflect.Value) *Shield {
	s, _ := v.Interface().(*Shield)
	return s
}

func (d *differ) mapping(old, new reflect.Value, path string) {
	keys := append(sortedKeysOf(old), sortedKeysOf(new)...)
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	keys = slices.CompactFunc(keys, func(a, b reflect.Value) bool { return a.String() == b.String() })
	for _, key := range keys {
		own := join(path, key.String())
		before, after := old.MapIndex(key), new.MapIndex(key)
		switch {
		case !before.IsValid():
			d.add(own, "", present(after))
		case !after.IsValid():
			d.add(own, present(before), "")
		default:
			d.value(before, after, own, false)
		}
	}
}

// present is what is shown of something that was not there, or is not any more.
func present(v reflect.Value) string {
	if text := brief(v); text != "" {
		return text
	}
	return "{}"
}

// hidden stands for a secret; that it changed may be seen, not from what to what.
func hidden(v reflect.Value, which string) string {
	if v.IsZero() {
		return ""
	}
	return "*** " + which
}

// brief writes a value as one line of the file's language; nothing for what is
// empty.
func brief(v reflect.Value) string {
	if !v.IsValid() || v.IsZero() {
		switch v.Kind() {
		case reflect.Bool, reflect.Int, reflect.Int64:
			return fmt.Sprint(v.Interface())
		}
		return ""
	}
	switch value := v.Interface().(type) {
	case Shield:
		return value.brief()
	case *Shield:
		return value.brief()
	case Limit:
		return value.Limit.String()
	case Quota:
		return value.Quota.String()
	case Certificate:
		if value.Source != "files" {
			return strings.Join(slices.DeleteFunc([]string{value.Source, value.Email, value.Directory, value.Roots}, func(s string) bool { return s == "" }), " ")
		}
		return "{cert: " + value.Cert + ", key: " + value.Key + "}"
	case time.Duration, fmt.Stringer:
		return written(v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.Elem().IsZero() {
			return "{}" // it is there, and says nothing more
		}
		return brief(v.Elem())
	case reflect.Struct:
		return briefSettings(v)
	case reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = brief(v.Index(i))
		}
		return "[" + strings.Join(list, ", ") + "]"
	case reflect.Map:
		var list []string
		for _, key := range sortedKeysOf(v) {
			list = append(list, key.String()+": "+brief(v.MapIndex(key)))
		}
		return "{" + strings.Join(list, ", ") + "}"
	}
	return written(v)
}

func briefSettings(v reflect.Value) string {
	var list []string
	for _, s := range settingsOf(v.Type()) {
		field := v.FieldByIndex(s.index)
		switch {
		case field.IsZero():
		case s.secret:
			list = append(list, s.name+": ***")
		default:
			list = append(list, s.name+": "+brief(field))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "{" + strings.Join(list, ", ") + "}"
}

func (s *Shield) brief() string {
	switch {
	case s == nil:
		return ""
	case len(s.Any) > 0:
		list := make([]string, len(s.Any))
		for i := range s.Any {
			list[i] = s.Any[i].brief()
		}
		return "{any: [" + strings.Join(list, ", ") + "]}"
	case len(s.All) > 0:
		list := make([]string, len(s.All))
		for i := range s.All {
			list[i] = s.All[i].Shield.brief()
			if s.All[i].Actor {
				list[i] += " as actor"
			}
		}
		return "{all: [" + strings.Join(list, ", ") + "]}"
	}
	settings := ""
	if s.Config != nil {
		settings = briefSettings(reflect.ValueOf(s.Config).Elem())
	}
	if settings == "" {
		return s.Kind
	}
	return "{" + s.Kind + ": " + settings + "}"
}
