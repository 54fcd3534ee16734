package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pavise.dev/pavise/internal/config"
)

func TestTokensAreReadFromFilesOfTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	f := &config.File{Issuers: map[string]config.Issuer{"corp": {}, "other": {}}}
	env := func(string) string { return "eyJ.of.env" }
	one, two := write("one", "Bearer eyJ.first.one\n", 0o600), write("two", "eyJ.second.one", 0o600)
	got, err := readTokens([]string{"corp=" + one, "corp=" + two, "other"}, f, env)
	if err != nil || len(got["corp"]) != 2 || string(got["corp"][0].Reveal()) != "eyJ.first.one" || string(got["other"][0].Reveal()) != "eyJ.of.env" {
		t.Errorf("%v, %v", got, err)
	}
	for name, c := range map[string]struct {
		given []string
		hint  string
	}{
		"an issuer that there is not":        {[]string{"pavise=" + one}, "no issuer"},
		"a file that others may read":        {[]string{"corp=" + write("open", "eyJ.leaked.one", 0o644)}, "can be read by others"},
		"no file":                            {[]string{"corp=" + filepath.Join(dir, "none")}, "no such file"},
		"an empty file":                      {[]string{"corp=" + write("empty", "\n", 0o600)}, "no token on one line"},
		"header lines":                       {[]string{"corp=" + write("lines", "Authorization: Bearer eyJ.leaked.one", 0o600)}, "no token on one line"},
		"two lines":                          {[]string{"corp=" + write("two lines", "eyJ.leaked.one\neyJ.leaked.two", 0o600)}, "no token on one line"},
		"a file that is longer than a token": {[]string{"corp=" + write("long", strings.Repeat("a", maxGiven+1), 0o600)}, "more than"},
		"the same twice":                     {[]string{"corp=" + one, "corp=" + one}, "the same token"},
		"three":                              {[]string{"corp=" + one, "corp=" + two, "corp"}, "more than twice"},
	} {
		_, err := readTokens(c.given, f, env)
		if err == nil || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := err.Error()
		if usage, is := errors.AsType[*usageError](err); is {
			text += usage.hint
		}
		if strings.Contains(text, "leaked") {
			t.Errorf("%s: the error shows the token: %s", name, text)
		}
	}
	if _, err := readTokens([]string{"corp"}, f, func(string) string { return "" }); err == nil {
		t.Error("nothing is a token")
	}
}
