package jsonedit_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/jsonedit"
)

func TestWhatIsNotTouchedKeepsEveryByte(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		gone [][]string
		want string
	}{
		"the first":         {`{ "b" : 1.50 , "a":[ 1e2 ] }`, [][]string{{"b"}}, `{ "a":[ 1e2 ] }`},
		"the last":          {`{ "b" : 1.50 , "a":[ 1e2 ] }`, [][]string{{"a"}}, `{ "b" : 1.50 }`},
		"in the middle":     {`{"a":1, "b":2, "c":3}`, [][]string{{"b"}}, `{"a":1, "c":3}`},
		"first and last":    {`{"a":1, "b":2, "c":3}`, [][]string{{"a"}, {"c"}}, `{"b":2}`},
		"the first two":     {`{"a":1, "b":2, "c":3}`, [][]string{{"a"}, {"b"}}, `{"c":3}`},
		"the last two":      {`{"a":1, "b":2, "c":3}`, [][]string{{"b"}, {"c"}}, `{"a":1}`},
		"all":               {`{"a":1, "b":2}`, [][]string{{"a"}, {"b"}}, `{}`},
		"one within a gone": {`{"a":{"x":1}, "b":2}`, [][]string{{"a"}, {"a", "x"}}, `{"b":2}`},
		"of a list":         {`[ 1, 2 ,3 ]`, [][]string{{"1"}}, `[ 1 ,3 ]`},
		"deep":              {`{"a":[{"b":{"c":1,"d":"\u002f"}}]}`, [][]string{{"a", "0", "b", "c"}}, `{"a":[{"b":{"d":"\u002f"}}]}`},
		"an escaped name":   {`{"\u0061":1,"b":"\/"}`, [][]string{{"a"}}, `{"b":"\/"}`},
		"the whole":         {` {"a":1} `, [][]string{{}}, ` null `},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := jsonedit.Parse([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var nodes []int
			for _, path := range c.gone {
				nodes = append(nodes, tree.Find(path))
			}
			var e jsonedit.Edits
			tree.Remove(&e, nodes...)
			if got := string(e.Apply(tree.Text)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestPointersLeadToWhatTheyName(t *testing.T) {
	tree, err := jsonedit.Parse([]byte(`{"a/b":[0,{"~":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	i := tree.Find([]string{"a/b", "1", "~"})
	if got := tree.Pointer(i, nil); got != "/a~1b/1/~0" {
		t.Error(got)
	}
	if got := tree.Pointer(i, func(string) string { return "*" }); got != "/*/1/*" {
		t.Error(got)
	}
	if tree.Find([]string{"a/b", "2"}) >= 0 || tree.Find([]string{"b"}) >= 0 {
		t.Error("found what is not there")
	}
}

// What is read is what encoding/json takes for valid.
func FuzzReadsWhatIsJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-0.5e+3,"x\n\u00e9",null,true,false,{}]}`, ` [ ] `, `"\ud83d\ude00"`, `{"a":1,}`, `[1 2]`, `01`, `-`, `1.`, `1e`, `"\x"`, `"`, `{"a"}`, `{"a":}`, `tru`, "\"\x01\"", `1 2`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := jsonedit.Parse(text)
		if valid := json.Valid(text); (err == nil) != valid && !bytes.Contains(text, bytes.Repeat([]byte("["), 100)) && !strings.Contains(string(text), strings.Repeat(`{`, 100)) {
			if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < jsonedit.MaxDepth {
				t.Fatalf("%q: %v, valid %v", text, err, valid)
			}
		}
		if err != nil {
			return
		}
		for i, n := range tree.Nodes {
			if n.Kind == '"' {
				var want string
				if err := json.Unmarshal(text[n.From:n.To], &want); err != nil {
					t.Fatal(err)
				}
				raw := text[n.From+1 : n.To-1]
				got, at := jsonedit.Unquote(nil, raw), jsonedit.Written(raw)
				if strings.ToValidUTF8(string(got), "\ufffd") != strings.ToValidUTF8(want, "\ufffd") && !strings.Contains(want, "\ufffd") || len(at) != len(got)+1 {
					t.Fatalf("%q is read as %q", text[n.From:n.To], got)
				}
			}
			if n.Next <= i {
				t.Fatalf("node %d goes on at %d", i, n.Next)
			}
		}
	})
}

// Removing in place is what parsing, deleting and writing again would be.
func FuzzRemoves(f *testing.F) {
	f.Add([]byte(`{"a":1, "b":[1,2,{"c":3}], "d":null}`), uint(0b1010))
	f.Add([]byte(`{"a":1 , "b":2}`), uint(3))
	f.Fuzz(func(t *testing.T, text []byte, which uint) {
		tree, err := jsonedit.Parse(text)
		var before map[string]any
		if err != nil || json.Unmarshal(text, &before) != nil || before == nil {
			return
		}
		seen, nodes, i := map[string]bool{}, []int{}, 0
		for c := range tree.Children(0) {
			name := tree.Name(c)
			if seen[name] || strings.Contains(name, "\ufffd") || strings.ToValidUTF8(name, "") != name {
				return // readers differ
			}
			seen[name] = true
			if which>>(i%32)&1 == 1 {
				nodes = append(nodes, c)
				delete(before, name)
			}
			i++
		}
		var e jsonedit.Edits
		tree.Remove(&e, nodes...)
		var after map[string]any
		if err := json.Unmarshal(e.Apply(text), &after); err != nil {
			t.Fatalf("%s: %v", e.Apply(text), err)
		}
		if !maps.EqualFunc(before, after, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("%q without %b is %q", text, which, e.Apply(text))
		}
	})
}

func TestManyPathsAreFoundAtOnce(t *testing.T) {
	tree, err := jsonedit.Parse([]byte(`{"a":[{"x":1},{"y":2,"x":3}],"b":{"a":null},"a/b":"c","twice":1,"twice":2}`))
	if err != nil {
		t.Fatal(err)
	}
	paths := [][]string{{}, {"a", "1", "x"}, {"a", "1"}, {"a", "2"}, {"b", "a"}, {"b", "a", "c"}, {"a/b"}, {"a", "x"}, {"a", "1", "x"}, {"twice"}}
	want := []string{"", "3", `{"y":2,"x":3}`, "-", "null", "-", `"c"`, "-", "3", "1"}
	for i, node := range tree.FindAll(paths) {
		got := "-"
		if node >= 0 {
			got = string(tree.Text[tree.Nodes[node].From:tree.Nodes[node].To])
		}
		if i > 0 && got != want[i] || i == 0 && node != 0 {
			t.Errorf("%v: %s, want %s", paths[i], got, want[i])
		}
		if one := tree.Find(paths[i]); one != node {
			t.Errorf("%v: alone %d, among others %d", paths[i], one, node)
		}
	}
}
