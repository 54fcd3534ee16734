package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/e2e/harness"
	"pavise.dev/pavise/internal/attacktest"
)

// TestSecretsAreComparedInConstantTimeByConstruction holds that the packages which
// compare secrets do so with crypto/subtle or crypto/hmac. Digests of bodies are no
// secrets: only the package that keeps secrets may not use bytes.Equal at all. BenchmarkGuessedKeys has the statistics.
func TestSecretsAreComparedInConstantTimeByConstruction(t *testing.T) {
	attacktest.Rows(t, 18, 100)
	for folder, want := range map[string]string{"../internal/seal": "Equal", "../shield/hmac": "Equal", "../internal/secret": "ConstantTimeCompare"} {
		found := false
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				selector, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				pkg, ok := selector.X.(*ast.Ident)
				if !ok {
					return true
				}
				switch {
				case folder == "../internal/seal" && pkg.Name == "bytes" && (selector.Sel.Name == "Equal" || selector.Sel.Name == "Compare"):
					t.Errorf("%s compares bytes in time that depends on them", name)
				case (pkg.Name == "hmac" || pkg.Name == "mac" || pkg.Name == "subtle") && selector.Sel.Name == want:
					found = true
				}
				return true
			})
		}
		if !found {
			t.Errorf("%s compares nothing in constant time", folder)
		}
	}
}

// BenchmarkGuessedKeys answers keys whose secret is wrong in the first and in the
// last character, and keys whose id is unknown; compare the three.
func BenchmarkGuessedKeys(b *testing.B) {
	g := harness.Start(b, harness.Config{YAML: "limits: {wrong_tries: 100000, address: 100000000/minute}\n" + strings.TrimPrefix(keysYAML, "\n")})
	good := g.Issue("api_key", "shop").Secret
	client := g.Client()
	defer client.CloseIdleConnections()
	for _, attack := range g.Kind("api_key").Attacks {
		if attack.Row != 3 && attack.Row != 5 {
			continue
		}
		b.Run(attack.Name, func(b *testing.B) {
			for b.Loop() {
				r := g.Request("GET", "/v1/orders/7", "")
				r.Header.Set("X-API-Key", good)
				if err := attack.Change(r); err != nil {
					b.Fatal(err)
				}
				response, err := client.Do(r)
				if err != nil || response.StatusCode != 401 {
					b.Fatal(response, err)
				}
				_ = response.Body.Close()
			}
		})
	}
}
