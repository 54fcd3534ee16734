package foreign

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/attack"
)

// graph is where GraphQL is spoken.
type graph struct {
	path    string // empty: nowhere
	user    *attack.User
	queries string // what it calls the type of queries
}

// graphQL looks at what one request may ask for, where a service speaks GraphQL.
func (p *planner) graphQL() {
	for _, c := range []struct {
		rule, name string
		f          func(*try, *graph) error
	}{
		{"introspection", "of GraphQL", (*try).introspects},
		{"graphql-suggestions", "of GraphQL", (*try).suggests},
		{"graphql-unbounded", "aliases", (*try).aliases},
		{"graphql-unbounded", "a batch", (*try).batches},
		{"graphql-unbounded", "depth", (*try).nests},
		{"graphql-csrf", "by GET", (*try).mutatesByGet},
		{"graphql-csrf", "in a form", (*try).mutatesInForms},
	} {
		p.add(c.rule, c.name, 0, func(t *try) error {
			g, err := t.graph()
			if err != nil {
				return err
			}
			if g.path == "" {
				return attack.ErrNotHere
			}
			return c.f(t, g)
		})
	}
}

// graph finds where GraphQL is spoken, once: where the document says so, and where it usually is.
func (t *try) graph() (*graph, error) {
	if t.w.graph != nil {
		return t.w.graph, nil
	}
	paths := []string{"/graphql", "/api/graphql", "/v1/graphql", "/query"}
	for _, o := range t.w.ops {
		body, _ := t.w.properties(o.body)
		asks := body["query"] != nil && (body["variables"] != nil || body["operationName"] != nil) // a query alone may be one that is kept
		if o.method == "POST" && !strings.Contains(o.path, "{") && (asks || collectionOf(o.path) == "graphql") && !slices.Contains(paths, o.path) && len(paths) < 12 {
			paths = append(paths, o.path)
		}
	}
	for _, path := range paths {
		for _, u := range []*attack.User{nil, t.w.caller()} {
			g := &graph{path: path, user: u}
			a, err := t.ask(g, "{__typename}")
			if err != nil {
				return nil, err
			}
			if g.queries = text(dataOf(a)["__typename"]); g.queries != "" {
				t.w.graph = g
				return g, nil
			}
		}
	}
	t.w.graph = &graph{}
	return t.w.graph, nil
}

// ask sends a request in GraphQL, or several at once (GraphQL over HTTP §5).
func (t *try) ask(g *graph, queries ...string) (*attack.Answer, error) {
	return t.send(g.user, g.post(queries...))
}

func (g *graph) post(queries ...string) *draft {
	var all []any
	for _, query := range queries {
		all = append(all, map[string]any{"query": query})
	}
	d := &draft{op: &operation{path: g.path}, method: "POST", raw: g.path, media: "application/json", body: any(all)}
	if len(all) == 1 {
		d.body = all[0]
	}
	return d
}

// dataOf is what a request in GraphQL came to; nil: nothing.
func dataOf(a *attack.Answer) map[string]any {
	object, _ := jsonOf(a).(map[string]any)
	data, _ := object["data"].(map[string]any)
	return data
}

// isFine reports whether a request was carried out without an error.
func isFine(a *attack.Answer) bool {
	object, _ := jsonOf(a).(map[string]any)
	_, has := object["data"].(map[string]any)
	return has && object["errors"] == nil
}

func (t *try) foundIn(g *graph, a *attack.Answer, format string, args ...any) {
	t.s.Found(a.Request.Method+" "+g.path, a, format, args...)
}

// introspects asks for the schema as nobody.
func (t *try) introspects(g *graph) error {
	open := &graph{path: g.path}
	a, err := t.ask(open, "{__schema{queryType{name}}}")
	if err == nil && dataOf(a)["__schema"] != nil {
		t.foundIn(g, a, "it answers %d with its schema, to anybody", a.Status)
	}
	return err
}

// suggests asks for fields whose names are nearly those of many services.
func (t *try) suggests(g *graph) error {
	a, err := t.ask(g, "{usr usrs orde ordrs produc prodcts accoun custmer nod nodee viewr searc categry itm itms mee m_e postt commnt messag invoic paymnt}")
	if err != nil {
		return err
	}
	object, _ := jsonOf(a).(map[string]any)
	faults, _ := object["errors"].([]any)
	for _, one := range faults[:min(len(faults), maxLookAt)] {
		fault, _ := one.(map[string]any)
		_, suggested, told := strings.Cut(text(fault["message"]), "Did you mean ")
		if told {
			t.foundIn(g, a, "it answers %d with names that nobody asked for: %.60s", a.Status, suggested)
			return nil
		}
	}
	return nil
}

// Bounds that hardly any request needs: what goes beyond is asked for here, of what costs nothing.
const (
	manyAliases = 300
	manyQueries = 60
	muchDepth   = 40
)

func (t *try) aliases(g *graph) error {
	var b strings.Builder
	for i := range manyAliases {
		fmt.Fprintf(&b, "a%d:__typename ", i)
	}
	a, err := t.ask(g, "{"+b.String()+"}")
	if err == nil && len(dataOf(a)) == manyAliases {
		t.foundIn(g, a, "it answers %d to one request with a field under %d names", a.Status, manyAliases)
	}
	return err
}

func (t *try) batches(g *graph) error {
	a, err := t.ask(g, slices.Repeat([]string{"{__typename}"}, manyQueries)...)
	if err != nil {
		return err
	}
	if list, _ := jsonOf(a).([]any); len(list) == manyQueries {
		t.foundIn(g, a, "it answers %d to %d requests in one", a.Status, manyQueries)
	}
	return nil
}

// nests asks for objects within objects, as the schema has them, without having any fetched: @skip leaves them out,
// behind whatever bounds the depth. Where nobody tells the schema, there is nothing to nest.
func (t *try) nests(g *graph) error {
	known := *g
	if known.user == nil {
		known.user = t.w.caller()
	}
	a, err := t.ask(&known, schemaQuery)
	if err != nil {
		return err
	}
	query := deepest(readTypes(a), muchDepth)
	if query == "" {
		return attack.ErrNotHere
	}
	if a, err = t.ask(g, query); err != nil || !isFine(a) {
		return err
	}
	wrong, err := t.ask(g, "{"+nonsense()+"}") // who finds nothing wrong bounds nothing, and reads nothing
	if err != nil || isFine(wrong) {
		return err
	}
	t.foundIn(g, a, "it answers %d to objects that are nested %d deep", a.Status, muchDepth)
	return nil
}

const schemaQuery = "{__schema{queryType{name}types{name kind fields{name args{type{kind}}type{name kind ofType{name kind ofType{name kind ofType{name kind}}}}}}}}"

// types are the objects of a schema: their fields that need no argument, and what those are.
type types struct {
	query  string
	fields map[string]map[string]string
}

// maxTypes bounds what of a schema is read.
const maxTypes = 2000

func readTypes(a *attack.Answer) (all types) {
	type reference struct {
		Name, Kind string
		OfType     *reference
	}
	var schema struct {
		QueryType reference
		Types     []struct {
			Name, Kind string
			Fields     []struct {
				Name string
				Args []struct{ Type reference }
				Type reference
			}
		}
	}
	text, err := json.Marshal(dataOf(a)["__schema"])
	if err != nil || json.Unmarshal(text, &schema) != nil {
		return all
	}
	all = types{schema.QueryType.Name, map[string]map[string]string{}}
	for _, one := range schema.Types[:min(len(schema.Types), maxTypes)] {
		if one.Kind != "OBJECT" || !isGraphName(one.Name) || strings.HasPrefix(one.Name, "__") {
			continue
		}
		all.fields[one.Name] = map[string]string{}
		for _, field := range one.Fields[:min(len(one.Fields), maxTypes)] {
			is := &field.Type
			for is.OfType != nil {
				is = is.OfType
			}
			needs := false
			for _, argument := range field.Args {
				needs = needs || argument.Type.Kind == "NON_NULL"
			}
			if is.Kind == "OBJECT" && !needs && isGraphName(field.Name) {
				all.fields[one.Name][field.Name] = is.Name
			}
		}
	}
	return all
}

// isGraphName reports whether a text is a name (GraphQL §2.1.9): what a target calls so becomes part of a query.
func isGraphName(name string) bool {
	return name != "" && len(name) < 200 && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// deepest is a query that goes round in a circle of a schema; empty: it has none that is reached.
func deepest(all types, depth int) string {
	to := all.ways(all.query)
	for _, start := range slices.Sorted(maps.Keys(to)) {
		for field, next := range all.fields[start] {
			round, reached := all.ways(next)[start]
			if next == start {
				round, reached = []string{}, true
			}
			if !reached {
				continue
			}
			way := slices.Clone(to[start])
			for circle := append([]string{field}, round...); len(way) < depth; {
				way = append(way, circle...)
			}
			way = way[:depth]
			return "{" + way[0] + " @skip(if:true){" + strings.Join(way[1:], "{") + "{__typename" + strings.Repeat("}", depth+1)
		}
	}
	return ""
}

// ways are the fields that lead from one type to each other, the shortest; to itself none do.
func (t types) ways(from string) map[string][]string {
	found, next := map[string][]string{from: {}}, []string{from}
	for len(next) > 0 {
		name := next[0]
		next = next[1:]
		for _, field := range slices.Sorted(maps.Keys(t.fields[name])) {
			is := t.fields[name][field]
			if _, known := found[is]; !known && t.fields[is] != nil {
				found[is] = append(slices.Clone(found[name]), field)
				next = append(next, is)
			}
		}
	}
	return found
}

// mutation does nothing: it asks what mutations are called.
const mutation = "mutation{__typename}"

// mutates reports whether a request is carried out as a mutation.
func (g *graph) mutates(a *attack.Answer) bool {
	name := text(dataOf(a)["__typename"])
	return ok(a) && name != "" && name != g.queries
}

// sentByPages reports whether a browser sends the credential by itself (Fetch §2.2.2), and the service has mutations:
// who needs a header is not called in anybody's name.
func (t *try) sentByPages(g *graph) (bool, error) {
	if g.user != nil {
		credential, err := t.credential(g.user)
		if err != nil {
			return false, err
		}
		basic := strings.HasPrefix(credential.Get("Authorization"), "Basic ")
		if credential.Get("Cookie") == "" && !basic && g.user.Certificate == nil {
			return false, nil
		}
	}
	a, err := t.ask(g, mutation)
	return err == nil && g.mutates(a), err
}

func (t *try) mutatesByGet(g *graph) error {
	d := &draft{op: &operation{path: g.path}, method: "GET", raw: g.path + "?query=" + url.QueryEscape(mutation)}
	return t.mutatesBy(g, d, "by GET")
}

func (t *try) mutatesInForms(g *graph) error {
	form := &draft{op: &operation{path: g.path}, method: "POST", raw: g.path, media: "application/x-www-form-urlencoded", body: map[string]any{"query": mutation}}
	plain := g.post(mutation)
	plain.media, plain.text = "text/plain", []byte(`{"query":"`+mutation+`"}`)
	if err := t.mutatesBy(g, form, "in a form"); err != nil {
		return err
	}
	return t.mutatesBy(g, plain, "as text/plain")
}

func (t *try) mutatesBy(g *graph, d *draft, what string) error {
	sent, err := t.sentByPages(g)
	if err != nil {
		return err
	}
	if !sent {
		return attack.ErrNotHere
	}
	a, err := t.send(g.user, d)
	if err != nil || !g.mutates(a) {
		return err
	}
	if again, err := t.send(g.user, d); err != nil || !g.mutates(again) {
		return err
	}
	t.foundIn(g, a, "it answers %d to a mutation %s", a.Status, what)
	return nil
}
