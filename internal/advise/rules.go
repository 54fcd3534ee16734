package advise

import (
	"strings"
)

// Rule is a row of the tables, for people and programs that want to see all of them.
type Rule struct {
	ID     string `json:"rule"`
	About  string `json:"about"` // shield, unfit, layer, risk or guess
	When   string `json:"when"`
	Then   string `json:"then"`
	Why    string `json:"why"`
	Source string `json:"source,omitempty"`
}

// Rules lists every row, in the order in which they are asked.
func Rules() (all []Rule) {
	for _, d := range demands() {
		all = append(all, Rule{d.ID, "shield", when(d.Callers, d.Person, d.Data, d.Harm, false), d.Wants.String(), d.Why, d.Source})
	}
	for _, u := range unfits() {
		all = append(all, Rule{u.ID, "unfit", when(u.Callers, false, "", "", false), "not " + strings.Join(u.Kinds, ", "), u.Why, u.Source})
	}
	for _, l := range layerRules() {
		then := l.Name
		if l.Setting != "" {
			then += ": " + l.Setting
		}
		all = append(all, Rule{l.Rule, "layer", when(nil, false, l.Data, l.Harm, l.Either), then, l.Why, l.Source})
	}
	for _, r := range riskRules() {
		then := ""
		if r.Lacks != 0 {
			then = "without " + r.Lacks.String()
		}
		all = append(all, Rule{r.Rule, "risk", when(nil, false, r.Data, r.Harm, false), then, r.What + "; " + r.Do, ""})
	}
	for _, g := range guessRules() {
		then := string(g.Data) + string(g.Harm)
		for i, c := range g.Callers {
			if i > 0 {
				then += ", "
			}
			then += string(c)
		}
		words := ""
		if len(g.Words) > 0 {
			words = "path: " + strings.Join(g.Words, ", ")
		}
		all = append(all, Rule{g.ID, "guess", words, then, g.Why, ""})
	}
	return all
}

// when tells in words when a row holds.
func when(callers []Caller, person bool, data Data, harm Harm, either bool) string {
	var all []string
	if callers != nil {
		all = append(all, who(callers))
	}
	if person {
		all = append(all, "for a person")
	}
	var from []string
	if data != "" {
		from = append(from, string(data)+" data or more")
	}
	if harm != "" {
		from = append(from, string(harm)+" or worse")
	}
	between := ", "
	if either {
		between = " or "
	}
	if len(from) > 0 {
		all = append(all, strings.Join(from, between))
	}
	if len(all) == 0 {
		return "always"
	}
	return strings.Join(all, "; ")
}
