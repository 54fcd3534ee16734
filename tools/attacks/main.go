// Command attacks lists the rows of docs/attacks.md that no test carries. A test
// carries a row by calling attacktest.Rows with its number as a literal. Rows
// that wait for a later layer are listed apart, with what they wait for.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// notDue says which rows wait for which later part.
var notDue = []struct {
	from, to int
	why      string
}{
	{91, 92, "RFC 9421 signatures"},
	{94, 95, "RFC 9421 signatures"},
	{99, 99, "SigV4 signatures"},
	{135, 137, "administrators' roles"},
	{141, 141, "administrators' roles"},
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(root); err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	rows, err := catalogue(filepath.Join(root, "docs", "attacks.md"))
	if err != nil {
		return err
	}
	carried, err := tests(root)
	if err != nil {
		return err
	}
	return report(rows, carried)
}

func report(rows map[int]string, carried map[int][]string) error {
	var missing, later []string
	tested := 0
	for _, n := range slices.Sorted(mapsKeys(rows)) {
		line := fmt.Sprintf("%4d  %s", n, rows[n])
		switch why := waitsFor(n); {
		case len(carried[n]) > 0:
			tested++
		case why != "":
			later = append(later, line+"\n      waits for "+why)
		default:
			missing = append(missing, line)
		}
	}
	fmt.Printf("%d rows, %d carried by tests\n", len(rows), tested)
	if len(later) > 0 {
		fmt.Printf("\nnot yet due (%d):\n%s\n", len(later), strings.Join(later, "\n"))
	}
	if len(missing) > 0 {
		fmt.Printf("\nwithout a test (%d):\n%s\n", len(missing), strings.Join(missing, "\n"))
		return fmt.Errorf("%d rows that are due have no test", len(missing))
	}
	return nil
}

func mapsKeys(m map[int]string) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func waitsFor(row int) string {
	for _, span := range notDue {
		if row >= span.from && row <= span.to {
			return span.why
		}
	}
	return ""
}

func catalogue(path string) (map[int]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	rows := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\d+)\. (.*)$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("row %q: %w", m[1], err)
		}
		rows[n] = m[2]
	}
	return rows, nil
}

// tests returns the places that carry each row.
func tests(root string) (map[int][]string, error) {
	carried := map[int][]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		return collect(path, carried)
	})
	return carried, err
}

func collect(path string, carried map[int][]string) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || !isRows(call.Fun) {
			return true
		}
		for _, arg := range call.Args[1:] {
			if lit, ok := arg.(*ast.BasicLit); ok {
				if n, err := strconv.Atoi(lit.Value); err == nil {
					carried[n] = append(carried[n], set.Position(call.Pos()).String())
				}
			}
		}
		return true
	})
	return nil
}

func isRows(fun ast.Expr) bool {
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Rows" {
		return false
	}
	pkg, ok := selector.X.(*ast.Ident)
	return ok && pkg.Name == "attacktest"
}
