package config

import (
	"fmt"

	"pavise.dev/pavise/sanitise"
)

// Sanitise is what is done to some fields of the input.
type Sanitise struct {
	Field  string `yaml:"field" doc:"What is cleaned: body, body with a JSON pointer, query, or query with a name. * stands for each member or entry, ** at the end of a pointer for whatever is inside." hint:"write body /comment, body /lines/*/note, query q, or query for every parameter" pattern:"^(body|query)( .+)?$" required:"yes"`
	Do     Words  `yaml:"do" doc:"The steps, over and over until nothing changes any more. strip_undeclared stands alone, for body or query as a whole." enum:"trim,controls,invisible,nfc,nfkc,confusables,decode,text,html,encode,strip_undeclared" required:"yes"`
	Refuse bool   `yaml:"refuse" doc:"Where a step would change something, refuse the request instead."`
	Pos    Pos    `yaml:"-"`
}

// Rule is it as the package sanitise wants it.
func (s Sanitise) Rule() sanitise.Rule {
	return sanitise.Rule{Field: s.Field, Do: s.Do, Refuse: s.Refuse}
}

// checkSanitise refuses rules that contradict themselves, and stripping where nothing says what
// is declared, or lets it pass. Whether the description has a field is seen where that is read.
func (r *resolver) checkSanitise(path string, rules []Sanitise, described *OpenAPI, bodies *BodySchema) {
	for i, rule := range rules {
		own := fmt.Sprintf("%s.sanitise.%d", path, i)
		if rule.Field == "" || len(rule.Do) == 0 {
			continue // told where it was read
		}
		if err := rule.Rule().Validate(); err != nil {
			r.at(own, "", "%v", err)
			continue
		}
		switch {
		case rule.Do[0] != sanitise.StripUndeclared:
		case described == nil && bodies == nil:
			r.at(own, "describe the API: openapi: orders.openapi.yaml", "no description says what is declared")
		case described != nil && described.Undeclared != "", bodies != nil && bodies.Undeclared != "":
			r.at(own, "remove insecure_undeclared there: what is undeclared is then taken away, not refused", "the description lets pass what it does not declare")
		}
	}
}
