package attacktest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// Requirements says that the running test shows requirements of docs/requirements.md, by their
// numbers in OWASP ASVS 5.0. It fails the test if the page has no such number. A test of the root
// package reads these calls from the source, so the numbers are written as literals.
func Requirements(t testing.TB, ids ...string) {
	t.Helper()
	known := Required(t)
	for _, id := range ids {
		if !slices.Contains(known, id) {
			t.Errorf("docs/requirements.md has no requirement %s", id)
		}
	}
}

var requirementLine = regexp.MustCompile(`(?m)^\| (\d+\.\d+\.\d+) \|`)

// Required returns the numbers of the page, in its order.
func Required(t testing.TB) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(moduleRoot(t), "docs", "requirements.md"))
	if err != nil {
		t.Fatalf("read the requirements: %v", err)
	}
	for _, m := range requirementLine.FindAllStringSubmatch(string(text), -1) {
		ids = append(ids, m[1])
	}
	return ids
}
