package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/app"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	fileName  = regexp.MustCompile(`[\w./-]+\.(pem|crl|json)`)
)

// TestExamplesOfTheReadmesAreOpened opens every configuration that stands whole in
// a README or in the guide, as `pavise serve` would.
func TestExamplesOfTheReadmesAreOpened(t *testing.T) {
	opened := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains(block[1], "apis:") || !strings.Contains(block[1], "hosts:") || strings.Contains(block[1], "{{") {
				continue // a part of one, or a template
			}
			t.Run(filepath.Base(filepath.Dir(page)), func(t *testing.T) {
				file := openExample(t, block[1])
				if filepath.Base(page) == "README.md" && filepath.Dir(page) != "../docs/guide" {
					wantSound(t, file)
				}
			})
			opened++
		}
	}
	if opened < 2 {
		t.Errorf("only %d examples are whole", opened)
	}
}

// keySet is an issuer's, with the key of RFC 7517 appendix A.1.
const keySet = `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`

// wantSound asks `pavise check`, for which an example that people copy leaves nothing to find but hints.
func wantSound(t *testing.T, file *config.File) {
	t.Helper()
	report, err := check.Run(check.Subject{File: file, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Severity >= finding.Low {
			t.Errorf("%s %s: %s\n%s", f.Severity, f.Rule, f.Where, f.What)
		}
	}
}

func openExample(t *testing.T, yaml string) *config.File {
	t.Helper()
	dir := t.TempDir()
	ca := newAuthority(t, "example")
	for _, name := range fileName.FindAllString(yaml, -1) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		text := ca.pem()
		switch filepath.Ext(name) {
		case ".crl":
			text = ca.crl()
		case ".json":
			text = keySet
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pavise.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := app.Load(filepath.Join(dir, "pavise.yaml"))
	if err != nil {
		t.Fatalf("it does not load:\n%v\n%s", err, yaml)
	}
	running, err := app.Open(t.Context(), file, app.Options{})
	if err != nil {
		t.Fatalf("it does not open: %v\n%s", err, yaml)
	}
	if err := running.Close(); err != nil {
		t.Error(err)
	}
	return file
}
