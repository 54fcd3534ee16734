package foreign

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// objects crosses the objects of two users.
func (p *planner) objects() {
	if len(p.w.users) == 0 {
		return
	}
	p.each("list-of-others", func(o *operation) bool {
		return o.method == "GET" && !strings.HasSuffix(o.path, "}") && !o.isAdministrative()
	}, (*try).listOfOthers)
	if len(p.w.users) < 2 {
		return
	}
	p.each("object-level", func(o *operation) bool { return o.method == "GET" && !o.isAdministrative() && len(o.naming()) > 0 }, (*try).readOthers)
}

// objectsWritten crosses them where something is written.
func (p *planner) objectsWritten() {
	if len(p.w.users) < 2 {
		return
	}
	p.each("object-level-body", func(o *operation) bool { return o.method == "POST" && o.body != nil && !o.isAdministrative() }, (*try).actOnOthers)
	p.each("object-level-write", func(o *operation) bool {
		return (o.method == "PUT" || o.method == "PATCH") && len(o.naming()) > 0 && !o.isAdministrative()
	}, (*try).changeOthers)
	p.each("object-level-write", func(o *operation) bool {
		return o.method == "DELETE" && len(o.naming()) > 0 && !o.isAdministrative()
	}, (*try).removeOthers)
}

// naming are the parameters that name an object.
func (o *operation) naming() (all []parameter) {
	for _, p := range o.parameters {
		if p.in == "path" || p.in == "query" && namesObject(p.name) {
			all = append(all, p)
		}
	}
	return all
}

// crossing is an object of one user's, to be asked for by the other.
type crossing struct {
	owner, other *attack.User
	p            parameter
	value        string
}

// crossings are objects of each user's that the other does not see, one of each parameter.
func (t *try) crossings(o *operation) (all []crossing, err error) {
	for _, u := range t.w.users {
		if err := t.learn(u); err != nil {
			return nil, err
		}
	}
	for i, owner := range t.w.users {
		other := t.w.users[1-i]
		for _, p := range o.naming() {
			values := t.w.own(o, p.name, p.in, owner, other)
			if len(values) == 0 && p.in == "path" {
				if values, err = t.made(o, p, owner, other); err != nil {
					return nil, err
				}
			}
			if len(values) > 0 {
				all = append(all, crossing{owner, other, p, values[0]})
			}
		}
	}
	return all, nil
}

// made makes an object for a user, where that is allowed, and returns what it is called.
func (t *try) made(o *operation, p parameter, owner, other *attack.User) ([]string, error) {
	maker := t.makerOf(o, p)
	if maker == nil {
		return nil, nil
	}
	delete(t.w.goods, goodKey{maker, owner})
	if _, err := t.good(maker, owner); err != nil {
		if t.ctx.Err() != nil || t.over != nil {
			return nil, err
		}
		return nil, nil
	}
	return t.w.own(o, p.name, p.in, owner, other), nil
}

// naming a value in a draft.
func (d *draft) named(p parameter, value string) *draft {
	d = d.clone()
	if p.in == "path" {
		d.path[p.name] = value
	} else {
		d.query = with(d.query, p.name, value)
	}
	return d
}

func (t *try) readOthers(o *operation) error {
	crossings, err := t.crossings(o)
	if err != nil {
		return err
	}
	for _, c := range crossings {
		d, _ := t.draft(o, c.owner, 0)
		d = d.named(c.p, c.value)
		found, err := t.readOther(o, d, c)
		if found || err != nil {
			return err
		}
	}
	if len(crossings) == 0 {
		return attack.ErrNotHere
	}
	return nil
}

func (t *try) readOther(o *operation, d *draft, c crossing) (found bool, err error) {
	theirs, err := t.send(c.owner, d)
	if err != nil || !ok(theirs) {
		return false, err
	}
	a, err := t.send(c.other, d)
	if err != nil || !tellsOf(a, theirs) || isEmpty(a) {
		return false, err
	}
	// Controls: nobody is refused, so that it is no public object; what there is not is answered
	// otherwise, so that the name matters.
	nobody, err := t.send(nil, d)
	if err != nil || ok(nobody) {
		return false, err
	}
	missing, err := t.send(c.other, d.named(c.p, missingLike(c.value)))
	if err != nil || tellsOf(missing, theirs) {
		return false, err
	}
	again, err := t.send(c.other, d)
	if err != nil || !tellsOf(again, theirs) {
		return false, err
	}
	t.found(o, again, "it answers %d to %s for %s's %s %s, with what %s sees", again.Status, c.other.Name, c.owner.Name, c.p.name, c.value, c.owner.Name)
	return true, nil
}

// isEmpty reports whether an answer tells of no object: an empty list is nobody's.
func isEmpty(a *attack.Answer) bool {
	v := jsonOf(a)
	if v == nil {
		return len(strings.TrimSpace(string(a.Body))) == 0
	}
	return len(leaves(v)) == 0
}

// missingLike is the name of an object that there is not, of the same form.
func missingLike(value string) string {
	b := []byte(value)
	digits := !strings.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' })
	if digits {
		return "98" + strings.Repeat("7", min(len(b)+3, 7))
	}
	for i := len(b) - 1; i >= 0 && i >= len(b)-8; i-- {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			b[i] = '0' + (c-'0'+7)%10
		case c >= 'a' && c <= 'f':
			b[i] = 'a' + (c-'a'+3)%6
		case c >= 'g' && c <= 'z':
			b[i] = 'g' + (c-'g'+7)%20
		}
	}
	return string(b)
}

// owners are properties that say whose an object is.
func owners() []string {
	return []string{"owner", "owner_id", "user", "user_id", "user_name", "username", "account_id", "customer", "customer_id", "tenant_id", "recipient", "recipient_id", "to"}
}

// listOfOthers looks for objects of another user's in a list: they say whose they are, and it is
// neither the caller.
func (t *try) listOfOthers(o *operation) error {
	for i, u := range t.w.users {
		g, err := t.good(o, u)
		if err != nil {
			return t.orUntried(err)
		}
		mine := t.identity(u)
		var theirs []string
		if len(t.w.users) == 2 {
			theirs = t.identity(t.w.users[1-i])
		}
		nobody, err := t.send(nil, g.d)
		if err != nil || ok(nobody) {
			return err // public, or another rule's
		}
		for _, one := range listIn(jsonOf(g.a)) {
			object, _ := one.(map[string]any)
			for _, name := range owners() {
				whose := propertyOf(object, name)
				if whose == "" || slices.Contains(mine, whose) || !slices.Contains(theirs, whose) {
					continue
				}
				again, err := t.send(u, g.d)
				if err == nil && ok(again) {
					t.found(o, again, "it answers %d to %s with an object whose %s is %s, another user", again.Status, u.Name, name, whose)
				}
				return err
			}
		}
	}
	return nil
}

// identity is what a user is called: in the answers about the caller, in the token, and by us.
func (t *try) identity(u *attack.User) (all []string) {
	if u == nil || t.learn(u) != nil {
		return nil
	}
	all = append(all, u.Name)
	for _, object := range t.w.single[u] {
		for _, name := range []string{"id", "user_id", "name", "username", "email", "login", "account_id", "customer_id", "sub"} {
			if v := propertyOf(object, name); v != "" {
				all = append(all, v)
			}
		}
	}
	credential, err := t.credential(u)
	if err != nil {
		return all
	}
	for _, values := range credential {
		_, value, _ := strings.Cut(values[0], " ")
		if token := takeApart(value); token != nil {
			all = append(all, text(token.claims["sub"]))
		}
	}
	return slices.DeleteFunc(all, func(v string) bool { return v == "" })
}

// actOnOthers names the other user's object in a body.
func (t *try) actOnOthers(o *operation) error {
	for i, owner := range t.w.users {
		other := t.w.users[1-i]
		g, err := t.good(o, other)
		if err != nil {
			return t.orUntried(err)
		}
		object, _ := g.d.body.(map[string]any)
		for name := range object {
			values := t.w.own(o, name, "body", owner, other)
			if !namesObject(name) || len(values) == 0 {
				continue
			}
			found, err := t.actOn(o, g, name, values[0], owner, other)
			if found || err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *try) actOn(o *operation, g *good, name, value string, owner, other *attack.User) (found bool, err error) {
	put := func(v string) (*attack.Answer, error) {
		d := g.d.clone()
		d.body.(map[string]any)[name] = v
		return t.send(other, d)
	}
	a, err := put(value)
	if err != nil || !ok(a) {
		return false, err
	}
	missing, err := put(missingLike(value))
	if err != nil || ok(missing) {
		return false, err // the name does not matter
	}
	again, err := put(value)
	if err != nil || !ok(again) {
		return false, err
	}
	t.found(o, again, "it answers %d to %s with %s's %s %s in the body; one that there is not is refused", again.Status, other.Name, owner.Name, name, value)
	return true, nil
}

// changeOthers changes a text of another user's object, looks at it as its owner, and puts it back.
func (t *try) changeOthers(o *operation) error {
	reader := t.readerOf(o)
	if reader == nil {
		return attack.ErrNotHere
	}
	crossings, err := t.crossings(o)
	if err != nil {
		return err
	}
	for _, c := range crossings {
		if found, err := t.changeOther(o, reader, c); found || err != nil {
			return err
		}
	}
	return nil
}

// changeOther sends the object as its owner sees it, but for one text, and afterwards as it was.
func (t *try) changeOther(o, reader *operation, c crossing) (found bool, err error) {
	d, _ := t.draft(o, c.owner, 0)
	d = d.named(c.p, c.value)
	before, err := t.look(reader, d, c)
	if err != nil || !ok(before) {
		return false, err
	}
	asItIs(d.body, answerObject(before))
	all := fields(d.body, nil)
	field := slices.IndexFunc(all, func(s slot) bool { return !namesObject(s.name) && s.value != "" })
	if field < 0 {
		return false, nil
	}
	place, mark := all[field], nonsense()
	changed := d.clone()
	place.set(changed, mark)
	a, err := t.send(c.other, changed)
	if err != nil || !ok(a) {
		return false, err
	}
	after, err := t.look(reader, d, c)
	if err == nil && strings.Contains(string(after.Body), mark) && !strings.Contains(string(before.Body), mark) {
		t.found(o, a, "it answers %d to %s, and changes %s's %s %s", a.Status, c.other.Name, c.owner.Name, c.p.name, c.value)
		found = true
	}
	_, fault := t.send(c.owner, d) // also where the change is not seen
	return found, errors.Join(err, fault)
}

// asItIs gives a body the values that an object has, as far as both have them.
func asItIs(body any, object map[string]any) {
	sent, _ := body.(map[string]any)
	for name, v := range sent {
		is, has := object[name]
		below, isObject := is.(map[string]any)
		if _, sentObject := v.(map[string]any); isObject && sentObject {
			asItIs(v, below)
		} else if has && fmt.Sprintf("%T", is) == fmt.Sprintf("%T", v) {
			sent[name] = copied(is)
		}
	}
}

// readerOf is the operation that reads what another changes.
func (t *try) readerOf(o *operation) *operation {
	for _, other := range t.w.ops {
		if other.method == "GET" && other.path == o.path {
			return other
		}
	}
	return nil
}

func (t *try) look(reader *operation, d *draft, c crossing) (*attack.Answer, error) {
	r, _ := t.draft(reader, c.owner, 0)
	r.path = d.path
	return t.send(c.owner, r)
}

// removeOthers removes an object that was made for it.
func (t *try) removeOthers(o *operation) error {
	reader := t.readerOf(o)
	if reader == nil || t.w.allowed&attack.Writes == 0 {
		return attack.ErrNotHere
	}
	for i, owner := range t.w.users {
		c := crossing{owner: owner, other: t.w.users[1-i]}
		var err error
		if c.p, c.value, err = t.fresh(o, owner); err != nil {
			return err
		}
		if c.value != "" {
			return t.remove(o, reader, c)
		}
	}
	return attack.ErrNotHere
}

// fresh makes an object for a user that may be removed; empty: none could be made. What was there before is
// never removed: only what the answer to making it names is taken for made, and only where making another one
// makes another one. Who answers with what there was already names the same twice.
func (t *try) fresh(o *operation, owner *attack.User) (p parameter, value string, err error) {
	if err := t.learn(owner); err != nil {
		return p, "", err
	}
	for _, p := range o.naming() {
		maker := t.makerOf(o, p)
		if maker == nil {
			continue
		}
		before, last := t.w.known(o, p.name, p.in, owner), ""
		for range 2 {
			delete(t.w.goods, goodKey{maker, owner})
			g, err := t.good(maker, owner)
			if err != nil {
				if t.ctx.Err() != nil || t.refused != nil || t.over != nil {
					return p, "", err
				}
				break
			}
			made := nameIn(g.a, p)
			if made == "" || made == last || slices.Contains(before, made) {
				last = ""
				break
			}
			last = made
		}
		if last != "" {
			return p, last, nil
		}
	}
	return p, "", nil
}

// nameIn is what an answer that tells of one object calls it.
func nameIn(a *attack.Answer, p parameter) string {
	v := jsonOf(a)
	if listIn(v) != nil {
		return ""
	}
	object := answerObject(a)
	if v := scalar(object[p.name]); v != "" {
		return v
	}
	if v := propertyOf(object, words(p.name)); v != "" {
		return v
	}
	return idOf(object)
}

// makerOf is the operation that makes what a parameter of a path names; nil: there is none, or it is not
// allowed.
func (t *try) makerOf(o *operation, p parameter) *operation {
	collection, _, found := strings.Cut(o.path, "/{"+p.name+"}")
	for _, maker := range t.w.ops {
		if found && maker.method == "POST" && maker.path == collection && t.w.allowed&attack.Writes != 0 {
			return maker
		}
	}
	return nil
}

func (t *try) remove(o, reader *operation, c crossing) error {
	d, _ := t.draft(o, c.owner, 0)
	d = d.named(c.p, c.value)
	before, err := t.look(reader, d, c)
	if err != nil || !ok(before) {
		return err
	}
	a, err := t.send(c.other, d)
	if err != nil || !ok(a) {
		return err
	}
	after, err := t.look(reader, d, c)
	if err == nil && !ok(after) {
		t.found(o, a, "it answers %d to %s, and removes %s's %s %s", a.Status, c.other.Name, c.owner.Name, c.p.name, c.value)
	}
	return err
}
