package schema_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/schema/internal/sample"
	"pavise.dev/pavise/shield"
)

// Documents that nobody here wrote: their owners publish them on npm. tools/install.sh installs
// them.
const documents = "testdata/documents/node_modules/"

// Each document, and the operations of it that cannot be used, with the reason.
var published = []struct {
	file     string
	unusable map[string]string
}{
	{"@octokit/openapi/generated/api.github.com.json", map[string]string{
		"GET /repos/{owner}/{repo}/compare/{base}...{head}": "whole segment",
	}},
	{"@blockfrost/openapi/openapi.yaml", nil},
	{"@directus/specs/dist/openapi.json", map[string]string{
		"PATCH /files/{id}":        "multipart/data",            // no media type of any standard
		"POST /items/{collection}": "got null, want boolean or", // its schema is null
	}},
	{"@digdir/dialogporten-schema/swagger.verified.json", nil},
}

func readDocument(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(documents, filepath.FromSlash(file)))
	if os.IsNotExist(err) {
		t.Fatalf("%v; hint: make test installs what the tests need", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What their owners publish can be opened; valid samples of every operation are accepted, and
// changed ones refused.
func TestDocumentsThatNobodyHereWrote(t *testing.T) {
	attacktest.Rows(t, 108, 109)
	for _, document := range published {
		t.Run(strings.Split(document.file, "/")[0], func(t *testing.T) {
			text := readDocument(t, document.file)
			began := time.Now()
			d := open(t, string(text), schema.Options{})
			opened := time.Since(began)
			s, err := sample.New(text)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			for _, pattern := range d.Operations() {
				o, err := d.Operation(pattern)
				if reason, known := document.unusable[pattern]; known || err != nil {
					if err == nil || !known || !strings.Contains(err.Error(), reason) {
						t.Errorf("%s: %v, want %q", pattern, err, reason)
					}
					continue
				}
				counts["operations"]++
				sampled(t, s, o, counts)
			}
			var memory runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&memory)
			t.Logf("opened in %v, compiled and tried in %v; heap %d MiB; %v", opened, time.Since(began), memory.HeapAlloc>>20, counts)
			if counts["accepted"] < counts["operations"]*9/10 {
				t.Errorf("only %d of %d operations could be sampled", counts["accepted"], counts["operations"])
			}
			runtime.KeepAlive(d)
		})
	}
}

// sampled tries samples of one operation.
func sampled(t *testing.T, s *sample.Sampler, o *schema.Operation, counts map[string]int) {
	t.Helper()
	request, ok := s.Request(o.Method, o.Path)
	if !ok {
		counts["without a sample"]++
		return
	}
	if got := ask(o, request); got != "" {
		t.Errorf("%s %s: a valid sample is refused: %s\n%s %s", o.Method, o.Path, got, request.Target(), request.Body)
		return
	}
	counts["accepted"]++
	for what, changed := range s.Changed(o.Method, o.Path, request) {
		kind, _, _ := strings.Cut(what, ":")
		if ask(o, changed) == "" {
			t.Errorf("%s %s: %s is accepted\n%s %s", o.Method, o.Path, what, changed.Target(), changed.Body)
		}
		counts[kind]++
	}
}

func ask(o *schema.Operation, s sample.Request) string {
	r := s.HTTP()
	r.Body = shield.NewBody(r.Body, 1<<20)
	if err := o.Check(r, nil); err != nil {
		return err.Error()
	}
	return ""
}

func BenchmarkOpen(b *testing.B) {
	text := readDocument(b, published[0].file)
	b.ReportAllocs()
	for b.Loop() {
		open(b, string(text), schema.Options{})
	}
}
