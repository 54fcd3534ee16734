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
	template   []string // segments of the path; {name}: a parameter
	parameters []*parameter
	body       *body // nil: none is expected
}

// methods are the names under which operations stand.
func methods() []string {
	return []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}
}

// compile compiles every operation.
func (d *Document) compile(root map[string]any) error {
	base, err := d.base(root)
	if err != nil {
		return err
	}
	paths, _ := root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, at, err := d.tree.follow(join("/paths", path))
		if err != nil {
			return d.fault(join("/paths", path), "%v", err)
		}
		for _, method := range methods() {
			if _, there := item[method]; !there {
				continue
			}
			o, err := d.operation(at, item, method, base+path)
			if err != nil {
				return err
			}
			d.operations = append(d.operations, o)
		}
	}
	return nil
}

// base is the path of the document's servers, which must have one in common.
func (d *Document) base(root map[string]any) (string, error) {
	servers, _ := root["servers"].([]any)
	base, known := "", false
	for i, one := range servers {
		server, _ := one.(map[string]any)
		address, _ := server["url"].(string)
		u, err := url.Parse(address)
		if err != nil || strings.Contains(address, "{") {
			continue // with variables: the operator's endpoints say the path
		}
		path := strings.TrimSuffix(u.Path, "/")
		if known && path != base {
			return "", d.fault(join("/servers", strconv.Itoa(i)), "its servers have different paths, %q and %q: leave one", base, path)
		}
		base, known = path, true
	}
	return base, nil
}

func (d *Document) operation(at string, item map[string]any, method, path string) (*Operation, error) {
	pointer := join(at, method)
	o := &Operation{Method: strings.ToUpper(method), Path: path, options: d.options, template: strings.Split(path, "/")}
	described, _ := item[method].(map[string]any)
	o.Deprecated = described["deprecated"] == true
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
		var err error
		if o.body, err = d.bodyAt(join(pointer, "requestBody")); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (p *parameter) rank() int {
	if p.in == "query" && p.shape.open && p.shape.is("object") && p.explode && p.style == "form" {
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

// matches reports whether an endpoint's path is this operation's.
func (o *Operation) matches(path string) bool {
	segments := strings.Split(path, "/")
	if len(segments) != len(o.template) {
		return false
	}
	for i, segment := range segments {
		if isVariable(segment) != isVariable(o.template[i]) || !isVariable(segment) && segment != o.template[i] {
			return false
		}
	}
	return true
}

// parameters compiles the parameters of a path or an operation; the operation's own replace
// those of its path.
func (d *Document) parameters(o *Operation, at string, in map[string]any) error {
	list, _ := in["parameters"].([]any)
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
		o.parameters = slices.DeleteFunc(o.parameters, func(old *parameter) bool { return old.in == p.in && old.name == p.name })
		o.parameters = append(o.parameters, p)
	}
	return nil
}

// parameter compiles one; nil for those that mean nothing here (OpenAPI 3.1 §4.8.12.1).
func (d *Document) parameter(pointer string, described map[string]any) (*parameter, error) {
	p := &parameter{}
	p.name, _ = described["name"].(string)
	p.in, _ = described["in"].(string)
	p.required = described["required"] == true
	if p.in == "header" {
		p.name = http.CanonicalHeaderKey(p.name)
		if slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, p.name) {
			return nil, nil
		}
	}
	p.style, _ = described["style"].(string)
	if p.style == "" {
		p.style = map[string]string{"query": "form", "cookie": "form", "path": "simple", "header": "simple"}[p.in]
	}
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
	p.shape = d.dialect.shapeOf(raw, 0)
	p.schema, err = d.schemaAt(where)
	return p, err
}
