package strictjson_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/strictjson"
)

func bounds() strictjson.Bounds {
	return strictjson.Bounds{Depth: 20, Entries: 200, LargeIntegers: true}
}

func TestAnIndexSaysWhereValuesStand(t *testing.T) {
	text := []byte(` {"a" : "x\n", "b\u0020": [1, {"c":null}], "d":{}} `)
	spans, err := strictjson.Index(text, bounds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, s := range spans {
		name := "-"
		if s.HasName() {
			name = strictjson.Unquote(text[s.Name:s.Stop])
		}
		said = append(said, fmt.Sprintf("%s=%s>%d", name, text[s.Start:s.End], s.Next))
	}
	want := []string{
		`-={"a" : "x\n", "b\u0020": [1, {"c":null}], "d":{}}>7`, `a="x\n">2`, `b =[1, {"c":null}]>6`, `-=1>4`, `-={"c":null}>6`, `c=null>6`, `d={}>7`,
	}
	if got := strings.Join(said, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if !spans[2].NameIs(text, "b ") || spans[2].NameIs(text, "b") || !spans[6].NameIs(text, "d") {
		t.Error("a name is not what it is")
	}
	if !spans[1].IsText(text) || !spans[0].IsObject(text) || !spans[2].IsArray(text) {
		t.Error("a kind is not what it is")
	}
}

func TestAnIndexFindsNamesThatStandTwice(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"n%d":%d`, i, i))
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"few":                       {`{"a":1,"b":{"a":1}}`, true},
		"few, twice":                {`{"a":1,"b":2,"a":3}`, false},
		"twice, escaped":            {`{"a":1,"\u0061":2}`, false},
		"twice, escaped both":       {`{"\u0061":1,"\u0061":2}`, false},
		"many":                      {"{" + strings.Join(many, ",") + "}", true},
		"many, the first twice":     {"{" + strings.Join(many, ",") + `,"n0":1}`, false},
		"many, the last twice":      {"{" + strings.Join(many, ",") + `,"n3\u0039":1}`, false},
		"many, the 17th twice":      {"{" + strings.Join(many[:16], ",") + `,"n15":1}`, false},
		"within what stands within": {`{"a":[{"b":1,"b":1}]}`, false},
	} {
		if _, err := strictjson.Index([]byte(c.text), bounds(), nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What one accepts, the other accepts, and both read alike.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5,-1e3,"x\ud83d\ude00",null,true,false]}`, `[]`, `"\ud800"`, `{"a":1,"\u0061":2}`, "\"\xff\"", `[1,]`, `{"a"}`, `01`, `-`, `1e`, ` "x" y`, `tru`, strings.Repeat("[", 30),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		spans, err := strictjson.Index(text, bounds(), nil)
		v, other := strictjson.Document(text, bounds())
		if other == nil && err != nil {
			t.Fatalf("%q: %v, which a document is", text, err)
		}
		if err != nil {
			return
		}
		if other != nil && !strings.Contains(other.Error(), "number") {
			t.Fatalf("%q: no document: %v", text, other)
		}
		for _, s := range spans {
			if !json.Valid(text[s.Start:s.End]) {
				t.Fatalf("%q: %q is no value", text, text[s.Start:s.End])
			}
		}
		if want, ok := v.(string); ok && strictjson.Unquote(text[spans[0].Start:spans[0].End]) != want {
			t.Fatalf("%q is read in two ways", text)
		}
	})
}

func BenchmarkIndex(b *testing.B) {
	text := []byte(`{"id":7,"customer":{"name":"Ada Lovelace","mail":"ada@example.com"},"items":[{"sku":"A-100","count":2,"price":12.5},{"sku":"B-7","count":1,"price":3}],"note":"leave it at the door, please","paid":false}`)
	var spans []strictjson.Span
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var err error
		if spans, err = strictjson.Index(text, strictjson.Bounds{Depth: 64, Entries: 10_000}, spans); err != nil {
			b.Fatal(err)
		}
	}
}
