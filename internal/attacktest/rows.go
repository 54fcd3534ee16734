// Package attacktest ties tests to the rows of docs/attacks.md.
package attacktest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Rows says that the running test shows the given rows of docs/attacks.md. It
// fails the test if the catalogue has no such row. `make attacks` reads these
// calls from the source, so the numbers are written as literals.
func Rows(t testing.TB, rows ...int) {
	t.Helper()
	known := Catalogue(t)
	for _, row := range rows {
		if known[row] == "" {
			t.Errorf("docs/attacks.md has no row %d", row)
		}
	}
}

var rowLine = regexp.MustCompile(`(?m)^(\d+)\. (.*)$`)

// Catalogue returns the text of every row by its number.
func Catalogue(t testing.TB) map[int]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "docs", "attacks.md"))
	if err != nil {
		t.Fatalf("read the catalogue: %v", err)
	}
	rows := map[int]string{}
	for _, m := range rowLine.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatalf("row number %q: %v", m[1], err)
		}
		rows[n] = m[2]
	}
	return rows
}

func moduleRoot(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}
