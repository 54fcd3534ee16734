package waf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDev(t *testing.T) {
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("testdata/payloads/*.txt")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			p := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `\u00a0`, "\u00a0").Replace(line)
			if l.find(p, Place{In: "body"}) == "" {
				t.Errorf("%s: %q", filepath.Base(f), p)
			}
		}
	}
}
