package schema

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"pavise.dev/pavise/shield"
)

// Texts calls each with every text of path, query and body that the description does not
// confine, and with the names that lead to it as they do in a JSON pointer: what may be
// anything as long as it is a text. A value whose schema is a number, a list of choices, a UUID
// or a pattern of harmless characters is left out; names that are not declared are texts too.
// The names are valid during the call. It stops with the error of each.
//
// It relies on [Operation.Check] having accepted the request.
func (o *Operation) Texts(r *http.Request, each func(in string, names []string, text string) error) error {
	w := walker{each: each}
	if err := o.pathTexts(&w, r.URL.EscapedPath()); err != nil {
		return err
	}
	if err := o.queryTexts(&w, r.URL.RawQuery); err != nil {
		return err
	}
	return o.body.texts(&w, r, o.options.Undeclared)
}

// Texts is like [Operation.Texts]; path and query are not described.
func (b *Body) Texts(r *http.Request, each func(in string, names []string, text string) error) error {
	w := walker{each: each}
	if err := w.undescribed(r); err != nil {
		return err
	}
	return b.body.texts(&w, r, b.undeclared)
}

// Texts is like [Operation.Texts] for a request that no description speaks of: all its texts
// are looked at. Bodies are read as strictly as with a description, and refused (invalid_input,
// rule form) if they cannot be. Bodies that are no text are not read.
func Texts(r *http.Request, each func(in string, names []string, text string) error) error {
	w := walker{each: each}
	if err := w.undescribed(r); err != nil {
		return err
	}
	return w.freeBody(r)
}

// undescribed hands on all texts of path and query.
func (w *walker) undescribed(r *http.Request) error {
	if err := w.segments(r.URL.EscapedPath()); err != nil {
		return err
	}
	return new(Operation).queryTexts(w, r.URL.RawQuery)
}

// walker hands texts on.
type walker struct {
	in    string
	names []string
	each  func(in string, names []string, text string) error
}

func (w *walker) text(s string) error {
	if s == "" {
		return nil
	}
	return w.each(w.in, w.names, s)
}

// within goes on below a name.
func (w *walker) within(name string, walk func() error) error {
	w.names = append(w.names, name)
	err := walk()
	w.names = w.names[:len(w.names)-1]
	return err
}

// named hands on what stands below a name: the name too, if nobody declared it.
func (w *walker) named(in, name string, declared bool, l *look, v any) error {
	w.in = in
	w.names = append(w.names, name)
	defer func() { w.names = w.names[:len(w.names)-1] }()
	if !declared {
		if err := w.text(name); err != nil {
			return err
		}
	}
	return w.value(l, v)
}

// value hands on the texts of a value that its look does not confine.
func (w *walker) value(l *look, v any) error {
	switch v := v.(type) {
	case string:
		if l == nil || l.text {
			return w.text(v)
		}
	case map[string]any:
		for name, one := range v {
			below, declared := l.property(name)
			if err := w.named(w.in, name, declared, below, one); err != nil {
				return err
			}
		}
	case []any:
		for i, one := range v {
			if isPlainValue(one) {
				continue
			}
			if err := w.named(w.in, strconv.Itoa(i), true, l.entry(), one); err != nil {
				return err
			}
		}
	}
	return nil
}

// isPlainValue reports a value that has no texts.
func isPlainValue(v any) bool {
	switch v.(type) {
	case string, map[string]any, []any:
		return false
	}
	return true
}

func (w *walker) segments(path string) error {
	w.in = "path"
	for i, segment := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		texts, err := unescape([]string{segment}, true)
		if err != nil {
			return shield.Refuse(shield.BadPath, "%v", err)
		}
		if err := w.named("path", strconv.Itoa(i), true, nil, texts[0]); err != nil {
			return err
		}
	}
	return nil
}

func (o *Operation) pathTexts(w *walker, path string) error {
	segments := strings.Split(path, "/")
	if len(segments) != len(o.template) {
		return formFault("path", "")
	}
	for i, segment := range o.template {
		name, ok := variable(segment)
		if !ok {
			continue
		}
		for _, p := range o.parameters {
			if p.in != "path" || p.name != name {
				continue
			}
			v, err := p.parse(segments[i], true)
			if err != nil {
				return formFault("path", join("", name))
			}
			if err := w.named("path", name, true, p.schema.look, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *Operation) queryTexts(w *walker, raw string) error {
	if raw == "" {
		return nil
	}
	q, err := readQuery(raw)
	if err != nil {
		return shield.Refuse(shield.BadQuery, "%v", err)
	}
	for _, p := range o.parameters {
		if p.in != "query" {
			continue
		}
		v, there, err := p.read(q)
		if err != nil {
			return formFault("query", join("", p.name))
		}
		if !there {
			continue
		}
		if err := w.named("query", p.name, true, p.schema.look, v); err != nil {
			return err
		}
	}
	for i, one := range q.pairs {
		if q.used[i] {
			continue
		}
		value, err := plainText(one.raw)
		if err != nil {
			return shield.Refuse(shield.BadQuery, "%v", err)
		}
		if err := w.named("query", one.name, false, nil, value); err != nil {
			return err
		}
	}
	return nil
}

// formFault is a part of a request that cannot be read.
func formFault(in, pointer string) error {
	var f faults
	f.add(in, pointer, "form")
	return f.refusal(shield.InvalidInput)
}

func unreadable(err error) error {
	refusal := shield.Refuse(shield.InvalidInput, "the body: %v", err)
	refusal.Fields = []shield.Field{{In: "body", Rule: "form"}}
	return refusal
}

// texts hands on the texts of a body that is described.
func (b *body) texts(w *walker, r *http.Request, undeclared bool) error {
	if r.ContentLength == 0 || b == nil {
		return nil // there is none: the contract holds that
	}
	name, parameters, refusal := mediaOf(r.Header)
	if refusal != nil {
		return refusal
	}
	m := b.find(name, parameters)
	if m == nil {
		return w.freeBody(r)
	}
	switch {
	case isDrawn(name) && !isReadable(name):
		return w.drawing(r)
	case !isReadable(name):
		return nil
	}
	kept, text, err := plainBody(r)
	if err != nil {
		return err
	}
	w.in = "body"
	switch {
	case name == multipartForm:
		return w.parts(m, parameters["boundary"], text)
	case isXML(name) && (m.element == nil || undeclared):
		return w.xml(text)
	case isJSON(name) && m.schema == nil:
		return w.json(text)
	}
	v := kept.Value()
	if v == nil {
		if v, err = m.read(name, parameters, text); err != nil {
			return unreadable(err)
		}
	}
	return w.value(m.look(), v)
}

func (m *media) look() *look {
	if m.schema == nil {
		return nil
	}
	return m.schema.look
}

// plainBody is the body of a request, which must not be compressed.
func plainBody(r *http.Request) (*shield.Body, []byte, error) {
	if len(r.Header["Content-Encoding"]) > 0 {
		return nil, nil, shield.Refuse(shield.UnsupportedMedia, "a body with a coding cannot be looked at; send it plain")
	}
	kept, err := shield.BodyOf(r)
	if err != nil {
		return nil, nil, err
	}
	text, err := kept.Bytes()
	return kept, text, err
}

// freeBody hands on all texts of a body.
func (w *walker) freeBody(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	name, parameters, refusal := mediaOf(r.Header)
	if refusal != nil {
		return refusal
	}
	if isDrawn(name) {
		return w.drawing(r)
	}
	if !isReadable(name) && !isLines(name) && name != "application/graphql" {
		return w.bytes(r)
	}
	_, text, err := plainBody(r)
	if err != nil {
		return err
	}
	w.in = "body"
	switch {
	case isJSON(name):
		return w.json(text)
	case isLines(name):
		for i, line := range bytes.Split(text, []byte("\n")) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if err := w.within(strconv.Itoa(i), func() error { return w.json(line) }); err != nil {
				return err
			}
		}
		return nil
	case name == form:
		if err := w.disguised(text); err != nil {
			return err
		}
		return w.form(string(text))
	case name == multipartForm:
		return w.parts(nil, parameters["boundary"], text)
	case isXML(name):
		return w.xml(text)
	case !utf8.Valid(text):
		return unreadable(errUTF8)
	}
	if err := w.disguised(text); err != nil {
		return err
	}
	return w.text(string(text))
}

// isLines reports a media type of which each line is JSON.
func isLines(name string) bool {
	return name == "application/x-ndjson" || name == "application/ndjson" || name == "application/jsonl" || name == "application/json-lines"
}

func (w *walker) json(text []byte) error {
	v, err := document(text, true)
	if err != nil {
		return unreadable(err)
	}
	return w.value(nil, v)
}

func (w *walker) form(text string) error {
	if text == "" {
		return nil
	}
	if strings.Count(text, "&") >= maxForm {
		return unreadable(errors.New("too many fields"))
	}
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		if strings.Contains(part, ";") {
			return unreadable(errors.New("a field that some readers take for two"))
		}
		texts, err := plainValues([]string{name, value})
		if err != nil {
			return unreadable(err)
		}
		if err := w.named("body", texts[0], false, nil, texts[1]); err != nil {
			return err
		}
	}
	return nil
}

// parts hands on names, names of files and texts of a multipart body. What is in files is not
// looked at. A part without a file's name is a field for whoever reads it, of whatever media type
// it says it is; bytes are in it only where that is described.
func (w *walker) parts(m *media, boundary string, text []byte) error {
	all, err := splitParts(boundary, text)
	if err != nil {
		return unreadable(err)
	}
	w.in = "body"
	for _, p := range all {
		var l *look
		declared := false
		if m != nil {
			l, declared = m.look().property(p.name)
		}
		var v any
		isText := p.media == "" || strings.HasPrefix(p.media, "text/")
		switch {
		case p.file:
			l, v = nil, p.fileName
			if p.isDrawing() {
				if err := w.within(p.name, func() error { return w.xml(withoutMark(p.content)) }); err != nil {
					return err
				}
			}
		case isJSON(p.media):
			if v, err = document(p.content, true); err != nil {
				return unreadable(err)
			}
		case declared && m.isFile(p.name) && !(isText && utf8.Valid(p.content)):
		case isText && !utf8.Valid(p.content):
			return unreadable(errUTF8)
		default:
			if v, err = m.part(p); err != nil {
				return unreadable(err)
			}
			if l != nil && l.list { // of entries that stand in a part each
				l = l.entry()
			}
		}
		if err := w.named("body", p.name, declared, l, v); err != nil {
			return err
		}
	}
	return nil
}

// isFile reports whether a part is described as bytes, or as one entry of a list of them.
func (m *media) isFile(name string) bool {
	s := m.shape.property(name)
	if s.is("array") {
		return s.items == nil || s.items.file
	}
	return s.file
}

// part is what a part that is no file is read as.
func (m *media) part(p formPart) (any, error) {
	if m != nil && m.shape.property(p.name).is("object") {
		return document(p.content, m.large)
	}
	return strings.ToValidUTF8(string(p.content), "\uFFFD"), nil
}

// xml hands on the texts and attributes of a body in XML, and the whole of it where a browser
// would run it.
func (w *walker) xml(text []byte) error {
	if _, err := (&media{}).xml(text); err != nil {
		return unreadable(err)
	}
	tokens := xml.NewDecoder(bytes.NewReader(text))
	var held []byte // of a text, which comments and CDATA cut into pieces
	flush := func() error {
		err := w.text(string(bytes.TrimSpace(held)))
		held = held[:0]
		return err
	}
	depth, whole := len(w.names), markup{}
	for {
		token, err := tokens.RawToken()
		if errors.Is(err, io.EOF) {
			if whole.runs {
				return w.text(string(whole.text))
			}
			return nil
		}
		if err != nil {
			return unreadable(errXML) // it has been read before
		}
		switch t := token.(type) {
		case xml.CharData:
			held, whole.text = append(held, t...), append(whole.text, t...)
		case xml.StartElement:
			if err := flush(); err != nil {
				return err
			}
			whole.begin(t)
			w.names = append(w.names, t.Name.Local)
			for _, a := range t.Attr {
				if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
					continue
				}
				if err := w.named("body", a.Name.Local, true, nil, a.Value); err != nil {
					return err
				}
			}
		case xml.EndElement:
			if err := flush(); err != nil {
				return err
			}
			whole.end(t)
			w.names = w.names[:max(depth, len(w.names)-1)]
		}
	}
}
