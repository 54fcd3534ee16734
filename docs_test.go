package pavise_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/problem"
	"pavise.dev/pavise/shield"
)

var update = flag.Bool("update", false, "write what docs/guide holds of the program anew")

// TestCodesPageTellsOfEveryCode holds docs/guide/codes.md to the constants of
// shield/code.go, their titles, and what mends them.
func TestCodesPageTellsOfEveryCode(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Codes of refusals\n\nEvery refusal of an endpoint carries one of these in its problem document (RFC 9457), in its event, and nowhere else a\nreason. The authorization server answers clients with [the codes of OAuth](oauth.md#refusals). Written from the program by `go test -run TestCodesPage -update .`\n\n| code | status | says | what mends it |\n|---|---|---|---|\n")
	for _, code := range codes(t) {
		if code == shield.Absent || code == shield.Foreign || code == shield.Honeypot {
			continue // never shown
		}
		_, _ = fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", code, code.Status(), problem.Title(code), strings.ReplaceAll(admin.Remedy(code), "|", `\|`))
	}
	const page = "docs/guide/codes.md"
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil || string(text) != b.String() {
		t.Errorf("%s is not what the program says (%v); run go test -run TestCodesPage -update .", page, err)
	}
}

// codes reads the constants, so that none can be forgotten.
func codes(t *testing.T) []shield.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "shield/code.go", nil, 0)
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
			for _, value := range spec.Values {
				if lit, ok := value.(*ast.BasicLit); ok {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						found = append(found, shield.Code(text))
					}
				}
			}
		}
		return true
	})
	return found
}

// TestTroubleshootingQuotesTheProgram looks for the texts of the page's tables in
// the sources, so that who searches for an error finds it.
func TestTroubleshootingQuotesTheProgram(t *testing.T) {
	page, err := os.ReadFile("docs/guide/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "## At the start")
	tables, _, _ := strings.Cut(rest, "## Callers")
	source := sources(t)
	quoted := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(tables, -1) {
		quoted++
		for part := range strings.SplitSeq(row[1], "…") {
			if part = strings.TrimSpace(part); !strings.Contains(source, part) {
				t.Errorf("the program says nowhere %q", part)
			}
		}
	}
	if quoted < 25 {
		t.Errorf("only %d texts were found on the page", quoted)
	}
}

// sources are all of the program, without its tests.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		_, _ = all.Write(text) // it never fails
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestLogsPageTellsOfEveryCode holds the tables of docs/guide/logs.md to the codes of
// connection faults, and to those of the system's own events.
func TestLogsPageTellsOfEveryCode(t *testing.T) {
	page, err := os.ReadFile("docs/guide/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	fault, err := os.ReadFile("internal/edge/fault.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bCode += "([a-z0-9_]+)"`).FindAllStringSubmatch(string(fault), -1) {
		known[m[1]] = true
	}
	source := sources(t)
	for _, form := range []string{`\.note\("([a-z_]+)"`, `audit\.System, Decision: audit\.Noted, Code: "([a-z_]+)"`, `tell\(&Event\{\s*Code: +"([a-z_]+)"`, `append\(found, &Event\{\s*Code: +"([a-z_]+)"`, `codeRemoved = "([a-z_]+)"`} {
		found := regexp.MustCompile(form).FindAllStringSubmatch(source, -1)
		if len(found) == 0 {
			t.Errorf("no code of the form %s is in the sources any more", form)
		}
		for _, m := range found {
			known[m[1]] = true
		}
	}
	_, tables, _ := strings.Cut(string(page), "## What connections leave")
	for code := range known {
		if !strings.Contains(tables, "`"+code+"`") {
			t.Errorf("docs/guide/logs.md says nothing of the code %s", code)
		}
	}
	if len(known) < 30 {
		t.Errorf("only %d codes were found", len(known))
	}
}
