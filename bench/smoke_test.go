package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// One short row of the bare program and of Pavise, as `make bench` would run it: no
// call fails, and each request has its event.
func TestAShortRunWritesAPageWithoutFailures(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some ten seconds")
	}
	dir := t.TempDir()
	program, page := filepath.Join(dir, "bench"), filepath.Join(dir, "page.md")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./bench")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	run := exec.CommandContext(t.Context(), program, "-time", "1s", "-rounds", "1", "-steps=false",
		"-only", "^(net/http|Pavise)$", "-rows", "^(open|key)$", "-out", page)
	run.Dir = ".."
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "failed:") {
		t.Errorf("a row failed:\n%s", text)
	}
	counts := regexp.MustCompile(`included, (\d+) requests to Pavise were answered with 200, and its\s+logs hold (\d+) events`).FindStringSubmatch(string(text))
	if counts == nil || counts[1] != counts[2] || counts[1] == "0" {
		t.Errorf("requests and events: %q", counts)
	}
}
