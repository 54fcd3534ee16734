package cedar

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// SyntaxError says where a condition or a policy file is no Cedar.
type SyntaxError struct {
	File         string // empty: the condition
	Line, Column int    // from 1, columns in characters; 0: somewhere
	Message      string
}

// Error names the place as file:line:column.
func (e *SyntaxError) Error() string {
	where := "condition"
	if e.File != "" {
		where = "policy file " + e.File
	}
	if e.Line > 0 {
		where += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	return where + ": " + e.Message
}

// policy is a compiled policy beside its public JSON form, in which it is looked
// at.
type policy struct {
	compiled *cedar.Policy
	form     form
}

type form struct {
	Annotations map[string]string `json:"annotations"`
	Action      scope             `json:"action"`
	Resource    scope             `json:"resource"`
	Conditions  []any             `json:"conditions"`
}

// scope is what a policy's head says about action or resource.
type scope struct {
	Op         string       `json:"op"`
	Entity     *entityName  `json:"entity"`
	Entities   []entityName `json:"entities"`
	EntityType string       `json:"entity_type"`
	In         *struct {
		Entity entityName `json:"entity"`
	} `json:"in"`
}

type entityName struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

func (e entityName) is(uid types.EntityUID) bool {
	return e.Type == string(uid.Type) && e.ID == string(uid.ID)
}

// compileCondition makes a policy of one expression. What would end the expression
// and begin something else is refused.
func compileCondition(expression string) (policy, error) {
	const head, tail = "permit(principal, action, resource) when {\n", "\n};"
	list, err := compile("", head+expression+tail, 1)
	if err != nil {
		return policy{}, err
	}
	if len(list) != 1 || len(list[0].form.Conditions) != 1 {
		return policy{}, &SyntaxError{Message: "it holds more than one expression of Cedar; join them with &&"}
	}
	return list[0], nil
}

func compileFile(file File) ([]policy, error) {
	list, err := compile(file.Name, file.Text, 0)
	if err == nil && len(list) == 0 {
		err = &SyntaxError{File: file.Name, Message: "it holds no policy"}
	}
	return list, err
}

// compile reads a text whose first lines, added by us, do not count for positions.
func compile(name, text string, added int) ([]policy, error) {
	list, err := cedar.NewPolicyListFromBytes(name, []byte(text))
	if err != nil {
		return nil, syntaxError(name, err, added, text)
	}
	policies := make([]policy, 0, len(list))
	for _, compiled := range list {
		p := policy{compiled: compiled}
		text, err := compiled.MarshalJSON()
		if err == nil {
			err = json.Unmarshal(text, &p.form)
		}
		if err != nil {
			return nil, fmt.Errorf("look at a policy of %s: %w", name, err)
		}
		policies = append(policies, p)
	}
	return policies, nil
}

var place = regexp.MustCompile(`^(?:parser error: )?(?:parse error at )?<input>:(\d+):(\d+):? `)

// syntaxError reads the place out of Cedar's message.
func syntaxError(name string, err error, added int, text string) *SyntaxError {
	e := &SyntaxError{File: name, Message: strings.TrimPrefix(err.Error(), "parser error: ")}
	m := place.FindStringSubmatch(err.Error())
	if m == nil {
		return e
	}
	e.Message = "near " + err.Error()[len(m[0]):]
	e.Line, _ = strconv.Atoi(m[1]) // digits, as the pattern says
	e.Column, _ = strconv.Atoi(m[2])
	e.Line -= added
	if lines := strings.Count(text, "\n") + 1 - 2*added; e.Line > lines || e.Line < 1 {
		e.Line, e.Column = 0, 0 // in what was added: the expression does not end
		e.Message = "it is not one whole expression of Cedar, such as principal.tenant == context.body.tenant"
	}
	return e
}

// mayApply reports whether the head of the policy lets it apply to the endpoint.
// Only heads that never do are told apart; Cedar itself judges all others.
func (p policy) mayApply(action, resource, api types.EntityUID) bool {
	return p.form.Action.mayBe(action) && p.form.Resource.mayBe(resource, api)
}

func (s scope) mayBe(uids ...types.EntityUID) bool {
	among := func(e entityName) bool { return slices.ContainsFunc(uids, e.is) }
	switch {
	case s.Op == "==" && s.Entity != nil:
		return s.Entity.is(uids[0])
	case s.Op == "in" && s.Entity != nil:
		return among(*s.Entity)
	case s.Op == "in" && len(s.Entities) > 0:
		return slices.ContainsFunc(s.Entities, among)
	case s.Op == "is":
		return s.EntityType == string(uids[0].Type) && (s.In == nil || among(s.In.Entity))
	}
	return true
}
