package schema_test

import (
	"strings"
	"testing"

	"pavise.dev/pavise/internal/attacktest"
	"pavise.dev/pavise/schema"
	"pavise.dev/pavise/schema/internal/sample"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf"
)

// Valid requests of documents that nobody here wrote are harmless: their examples hold what
// people send to such APIs. At most one in a thousand may be taken for an injection.
func TestValidSamplesOfPublishedDocumentsAreNoInjections(t *testing.T) {
	attacktest.Rows(t, 111)
	all, refused := 0, 0
	for _, document := range published {
		text := readDocument(t, document.file)
		d := open(t, string(text), schema.Options{})
		s, err := sample.New(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range d.Operations() {
			o, err := d.Operation(pattern)
			if err != nil {
				continue
			}
			request, ok := s.Request(o.Method, o.Path)
			if !ok {
				continue
			}
			for _, described := range []waf.Described{nil, o} {
				layer, err := waf.New(waf.Options{Described: described})
				if err != nil {
					t.Fatal(err)
				}
				r := request.HTTP()
				r.Body = shield.NewBody(r.Body, 1<<20)
				all++
				if err := layer.Check(r, nil); err != nil && strings.Contains(err.Error(), string(shield.Injection)) {
					refused++
					t.Logf("%s, described %t: %v", pattern, described != nil, err)
				}
			}
		}
	}
	t.Logf("%d of %d harmless requests are refused", refused, all)
	if all < 2000 || refused*1000 > all {
		t.Errorf("%d of %d harmless requests are refused", refused, all)
	}
}
