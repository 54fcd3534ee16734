// Package compare_test holds the verdicts of package schema against those of another validator.
package compare_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/schema/internal/sample"
	"pavise.dev/pavise/shield"
)

// explained are the differences that the README explains: which change of a valid sample is
// refused by us alone. Nothing is accepted by us alone, and no valid sample refused.
var explained = map[string]bool{"undeclared parameter": true, "undeclared property": true, "no value of the list": true}

func TestVerdicts(t *testing.T) {
	for _, file := range []string{"@blockfrost/openapi/openapi.yaml", "@directus/specs/dist/openapi.json", "@digdir/dialogporten-schema/swagger.verified.json"} {
		t.Run(strings.Split(file, "/")[0], func(t *testing.T) { compare(t, file) })
	}
}

func compare(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile("../testdata/documents/node_modules/" + file)
	if err != nil {
		t.Fatalf("%v; hint: tools/install.sh installs it", err)
	}
	ours, err := schema.Open(file, text, schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	theirs, errs := validator.NewValidator(parsed, config.WithoutSecurityValidation())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	s, err := sample.New(text)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, pattern := range ours.Operations() {
		o, err := ours.Operation(pattern)
		if err != nil {
			continue // documents_test.go says which, and why
		}
		good, ok := s.Request(o.Method, o.Path)
		if !ok {
			continue
		}
		all := map[string]sample.Request{"valid": good}
		maps.Copy(all, s.Changed(o.Method, o.Path, good))
		for what, request := range all {
			kind, _, _ := strings.Cut(what, ":")
			r := request.HTTP()
			r.Body = shield.NewBody(r.Body, 1<<20)
			refused := o.Check(r, nil)
			accepted, why := theirs.ValidateHttpRequestSync(request.HTTP())
			switch {
			case accepted == (refused == nil):
				counts["the same"]++
			case accepted && explained[kind]:
				counts["only ours refuses: "+kind]++
			default:
				t.Errorf("%s: %s %s %s: ours %v, theirs %v", what, o.Method, request.Target(), request.Body, refused, why)
			}
		}
	}
	t.Logf("%v", counts)
}
