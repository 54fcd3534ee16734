package foreign

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// verbose provokes errors, and looks at what they say.
func (p *planner) verbose() {
	p.withGood("stack-trace", func(o *operation) bool { return o.method != "DELETE" && len(o.parameters)+len(o.media) > 0 }, (*try).provoke)
	p.add("stack-trace", "no such path", 0, (*try).provokeAnywhere)
}

// provoked are requests that a service should refuse, each with what it is.
type provoked struct {
	d    *draft
	what string
}

// provoke sends what is malformed, of the wrong type, too long, or no text.
func (t *try) provoke(o *operation, g *good) error {
	told := map[string]bool{}
	for _, one := range provocations(g.d) {
		a, err := t.send(t.w.caller(), one.d)
		if err != nil {
			if t.ctx.Err() != nil || t.refused != nil {
				return err
			}
			continue
		}
		if err := t.judge(o, g, one, a, told); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at an answer, once for each kind of fault.
func (t *try) judge(o *operation, g *good, one provoked, a *attack.Answer, told map[string]bool) error {
	rule, what := "", ""
	switch {
	case t.w.forms.traceIn(a) != "" && t.w.forms.traceIn(g.a) == "":
		rule, what = "stack-trace", t.w.forms.traceIn(a)
	case t.w.forms.database.Match(beginning(a)) && !t.w.forms.database.Match(beginning(g.a)) && !t.w.injected[o.String()]: // else it is told already
		rule, what = "database-error", "what a database said"
	case a.Status >= 500 && a.Status != 501 && a.Status != 503 && a.Status != 505:
		if !told["server-error"] {
			told["server-error"] = true
			return t.crashed(o, t.w.caller(), one.d, one.what)
		}
	}
	if rule == "" || told[rule] {
		return nil
	}
	again, err := t.send(t.w.caller(), one.d)
	if err != nil || t.w.forms.traceIn(again) == "" && !t.w.forms.database.Match(beginning(again)) {
		return err
	}
	told[rule] = true
	t.s.Under(ruleOf(rule), func(s *attack.Session) {
		s.Found(o.String(), again, "it answers %d with %s, to %s", again.Status, what, one.what)
	})
	return nil
}

// crashed sees a failure a second time.
func (t *try) crashed(o *operation, u *attack.User, d *draft, what string) error {
	a, err := t.send(u, d)
	if err != nil || a.Status < 500 {
		return err
	}
	t.s.Under(ruleOf("server-error"), func(s *attack.Session) { s.Found(o.String(), a, "it answers %d to %s", a.Status, what) })
	return nil
}

func provocations(d *draft) (all []provoked) {
	add := func(what string, change func(d *draft)) {
		other := d.clone()
		change(other)
		all = append(all, provoked{other, what})
	}
	if isJSONType(d.media) {
		for what, body := range map[string]string{
			"JSON that breaks off": `{"`, "a list in the place of an object": `[]`, "null in the place of an object": `null`, "a text in the place of an object": `"x"`, "no body": ``, "bytes that are no text": "{\"a\":\"\xff\xfe\"}",
			"a huge number": `{"a":1e999}`,
		} {
			add(what, func(d *draft) { d.text = []byte(body) })
		}
	}
	slots := d.slots()
	for _, s := range slots[:min(len(slots), 12)] {
		values := map[string]any{"a quote": "'\"", "a long text": strings.Repeat("A", 5000), "a negative number": "-1", "a huge number": "99999999999999999999", "a percent sign": "%s%n%x"}
		if s.in == "body" {
			maps.Copy(values, map[string]any{"an object": map[string]any{"a": "b"}, "a list": []any{}, "null": nil, "a number": 7})
		}
		if s.in == "query" || s.in == "path" {
			values["a NUL"] = "\x00"
			values["bytes that are no text"] = "\xff\xfe"
		}
		for what, v := range values {
			add(fmt.Sprintf("%s in %s", what, s), func(d *draft) { s.set(d, v) })
		}
	}
	slices.SortFunc(all, func(a, b provoked) int { return strings.Compare(a.what, b.what) })
	return all
}

// provokeAnywhere asks for what there is not.
func (t *try) provokeAnywhere() error {
	for _, path := range []string{"/" + nonsense(), "/%ff%fe" + nonsense()} {
		a, err := t.get(t.w.caller(), path)
		if err != nil {
			return err
		}
		if what := t.w.forms.traceIn(a); what != "" {
			t.s.Found("GET "+path, a, "it answers %d with %s", a.Status, what)
			return nil
		}
	}
	return nil
}
