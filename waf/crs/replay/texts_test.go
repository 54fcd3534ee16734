package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise"
	"pavise.dev/pavise/shield"
)

// texts are the lines of files that the tests of our detectors use.
func texts(t testing.TB, pattern string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			line = strings.TrimSuffix(line, "\n")
			if line != "" && !strings.HasPrefix(line, "# ") { // that begins a language
				all = append(all, strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(line))
			}
		}
	}
	return all
}

// inJSON is a request with a text in a JSON body.
func inJSON(t testing.TB, text string) *http.Request {
	t.Helper()
	body, err := json.Marshal(map[string]string{"note": text})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/notes", strings.NewReader(string(body)))
	r.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"notes-client/1.0"}, "Accept": {"application/json"}}
	r.Body = shield.NewBody(r.Body, 1<<20)
	return r
}

// refused counts the texts that a layer refuses.
func refused(t testing.TB, layer pavise.Layer, all []string) (n int) {
	t.Helper()
	for _, text := range all {
		err := layer.Check(inJSON(t, text), nil)
		refusal, ok := errors.AsType[*shield.Refusal](err)
		switch {
		case err == nil:
		case !ok || refusal.Code != shield.Injection:
			t.Fatalf("%q: %v", text, err)
		default:
			n++
		}
	}
	return n
}

// The texts of the tests of our detectors, harmless ones and attacks, as callers write them into a field.
func TestTexts(t *testing.T) {
	levels := []int{1}
	if *update {
		levels = []int{1, 2, 3, 4}
	}
	harmless, attacks := texts(t, "harmless/*.txt"), texts(t, "payloads/*.txt")
	var b strings.Builder
	fmt.Fprintf(&b, "| judge | harmless texts (%d) refused | attacks (%d) refused |\n|---|---|---|\n", len(harmless), len(attacks))
	for i, j := range judgesOf(t, levels) {
		layer := j.layer("POST /v1/notes")
		falsely, rightly := refused(t, layer, harmless), refused(t, layer, attacks)
		name := "our detectors"
		if i > 0 {
			name = fmt.Sprintf("rule set, level %d", levels[i-1])
		}
		fmt.Fprintf(&b, "| %s | %d (%s) | %d (%s) |\n", name, falsely, share(falsely, len(harmless)), rightly, share(rightly, len(attacks)))
		if j.name == setName(1) && (percent(falsely, len(harmless)) > 15 || percent(rightly, len(attacks)) < 70) {
			t.Errorf("level 1 refuses %d of %d harmless texts and %d of %d attacks", falsely, len(harmless), rightly, len(attacks))
		}
	}
	t.Log("\n" + b.String())
	if *update {
		write(t, "texts", b.String())
	}
}
