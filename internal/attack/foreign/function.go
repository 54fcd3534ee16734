package foreign

import (
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// isAdministrative reports whether an operation is meant for administrators: by its path, tags,
// name, summary, or the scopes that it demands.
func (o *operation) isAdministrative() bool {
	for _, word := range strings.FieldsFunc(strings.ReplaceAll(words(o.about), "_", " "), func(r rune) bool { return strings.ContainsRune(" /:.-{}", r) }) {
		if slices.Contains([]string{"admin", "admins", "administrator", "administrators", "administration", "internal", "superuser", "backoffice", "operator", "staff"}, word) {
			return true
		}
	}
	return false
}

// functions calls what is not for ordinary users, and methods that nobody declared.
func (p *planner) functions() {
	p.each("function-level", func(o *operation) bool { return o.protected && o.isAdministrative() && len(p.w.users) > 0 }, (*try).asOrdinary)
	seen := map[string]bool{}
	for _, o := range p.w.ops {
		if seen[o.path] {
			continue
		}
		seen[o.path] = true
		for _, method := range []string{"PUT", "PATCH", "POST", "DELETE"} {
			if p.declares(o.path, method) {
				continue
			}
			demands := attack.Writes
			if method == "DELETE" {
				demands = attack.Destroys
			}
			p.add("undeclared-method", method+" "+o.path, demands, func(t *try) error { return t.undeclared(o, method) })
		}
	}
	p.withGood("method-override", func(o *operation) bool { return o.method == "GET" }, (*try).override)
}

func (p *planner) declares(path, method string) bool {
	return slices.ContainsFunc(p.w.ops, func(o *operation) bool { return o.path == path && o.method == method })
}

func (t *try) asOrdinary(o *operation) error {
	u := t.w.caller()
	var d *draft
	if t.w.admin != nil {
		g, err := t.good(o, t.w.admin)
		if err != nil {
			return err
		}
		d = g.d
	} else {
		d, _ = t.draft(o, u, 0)
	}
	a, err := t.send(u, d)
	if err != nil || !ok(a) {
		return err
	}
	nobody, err := t.send(nil, d)
	if err != nil || ok(nobody) {
		return err // anybody may: another rule's
	}
	again, err := t.send(u, d)
	if err == nil && ok(again) {
		t.found(o, again, "it answers %d to %s, who is no administrator", again.Status, u.Name)
	}
	return err
}

// undeclared sends a method that the document does not have. A server that carries out a method which
// there cannot be does not look at methods.
func (t *try) undeclared(o *operation, method string) error {
	u := t.w.caller()
	d, _ := t.draft(o, u, 0)
	d.method, d.op = method, o
	if method == "DELETE" {
		p, value, err := t.fresh(o, u)
		if err != nil {
			return err
		}
		if value == "" {
			return attack.ErrNotHere // a path without an object, or with one that was there, is left alone
		}
		d = d.named(p, value)
	}
	if method != "DELETE" && d.body == nil {
		d.media, d.body = "application/json", map[string]any{}
	}
	for _, other := range []string{"PAVISE", "REPORT"} { // many servers refuse what is no method before anybody looks
		control := d.clone()
		control.method = other
		c, err := t.send(u, control)
		if err != nil || ok(c) {
			return err
		}
	}
	a, err := t.send(u, d)
	if err != nil || !ok(a) {
		return err
	}
	t.s.Found(method+" "+o.path, a, "it answers %d; the document declares no %s here", a.Status, method)
	return nil
}

// override asks for a method that there is not: where that is refused as such, it was believed.
func (t *try) override(o *operation, g *good) error {
	asked := func(change func(d *draft, method string)) (bool, error) {
		d := g.d.clone()
		change(d, "PAVISE")
		a, err := t.send(t.w.caller(), d)
		if err != nil || a.Status != 405 && a.Status != 501 {
			return false, err
		}
		control := g.d.clone()
		change(control, "GET")
		if c, err := t.send(t.w.caller(), control); err != nil || !ok(c) {
			return false, err
		}
		t.found(o, a, "it answers %d to a GET that says it is another method, and %d without", a.Status, g.a.Status)
		return true, nil
	}
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		if found, err := asked(func(d *draft, method string) { d.header.Set(name, method) }); found || err != nil {
			return err
		}
	}
	_, err := asked(func(d *draft, method string) { d.query = with(d.query, "_method", method) })
	return err
}
