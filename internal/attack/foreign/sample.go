package foreign

import (
	"fmt"
	"net/http"

	"pavise.dev/pavise/schema"
)

// Sample is a request as a document describes it, as plain as it can be: for whoever knows an API's
// policy besides.
type Sample struct {
	Method, Template string // "GET", "/v1/orders/{id}", with the path of the document's server
	Target           string // path and query
	Header           http.Header
	Body             []byte // nil: there is none
	Members          map[string]any
	Words            []string // parameters of the query that it names
}

// Samples makes one for each operation of a document.
func Samples(name string, text []byte) ([]Sample, error) {
	document, err := schema.Open(name, text, schema.Options{Undeclared: true})
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	w := &world{reader: &reader{document: document, outside: map[string]bool{}, base: true}}
	var all []Sample
	for _, o := range w.operations() {
		d := w.draw(o, w.described)
		body, err := w.content(d)
		if err != nil {
			return nil, err
		}
		one := Sample{Method: o.method, Template: o.path, Target: d.target(), Header: d.header, Body: body}
		if body != nil {
			one.Header.Set("Content-Type", d.media)
		}
		for _, c := range d.cookie {
			one.Header.Add("Cookie", (&http.Cookie{Name: c.name, Value: c.value}).String())
		}
		if isJSONType(d.media) {
			one.Members, _ = copied(d.body).(map[string]any)
		}
		for _, p := range o.parameters {
			if p.in == "query" {
				one.Words = append(one.Words, p.name)
			}
		}
		all = append(all, one)
	}
	return all, nil
}
