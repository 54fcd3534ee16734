package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
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

func TestAMissingCredentialIsMendedByTheKindsOfTheEndpoint(t *testing.T) {
	for kind, want := range map[string]string{"api_key": "pavise key create", "jwt": "pavise token get", "introspect": "pavise token get", "mtls": "pavise cert issue", "hmac": "--kind hmac"} {
		got := missing([]string{kind})
		if !strings.Contains(got, want) || !strings.Contains(got, "pavise help shield "+kind+"`") || strings.Count(got, "`pavise") != 2 {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := Remedy(shield.MissingCredential); !strings.Contains(got, "key create") || !strings.Contains(got, "token get") {
		t.Errorf("of an endpoint that is not known: %s", got)
	}
}
