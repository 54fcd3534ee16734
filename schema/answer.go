package schema

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/shield"
)

// Answers are what an operation may answer, compiled. They are safe for concurrent use.
type Answers struct {
	byStatus map[string]*response // "200", "2XX", "default"
	veils    []*veil              // of all JSON bodies
	scopes   []string
	spares   bool
}

// response is what may be answered with a status.
type response struct {
	headers []*parameter // that are declared; others may be there
	body    *body        // nil: none
}

// Answers compiles the answers of the operation for an endpoint's pattern. Statuses, media
// types and properties that are not declared are faults of an answer, and so are properties
// that are writeOnly.
func (d *Document) Answers(pattern string) (*Answers, error) {
	p, err := d.find(pattern)
	if err != nil {
		return nil, err
	}
	d.compiling.Lock()
	defer d.compiling.Unlock()
	if d.answers == nil { // the same document, read the other way
		other := *d.dialect
		other.withheld = "writeOnly"
		d.answers = &Document{name: d.name, options: d.options, tree: d.tree, dialect: &other, places: d.places, compiler: newCompiler(&other)}
	}
	return d.answers.answersOf(p)
}

func (d *Document) answersOf(p place) (*Answers, error) {
	_, at, err := d.tree.follow(p.item)
	if err != nil {
		return nil, d.fault(p.item, "%v", err)
	}
	pointer := join(at, p.method, "responses")
	raw, _ := d.tree.at(pointer)
	described, ok := raw.(map[string]any)
	if !ok || len(described) == 0 {
		return nil, d.fault(join(at, p.method), "the operation declares no responses, so that no answer could be held to them")
	}
	a := &Answers{byStatus: map[string]*response{}}
	for _, status := range slices.Sorted(maps.Keys(described)) {
		if strings.HasPrefix(status, "x-") {
			continue
		}
		name := strings.ToUpper(status)
		if !isStatus(name) {
			return nil, d.fault(join(pointer, status), "%q is no status: write 200, 2XX or default", status)
		}
		if a.byStatus[name], err = d.responseAt(a, join(pointer, status)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// isStatus reports whether a text is a status, a range of them, or default.
func isStatus(name string) bool {
	if name == "DEFAULT" {
		return true
	}
	return len(name) == 3 && name[0] >= '1' && name[0] <= '5' && (name[1:] == "XX" || name[1] >= '0' && name[1] <= '9' && name[2] >= '0' && name[2] <= '9')
}

func (d *Document) responseAt(a *Answers, pointer string) (*response, error) {
	described, pointer, err := d.tree.follow(pointer)
	if err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	if err := d.words(pointer, described, "description", "summary", "headers", "content", "links"); err != nil {
		return nil, err
	}
	r := &response{}
	headers, _ := described["headers"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		h, err := d.headerAt(join(pointer, "headers", name), name)
		if err != nil {
			return nil, err
		}
		if h != nil {
			r.headers = append(r.headers, h)
		}
	}
	content, _ := described["content"].(map[string]any)
	if len(content) == 0 {
		return r, nil
	}
	if r.body, err = d.contentAt(pointer, content); err != nil {
		return nil, err
	}
	return r, d.cover(a, r.body, pointer, content)
}

// headerAt compiles a header: a parameter whose name and place are known (OpenAPI 3.1
// §4.8.21).
func (d *Document) headerAt(pointer, name string) (*parameter, error) {
	described, pointer, err := d.tree.follow(pointer)
	if err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	named := maps.Clone(described)
	named["name"], named["in"] = name, "header"
	return d.parameter(pointer, named)
}

// of is what is declared for a status, nil if nothing is. 304 stands for the answer that a
// conditional request would have got (RFC 9110 §15.4.5).
func (a *Answers) of(r *http.Request, status int) *response {
	text := strconv.Itoa(status)
	for _, name := range []string{text, text[:1] + "XX", "DEFAULT"} {
		if found := a.byStatus[name]; found != nil {
			return found
		}
	}
	if status == http.StatusNotModified && (r.Header["If-None-Match"] != nil || r.Header["If-Modified-Since"] != nil) {
		return &response{}
	}
	return nil
}

// Judge holds an answer to the description. If it breaks it, the error is a *shield.Refusal of
// the code [shield.BadAnswer], whose fields say where, and hold no value.
func (a *Answers) Judge(r *http.Request, status int, h http.Header, body []byte) error {
	f, _ := a.judge(r, status, h, body)
	return f.refusal(shield.BadAnswer)
}

// Passes reports whether an answer may be sent as it comes: its head is as declared, and its
// body of a media type that is declared, but not held to a schema.
func (a *Answers) Passes(r *http.Request, status int, h http.Header) bool {
	declared := a.of(r, status)
	if declared == nil || declared.body == nil {
		return false
	}
	name, parameters, refusal := mediaOf(h)
	if refusal != nil {
		return false
	}
	m := declared.body.find(name, parameters)
	if m == nil || m.isJudged(name) {
		return false
	}
	var f faults
	declared.checkHeaders(&f, h)
	return len(f) == 0
}

// judge returns what is wrong with an answer, and the paths of those properties of its body
// that are not declared.
func (a *Answers) judge(r *http.Request, status int, h http.Header, body []byte) (f faults, strangers [][]string) {
	declared := a.of(r, status)
	if declared == nil {
		f.add("status", join("", strconv.Itoa(status)), undeclared)
		return f, nil
	}
	declared.checkHeaders(&f, h)
	if !mayHaveBody(r, status) {
		return f, nil
	}
	switch {
	case declared.body == nil && len(body) == 0:
		return f, nil
	case declared.body == nil:
		f.add("body", "", undeclared)
		return f, nil
	case len(body) == 0:
		f.add("body", "", "required")
		return f, nil
	}
	name, parameters, refusal := mediaOf(h)
	if refusal != nil {
		f.add("header", "/Content-Type", "form")
		return f, nil
	}
	m := declared.body.find(name, parameters)
	if m == nil {
		f.add("header", "/Content-Type", undeclared)
		return f, nil
	}
	if !m.isJudged(name) {
		return f, nil
	}
	if h["Content-Encoding"] != nil {
		f.add("header", "/Content-Encoding", undeclared)
		return f, nil
	}
	v, err := m.read(name, parameters, body)
	if err != nil {
		f.add("body", "", "form")
		return f, nil
	}
	return f, f.weigh(m.schema, v)
}

// mayHaveBody reports whether an answer has a body that says something (RFC 9110 §6.4.1).
func mayHaveBody(r *http.Request, status int) bool {
	return r.Method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (r *response) checkHeaders(f *faults, h http.Header) {
	for _, p := range r.headers {
		f.header(p, h[p.name])
	}
}
