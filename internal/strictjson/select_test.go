package strictjson_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/strictjson"
)

func wanted() *strictjson.Want {
	return &strictjson.Want{Members: map[string]*strictjson.Want{
		"a": {Members: map[string]*strictjson.Want{"b": {All: true}}},
		"c": {},
	}}
}

func TestSelectBuildsOnlyWhatIsWanted(t *testing.T) {
	for text, want := range map[string]any{
		`{"a":{"b":[1,{"x":null}],"z":[[{}]]},"y":{"a":1},"c":"text"}`: map[string]any{
			"a": map[string]any{"b": []any{strictjson.Number("1"), map[string]any{"x": nil}}}, "c": "text",
		},
		`{"c":{"x":{"y":1}}}`:        map[string]any{"c": map[string]any{}},
		`{"c":[1,2]}`:                map[string]any{"c": []any{}},
		`{"a":7}`:                    map[string]any{"a": strictjson.Number("7")},
		`{"a":null,"c":null}`:        map[string]any{"a": nil, "c": nil},
		`{"a":[{"b":1}]}`:            map[string]any{"a": []any{}},
		` [ { "a" : 1 } , [ ] ] `:    []any{},
		`{}`:                         map[string]any{},
		`"a"`:                        "a",
		`{"\u0061":{"\u0062":true}}`: map[string]any{"a": map[string]any{"b": true}},
	} {
		got, err := strictjson.Select([]byte(text), wanted())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v, %v, want %#v", text, got, err, want)
		}
	}
}

func TestSelectRefusesNamesThatOthersTakeForWantedOnes(t *testing.T) {
	for _, text := range []string{`{"A":{}}`, `{"a":{},"A":{}}`, `{"A":1,"a":1}`, `{"a":{"B":1}}`, `{"\u0043":1}`} {
		if v, err := strictjson.Select([]byte(text), wanted()); err == nil {
			t.Errorf("%s is read as %v", text, v)
		}
	}
	if _, err := strictjson.Select([]byte(`{"x":{"A":1,"a":2},"c":{"A":1},"a":{"b":{"B":1,"b":2}}}`), wanted()); err != nil {
		t.Errorf("where no name is wanted: %v", err)
	}
}

// What Parse refuses, Select refuses, also where nobody looks.
func FuzzSelectIsAsStrictAsParse(f *testing.F) {
	for _, seed := range []string{
		`{"x":{"y":1,"y":1}}`, `{"x":1,"\u0078":2}`, `[{"a":1,"a":2}]`, `{"x":[1,]}`, `{"x":01}`, `{"x":"\ud800"}`, "{\"x\":\"\xff\"}",
		`{"x":tru}`, `{"x":1}{`, `{"a":{"b":1.5e400}}`, `{"a":{"b":{"q":1,"q":1}}}`, strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40),
		`{"x":` + strings.Repeat(`{"x":`, 40) + `1` + strings.Repeat(`}`, 41), ``, `{`, `[`, `{"x"`, `{"x":`, `{"x":1,`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, parseErr := strictjson.Parse(data)
		selected, err := strictjson.Select(data, wanted())
		if err != nil && strings.Contains(err.Error(), "only in case") {
			return
		}
		if (err == nil) != (parseErr == nil) {
			t.Fatalf("%q: Select says %v, Parse says %v", data, err, parseErr)
		}
		if err != nil && err.Error() != parseErr.Error() {
			t.Fatalf("%q: Select says %v, Parse says %v", data, err, parseErr)
		}
		if err == nil && !reflect.DeepEqual(selected, pick(parsed, wanted())) {
			t.Fatalf("%q: %#v, want of %#v", data, selected, parsed)
		}
	})
}

// pick is Select after the fact.
func pick(v any, want *strictjson.Want) any {
	if want.All {
		return v
	}
	switch v := v.(type) {
	case []any:
		return []any{}
	case map[string]any:
		out := map[string]any{}
		for name, below := range want.Members {
			if item, ok := v[name]; ok {
				out[name] = pick(item, below)
			}
		}
		return out
	}
	return v
}

func BenchmarkSelect(b *testing.B) {
	var text strings.Builder
	text.WriteString(`{"a":{"b":"x"},"list":[`)
	for i := range 1000 {
		fmt.Fprintf(&text, `{"id":%d,"name":"article","tags":[[],{}]},`, i)
	}
	text.WriteString(`{}]}`)
	data := []byte(text.String())
	for name, read := range map[string]func() (any, error){
		"select": func() (any, error) { return strictjson.Select(data, wanted()) },
		"parse":  func() (any, error) { return strictjson.Parse(data) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
