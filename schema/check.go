package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/shield"
)

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit.
func (o *Operation) Body() int64 { return o.body.most() }

func (b *body) most() int64 {
	if b == nil || !b.isJudged() {
		return 1 // to see whether there is one
	}
	return 1 << 40
}

// Reads says that path, query, headers and body are looked at.
func (*Operation) Reads() shield.Reads { return shield.ReadsInput }

// Check implements pavise.Layer.
func (o *Operation) Check(r *http.Request, _ *shield.Identity) error {
	if o.sunset.isOver(o.options.Now()) {
		return shield.Refuse(shield.Sunset, "the sunset of the operation was %s", o.sunset.over.UTC().Format(time.RFC3339))
	}
	var f faults
	o.checkPath(&f, r.URL.EscapedPath())
	if err := o.checkQuery(&f, r.URL.RawQuery); err != nil {
		return err
	}
	o.checkHeaders(&f, r)
	o.checkClosed(&f, r.Header)
	if err := o.body.check(&f, r); err != nil {
		return err
	}
	return f.refusal(shield.InvalidInput)
}

// one judges a parameter's value.
func (f *faults) one(p *parameter, v any, there bool, err error) {
	at := join("", p.name)
	switch {
	case err != nil:
		f.add(p.in, at, "form")
	case !there && p.required:
		f.add(p.in, at, "required")
	case !there || v == nothing{}:
	default:
		for _, other := range p.others(v) {
			if p.schema.ask(v) == nil {
				return
			}
			v = other
		}
		f.judge(p.in, at, p.schema, v)
	}
}

// others are what the text of a value stands for as well, where its schema leaves that open: a
// list of one entry for that entry, a number for its text.
func (p *parameter) others(v any) (all []any) {
	if p.asJSON || len(p.shape.types) < 2 {
		return nil
	}
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = p.shape.value(fmt.Sprint(list[0]))
		all = append(all, v)
	}
	switch v.(type) {
	case json.Number, bool:
		if p.shape.is("string") {
			all = append(all, fmt.Sprint(v))
		}
	}
	return all
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
				f.text(p, segments[i], true, true)
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
	for _, name := range q.strangers(o.parameters, !o.options.Undeclared) {
		f.add("query", join("", name), "undeclared")
	}
	return nil
}

func (o *Operation) checkHeaders(f *faults, r *http.Request) {
	for _, p := range o.parameters {
		switch p.in {
		case "header":
			f.header(p, r.Header[p.name])
		case "cookie":
			text, there, err := cookie(r.Header["Cookie"], p.name)
			if err != nil {
				f.one(p, nil, true, err)
				continue
			}
			f.text(p, text, there, true)
		}
	}
}

// header judges a header's values.
func (f *faults) header(p *parameter, values []string) {
	if len(values) > 1 && !p.shape.is("array") {
		f.add("header", join("", p.name), "form")
		return
	}
	f.text(p, strings.Join(values, ","), len(values) > 0, false)
}

// cookie finds a cookie. Readers differ over quotes, and over what cannot stand in a cookie
// (RFC 6265 §4.1.1), so that neither is read.
func cookie(lines []string, name string) (text string, there bool, err error) {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(part, "=")
			if strings.Trim(key, " \t") != name {
				continue
			}
			if there {
				return "", true, errors.New("it stands twice")
			}
			text, there = strings.Trim(value, " \t"), true
			if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune(`",\`, c) }) {
				return "", true, errors.New("a character that no cookie holds")
			}
		}
	}
	return text, there, nil
}

// text judges a parameter that is one text, in which escapes may be.
func (f *faults) text(p *parameter, text string, there, escaped bool) {
	if !there {
		f.one(p, nil, false, nil)
		return
	}
	if !p.asJSON {
		v, err := p.parse(text, escaped)
		f.one(p, v, true, err)
		return
	}
	texts, err := unescape([]string{text}, escaped)
	if err != nil {
		f.one(p, nil, true, err)
		return
	}
	v, err := document([]byte(texts[0]), p.large)
	f.one(p, v, true, err)
}

// check reads the body of a request, if there is one that a schema judges; nil: there should
// be none.
func (b *body) check(f *faults, r *http.Request) error {
	kept, err := shield.BodyOf(r)
	if err != nil {
		return err
	}
	if b == nil {
		if text, err := kept.Bytes(); err != nil || len(text) > 0 {
			f.add("body", "", "undeclared")
		}
		return nil
	}
	if r.ContentLength == 0 {
		if b.required {
			f.add("body", "", "required")
		}
		return nil
	}
	name, parameters, refusal := mediaOf(r.Header)
	if refusal != nil {
		return refusal
	}
	m := b.find(name, parameters)
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
	v, err := m.read(name, parameters, text)
	if err != nil {
		refusal := shield.Refuse(shield.InvalidInput, "the body: %v", err)
		refusal.Fields = []shield.Field{{In: "body", Rule: "form"}}
		return refusal
	}
	kept.Understood(v)
	f.judge("body", "", m.schema, v)
	if m.schema != nil && m.schema.open {
		m.schema.look.alike(v, nil, func(at []string) { f.add("body", join("", at...), undeclared) })
	}
	return nil
}

// mediaOf is the media type of a body: said once, in one way, in UTF-8.
func mediaOf(h http.Header) (name string, parameters map[string]string, _ *shield.Refusal) {
	values := h["Content-Type"]
	if len(values) != 1 {
		return "", nil, shield.Refuse(shield.UnsupportedMedia, "%d headers Content-Type, want one", len(values))
	}
	name, parameters, err := mime.ParseMediaType(values[0])
	if err != nil || strings.Contains(values[0], "*") { // RFC 2231, which few readers follow
		return "", nil, shield.Refuse(shield.UnsupportedMedia, "Content-Type cannot be read")
	}
	if charset, said := parameters["charset"]; said && !strings.EqualFold(charset, "utf-8") {
		return "", nil, shield.Refuse(shield.UnsupportedMedia, "a charset other than UTF-8")
	}
	return name, parameters, nil
}
