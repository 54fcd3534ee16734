package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Weakness is something in the file that weakens protection, with its reason.
type Weakness struct {
	Path   string `json:"path"`   // dotted: apis.orders.upstream.insecure_skip_verify
	What   string `json:"what"`   // the setting, or what it allows
	Reason string `json:"reason"` // as it is written
	Pos    Pos    `json:"pos"`
}

// Insecure lists everything that weakens protection, in the order of its paths:
// every setting whose name begins with insecure_, and every public endpoint.
func (f *File) Insecure() []Weakness {
	w := &weaknesses{places: f.places}
	w.structure(reflect.ValueOf(f).Elem(), "")
	return w.found
}

type weaknesses struct {
	places places
	found  []Weakness
}

func (w *weaknesses) add(path, what, reason string) {
	at, _ := w.places.find(path) // the zero place says that it is not known
	w.found = append(w.found, Weakness{path, what, reason, at.key})
}

func (w *weaknesses) structure(v reflect.Value, path string) {
	if s, ok := v.Addr().Interface().(*Shield); ok {
		w.shield(s, path)
		return
	}
	for _, s := range settingsOf(v.Type()) {
		field, own := v.FieldByIndex(s.index), join(path, s.name)
		if strings.HasPrefix(s.name, "insecure_") {
			w.insecure(field, own, s.name)
			continue
		}
		w.value(field, own)
	}
}

func (w *weaknesses) value(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.value(v.Elem(), path)
		}
	case reflect.Struct:
		w.structure(v, path)
	case reflect.Map:
		if v.Type().Elem().Kind() != reflect.Struct {
			return
		}
		for _, key := range sortedKeysOf(v) {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			w.structure(element, join(path, key.String()))
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.value(v.Index(i), fmt.Sprintf("%s.%d", path, i))
		}
	}
}

func (w *weaknesses) shield(s *Shield, path string) {
	for i := range s.Any {
		w.shield(&s.Any[i], fmt.Sprintf("%s.any.%d", path, i))
	}
	for i := range s.All {
		w.shield(&s.All[i].Shield, fmt.Sprintf("%s.all.%d", path, i))
	}
	if s.Config == nil {
		return
	}
	own := join(path, s.Kind)
	settings := reflect.ValueOf(s.Config).Elem()
	if s.Kind == publicKind {
		w.add(own, "anybody may call", reasonOf(settings))
	}
	w.structure(settings, own)
}

// insecure adds a setting that is given: a reason, a struct that holds one, or a
// list of such.
func (w *weaknesses) insecure(v reflect.Value, path, name string) {
	switch {
	case v.IsZero():
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			w.add(fmt.Sprintf("%s.%d", path, i), whatOf(v.Index(i), name), reasonOf(v.Index(i)))
		}
	default:
		w.add(path, name, reasonOf(v))
	}
}

func whatOf(v reflect.Value, otherwise string) string {
	if f := v.FieldByName("What"); f.IsValid() && f.Kind() == reflect.String {
		return f.String()
	}
	return otherwise
}

func reasonOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer:
		return reasonOf(v.Elem())
	case reflect.Struct:
		if f := v.FieldByName("Reason"); f.IsValid() && f.Kind() == reflect.String {
			return f.String()
		}
	case reflect.String:
		return v.String()
	}
	return ""
}

// minReason is the shortest reason for something insecure, in characters.
const minReason = 10

// unreasoned refuses a setting that weakens protection without saying why.
func unreasoned(v reflect.Value, name string) *fault {
	w := &weaknesses{}
	w.insecure(v, name, name)
	for _, one := range w.found {
		if utf8.RuneCountInString(strings.TrimSpace(one.Reason)) < minReason {
			return faulty(fmt.Sprintf("say in at least %d characters why it is safe there", minReason), "%s needs a reason", name)
		}
	}
	return nil
}

func sortedKeysOf(m reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(m.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
}
