package foreign

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// draft is a request that is not sent yet: its parts can be changed one by one.
type draft struct {
	op     *operation
	method string
	path   map[string]string // values of the path's parameters
	raw    string            // the path as it is sent, with its query; empty: it is made of the rest
	query  []pair
	header http.Header
	cookie []pair
	media  string
	body   any      // as JSON, XML or a form
	xml    *xmlBody // how it is written as XML
	text   []byte   // the body as it is sent; nil: body is
}

type pair struct{ name, value string }

func (d *draft) clone() *draft {
	other := *d
	other.path, other.query, other.header, other.cookie, other.body = maps.Clone(d.path), slices.Clone(d.query), d.header.Clone(), slices.Clone(d.cookie), copied(d.body)
	return &other
}

func copied(v any) any {
	switch v := v.(type) {
	case map[string]any:
		other := make(map[string]any, len(v))
		for name, below := range v {
			other[name] = copied(below)
		}
		return other
	case []any:
		other := make([]any, len(v))
		for i, below := range v {
			other[i] = copied(below)
		}
		return other
	}
	return v
}

// target is the path with its query.
func (d *draft) target() string {
	if d.raw != "" {
		return d.raw
	}
	path := filled(d.op.path, d.path)
	if len(d.query) == 0 {
		return path
	}
	var query []string
	for _, p := range d.query {
		query = append(query, url.QueryEscape(p.name)+"="+url.QueryEscape(p.value))
	}
	return path + "?" + strings.Join(query, "&")
}

// filled puts values into a path's template: {name}, and {name...}.
func filled(template string, values map[string]string) string {
	for name, value := range values {
		template = strings.ReplaceAll(template, "{"+name+"}", url.PathEscape(value))
		template = strings.ReplaceAll(template, "{"+name+"...}", url.PathEscape(value))
	}
	return template
}

// content is the body as it is sent.
func (w *world) content(d *draft) ([]byte, error) {
	switch {
	case d.text != nil:
		return d.text, nil
	case d.media == "" || d.body == nil:
		return nil, nil
	case strings.HasPrefix(d.media, "application/x-www-form-urlencoded"):
		form := url.Values{}
		fields, _ := d.body.(map[string]any)
		for name, v := range fields {
			form.Set(name, fmt.Sprint(v))
		}
		return []byte(form.Encode()), nil
	case isXMLType(d.media) && d.xml != nil:
		return w.xmlOf(*d.xml, d.body), nil
	case strings.HasPrefix(d.media, "text/"):
		return []byte(fmt.Sprint(d.body)), nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d.body); err != nil {
		return nil, fmt.Errorf("write the body: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func (w *world) request(ctx context.Context, s *attack.Session, d *draft) (*http.Request, error) {
	body, err := w.content(d)
	if err != nil {
		return nil, err
	}
	r, err := s.NewRequest(ctx, d.method, d.target(), body)
	if err != nil {
		return nil, err
	}
	for name, values := range d.header {
		r.Header[name] = slices.Clone(values)
	}
	for _, c := range d.cookie {
		r.AddCookie(&http.Cookie{Name: c.name, Value: c.value})
	}
	if body != nil && d.media != "" {
		r.Header.Set("Content-Type", d.media)
	}
	return r, nil
}

// draw is the request for an operation, with a value for each of its parameters that it demands or shows.
func (w *world) draw(o *operation, value func(p parameter) string) *draft {
	d := &draft{op: o, method: o.method, path: map[string]string{}, header: http.Header{}, media: o.media}
	if o.xml.root != "" {
		d.xml = &o.xml
	}
	for _, p := range o.parameters {
		v := value(p)
		switch {
		case p.in == "path":
			d.path[p.name] = v
		case !p.required && p.example == nil:
		case p.in == "query":
			d.query = append(d.query, pair{p.name, v})
		case p.in == "header":
			d.header.Set(p.name, v)
		case p.in == "cookie":
			d.cookie = append(d.cookie, pair{p.name, v})
		}
	}
	for _, name := range unnamed(o) {
		d.path[name] = "1"
	}
	if o.media == "" {
		return d
	}
	if d.body = copied(o.example); d.body == nil {
		d.body = w.sample(o.body)
	}
	return d
}

// unnamed are parameters of a path that the document does not describe. A pattern of Go's has {rest...} for all
// that is left.
func unnamed(o *operation) (names []string) {
	for part := range strings.SplitSeq(o.path, "{") {
		name, _, ok := strings.Cut(part, "}")
		name = strings.TrimSuffix(name, "...")
		if ok && !slices.ContainsFunc(o.parameters, func(p parameter) bool { return p.in == "path" && p.name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// slot is a place of a request where a value stands that a caller chooses.
type slot struct {
	in, name string
	schema   map[string]any
	value    string // the good one
	set      func(d *draft, v any)
}

func (s slot) String() string { return s.in + " " + s.name }

// slots are the places of a draft: path, query, headers, and the texts of its body.
func (d *draft) slots() (all []slot) {
	for i := range d.op.parameters {
		p := &d.op.parameters[i]
		one := slot{in: p.in, name: p.name, schema: p.schema}
		switch p.in {
		case "path":
			one.value = d.path[p.name]
			one.set = func(d *draft, v any) { d.path[p.name] = fmt.Sprint(v) }
		case "query":
			one.value = valueOf(d.query, p.name)
			one.set = func(d *draft, v any) { d.query = with(d.query, p.name, fmt.Sprint(v)) }
		case "header":
			one.value = d.header.Get(p.name)
			one.set = func(d *draft, v any) { d.header.Set(p.name, strings.ReplaceAll(fmt.Sprint(v), "\r\n", " ")) }
		default:
			continue
		}
		all = append(all, one)
	}
	return append(all, fields(d.body, nil)...)
}

func valueOf(list []pair, name string) string {
	for _, p := range list {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// with sets a value in a copy of a list.
func with(list []pair, name, value string) []pair {
	list = slices.DeleteFunc(slices.Clone(list), func(p pair) bool { return p.name == name })
	return append(list, pair{name, value})
}

// fields are the texts of a body, two levels deep.
func fields(body any, above []string) (all []slot) {
	object, _ := body.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		way := append(slices.Clone(above), name)
		switch v := object[name].(type) {
		case string:
			all = append(all, slot{in: "body", name: strings.Join(way, "."), value: v, set: func(d *draft, v any) { put(d.body, way, v) }})
		case map[string]any:
			if len(way) < 3 {
				all = append(all, fields(v, way)...)
			}
		}
	}
	return all
}

// put sets what stands at a way within an object, and makes the objects on it.
func put(body any, way []string, v any) {
	object, ok := body.(map[string]any)
	if !ok {
		return
	}
	if len(way) > 1 {
		if _, isObject := object[way[0]].(map[string]any); !isObject {
			object[way[0]] = map[string]any{}
		}
		put(object[way[0]], way[1:], v)
		return
	}
	object[way[0]] = v
}
