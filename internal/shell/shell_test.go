package shell_test

import (
	"os/exec"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/shell"
)

func TestWordsAreQuotedWhereTheyHaveToBe(t *testing.T) {
	for word, want := range map[string]string{
		"GET": "GET", "https://api.example.com/v1?a=b": "'https://api.example.com/v1?a=b'", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'",
		"/etc/pavise.yaml": "/etc/pavise.yaml", "~": "'~'", "a\nb": "'a\nb'", "ü": "'ü'",
	} {
		if got := shell.Word(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}

// A shell reads back what was written, and runs nothing.
func FuzzAShellReadsTheWord(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("there is no sh")
	}
	for _, word := range []string{"plain", "'$(x)", "`x`", `\`, "a\nb", "", "-n", "%s", "!x", "a'b'c", "*"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsRune(word, 0) {
			t.Skip("no argument can hold it")
		}
		for _, written := range []string{shell.Word(word), shell.Quoted(word)} {
			out, err := exec.Command(sh, "-c", `printf '%s.' `+written).Output()
			if err != nil || string(out) != word+"." {
				t.Errorf("%q is written as %s and read as %q (%v)", word, written, out, err)
			}
		}
	})
}
