package foreign

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// properties sets what is not the caller's to set. It comes late: where it succeeds, the caller is
// another afterwards, as far as it cannot be put back.
func (p *planner) properties() {
	p.withGood("mass-assignment", func(o *operation) bool {
		return !o.isSafe() && o.method != "DELETE" && isJSONType(o.media) && o.body != nil && !o.isAdministrative()
	}, (*try).massAssignment)
}

// answered plans what looks at the properties of answers.
func (p *planner) answered() {
	p.withGood("sensitive-data", anything, (*try).sensitive)
	p.withGood("undeclared-data", func(o *operation) bool { return len(o.answers) > 0 }, (*try).undeclaredData)
}

// privileged are properties that services set themselves.
func privileged() map[string]any {
	return map[string]any{
		"role": "admin", "roles": []any{"admin"}, "is_admin": true, "isAdmin": true, "admin": true, "is_staff": true, "permissions": []any{"admin"}, "scopes": []any{"admin"},
		"verified": true, "is_verified": true, "email_verified": true, "emailVerified": true, "approved": true, "status": "approved", "balance": json.Number("7919"), "credit": json.Number("7919"),
		"price": json.Number("0.01"), "discount": json.Number("99"), "plan": "enterprise", "owner_id": "7919", "tenant_id": "7919", "user_id": "7919",
	}
}

// within are those of them that stand in objects within others: {"profile": {"role": …}}.
func within() []string {
	return []string{"role", "is_admin", "isAdmin", "admin", "verified", "approved", "balance", "credit", "discount", "plan", "owner_id"}
}

// Bounds of what is tried at one operation.
const (
	maxSet = 60 // properties
	maxWay = 3  // of the object that a property is in
)

func (t *try) massAssignment(o *operation, g *good) error {
	object, isObject := g.d.body.(map[string]any)
	if !isObject {
		return attack.ErrNotHere
	}
	told := settable{w: t.w, found: map[string]any{}}
	told.gather(nil, o.body, o.answerOf(g.a.Status), object, answerObject(g.a))
	candidates := told.found
	// A server that keeps whatever it is sent has no properties of its own.
	free, err := t.keepsAnything(o, g, nil)
	if err != nil {
		return err
	}
	if !free {
		if err := t.likely(o, g, candidates, object); err != nil {
			return err
		}
	}
	var set []string
	var shown *attack.Answer
	for _, name := range slices.Sorted(maps.Keys(candidates)) {
		a, err := t.setProperty(o, g, strings.Split(name, nested), candidates[name], free)
		if err != nil {
			return err
		}
		if a != nil {
			set, shown = append(set, strings.ReplaceAll(name, nested, ".")), a
		}
	}
	if len(set) > 0 {
		t.found(o, shown, "it answers %d and sets what callers do not declare: %s", shown.Status, strings.Join(set, ", "))
	}
	return nil
}

// nested stands between the names on the way to a property; names may have dots.
const nested = "\x00"

// likely adds properties that services often have, beside what is sent and in the objects of it that do not keep
// whatever they are sent.
func (t *try) likely(o *operation, g *good, candidates, object map[string]any) error {
	add := func(name string, v any) {
		if candidates[name] == nil && len(candidates) < maxSet {
			candidates[name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(privileged())) {
		if object[name] == nil {
			add(name, privileged()[name])
		}
	}
	for _, above := range slices.Sorted(maps.Keys(object)) {
		below, isObject := object[above].(map[string]any)
		if !isObject {
			continue
		}
		free, err := t.keepsAnything(o, g, []string{above})
		if err != nil {
			return err
		}
		for _, name := range within() {
			if !free && below[name] == nil {
				add(above+nested+name, privileged()[name])
			}
		}
	}
	return nil
}

// settable gathers the properties that the document or the answers have, and callers may not set, each with
// another value than it has.
type settable struct {
	w     *world
	found map[string]any // by the way to each
}

// gather looks at an object, which the schemas of the body and of the answer describe, as it was sent and as
// it was answered.
func (f *settable) gather(way []string, body, answered, sent, answer map[string]any) {
	declared, _ := f.w.properties(body)
	told, _ := f.w.properties(answered)
	name := func(last string) string { return strings.Join(append(slices.Clone(way), last), nested) }
	for last, p := range declared {
		if _, isObject := answer[last].(map[string]any); isObject || kindOf(p) == "object" {
			continue // what is in it is looked at below
		}
		if p["readOnly"] == true && len(f.found) < maxSet {
			f.found[name(last)] = other(f.w.sample(writable(p)), p)
		}
	}
	for last, v := range answer {
		p, isDeclared := declared[last]
		switch v.(type) {
		case map[string]any, []any, nil:
			continue
		}
		if isDeclared && p["readOnly"] != true || sent[last] != nil || changesByItself(last) || len(f.found) >= maxSet {
			continue
		}
		f.found[name(last)] = other(v, told[last])
	}
	if len(way)+1 >= maxWay {
		return
	}
	for _, last := range f.objects(declared, answer) {
		below, _ := sent[last].(map[string]any)
		is, _ := answer[last].(map[string]any)
		f.gather(append(slices.Clone(way), last), declared[last], told[last], below, is)
	}
}

// objects are the names of properties that are objects.
func (f *settable) objects(declared map[string]map[string]any, answer map[string]any) (names []string) {
	for name, p := range declared {
		if kindOf(p) == "object" {
			names = append(names, name)
		}
	}
	for name, v := range answer {
		if _, isObject := v.(map[string]any); isObject && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// writable is a schema without its readOnly, so that it has a sample.
func writable(s map[string]any) map[string]any {
	s = maps.Clone(s)
	delete(s, "readOnly")
	return s
}

// other is a value of the same kind that is not the one that is there.
func other(v any, s map[string]any) any {
	if list, _ := s["enum"].([]any); len(list) > 1 {
		for _, one := range slices.Backward(list) {
			if one != v {
				return one
			}
		}
	}
	switch v := v.(type) {
	case bool:
		return !v
	case json.Number:
		return json.Number("7919")
	case string:
		if strings.EqualFold(v, "user") || strings.EqualFold(v, "customer") || strings.EqualFold(v, "member") {
			return "admin"
		}
		return "pavise-7919"
	}
	return "pavise-7919"
}

func answerObject(a *attack.Answer) map[string]any {
	object, _ := jsonOf(a).(map[string]any)
	if inner := onlyObject(object); inner != nil {
		return inner
	}
	return object
}

// keepsAnything reports whether an object that is sent has what it was sent, whatever that is called.
func (t *try) keepsAnything(o *operation, g *good, way []string) (bool, error) {
	d := g.d.clone()
	name := nonsense()
	put(d.body, append(slices.Clone(way), name), "pavise-7919")
	a, err := t.send(t.w.caller(), d)
	if err != nil || !ok(a) || strings.Contains(string(a.Body), name) {
		return err == nil && ok(a), err
	}
	reader := t.readerOf(o)
	if reader == nil {
		return false, nil
	}
	r, _ := t.draft(reader, t.w.caller(), 0)
	r.path = d.path
	read, err := t.send(t.w.caller(), r)
	return err == nil && ok(read) && strings.Contains(string(read.Body), name), err
}

// setProperty sends one property more, looks whether it is set, and puts back what was there. nil: it is
// not. An object that the property is in, and that was not sent before, is sent as it was answered.
func (t *try) setProperty(o *operation, g *good, way []string, v any, free bool) (*attack.Answer, error) {
	u := t.w.caller()
	before, known := at(answerObject(g.a), way)
	if known && fmt.Sprint(before) == fmt.Sprint(v) {
		return nil, nil
	}
	d := g.d.clone()
	if object, isObject := answerObject(g.a)[way[0]].(map[string]any); isObject && len(way) > 1 {
		if _, sent := at(d.body, way[:1]); !sent {
			put(d.body, way[:1], copied(object))
		}
	}
	put(d.body, way, v)
	a, err := t.send(u, d)
	if err != nil || !ok(a) {
		return nil, err
	}
	is, has := at(answerObject(a), way)
	set := !free && has && fmt.Sprint(is) == fmt.Sprint(v) // who repeats anything has set nothing
	if reader := t.readerOf(o); reader != nil {
		// What counts is what is read afterwards.
		r, _ := t.draft(reader, u, 0)
		r.path = d.path
		read, err := t.send(u, r)
		if err != nil {
			return nil, err
		}
		if value, has := at(answerObject(read), way); ok(read) && has {
			set = fmt.Sprint(value) == fmt.Sprint(v)
		}
	}
	if !set {
		return nil, nil
	}
	if known {
		put(d.body, way, before)
		if _, err := t.send(u, d); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// at is what stands at a way within an object.
func at(v any, way []string) (found any, has bool) {
	for _, name := range way {
		object, _ := v.(map[string]any)
		if v, has = object[name]; !has {
			return nil, false
		}
	}
	return v, true
}

// sensitiveName finds properties that never should be answered.
func sensitiveName(name string) bool {
	w := words(name)
	for _, word := range []string{"password", "passwd", "password_hash", "pwd", "pin", "secret", "secret_key", "client_secret", "private_key", "api_secret", "cvv", "cvc", "ssn", "social_security_number", "card_number", "credit_card", "security_answer", "totp_secret", "mfa_secret", "reset_token"} {
		if w == word || strings.HasSuffix(w, "_"+word) && word != "pin" {
			return true
		}
	}
	return false
}

// toldOnce reports whether a secret of this name is told when it is made, and never again: that is how keys
// reach whoever is to use them.
func toldOnce(name string) bool {
	return slices.Contains([]string{"secret", "secret_key", "client_secret", "api_secret", "private_key", "totp_secret", "mfa_secret"}, words(name))
}

func (t *try) sensitive(o *operation, g *good) error {
	return t.again(o, g, func(a *attack.Answer) string {
		var names []string
		for at, value := range leaves(jsonOf(a)) {
			name := at[strings.LastIndexByte(at, '/')+1:]
			if o.method == "POST" && toldOnce(name) {
				continue
			}
			if sensitiveName(name) && value != "" && value != "<nil>" && value != "false" && value != "true" && !isMasked(value) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		for what, form := range t.w.forms.sensitive {
			if form.Match(beginning(a)) {
				names = append(names, what)
			}
		}
		slices.Sort(names)
		return strings.Join(names, ", ")
	}, "it answers %d with %s")
}

// isMasked reports whether of a value only a part is shown.
func isMasked(value string) bool {
	return strings.Count(value, "*")*2 >= len(value) || strings.Count(value, "X")*2 >= len(value) || strings.Contains(value, "REDACTED") || strings.Contains(value, "•")
}

// again looks at a good answer, and if something is wrong with it at another one, so that it is no
// accident.
func (t *try) again(o *operation, g *good, look func(a *attack.Answer) string, format string) error {
	if look(g.a) == "" {
		return nil
	}
	a := g.a
	if o.isSafe() {
		var err error
		if a, err = t.send(t.w.caller(), g.d); err != nil {
			return err
		}
	}
	if what := look(a); what != "" {
		t.found(o, a, format, a.Status, what)
	}
	return nil
}

func (t *try) undeclaredData(o *operation, g *good) error {
	return t.again(o, g, func(a *attack.Answer) string {
		s := o.answerOf(a.Status)
		if s == nil {
			return ""
		}
		found := map[string]bool{}
		t.w.undeclaredIn(jsonOf(a), s, "", 0, found)
		names := slices.Sorted(maps.Keys(found))
		if len(names) > 8 {
			names = append(names[:8], "…")
		}
		return strings.Join(names, ", ")
	}, "it answers %d with properties that are not declared: %s")
}

// undeclaredIn gathers the properties of a value that its schema does not have.
func (w *world) undeclaredIn(v any, s map[string]any, at string, depth int, found map[string]bool) {
	if depth > maxDepth || len(found) > maxProperties {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		declared, closed := w.properties(s)
		for name, below := range v {
			p, has := declared[name]
			switch {
			case has:
				w.undeclaredIn(below, p, at+name+".", depth+1, found)
			case closed:
				found[at+name] = true
			}
		}
	case []any:
		items := w.resolve(w.resolve(s)["items"])
		for _, below := range v[:min(len(v), 20)] {
			w.undeclaredIn(below, items, at, depth+1, found)
		}
	}
}
