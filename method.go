package pavise

import (
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// Many frameworks (Rails, Laravel, Symfony) take a POST for the method that its parameter _method
// names. Scopes are of a method: whoever may POST would DELETE. So such a parameter is refused: in
// the query, in forms, and in JSON. A body that a layer reads is looked through before anything is
// sent; any other on its way to the service.

const methodParameter = "_method"

// overridesQuery reports whether a query names the method.
func overridesQuery(r *http.Request) bool {
	if r.Method != http.MethodPost || r.URL.RawQuery == "" {
		return false
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if isMethodParameter(string(unescape(strings.ReplaceAll(name, "+", " ")))) {
			return true
		}
	}
	return false
}

// isMethodParameter reports whether some reader takes a name for _method: PHP leaves blanks before
// a name away, puts an underscore in the place of a dot, a blank or a bracket, and ends a name at a NUL.
func isMethodParameter(name string) bool {
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	return len(name) == len(methodParameter) && strings.IndexByte("_.[", name[0]) >= 0 && strings.EqualFold(name[1:], methodParameter[1:])
}

// bodyScans are how a body is read by services that take parameters out of it: by what its Content-Type
// holds, wherever it stands there, as they look for no more (PHP ends a media type at a comma or a blank,
// Laravel looks for "/json" in the whole field). Without one, Rack reads a form.
func bodyScans(contentType string) (scans []scan) {
	field := strings.ToLower(contentType)
	if field == "" || strings.Contains(field, "x-www-form-urlencoded") {
		scans = append(scans, &formScan{})
	}
	if strings.Contains(field, "multipart/") {
		scans = append(scans, &partScan{before: '\n'})
	}
	if strings.Contains(field, "json") {
		scans = append(scans, &jsonScan{})
	}
	return scans
}

// checkBody refuses a body that names the method, if a layer has read it, and else has it looked through
// when it is handed on.
func (x *exchange) checkBody() error {
	r := x.request
	x.scans = nil
	if r.Method != http.MethodPost || r.Body == nil || r.Body == http.NoBody || x.endpoint.api.Lenient.InsecureMethodParameter {
		return nil
	}
	scans := bodyScans(r.Header.Get("Content-Type"))
	if len(scans) == 0 {
		return nil
	}
	shield.FormOf(r) // reads a short one
	body, ok := r.Body.(*shield.Body)
	if !ok {
		x.scans = scans
		return nil
	}
	text, kept := body.Kept()
	if !kept {
		x.scans = scans
		return nil
	}
	for _, each := range scans {
		if _, found := each.next(text, true); found {
			return methodNamed()
		}
	}
	return nil
}

func methodNamed() error {
	refusal := shield.Refuse(shield.InvalidInput, "the body has a parameter that some services take for the method")
	refusal.Fields = []shield.Field{{In: "body", Pointer: "/" + methodParameter, Rule: "undeclared"}}
	return refusal
}

// scanBody has a body looked through on its way.
func (x *exchange) scanBody() {
	if len(x.scans) > 0 {
		x.request.Body = &scanned{ReadCloser: x.request.Body, scans: x.scans, at: make([]int, len(x.scans)), found: methodNamed()}
	}
}
