package schema

import (
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit.
func (o *Operation) Body() int64 {
	if o.body == nil || !o.body.isJudged() {
		return 1 // to see whether there is one
	}
	return 1 << 40
}

// Check implements pavise.Layer.
func (o *Operation) Check(r *http.Request, _ *shield.Identity) error {
	var f faults
	o.checkPath(&f, r.URL.EscapedPath())
	if err := o.checkQuery(&f, r.URL.RawQuery); err != nil {
		return err
	}
	o.checkHeaders(&f, r)
	if err := o.checkBody(&f, r); err != nil {
		return err
	}
	return f.refusal()
}

// one judges a parameter's value.
func (f *faults) one(p *parameter, v any, there bool, err error) {
	at := join("", p.name)
	switch {
	case err != nil:
		f.add(p.in, at, "form")
	case !there && p.required:
		f.add(p.in, at, "required")
	case there:
		f.judge(p.in, at, p.schema, v)
	}
}

func (o *Operation) checkPath(f *faults, path string) {
	segments := strings.Split(path, "/")
	if len(segments) != len(o.template) {
		f.add("path", "", "form") // the route has matched another way
		return
	}
	for i, segment := range o.template {
		name, ok := variable(segment)
		if !ok {
			continue
		}
		for _, p := range o.parameters {
			if p.in == "path" && p.name == name {
				v, err := p.parse(segments[i], true)
				if text, isText := v.(string); isText && !utf8.ValidString(text) {
					f.add("path", join("", name), "form")
					break
				}
				f.one(p, v, true, err)
			}
		}
	}
}

func (o *Operation) checkQuery(f *faults, raw string) error {
	q, err := readQuery(raw)
	if err != nil {
		return shield.Refuse(shield.BadQuery, "%v", err)
	}
	for _, p := range o.parameters {
		if p.in == "query" {
			v, there, err := p.read(q)
			f.one(p, v, there, err)
		}
	}
	if o.options.Undeclared {
		return nil
	}
	for _, name := range q.strangers() {
		f.add("query", join("", name), "undeclared")
	}
	return nil
}

func (o *Operation) checkHeaders(f *faults, r *http.Request) {
	for _, p := range o.parameters {
		switch p.in {
		case "header":
			values := r.Header[p.name]
			if len(values) > 1 && !p.shape.is("array") {
				f.add("header", join("", p.name), "form")
				continue
			}
			o.checkText(f, p, strings.Join(values, ","), len(values) > 0)
		case "cookie":
			found := r.CookiesNamed(p.name)
			if len(found) > 1 {
				f.add("cookie", join("", p.name), "form")
				continue
			}
			text := ""
			if len(found) == 1 {
				text = found[0].Value
			}
			o.checkText(f, p, text, len(found) == 1)
		}
	}
}

func (o *Operation) checkText(f *faults, p *parameter, text string, there bool) {
	if !there {
		f.one(p, nil, false, nil)
		return
	}
	if p.asJSON {
		v, err := document([]byte(text), o.options.LargeIntegers)
		f.one(p, v, true, err)
		return
	}
	v, err := p.parse(text, false)
	f.one(p, v, true, err)
}

// checkBody reads the body, if there is one that a schema judges.
func (o *Operation) checkBody(f *faults, r *http.Request) error {
	kept, err := shield.BodyOf(r)
	if err != nil {
		return err
	}
	if o.body == nil {
		if text, err := kept.Bytes(); err != nil || len(text) > 0 {
			f.add("body", "", "undeclared")
		}
		return nil
	}
	if r.ContentLength == 0 {
		if o.body.required {
			f.add("body", "", "required")
		}
		return nil
	}
	name, refusal := mediaOf(r.Header)
	if refusal != nil {
		return refusal
	}
	m := o.body.find(name)
	if m == nil {
		return shield.Refuse(shield.UnsupportedMedia, "no body of type %s is declared", name)
	}
	if !m.isJudged(name) {
		return nil
	}
	if coding := r.Header["Content-Encoding"]; len(coding) > 0 {
		return shield.Refuse(shield.UnsupportedMedia, "a body with a coding cannot be held to the description; send it plain")
	}
	text, err := kept.Bytes()
	if err != nil {
		return err
	}
	v, err := m.read(name, text, o.options.LargeIntegers)
	if err != nil {
		refusal := shield.Refuse(shield.InvalidInput, "the body: %v", err)
		refusal.Fields = []shield.Field{{In: "body", Rule: "form"}}
		return refusal
	}
	f.judge("body", "", m.schema, v)
	return nil
}

// mediaOf is the media type of a body: said once, in one way, in UTF-8.
func mediaOf(h http.Header) (string, *shield.Refusal) {
	values := h["Content-Type"]
	if len(values) != 1 {
		return "", shield.Refuse(shield.UnsupportedMedia, "%d headers Content-Type, want one", len(values))
	}
	name, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", shield.Refuse(shield.UnsupportedMedia, "Content-Type cannot be read: %v", err)
	}
	if charset, said := parameters["charset"]; said && !strings.EqualFold(charset, "utf-8") {
		return "", shield.Refuse(shield.UnsupportedMedia, "a charset other than UTF-8")
	}
	return name, nil
}
