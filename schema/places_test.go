package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pavise.dev/pavise/schema"
)

// A document in JSON is looked through by a reader of our own: it has to find what YAML's
// reader finds, which reads JSON too.
func TestPositionsInJSONAreThoseOfYAML(t *testing.T) {
	const text = "{\"openapi\": \"3.1.0\",\n\t\"info\" : {\"title\":\"ä \\\" }\", \"version\":\"1\"}, \"paths\": {\n  \"/ä/{id}\": {\"get\": {\"tags\": [ \"a\",\n \"b\" , {}, [1, -2e3]], \"x\\u0041\": null, \"responses\": {}}}},\n\"x-a/b~c\":{\"d\":[[],{\"e\":true}]}}"
	asJSON, err := schema.Open("a.json", []byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := schema.Open("a.yaml", []byte(text+" # which no JSON ends with"), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var pointers []string
	every("", asJSON.Root(), func(pointer string) { pointers = append(pointers, pointer, pointer+"/nothing") })
	want := asYAML.Positions(pointers)
	for i, got := range asJSON.Positions(pointers) {
		if got != want[i] || got.Line == 0 {
			t.Errorf("%s: %v, YAML says %v", pointers[i], got, want[i])
		}
	}
	if at := asJSON.Positions([]string{"/paths/~1ä~1{id}/get/tags/1"})[0]; at != (schema.Position{Line: 4, Column: 2}) {
		t.Errorf("the second tag is at %v", at)
	}
}

func every(pointer string, v any, each func(string)) {
	each(pointer)
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			every(schema.JoinPointer(pointer, name), below, each)
		}
	case []any:
		for i, below := range v {
			every(fmt.Sprint(pointer, "/", i), below, each)
		}
	}
}

// Two operations that no request tells apart are both unusable, however many there are beside.
func TestTrySaysWhatOperationSays(t *testing.T) {
	text := `{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/a/{x}": {"get": {}}, "/a/{y}": {"get": {}}, "/b": {"get": {}}, "/c/{z}.txt": {"get": {}}}}`
	d, err := schema.Open("a.json", []byte(text), schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	d.Try(100, func(pattern string, err error) {
		tried++
		_, want := d.Operation(pattern)
		if (err == nil) != (want == nil) || (err == nil) != (pattern == "GET /b") {
			t.Errorf("%s: %v, want %v", pattern, err, want)
		}
	})
	if d.Try(1, func(string, error) { tried += 10 }); tried != 14 || len(d.Unusable()) != 3 {
		t.Errorf("tried %d, unusable %v", tried, d.Unusable())
	}
}

func BenchmarkPositions(b *testing.B) {
	d, err := schema.Open("a.json", readDocument(b, published[0].file), schema.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.Positions([]string{"/info", "/paths", "/components/schemas"})
	}
}

func FuzzPositions(f *testing.F) {
	for _, seed := range []string{`{}`, `{"openapi":"3.1.0","a":[1,{"b":"\\\""}]}`, "{\"openapi\":\"3.0.1\"\r\n,\"\\u0000\":\t-0.1e5}", "openapi: 3.1.0\na: [1, {b: c}]\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := schema.Open("a", []byte(text), schema.Options{})
		if err != nil {
			return
		}
		var pointers []string
		every("", d.Root(), func(pointer string) { pointers = append(pointers, pointer) })
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for i, at := range d.Positions(pointers) {
			if at.Line < 1 || at.Column < 1 || json.Valid([]byte(text)) && at.Line > lines {
				t.Errorf("%q is at %v of %d lines", pointers[i], at, lines)
			}
		}
	})
}
