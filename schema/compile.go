package schema

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Operation is one operation of a document, compiled. It is a layer of the guard, safe for
// concurrent use.
type Operation struct {
	Method     string
	Path       string // with the path of the document's server
	Deprecated bool

	options    Options
	sunset     sunset
	template   []string // segments of the path; {name}: a parameter
	parameters []*parameter
	body       *body    // nil: none is expected
	schemes    []string // "header X-Api-Key": where the document's security schemes carry keys
	carriers   []string // further headers of credentials
}

// methods are the names under which operations stand.
func methods() []string {
	return []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
}

// place is where an operation stands.
type place struct {
	method string // "get"
	path   string // with the path of its servers
	item   string // pointer to the path's item
}

func (p place) String() string { return strings.ToUpper(p.method) + " " + p.path }

// list finds every operation.
func (d *Document) list(root map[string]any) error {
	paths, _ := root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !strings.HasPrefix(path, "/") {
			continue // an extension
		}
		at := join("/paths", path)
		if raw, _ := paths[path].(map[string]any); raw["$ref"] != nil && !onlyRefers(raw) {
			return d.fault(at, "what stands beside $ref is read by some and not by others: move it to where that leads")
		}
		item, at, err := d.tree.follow(at)
		if err != nil {
			return d.fault(at, "%v", err)
		}
		for _, method := range methods() {
			described, there := item[method].(map[string]any)
			if !there {
				continue
			}
			for _, base := range Bases(root, item, described) {
				d.places = append(d.places, place{method, base + path, at})
			}
		}
	}
	return nil
}

// Bases are the paths of an operation's servers, which stand before its own: "/api", or "" without one.
// Given are the document, the path's item and the operation; the innermost that names servers is heard.
func Bases(from ...map[string]any) (paths []string) {
	var servers []any
	for _, one := range from {
		if list, ok := one["servers"].([]any); ok && len(list) > 0 {
			servers = list
		}
	}
	for _, one := range servers {
		server, _ := one.(map[string]any)
		if path, ok := serverPath(server); ok && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return []string{""}
	}
	return paths
}

// serverPath is the path of a server, its variables at their defaults.
func serverPath(server map[string]any) (path string, ok bool) {
	address, _ := server["url"].(string)
	variables, _ := server["variables"].(map[string]any)
	for name, one := range variables {
		variable, _ := one.(map[string]any)
		value, _ := variable["default"].(string)
		address = strings.ReplaceAll(address, "{"+name+"}", value)
	}
	u, err := url.Parse(address)
	if err != nil || strings.Contains(u.Path, "{") {
		return "", false
	}
	return strings.TrimSuffix(u.Path, "/"), true
}

// operation compiles one.
func (d *Document) operation(p place) (*Operation, error) {
	item, at, err := d.tree.follow(p.item)
	if err != nil {
		return nil, d.fault(p.item, "%v", err)
	}
	pointer := join(at, p.method)
	o := &Operation{Method: strings.ToUpper(p.method), Path: p.path, options: d.options, template: strings.Split(p.path, "/")}
	if root, ok := d.tree.root.(map[string]any); ok {
		o.schemes = schemesOf(root)
	}
	described, _ := item[p.method].(map[string]any)
	root, _ := d.tree.root.(map[string]any)
	o.Deprecated = described["deprecated"] == true
	if o.sunset, err = d.sunsetOf(o.Deprecated, root, item, described); err != nil {
		return nil, d.fault(pointer, "%v", err)
	}
	if err := d.parameters(o, at, item); err != nil {
		return nil, err
	}
	if err := d.parameters(o, pointer, described); err != nil {
		return nil, err
	}
	for _, segment := range o.template {
		if name, ok := variable(segment); ok && !slices.ContainsFunc(o.parameters, func(p *parameter) bool { return p.in == "path" && p.name == name }) {
			return nil, d.fault(pointer, "the path has {%s}, which no parameter declares", name)
		}
		if strings.ContainsAny(segment, "{}") && !isVariable(segment) {
			return nil, d.fault(pointer, "a parameter must be a whole segment of the path, and %q is not", segment)
		}
	}
	// What takes whatever nobody else has taken comes last.
	slices.SortStableFunc(o.parameters, func(a, b *parameter) int { return cmp.Compare(a.rank(), b.rank()) })
	if _, there := described["requestBody"]; there {
		if o.body, err = d.bodyAt(join(pointer, "requestBody")); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (p *parameter) rank() int {
	if p.in == "query" && p.isSpread() && p.shape.open {
		return 1
	}
	return 0
}

func variable(segment string) (name string, ok bool) {
	if len(segment) < 3 || segment[0] != '{' || segment[len(segment)-1] != '}' {
		return "", false
	}
	name = segment[1 : len(segment)-1]
	return name, !strings.ContainsAny(name, "{}")
}

func isVariable(segment string) bool { _, ok := variable(segment); return ok }

// form is the same for operations that no request tells apart.
func (p place) form() string {
	segments := strings.Split(p.path, "/")
	for i, segment := range segments {
		if isVariable(segment) {
			segments[i] = "{}"
		}
	}
	return p.method + " " + strings.Join(segments, "/")
}

// matches reports whether an endpoint's path, as http.ServeMux reads it, is this one.
func (p place) matches(path string) bool {
	segments, template := strings.Split(strings.TrimSuffix(path, "{$}"), "/"), strings.Split(p.path, "/")
	if len(segments) != len(template) || strings.HasSuffix(path, "...}") {
		return false // a wildcard of many segments is no parameter
	}
	for i, segment := range segments {
		if isVariable(segment) != isVariable(template[i]) || !isVariable(segment) && segment != template[i] {
			return false
		}
	}
	return true
}

// parameters compiles the parameters of a path or an operation; the operation's own replace
// those of its path.
func (d *Document) parameters(o *Operation, at string, in map[string]any) error {
	list, ok := in["parameters"].([]any)
	if in["parameters"] != nil && !ok {
		return d.fault(join(at, "parameters"), "it is no list")
	}
	known := map[string]bool{}
	for i := range list {
		described, pointer, err := d.tree.follow(join(at, "parameters", strconv.Itoa(i)))
		if err != nil {
			return d.fault(join(at, "parameters", strconv.Itoa(i)), "%v", err)
		}
		p, err := d.parameter(pointer, described)
		if err != nil {
			return err
		}
		if p == nil {
			continue
		}
		if known[p.in+" "+p.name] {
			return d.fault(join(at, "parameters", strconv.Itoa(i)), "the parameter %s stands twice", p.name)
		}
		known[p.in+" "+p.name] = true
		o.parameters = slices.DeleteFunc(o.parameters, func(old *parameter) bool { return old.in == p.in && old.name == p.name })
		o.parameters = append(o.parameters, p)
	}
	return nil
}

// words refuses what is not known: it may be a misspelt rule.
func (d *Document) words(pointer string, in map[string]any, known ...string) error {
	for name := range in {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "x-") {
			return d.fault(join(pointer, name), "%q is not known here", name)
		}
	}
	return nil
}

// parameter compiles one; nil for those that mean nothing here (OpenAPI 3.1 §4.8.12.1).
func (d *Document) parameter(pointer string, described map[string]any) (*parameter, error) {
	if err := d.words(pointer, described, "name", "in", "required", "deprecated", "allowEmptyValue", "style", "explode", "allowReserved", "schema", "content", "description", "example", "examples"); err != nil {
		return nil, err
	}
	p := &parameter{large: d.options.LargeIntegers, commas: d.options.EscapedCommas}
	p.name, _ = described["name"].(string)
	p.in, _ = described["in"].(string)
	p.required = described["required"] == true
	if p.in == "header" {
		p.name = http.CanonicalHeaderKey(p.name)
		if slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, p.name) {
			return nil, nil
		}
	}
	styles := map[string][]string{
		"query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"}, "cookie": {"form"}, "path": {"simple", "label", "matrix"}, "header": {"simple"},
	}[p.in]
	if len(styles) == 0 || p.name == "" {
		return nil, d.fault(pointer, "a parameter has a name, and is in the path, query, header or cookie")
	}
	p.style = styles[0]
	if style, said := described["style"]; said {
		p.style, _ = style.(string)
	}
	if !slices.Contains(styles, p.style) {
		return nil, d.fault(pointer, "a parameter in the %s has one of the styles %v", p.in, styles)
	}
	p.empty = p.in == "query" && described["allowEmptyValue"] == true
	p.explode = p.style == "form"
	if explode, said := described["explode"].(bool); said {
		p.explode = explode
	}
	where := join(pointer, "schema")
	if content, ok := described["content"].(map[string]any); ok {
		if _, ok := content["application/json"]; !ok || len(content) != 1 {
			return nil, d.fault(pointer, "a parameter's content can be application/json alone")
		}
		p.asJSON, where = true, join(pointer, "content", "application/json", "schema")
	}
	raw, err := d.tree.at(where)
	if err != nil {
		return nil, d.fault(pointer, "the parameter %s has no schema", p.name)
	}
	p.shape = d.dialect.shapeOf(raw)
	p.schema, err = d.schemaAt(where)
	return p, err
}
