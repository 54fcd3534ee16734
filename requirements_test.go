package pavise_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
)

// TestEveryRequirementIsShown: each number of docs/requirements.md stands in a test.
func TestEveryRequirementIsShown(t *testing.T) {
	shown := map[string]bool{}
	call, id := regexp.MustCompile(`attacktest\.Requirements\(t, ([^)]*)\)`), regexp.MustCompile(`"([\d.]+)"`)
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			if err == nil && entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range call.FindAllSubmatch(text, -1) {
			for _, n := range id.FindAllSubmatch(m[1], -1) {
				shown[string(n[1])] = true
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	required := attacktest.Required(t)
	if len(required) < 16 {
		t.Errorf("docs/requirements.md has %d requirements", len(required))
	}
	for _, id := range required {
		if !shown[id] {
			t.Errorf("no test shows %s", id)
		}
	}
}
