package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// What people are told is read in review: testdata/bad/*.golden.
func TestErrorsForPeople(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) < 5 {
		t.Fatalf("bad files %v, %v", names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			_, err := config.Load(name, kinds())
			problems, ok := errors.AsType[config.Problems](err)
			if !ok {
				t.Fatalf("error %v, want problems", err)
			}
			var plain, coloured bytes.Buffer
			problems.Format(&plain, false)
			problems.Format(&coloured, true)
			if stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(coloured.String(), ""); stripped != plain.String() {
				t.Error("the coloured report says something else than the plain one")
			}
			golden(t, strings.TrimSuffix(name, ".yaml")+".golden", plain.Bytes())
			if i := bytes.IndexFunc(plain.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); i >= 0 {
				t.Errorf("the report holds a character that steers a terminal: %q", plain.Bytes()[i])
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

func TestProblemsAsJSON(t *testing.T) {
	_, err := parse(strings.Replace(base, "shield: api_key", "shield: api_kye", 1))
	problems, _ := errors.AsType[config.Problems](err)
	text, err := json.Marshal(problems)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"pavise.yaml","line":10,"column":13,"path":"apis.orders.shield.api_kye","message":"unknown kind of shield \"api_kye\"","hint":"did you mean api_key?","text":"    shield: api_kye"}]`
	if string(text) != want {
		t.Errorf("JSON\n%s\nwant\n%s", text, want)
	}
}

func TestPasswordsInAddressesAreNotPrintedInMessages(t *testing.T) {
	_, err := parse(strings.Replace(base, "http://127.0.0.1:9000", "http://me:hunter2@127.0.0.1:9000", 1))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}
