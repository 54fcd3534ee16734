package metrics

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The lists of known.go are held to the sources, so that none is forgotten: a code, an act that
// is not there would count as other.
func TestEveryWordOfTheProgramIsKnown(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	check := func(what string, known words, text, pattern string, least int) {
		t.Helper()
		n := 0
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			n++
			if _, ok := known[m[1]]; !ok {
				t.Errorf("%s %s is not in known.go", what, m[1])
			}
		}
		if n < least {
			t.Errorf("only %d of %s were found", n, what)
		}
	}
	refusals := codes()
	refusals["absent"], refusals["foreign"] = "", "" // never in an event
	check("the code", refusals, read("shield/code.go"), `(?m)^\s+\w+\s+Code\s+= "(\w+)"`, 50)
	check("the code", codes(), read("internal/edge/fault.go"), `(?m)^\s+\w+\s+Code\s+= "(\w+)"`, 20)
	check("the step", steps(), read("internal/edge/fault.go"), `(?m)^\s+\w+\s+Step\s+= "(\w+)"`, 5)

	admin := folder(t, "../admin") + folder(t, "../client") + folder(t, "../authserver/people/account") + folder(t, "../authserver/people/admin.go") + folder(t, "../quota")
	check("the act", acts(), admin, `(?:act\(s, |change\(|Action: +|Action, change.Text = )"([a-z]+[._][a-z._-]+)"`, 30)
	check("the act of a reload", acts(), folder(t, "../app"), `noteChange\("(\w+)"`, 3)
	check("the grant", grants(), folder(t, "../authserver/authserver.go")+folder(t, "../authserver/protocol")+folder(t, "../authserver/people"), `"((?:person|grant|token)\.[a-z_]+)"`, 10)

	oauth := folder(t, "../authserver/protocol") + folder(t, "../authserver/people") + folder(t, "../pki/est")
	check("the code", codes(), oauth, `(?:Fault|refusal)\{[^}]*(?:Code: |http\.Status\w+, )"([a-z_]+)"`, 5)
}

// folder is the text of a folder's or a file's sources.
func folder(t *testing.T, name string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
