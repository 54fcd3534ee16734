package config

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The tags are the language: each default lies within its own bounds, each bound
// and pattern can be read, each setting is explained.
func TestTheTagsAreSound(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] || single(typ) {
			return
		}
		seen[typ] = true
		for _, s := range settingsOf(typ) {
			field := typ.FieldByIndex(s.index)
			where := typ.Name() + "." + s.name
			if len(s.doc) < 5 {
				t.Errorf("%s is not explained", where)
			}
			for _, form := range []string{s.pattern, s.keys} {
				if _, err := regexp.Compile(form); err != nil {
					t.Errorf("%s: %v", where, err)
				}
			}
			v := reflect.New(field.Type).Elem()
			if s.preset != "" {
				s.fill(v)
				if f := s.check(v); f != nil {
					t.Errorf("%s: the default %s: %s", where, s.preset, f.message)
				}
			}
			if v.Kind() != reflect.String && s.least != "" && s.top != "" && s.bound(field.Type, s.least) >= s.bound(field.Type, s.top) {
				t.Errorf("%s: %s is not below %s", where, s.least, s.top)
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[File]())
	walk(reflect.TypeFor[Outbound]())
	if len(seen) < 15 {
		t.Errorf("%d structs walked", len(seen))
	}
}

// What an included file may hold is described as the main file describes it.
func TestIncludedFilesSpeakTheSameLanguage(t *testing.T) {
	main := map[string]setting{}
	for _, s := range settingsOf(reflect.TypeFor[File]()) {
		main[s.name] = s
	}
	for _, s := range settingsOf(reflect.TypeFor[included]()) {
		if m := main[s.name]; m.keys != s.keys || m.hint != s.hint {
			t.Errorf("%s: keys %q, hint %q; the main file has %q, %q", s.name, s.keys, s.hint, m.keys, m.hint)
		}
	}
}

func TestDurationsAndSizesAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration{time.Duration(rapid.Int64Range(0, 1<<31).Draw(t, "ms")) * time.Millisecond}
		if d.Duration > 0 {
			if back, err := ParseDuration(d.String()); err != nil || back != d.Duration {
				t.Fatalf("%s is read as %s, %v", d, back, err)
			}
		}
		s := Size(rapid.Int64Range(0, 1<<60).Draw(t, "size"))
		var back int64
		if f := parseBytes(&back, s.String()); f != nil || back != int64(s) {
			t.Fatalf("%s is read as %d, %v", s, back, f)
		}
	})
}

func TestNearest(t *testing.T) {
	known := []string{"host", "shield", "scopes", "endpoints", "api_key", "max_body"}
	for word, want := range map[string]string{
		"hots": "host", "hosts": "host", "sheild": "shield", "scope": "scopes", "apikey": "api_key", "maxbody": "max_body",
		"MAX_BODY": "max_body", "endpoint": "endpoints", "x": "", "timeout": "", "": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}
