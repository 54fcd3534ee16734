package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pavise.dev/pavise/internal/config"
)

// Parse never panics, and what it refuses it explains within bounds; what it
// accepts resolves, and equals itself.
func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add(config.Starter("http://127.0.0.1:3000", "127.0.0.1"))
	for _, c := range changes() {
		f.Add(bytes.Replace([]byte(base), []byte(c.old), []byte(c.new), 1))
	}
	names, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := config.Parse(config.Source{Name: "f.yaml", Text: text}, kinds()...)
		if err != nil {
			problems, ok := errors.AsType[config.Problems](err)
			if !ok || len(problems) == 0 || len(problems) > 101 || file != nil {
				t.Fatalf("error %v", err)
			}
			var out bytes.Buffer
			problems.Format(&out, true)
			for _, p := range problems {
				if p.Message == "" || p.Pos.File != "f.yaml" {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		all, err := file.Resolve()
		if err != nil || len(all) == 0 {
			t.Fatalf("accepted, but resolves to %d endpoints, %v", len(all), err)
		}
		for _, r := range all {
			if r.Shield == nil || r.Method == "" || r.MaxBody <= 0 || r.Timeout <= 0 || len(r.Hosts) == 0 {
				t.Fatalf("endpoint %+v", r)
			}
			if !r.Any && len(r.Scopes) == 0 {
				t.Fatalf("access to %s is not stated", r.Pattern)
			}
		}
		if changes := config.Diff(file, file); len(changes) != 0 {
			t.Fatalf("differs from itself: %v", changes)
		}
		file.Insecure()
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(base); err != nil {
			b.Fatal(err)
		}
	}
}
