package graphql

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
)

// What we judge is what a server reads: graphql-js, which most servers stand on, takes the same
// documents for documents, and reads them alike.
func TestDocumentsAreReadAsGraphQLJSReadsThem(t *testing.T) {
	peer := startPeer(t)
	documents := corpus()
	random := rand.New(rand.NewPCG(1, 2))
	for range 6000 {
		documents = append(documents, shuffled(random), mutated(random, documents[random.IntN(len(corpus()))]))
	}
	read, refused := 0, 0
	for _, text := range documents {
		theirs := peer.read(t, text)
		parsed, f := grammar(text, 1<<20)
		switch {
		case f != nil && theirs != nil && !isStricter(text):
			t.Errorf("%q: refused (%s), and graphql-js reads it", text, f.detail)
		case f == nil && theirs == nil:
			t.Errorf("%q: read, and graphql-js refuses it", text)
		case f == nil && theirs != nil:
			read++
			if ours := tree(t, parsed); !reflect.DeepEqual(ours, theirs) {
				t.Errorf("%q is read in two ways:\n%v\n%v", text, ours, theirs)
			}
		default:
			refused++
		}
	}
	t.Logf("%d documents read alike, %d refused alike", read, refused)
	if read < 2000 || refused < 2000 {
		t.Error("the corpus shows too little of one kind")
	}
}

// isStricter is for what we refuse and graphql-js does not: control characters in strings and
// comments, and strings behind whose end a further quote stands, which the parser that we use
// takes for longer than graphql-js does.
func isStricter(text string) bool {
	return strings.Contains(text, `""""`) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) })
}

// peer is a running graphql-js.
type peer struct {
	in  *bufio.Writer
	out *bufio.Scanner
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	folder := filepath.Join("testdata", "peer")
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Fatalf("%v; hint: make test installs what the tests need", err)
	}
	command := exec.CommandContext(t.Context(), "node", "tree.mjs")
	command.Dir, command.Stderr = folder, os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = command.Wait() // it was told to end
	})
	p := &peer{bufio.NewWriter(in), bufio.NewScanner(out)}
	p.out.Buffer(nil, 1<<20)
	return p
}

func (p *peer) read(t *testing.T, text string) (v any) {
	t.Helper()
	line, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := p.in.Flush(); err != nil {
		t.Fatal(err)
	}
	if !p.out.Scan() {
		t.Fatalf("graphql-js ended: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// corpus are documents, and what is nearly one.
func corpus() []string {
	return []string{
		"{a}", "query{a}", "query Q{a b:c}", "mutation M @x{a}", "subscription{a}", "{a{b{c}}}", "{a,b,,c}", "\ufeff{a}", "{a}\ufeff", "{#x\na}", "{a #\r\n b}",
		`query Q($a:Int=1 $b:[String!]!={x:1} @d $c:T=[1 2]){a(x:$a,y:{z:$b},w:[$c])}`, `{a(s:"\u00e9\n\"" b:"""x
		   y
		     z""" c:"" d:"""""" e:"\u{1F600}")}`, `{a(i:-0 j:1.5e-3 k:0 l:-1E+2 m:true n:null o:ENUM)}`,
		"{...f ...on T{a} ...@include(if:true){b} ...{c}} fragment f on T@x{d}", "fragment on on T{a}", "{...on}", "fragment f($a:Int) on T{a}", "fragment f{a}", "query query{query}", "{on fragment:mutation}", "query on{a}",
		"{}", "", "{", "}", "{a", "{a}}", "{a(}", "{a()}", "{a(b:)}", "{a:}", "{a{}}", "{...}", "{a(b:01)}", "{a(b:1.)}", "{a(b:1a)}", "{a(b:1.5.6)}", "{a(b:.5)}", "{a(b:$)}", "query($a){a}", "query(){a}", "query($a:Int=$b){a}", "query($a:Int!!){a}", "query($a:[Int){a}",
		"type T{a:Int}", "{a} type T{a:Int}", "extend type T{a:Int}", "schema{query:Q}", `"d" query{a}`, `"d" {a}`, `"d" fragment f on T{a}`, `query("d" $a:Int){a}`, `{a(b:"\x")}`, `{a(b:"\ud800")}`, `{a(b:"\ud83d\ude00")}`, "{a(b:\"\n\")}", `{a(b:"""\""" """)}`, "{a?}", "{a;b}", "{a\u00a0b}", "{é}", "{a(b:'x')}", "{a!}", "{$a}", "{a|b}", "{a&b}", "query Q R{a}", "{a @}", "{a @b(c:1) @d}", "{a\x00}", "{a\x07}", "..", "{..a}", "....f", "{...f...g}", "{a(b:1,b:2)}", "{a(b:{c:1 c:2})}", "query @x($a:Int){a}", "{a@b{c}}", "subscription S($a:Int){a(b:$a)}",
		"{a(b:\"\ud7ff\")}", `{a(b:["""x""" ""])}`, `{a(b:["""x"""""])}`, `{a(b:[""" """""" ]) b(c:["""])}`, `{a(b:""""x""")}`, `{a(b:"""""x""")}`, `{a(b:"""\\"""x""")}`, `{a(b:"""\""""""")}`, `{a(b:"""\"""""")}`, "{a(b:\"\x7f\")}", "{a(b:\"\t\")}", "{a(b:\"\"\"\t\x7f\"\"\")}", "{a #\x01\n}", "{a(b:0x1)}", "{a(b:0_)}", "{a(b:1_a)}", "{a(b:-)}", "{a(b:+1)}", "{a(b:1e)}", "{a(b:1e+)}", "{a(b:00)}", "{a(b:-01)}", `{a(b:"\u{110000}")}`, `{a(b:"\u{D800}")}`, `{a(b:"\u{}")}`, `{a(b:"\u12")}`,
	}
}

// shuffled is a sequence of tokens, most of them where they belong.
func shuffled(random *rand.Rand) string {
	var b strings.Builder
	kinds := []string{"query", "mutation", "{", "query Q", "query($a:Int)", "fragment f on T", "fragment on on T", "subscription"}
	for range 1 + random.IntN(2) {
		head := kinds[random.IntN(len(kinds))]
		if head != "{" {
			b.WriteString(head)
		}
		set(&b, random, 0)
	}
	return b.String()
}

func set(b *strings.Builder, random *rand.Rand, depth int) {
	b.WriteString("{")
	for range 1 + random.IntN(3) {
		switch n := random.IntN(12); {
		case n == 0:
			b.WriteString("...f")
		case n == 1 && depth < 4:
			b.WriteString("...on T")
			set(b, random, depth+1)
		case n == 2:
			b.WriteString([]string{"on", "query", "fragment", "true", "null", "__typename", "_", "a1"}[random.IntN(8)])
		case n == 3:
			b.WriteString("a:b")
		default:
			b.WriteString("x")
		}
		if random.IntN(4) == 0 {
			fmt.Fprintf(b, "(v:%s)", literal(random, 0))
		}
		if random.IntN(6) == 0 {
			b.WriteString("@d")
		}
		if random.IntN(4) == 0 && depth < 4 {
			set(b, random, depth+1)
		}
		b.WriteString([]string{" ", ",", "\n", " #c\n", "\r\n", "\ufeff"}[random.IntN(6)])
	}
	b.WriteString("}")
}

func literal(random *rand.Rand, depth int) string {
	simple := []string{"1", "-0", "1.5", "1e5", "-1.5E-3", `"x"`, `""`, `"\u0041\n"`, `"""x"""`, "\"\"\"\n  x\n   y\n\"\"\"", "true", "null", "E", "$a", "0", `"\\"`, "[]", "{}"}
	switch n := random.IntN(8); {
	case n == 0 && depth < 3:
		return "[" + literal(random, depth+1) + " " + literal(random, depth+1) + "]"
	case n == 1 && depth < 3:
		return "{k:" + literal(random, depth+1) + "}"
	}
	return simple[random.IntN(len(simple))]
}

// mutated is a document in which something was changed.
func mutated(random *rand.Rand, text string) string {
	pieces := []string{"{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "\"", "\"\"\"", "\\", "#", "\n", " ", ",", "a", "1", "-", ".", "e", "on", "query", "fragment", "\ufeff", "\x00", "é", "&", "|", "=", "_"}
	for range 1 + random.IntN(2) {
		at := random.IntN(len(text) + 1)
		switch random.IntN(3) {
		case 0:
			text = text[:at] + pieces[random.IntN(len(pieces))] + text[at:]
		case 1:
			text = text[:at] + text[min(len(text), at+1):]
		default:
			end := min(len(text), at+random.IntN(6))
			text = text[:end] + text[at:]
		}
	}
	return strings.ToValidUTF8(text, "")
}

// tree writes a document as tree.mjs does.
func tree(t *testing.T, d *ast.QueryDocument) (v any) {
	t.Helper()
	operations, fragments := []any{}, []any{}
	for _, o := range d.Operations {
		variables := []any{}
		for _, one := range o.VariableDefinitions {
			preset := []any{"-"}
			if one.DefaultValue != nil {
				preset = valueTree(one.DefaultValue)
			}
			variables = append(variables, []any{one.Variable, one.Type.String(), preset, directiveTree(one.Directives)})
		}
		operations = append(operations, []any{string(o.Operation), o.Name, variables, directiveTree(o.Directives), setTree(o.SelectionSet)})
	}
	for _, f := range d.Fragments {
		fragments = append(fragments, []any{"fragment", f.Name, f.TypeCondition, directiveTree(f.Directives), setTree(f.SelectionSet)})
	}
	text, err := json.Marshal([]any{operations, fragments})
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func setTree(set ast.SelectionSet) []any {
	all := []any{}
	for _, one := range set {
		switch one := one.(type) {
		case *ast.Field:
			all = append(all, []any{"f", one.Alias, one.Name, argumentTree(one.Arguments), directiveTree(one.Directives), setTree(one.SelectionSet)})
		case *ast.FragmentSpread:
			all = append(all, []any{"...", one.Name, directiveTree(one.Directives)})
		case *ast.InlineFragment:
			all = append(all, []any{"on", one.TypeCondition, directiveTree(one.Directives), setTree(one.SelectionSet)})
		}
	}
	return all
}

func directiveTree(list ast.DirectiveList) []any {
	all := []any{}
	for _, d := range list {
		all = append(all, []any{d.Name, argumentTree(d.Arguments)})
	}
	return all
}

func argumentTree(list ast.ArgumentList) []any {
	all := []any{}
	for _, a := range list {
		all = append(all, []any{a.Name, valueTree(a.Value)})
	}
	return all
}

func valueTree(v *ast.Value) []any {
	switch v.Kind {
	case ast.Variable:
		return []any{"$", v.Raw}
	case ast.IntValue, ast.FloatValue:
		return []any{"n", v.Raw}
	case ast.StringValue:
		return []any{"s", v.Raw}
	case ast.BlockValue: // how it is indented, which the parsers differ about, is nobody's affair here
		return []any{"s", strings.Join(strings.Fields(v.Raw), "")}
	case ast.BooleanValue:
		return []any{"b", v.Raw}
	case ast.NullValue:
		return []any{"0"}
	case ast.EnumValue:
		return []any{"e", v.Raw}
	}
	name := "l"
	if v.Kind == ast.ObjectValue {
		name = "o"
	}
	all := []any{name}
	for _, child := range v.Children {
		if v.Kind == ast.ObjectValue {
			all = append(all, []any{child.Name, valueTree(child.Value)})
		} else {
			all = append(all, valueTree(child.Value))
		}
	}
	return all
}
