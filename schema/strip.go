package schema

import (
	"errors"
	"net/http"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"pavise.dev/pavise/internal/jsonedit"
	"pavise.dev/pavise/shield"
)

// weigh adds what a schema has against a body, and returns the paths of what is not declared.
func (f *faults) weigh(r *rule, v any) (strangers [][]string) {
	if r == nil {
		return nil
	}
	err := r.ask(v)
	wrong, ok := errors.AsType[*jsonschema.ValidationError](err)
	switch {
	case err == nil:
	case ok:
		leaves(wrong, func(at []string, rule string) {
			f.add("body", join("", at...), rule)
			if rule == undeclared {
				strangers = append(strangers, at)
			} else {
				strangers = append(strangers, nil) // something that cannot be taken out
			}
		})
	default:
		f.add("body", "", "schema")
	}
	return strangers
}

// maxStrips is how often properties are taken out: some come to light when others are gone.
const maxStrips = 8

// Strip takes out of an answer in JSON what is not declared, and returns how much that was.
// What remains keeps every byte. Whatever else breaks the description is refused as by
// [Answers.Judge].
func (a *Answers) Strip(r *http.Request, status int, h http.Header, body []byte) (clean []byte, taken int, err error) {
	for range maxStrips {
		f, strangers := a.judge(r, status, h, body)
		if len(f) == 0 {
			return body, taken, nil
		}
		name, _, _ := mediaOf(h)
		tree, err := jsonedit.Parse(body)
		if err != nil || !isJSON(name) || len(strangers) == 0 || len(f) != min(len(strangers), maxFaults) {
			return nil, 0, f.refusal(shield.BadAnswer)
		}
		var edits jsonedit.Edits
		nodes := tree.FindAll(strangers)
		for i, path := range strangers {
			if len(path) == 0 || nodes[i] < 0 {
				return nil, 0, f.refusal(shield.BadAnswer)
			}
		}
		tree.Remove(&edits, nodes...)
		body, taken = edits.Apply(body), taken+len(nodes)
	}
	return nil, 0, a.Judge(r, status, h, body)
}
