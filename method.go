package pavise

import (
	"net/http"
	"strings"

	"pavise.dev/pavise/shield"
)

// Many frameworks (Rails, Laravel, Symfony) take a POST for the method that its parameter _method
// names. Scopes are of a method: whoever may POST would DELETE. So such a parameter is refused, in
// the query, and in a form that somebody reads anyway.

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

// checkForm refuses a form that names the method.
func (x *exchange) checkForm() error {
	if x.request.Method != http.MethodPost || x.endpoint.api.Lenient.InsecureMethodParameter {
		return nil
	}
	for name := range shield.FormOf(x.request) {
		if isMethodParameter(name) {
			refusal := shield.Refuse(shield.InvalidInput, "the form has a parameter that some services take for the method")
			refusal.Fields = []shield.Field{{In: "body", Pointer: "/" + methodParameter, Rule: "undeclared"}}
			return refusal
		}
	}
	return nil
}
