package foreign

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// world is what the cases of a run know in common: they are tried one after the other.
type world struct {
	*reader

	ops     []*operation
	users   []*attack.User
	admin   *attack.User
	allowed attack.Demand

	goods  map[goodKey]*good
	things map[*attack.User]map[string][]map[string]any // collection → objects that a user sees
	single map[*attack.User][]map[string]any            // objects that tell of the user: /me
	learnt map[*attack.User]bool
	vain   map[*operation]int // operations that took no good request, and how they answered
	always *bool              // it answers every path

	kept     int // bytes of answers that goods hold
	listener *attack.Listener
	calls    []*call // addresses of the listener that were given to the target
	graph    *graph  // where GraphQL is spoken; nil: not known yet
	patience patience
	injected map[string]bool // operations whose values are part of a query
	forged   map[string]bool // rules of tokens that were broken already
	forms    *forms
}

type goodKey struct {
	op   *operation
	user *attack.User
}

// good is a request that a user may send, with its answer.
type good struct {
	d   *draft
	a   *attack.Answer
	err error
}

// errNoGood says that no request was found which an operation accepts.
var errNoGood = errors.New("no request was accepted, so that what is wrong cannot be told from what is right")

// try is one case that is tried.
type try struct {
	ctx context.Context
	s   *attack.Session
	w   *world

	rule    string
	refused error // the target asked for a longer pause than it was given
	over    error // nothing more can be sent in this run
	lost    error // a request of the case was not answered
	misses  int   // how many were not
}

// orUntried is the error of a case whose operation took no good request: another case says so.
func (t *try) orUntried(err error) error {
	if t.ctx.Err() != nil || t.over != nil {
		return err
	}
	return attack.ErrUntried
}

// caller is the first user, or nobody.
func (w *world) caller() *attack.User {
	if len(w.users) > 0 {
		return w.users[0]
	}
	if w.admin != nil {
		return w.admin
	}
	return nil
}

// nameOf is what a user is called; nil is nobody.
func nameOf(u *attack.User) string {
	if u == nil {
		return "nobody"
	}
	return u.Name
}

// hide makes the credentials of all users secret in what the case finds.
func (t *try) hide() error {
	for _, u := range append(slices.Clone(t.w.users), t.w.admin) {
		if u == nil || u.Sign == nil {
			continue
		}
		if _, err := t.credential(u); err != nil {
			return err
		}
	}
	return nil
}

// credential is what signing for a user adds to a request.
func (t *try) credential(u *attack.User) (http.Header, error) {
	r, err := t.s.NewRequest(t.ctx, "GET", "/", nil)
	if err != nil {
		return nil, err
	}
	before := r.Header.Clone()
	if err := t.s.As(u, r); err != nil {
		return nil, err
	}
	added := http.Header{}
	for name, values := range r.Header {
		if !slices.Equal(before[name], values) {
			added[name] = values
		}
	}
	return added, nil
}

// get sends a GET for a path as a user.
func (t *try) get(u *attack.User, path string) (*attack.Answer, error) {
	return t.send(u, &draft{op: &operation{}, method: "GET", raw: path, header: http.Header{}})
}

// ok reports whether an answer says that it was done.
func ok(a *attack.Answer) bool { return a != nil && a.Status >= 200 && a.Status <= 299 }

// good finds a request that an operation accepts from a user, once.
func (t *try) good(o *operation, u *attack.User) (*good, error) {
	key := goodKey{o, u}
	if known := t.w.goods[key]; known != nil {
		return known, known.err
	}
	g := t.seek(o, u)
	if t.ctx.Err() != nil {
		return g, t.ctx.Err()
	}
	if t.refused != nil {
		return g, t.refused // another time it may be known
	}
	if t.over != nil {
		return g, t.over
	}
	t.w.remember(key, g)
	return g, g.err
}

// maxKept bounds the answers that are remembered, in bytes.
const maxKept = 64 << 20

// remember keeps a good request with its answer. Where too much would be kept, what was is asked anew.
func (w *world) remember(key goodKey, g *good) {
	if g.a != nil {
		w.kept += len(g.a.Body)
	}
	if w.kept > maxKept {
		clear(w.goods)
		w.kept = 0
	}
	w.goods[key] = g
}

// maxTries is how many objects an operation is asked for until one is there.
const maxTries = 3

func (t *try) seek(o *operation, u *attack.User) *good {
	if o.method == "DELETE" || demand(o)&^t.w.allowed != 0 { // what is removed is made for it: fresh
		return &good{err: attack.ErrNotHere}
	}
	if err := t.learn(u); err != nil && (t.ctx.Err() != nil || t.over != nil) {
		return &good{err: err}
	}
	g := &good{err: errNoGood}
	for i := range maxTries {
		d, more := t.draft(o, u, i)
		a, err := t.send(u, d)
		if err != nil {
			return &good{err: err}
		}
		if g = (&good{d: d, a: a}); ok(a) {
			t.w.harvest(o, u, a)
			return g
		}
		g.err = fmt.Errorf("as %s it answers %d: %w; %s", nameOf(u), a.Status, errNoGood, mend(u, a.Status))
		if !more {
			break
		}
	}
	return g
}

// mend is what helps where an operation refuses what the document describes.
func mend(u *attack.User, status int) string {
	switch {
	case status == http.StatusUnauthorized && u != nil:
		return "is the credential of " + u.Name + " in force?"
	case status == http.StatusUnauthorized:
		return "name somebody who may: --as NAME=FILE"
	}
	return "give examples in the document"
}

// doubt says why what held says little: no operation took one good request.
func (w *world) doubt() string {
	for _, g := range w.goods {
		if g.err == nil {
			return ""
		}
	}
	if len(w.vain) == 0 {
		return ""
	}
	statuses := slices.Sorted(maps.Values(w.vain))
	help := mend(w.caller(), statuses[0])
	if statuses[0] == http.StatusNotFound {
		help = "is the path of servers right, in the document?"
	}
	if statuses = slices.Compact(statuses); len(statuses) > 1 {
		help = "give examples in the document, and look at its servers and the credentials"
	}
	answers := strings.Trim(fmt.Sprint(statuses), "[]")
	return fmt.Sprintf("no operation took one good request (answers: %s), so that what held says little: %s", answers, help)
}

// draft makes the request for an operation, with the i-th object of those that a user sees; more
// is true if there is another.
func (t *try) draft(o *operation, u *attack.User, i int) (d *draft, more bool) {
	d = t.w.draw(o, func(p parameter) string {
		value, others := t.w.valueFor(o, p, u, i)
		more = more || others
		return value
	})
	t.w.fillBody(o, u, d.body)
	return d, more
}

// valueFor is a value for a parameter: of an object that the user sees, if it names one, or what
// the document shows.
func (w *world) valueFor(o *operation, p parameter, u *attack.User, i int) (value string, more bool) {
	values := w.known(o, p.name, p.in, u)
	if len(values) > 0 && (p.in == "path" || p.example == nil) {
		return values[min(i, len(values)-1)], i+1 < len(values)
	}
	return w.described(p), false
}

// described is a value that the document shows for a parameter, or the plainest that it takes.
func (w *world) described(p parameter) string {
	if p.example != nil {
		return fmt.Sprint(p.example)
	}
	if v := w.sample(p.schema); v != nil {
		if list, isList := v.([]any); isList {
			v = ""
			if len(list) > 0 {
				v = list[0]
			}
		}
		return fmt.Sprint(v)
	}
	return "1"
}

// fillBody puts the names of the user's own objects where a body names one.
func (w *world) fillBody(o *operation, u *attack.User, body any) {
	object, _ := body.(map[string]any)
	for name, v := range object {
		if _, isText := v.(string); !isText || !namesObject(name) {
			continue
		}
		if values := w.known(o, name, "body", u); len(values) > 0 {
			object[name] = values[0]
		}
	}
}

// demand is what an operation does.
func demand(o *operation) attack.Demand {
	switch {
	case o.isSafe():
		return 0
	case o.method == "DELETE":
		return attack.Destroys
	}
	return attack.Writes
}

// learn asks all operations that only read what a user sees.
func (t *try) learn(u *attack.User) error {
	if t.w.learnt[u] {
		return nil
	}
	if t.w.learnt == nil {
		t.w.learnt = map[*attack.User]bool{}
	}
	t.w.learnt[u] = true
	for round := range 2 {
		for _, o := range t.w.ops {
			if o.method != "GET" || o.deprecated || o.isAdministrative() || round > 0 && len(o.naming()) == 0 {
				continue
			}
			if key := (goodKey{o, u}); t.w.goods[key] != nil && t.w.goods[key].err != nil {
				delete(t.w.goods, key) // what it names may be known by now
			}
			if _, err := t.good(o, u); t.ctx.Err() != nil || t.over != nil || errors.Is(err, attack.ErrBlocked) {
				t.w.learnt[u] = false
				return err
			}
		}
	}
	return nil
}

// answersAlways reports whether the target answers paths that there cannot be.
func (t *try) answersAlways() (bool, error) {
	if t.w.always != nil {
		return *t.w.always, nil
	}
	for _, u := range []*attack.User{nil, t.w.caller()} {
		a, err := t.get(u, "/"+nonsense())
		if err != nil {
			return false, err
		}
		if ok(a) {
			yes := true
			t.w.always = &yes
			return true, nil
		}
	}
	no := false
	t.w.always = &no
	return false, nil
}

// nonsense is a word that nobody else uses.
func nonsense() string { return "pavise" + strings.ToLower(rand.Text())[:12] }

// jsonOf reads a JSON answer.
func jsonOf(a *attack.Answer) any {
	if a == nil || a.Cut || len(a.Body) == 0 || (a.Body[0] != '{' && a.Body[0] != '[') {
		return nil
	}
	var v any
	decoder := json.NewDecoder(strings.NewReader(string(a.Body)))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}
