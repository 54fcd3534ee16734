package alert_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/alert"
)

// TestCodesAreThoseThatThereAre holds the list to the shields' codes, to the events of people,
// and to the tables of what connections leave and the system says.
func TestCodesAreThoseThatThereAre(t *testing.T) {
	known := alert.Codes()
	look := func(file, section, form string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), section)
		rest, _, _ = strings.Cut(rest, "\n## ")
		found := 0
		for _, line := range regexp.MustCompile(form).FindAllStringSubmatch(rest, -1) {
			for _, word := range strings.Split(strings.Trim(line[1], "`"), "`, `") {
				found++
				if word != "absent" && word != "foreign" && !slices.Contains(known, word) {
					t.Errorf("%s tells of the code %s, which Codes does not have", file, word)
				}
			}
		}
		if found < 10 {
			t.Errorf("%s: %d codes found", file, found)
		}
	}
	look("../../shield/code.go", "", `(?m) Code\s+= "([a-z_]+)"`)
	look("../authserver/people/service.go", "", `(?m)Event[A-Za-z]+\s+= "([a-z_.]+)"`)
	look("../../docs/guide/logs.md", "## What connections leave", "(?m)^\\| (`[a-z0-9_`, ]+`) \\|")
	look("../../docs/guide/logs.md", "## What the system says", "(?m)^\\| (`[a-z0-9_`, ]+`) \\|")
	for _, k := range alert.Detections() {
		for _, code := range k.Codes {
			if !slices.Contains(known, code) {
				t.Errorf("%s looks for the code %s, which there is not", k.Name, code)
			}
		}
	}
}

// TestTheWordsOfTamperingAreThoseOfTheShields looks for them in the source that says them.
func TestTheWordsOfTamperingAreThoseOfTheShields(t *testing.T) {
	said := ""
	for _, pattern := range []string{"../../shield/jwt/*.go", "../issuer/*.go", "../dpop/*.go", "../../shield/mtls/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name, "_test.go") {
				said += string(text)
			}
		}
	}
	for _, words := range slices.Concat(alert.Tampered(), alert.Forged()) {
		if !strings.Contains(said, words) {
			t.Errorf("no shield says %q any more", words)
		}
	}
}
