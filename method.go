package pavise

import (
	"bytes"
	"encoding/json"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"pavise.dev/pavise/shield"
)

// Many frameworks (Rails, Laravel, Symfony) take a POST for the method that its parameter _method
// names; Laravel finds it in JSON too. Scopes are of a method: whoever may POST would DELETE. So
// such a parameter is refused, in the query, and in a form or an object that somebody reads anyway.

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
// a name away, and puts an underscore in the place of a dot, a blank or a bracket.
func isMethodParameter(name string) bool {
	name = strings.TrimLeft(name, " ")
	return len(name) == len(methodParameter) && strings.IndexByte("_.[", name[0]) >= 0 && strings.EqualFold(name[1:], methodParameter[1:])
}

// checkForm refuses a body that names the method, as far as it is looked at before the layers.
func (x *exchange) checkForm() error {
	body, names := x.naming()
	if names == nil {
		return nil
	}
	text, err := x.beginning(body)
	if err != nil || !names(text) {
		return err
	}
	return namesMethod()
}

// checkLongForm is checkForm for what is longer, if a layer has read all of it.
func (x *exchange) checkLongForm() error {
	if n := x.request.ContentLength; n >= 0 && n <= maxLooked {
		return nil
	}
	body, names := x.naming()
	if names == nil || !body.Rewind() {
		return nil
	}
	if text, err := body.Bytes(); err != nil || !names(text) {
		return err
	}
	return namesMethod()
}

func namesMethod() error {
	refusal := shield.Refuse(shield.InvalidInput, "the body has a parameter that some services take for the method")
	refusal.Fields = []shield.Field{{In: "body", Pointer: "/" + methodParameter, Rule: "undeclared"}}
	return refusal
}

// naming returns the body and what finds the parameter in it; nil if services look for none there, or
// nobody reads it.
func (x *exchange) naming() (*shield.Body, func([]byte) bool) {
	r := x.request
	body, ok := r.Body.(*shield.Body)
	if !ok || r.Method != http.MethodPost || r.ContentLength == 0 || x.endpoint.api.Lenient.InsecureMethodParameter {
		return nil, nil
	}
	return body, namesOf(typeOf(r.Header.Get("Content-Type")))
}

// typeOf reads a Content-Type as the most lenient of services do: PHP's ends at a comma or a blank too,
// and what follows may be anything.
func typeOf(text string) (media, boundary string) {
	if media, parameters, err := mime.ParseMediaType(text); err == nil {
		return media, parameters["boundary"]
	}
	const parameter = "boundary="
	for i := range len(text) {
		if rest := text[i:]; len(rest) > len(parameter) && strings.EqualFold(rest[:len(parameter)], parameter) {
			rest = rest[len(parameter):]
			boundary = strings.Trim(rest[:strings.IndexAny(rest+";", ";,")], `" `)
			break
		}
	}
	return strings.ToLower(text[:strings.IndexAny(text+";", ";, \t")]), boundary
}

// How much is read for this alone, in bytes: of a form, and of any body that a layer may read.
const (
	maxForm   = 64 << 10
	maxLooked = 1 << 20
)

// beginning returns what a shield has read, a short form, and the beginning of what a layer may read.
// A stream stays one.
func (x *exchange) beginning(body *shield.Body) ([]byte, error) {
	n, most := x.request.ContentLength, min(x.endpoint.body, maxLooked)
	switch {
	case body.Rewind(), n > 0 && n <= most && (x.endpoint.layered || n <= maxForm):
		return body.Bytes()
	case x.endpoint.layered:
		return body.Peek(int(most))
	}
	return nil, nil
}

const formMedia = "application/x-www-form-urlencoded"

// namesOf returns what finds the parameter in a body of a media type; nil: services look for none there.
func namesOf(media, boundary string) func([]byte) bool {
	switch {
	case media == formMedia:
		return formNamesMethod
	case media == "multipart/form-data" && boundary != "":
		return func(text []byte) bool { return partNamesMethod(text, boundary) }
	case strings.Contains(media, "/json"), strings.Contains(media, "+json"):
		return memberNamesMethod
	}
	return nil
}

// formNamesMethod looks at each pair by itself: what is broken elsewhere hides nothing.
func formNamesMethod(text []byte) bool {
	for pair := range bytes.SplitSeq(text, []byte("&")) {
		name, _, _ := bytes.Cut(pair, []byte("="))
		if len(name) > 3*len(methodParameter)+maxBlanks {
			continue
		}
		if plain, err := url.QueryUnescape(string(name)); err == nil && isMethodParameter(plain) {
			return true
		}
	}
	return false
}

// maxBlanks is how many bytes of blanks before the parameter are thought of.
const maxBlanks = 1 << 10

// maxParts is how many parts of a form are looked at: more are no form that a person filled in.
const maxParts = 1000

func partNamesMethod(text []byte, boundary string) bool {
	form := multipart.NewReader(bytes.NewReader(text), boundary)
	for range maxParts {
		part, err := form.NextRawPart()
		if err != nil {
			return false // the end, or of what was read
		}
		if isMethodParameter(part.FormName()) {
			return true
		}
	}
	return false
}

// memberNamesMethod looks for the member of an object, however it is escaped.
func memberNamesMethod(text []byte) bool {
	if !bytes.Contains(text, []byte(methodParameter)) && !bytes.Contains(text, []byte(`\u`)) {
		return false // as nearly all
	}
	object := json.NewDecoder(bytes.NewReader(text))
	if open, err := object.Token(); err != nil || open != json.Delim('{') {
		return false
	}
	for object.More() {
		name, err := object.Token()
		if err != nil {
			return false
		}
		if name == methodParameter {
			return true
		}
		var value json.RawMessage
		if object.Decode(&value) != nil {
			return false
		}
	}
	return false
}
