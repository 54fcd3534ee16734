package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"pavise.dev/pavise/shield"
)

// codes returns every code that shield/code.go declares.
func codes(t *testing.T) []shield.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../shield/code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []shield.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Code" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, shield.Code(text))
		}
		return true
	})
	return found
}

func TestEveryCodeHasARemedy(t *testing.T) {
	known := codes(t)
	if len(known) < 40 {
		t.Fatalf("only %d codes were found in shield/code.go", len(known))
	}
	for _, code := range known {
		if remedies()[code] == "" {
			t.Errorf("code %s has no remedy", code)
		}
	}
	for code := range remedies() {
		var found bool
		for _, k := range known {
			found = found || k == code
		}
		if !found {
			t.Errorf("remedy for %s, which is no code", code)
		}
	}
}
