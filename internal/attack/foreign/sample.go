package foreign

import (
	"fmt"
	"net/http"
	"strings"

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
		d := w.plain(o)
		body, err := d.content()
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

// plain is a draft of nothing but the document: what it demands, and what it shows.
func (w *world) plain(o *operation) *draft {
	d := &draft{op: o, method: o.method, path: map[string]string{}, header: http.Header{}, media: o.media}
	for _, p := range o.parameters {
		value := w.described(p)
		switch {
		case p.in == "path":
			d.path[p.name] = value
		case !p.required && p.example == nil:
		case p.in == "query":
			d.query = append(d.query, pair{p.name, value})
		case p.in == "header":
			d.header.Set(p.name, value)
		case p.in == "cookie":
			d.cookie = append(d.cookie, pair{p.name, value})
		}
	}
	for _, name := range unnamed(o) {
		d.path[strings.TrimSuffix(name, "...")] = "1"
	}
	if o.media == "" {
		return d
	}
	if d.body = copied(o.example); d.body == nil {
		d.body = w.sample(o.body)
	}
	return d
}
