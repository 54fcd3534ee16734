package shield_test

import (
	"fmt"
	"reflect"
	"testing"

	"pavise.dev/pavise/shield"
)

func detail(code shield.Code, text string) fixed { return fixed{err: shield.Refuse(code, "%s", text)} }

func TestARefusalOfACombinationNamesEachPart(t *testing.T) {
	anyOf := func(shields ...shield.Shield) shield.Shield {
		s, err := shield.Any(shields...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	allOf := func(shields ...shield.Shield) shield.Shield {
		var parts []shield.Part
		for _, s := range shields {
			parts = append(parts, shield.Part{Shield: s})
		}
		s, err := shield.All(parts...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	absent := fixed{err: &shield.Refusal{Code: shield.Absent}}
	foreign := detail(shield.Foreign, "another scheme; or so")
	wrong := detail(shield.BadSignature, "it does not match; it would match with no query")
	for _, test := range []struct {
		name string
		s    shield.Shield
		code shield.Code
		text string
		read string
	}{
		{"one alone says what it says", wrong, shield.BadSignature, "it does not match; it would match with no query", "[]"},
		{"any, nothing there", anyOf(absent, absent), shield.Absent, "1: absent; 2: absent", "[{[0] absent} {[1] absent}]"},
		{"any, nobody's", anyOf(absent, foreign), shield.Foreign, "1: absent; 2: foreign, another scheme, or so", "[{[0] absent} {[1] foreign, another scheme, or so}]"},
		{"any, the second ends it", anyOf(absent, wrong), shield.BadSignature, "2: it does not match; it would match with no query", "[{[1] it does not match; it would match with no query}]"},
		{"all but one", allOf(proves("a"), absent), shield.Absent, "1: proved; 2: absent", "[{[0] proved} {[1] absent}]"},
		{"nested", anyOf(absent, allOf(proves("a"), anyOf(absent, foreign))), shield.Foreign, "1: absent; 2.1: proved; 2.2.1: absent; 2.2.2: foreign, another scheme, or so", ""},
		{"nested, and one ends it", anyOf(absent, allOf(proves("a"), anyOf(absent, wrong))), shield.BadSignature, "2.2.2: it does not match; it would match with no query", "[{[1 1 1] it does not match; it would match with no query}]"},
		{"without a detail", anyOf(absent, fixed{err: &shield.Refusal{Code: shield.InvalidCredential}}), shield.InvalidCredential, "2", "[{[1] }]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, refusal := verify(t, test.s, nil)
			if refusal == nil || refusal.Code != test.code || refusal.Detail != test.text {
				t.Fatalf("%v; want %s: %s", refusal, test.code, test.text)
			}
			if got := fmt.Sprint(shield.Attempts(refusal.Detail)); test.read != "" && got != test.read {
				t.Errorf("read %s, want %s", got, test.read)
			}
		})
	}
}

// What a shared refusal says is its shield's alone.
func TestACombinationChangesNoRefusalOfItsParts(t *testing.T) {
	shared := shield.Refuse(shield.InvalidCredential, "no such key")
	before := *shared
	s, err := shield.Any(fixed{err: &shield.Refusal{Code: shield.Absent}}, fixed{err: shared})
	verify(t, s, err)
	if !reflect.DeepEqual(*shared, before) {
		t.Errorf("%+v, was %+v", *shared, before)
	}
}

func FuzzAttempts(f *testing.F) {
	for _, seed := range []string{"", "1: absent; 2: foreign, x", "2.2.2: no; it would", "the detail of one", "1:", "0: x", "1.0: x", "99999999999: x", "1: a; 2", "١: x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range shield.Attempts(text) {
			if len(a.Way) == 0 || len(a.What) > len(text) {
				t.Errorf("%q: %+v", text, a)
			}
		}
	})
}
