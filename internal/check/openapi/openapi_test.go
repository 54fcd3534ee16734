package openapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/check/openapi"
)

// Documents that nobody here wrote: their owners publish them on npm.
const documents = "../../../schema/testdata/documents/node_modules/"

func published() []string {
	return []string{"@octokit/openapi/generated/api.github.com.json", "@blockfrost/openapi/openapi.yaml", "@directus/specs/dist/openapi.json", "@digdir/dialogporten-schema/swagger.verified.json"}
}

func readDocument(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(documents, filepath.FromSlash(file)))
	if os.IsNotExist(err) {
		t.Fatalf("%v; hint: make test installs what the tests need", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What their owners publish is read in seconds, to its end, and each finding has its place.
func TestDocumentsThatNobodyHereWrote(t *testing.T) {
	for _, file := range published() {
		t.Run(strings.Split(file, "/")[0], func(t *testing.T) {
			text := readDocument(t, file)
			began := time.Now()
			r, err := openapi.Check(file, text, openapi.Options{Now: today()})
			if err != nil {
				t.Fatal(err)
			}
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			rules := map[string]int{}
			for _, f := range r.Findings {
				rules[f.Rule]++
				if f.Line < 1 || f.Column < 1 || f.What == "" || f.Pointer != "" && f.Pointer[0] != '/' {
					t.Errorf("%+v", f)
				}
			}
			t.Logf("%d operations in %v, %d MiB from the system: %d high, %d medium or above, %d in all; %v", r.Operations, time.Since(began).Round(time.Millisecond), memory.Sys>>20, r.At(openapi.High), r.At(openapi.Medium), len(r.Findings), rules)
			if r.Operations == 0 || r.Partial || r.More > 0 || len(rules) < 5 {
				t.Errorf("%d operations, partial %t, %d more, rules %v", r.Operations, r.Partial, r.More, rules)
			}
		})
	}
}

func TestFindingsAreInTheSameOrderEachTime(t *testing.T) {
	text := readDocument(t, published()[2])
	want := fmt.Sprint(check(t, string(text)).Findings)
	for range 3 {
		if got := fmt.Sprint(check(t, string(text)).Findings); got != want {
			t.Fatal("another order")
		}
	}
}

// Documents that are made to keep the check busy, or to fill the memory.
func TestHostileDocumentsAreBounded(t *testing.T) {
	const head = `{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"post": {"requestBody": {"content": {"application/json": {"schema": %s}}}, "responses": {}}}}, "components": {"schemas": {%s}}}`
	ref := func(name any) string { return fmt.Sprintf(`{"$ref": "#/components/schemas/%v"}`, name) }
	var chain, wide, paths strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&chain, `"%d": {"type": "object", "properties": {"a": %s}},`, i, ref(i+1))
		fmt.Fprintf(&wide, `"p%d": {"type": "string"},`, i)
	}
	chain.WriteString(`"2000": {"type": "boolean"}`)
	for i := range 3000 {
		fmt.Fprintf(&paths, `"/p%d": {"$ref": "#/x-item"},`, i)
	}
	parameters := strings.Repeat(`{"name": "a", "in": "query", "schema": {"type": "string"}},`, 5000)
	long := strings.Repeat("n", 20_000)
	deep := strings.Repeat(`{"type": "object", "properties": {"`+long+`": `, 90) + `{"type": "object", "properties": {` + strings.TrimSuffix(wide.String(), ",") + `}}` + strings.Repeat("}}", 90)
	for name, c := range map[string]struct{ text, want, err string }{
		"a chain of references":         {text: fmt.Sprintf(head, ref(0), chain.String()), want: "no-security"},
		"a circle of references":        {text: fmt.Sprintf(head, ref("A"), `"A": `+ref("B")+`, "B": `+ref("A")), want: "no-security"},
		"a schema in itself":            {text: fmt.Sprintf(head, ref("A"), `"A": {"type": "object", "allOf": [`+ref("A")+`], "properties": {"a": `+ref("A")+`}}`), want: "no-security"},
		"allOf that doubles":            {text: fmt.Sprintf(head, ref("A"), `"A": {"allOf": [`+ref("B")+`,`+ref("B")+`]}, "B": {"allOf": [`+ref("A")+`,`+ref("A")+`]}`), want: "no-security"},
		"long names above many values":  {text: fmt.Sprintf(head, deep, ""), want: "string-unbounded"},
		"deep above many values":        {text: fmt.Sprintf(head, strings.ReplaceAll(deep, long, "n"), ""), want: "string-unbounded"},
		"one path item for many paths":  {text: `{"openapi": "3.1.0", "info": {}, "paths": {` + strings.TrimSuffix(paths.String(), ",") + `}, "x-item": {"parameters": [` + strings.TrimSuffix(parameters, ",") + `], "get": {}, "put": {}, "post": {}, "patch": {}}}`, want: "no-security"},
		"nested too deep":               {text: `{"openapi": "3.1.0", "x": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, err: "nested deeper"},
		"entities of YAML":              {text: "openapi: 3.1.0\na: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c]\n", err: "aliases are not accepted"},
		"longer than anybody writes":    {text: `{"openapi": "3.1.0", "x": "` + strings.Repeat("x", 17<<20) + `"}`, err: "at most"},
		"no document":                   {text: "hosts: {}", err: `it is written in OpenAPI ""`},
		"values of all the wrong types": {text: `{"openapi": "3.1.0", "info": [], "servers": {}, "security": [1, {"a": 2}], "paths": {"/a": {"get": {"parameters": [3, {"name": 4, "in": {}, "schema": []}], "requestBody": [], "responses": {"200": 5, "default": {"content": {"a/b": []}}}, "callbacks": {"a": 1}, "tags": 7, "x-pavise-waive": [8, {"rule": 9}]}}}, "components": {"schemas": [], "securitySchemes": {"a": {"type": 1, "flows": [2]}}}}`, want: "waiver-invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			r, err := openapi.Check("a", []byte(c.text), openapi.Options{Now: today()})
			runtime.ReadMemStats(&after)
			t.Logf(name+": %d bytes in %v, %d MiB allocated", len(c.text), time.Since(began).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				if f.Rule == c.want {
					return
				}
			}
			t.Errorf("%d findings without %s", len(r.Findings), c.want)
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(clean(f))
	for _, fault := range faults() {
		f.Add(strings.Replace(clean(f), fault.old, fault.new, 1))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := openapi.Check("a", []byte(text), openapi.Options{Now: today()})
		if err != nil {
			return
		}
		for _, finding := range r.Findings {
			if finding.Line < 1 || finding.Column < 1 {
				t.Errorf("%+v", finding)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := readDocument(b, published()[3])
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openapi.Check("a", text, openapi.Options{Now: today()}); err != nil {
			b.Fatal(err)
		}
	}
}
