package foreign

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/schema"
)

// Bounds of what is read of a document: it may be hostile.
const (
	maxOperations = 2000
	maxReferences = 16   // that lead on to each other
	maxDepth      = 8    // of a value that is made
	maxProperties = 60   // of an object that is made
	maxValues     = 2000 // that one value is made of
	maxSchemas    = 200  // whose properties are gathered for one
)

// operation is one of the document.
type operation struct {
	method, path string // "GET", "/v1/orders/{id}", with the path of the document's server
	about        string // words that say what it is for, in lower case
	parameters   []parameter
	media        string         // of the body that is sent; empty: there is none
	body         map[string]any // its schema
	example      any            // of the body; nil: there is none
	xmlMedia     string         // in which it takes XML
	xml          xmlBody        // how that is written; without a root: it takes none
	answers      map[string]map[string]any
	returns      map[string]bool // the statuses that are described
	protected    bool            // a credential is demanded
	unsaid       bool            // neither it nor the document says whether one is
	schemes      []string        // kinds of those: "http basic"
	deprecated   bool
}

func (o *operation) String() string { return o.method + " " + o.path }

// isSafe reports whether it only reads.
func (o *operation) isSafe() bool {
	return o.method == "GET" || o.method == "HEAD" || o.method == "OPTIONS"
}

type parameter struct {
	name, in string
	required bool
	schema   map[string]any
	example  any
}

// reader reads a document. References outside it are not followed: they are noted.
type reader struct {
	document *schema.Document
	outside  map[string]bool
	base     bool // the paths of its servers count

	values, schemas int // how many more may be part of what is being made, and gathered
}

// resolve follows references to an object.
func (d *reader) resolve(v any) map[string]any {
	for range maxReferences {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		ref, refers := object["$ref"].(string)
		if !refers {
			return object
		}
		if !strings.HasPrefix(ref, "#") {
			d.outside[ref] = true
			return nil
		}
		var err error
		if v, err = d.document.At(ref); err != nil {
			return nil
		}
	}
	return nil // in a circle
}

// operations are those of the document, what reads first.
func (d *reader) operations() (all []*operation) {
	root := d.document.Root()
	paths, _ := root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := d.resolve(paths[path])
		if !strings.HasPrefix(path, "/") || item == nil {
			continue
		}
		for _, method := range []string{"get", "head", "options", "post", "put", "patch", "delete"} {
			if described := d.resolve(item[method]); described != nil && len(all) < maxOperations {
				all = append(all, d.operation(root, item, described, strings.ToUpper(method), path))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *operation) int { return rank(a) - rank(b) })
	return all
}

// rank orders operations: what reads before what writes, what needs no name of an object before
// what does.
func rank(o *operation) int {
	n := strings.Count(o.path, "{")
	switch o.method {
	case "GET", "HEAD", "OPTIONS":
		return n
	case "POST":
		return 10 + n
	case "DELETE":
		return 30 + n
	}
	return 20 + n
}

func (d *reader) operation(root, item, described map[string]any, method, path string) *operation {
	o := &operation{method: method, path: path, answers: map[string]map[string]any{}, returns: map[string]bool{}}
	if d.base {
		o.path = serverPath(root, item, described) + path
	}
	o.deprecated = described["deprecated"] == true
	o.about = strings.ToLower(strings.Join([]string{path, text(described["operationId"]), text(described["summary"]), strings.Join(texts(described["tags"]), " ")}, " "))
	d.security(o, root, described)
	for _, from := range []map[string]any{item, described} {
		list, _ := from["parameters"].([]any)
		for _, one := range list {
			d.parameter(o, d.resolve(one))
		}
	}
	if method != "GET" && method != "HEAD" {
		d.content(o, d.resolve(described["requestBody"]))
	}
	d.returned(o, described)
	return o
}

// serverPath is the path of the first server; its variables have their defaults.
func serverPath(from ...map[string]any) string {
	for _, one := range slices.Backward(from) {
		list, _ := one["servers"].([]any)
		if len(list) == 0 {
			continue
		}
		server, _ := list[0].(map[string]any)
		address := text(server["url"])
		variables, _ := server["variables"].(map[string]any)
		for name, v := range variables {
			variable, _ := v.(map[string]any)
			address = strings.ReplaceAll(address, "{"+name+"}", text(variable["default"]))
		}
		if u, err := url.Parse(address); err == nil && !strings.Contains(u.Path, "{") {
			if path := strings.Trim(u.Path, "/"); path != "" {
				return "/" + path // also of "v1", which is below the document
			}
			return ""
		}
	}
	return ""
}

// security reads what is demanded of callers. Where one alternative demands nothing, nothing is.
func (d *reader) security(o *operation, root, described map[string]any) {
	list, said := described["security"].([]any)
	if !said {
		list, said = root["security"].([]any)
	}
	o.unsaid = !said
	components, _ := root["components"].(map[string]any)
	schemes, _ := components["securitySchemes"].(map[string]any)
	o.protected = len(list) > 0
	for _, one := range list {
		demanded, _ := one.(map[string]any)
		o.protected = o.protected && len(demanded) > 0
		for name, scopes := range demanded {
			scheme := d.resolve(schemes[name])
			o.schemes = append(o.schemes, strings.ToLower(text(scheme["type"])+" "+text(scheme["scheme"])))
			o.about += " " + strings.ToLower(strings.Join(texts(scopes), " "))
		}
	}
}

func (d *reader) parameter(o *operation, p map[string]any) {
	if p == nil {
		return
	}
	one := parameter{name: text(p["name"]), in: text(p["in"]), required: p["required"] == true, schema: d.resolve(p["schema"]), example: d.exampleOf(p)}
	if content, _ := p["content"].(map[string]any); one.schema == nil && content != nil {
		for _, v := range content {
			media, _ := v.(map[string]any)
			one.schema = d.resolve(media["schema"])
		}
	}
	if one.in == "header" && slices.Contains([]string{"accept", "content-type", "authorization"}, strings.ToLower(one.name)) {
		return // OpenAPI 3.1 §4.8.12.1
	}
	o.parameters = slices.DeleteFunc(o.parameters, func(old parameter) bool { return old.name == one.name && old.in == one.in })
	o.parameters = append(o.parameters, one)
}

// exampleOf is a value that the author shows.
func (d *reader) exampleOf(described map[string]any) any {
	if v, ok := described["example"]; ok {
		return v
	}
	examples, _ := described["examples"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		if v, ok := d.resolve(examples[name])["value"]; ok {
			return v
		}
	}
	return nil
}

// content chooses the media type that is sent: JSON before forms before the rest.
func (d *reader) content(o *operation, body map[string]any) {
	content, _ := body["content"].(map[string]any)
	best := 9
	for _, name := range slices.Sorted(maps.Keys(content)) {
		kind := 4
		if isXMLType(name) && o.xml.root == "" {
			o.xmlMedia, o.xml = name, d.xmlOfMedia(d.resolve(content[name]))
		}
		switch {
		case isJSONType(name):
			kind = 0
		case strings.HasPrefix(name, "application/x-www-form-urlencoded"):
			kind = 1
		case isXMLType(name):
			kind = 2
		case strings.HasPrefix(name, "text/"):
			kind = 3
		}
		if kind < best {
			media := d.resolve(content[name])
			best, o.media, o.body, o.example = kind, name, d.resolve(media["schema"]), d.exampleOf(media)
		}
	}
	if strings.Contains(o.media, "*") {
		o.media = "application/json"
	}
}

// xmlOfMedia is how a body is written as XML: its root has the name that its schema says, or has.
func (d *reader) xmlOfMedia(media map[string]any) xmlBody {
	x := xmlBody{root: "request", schema: d.resolve(media["schema"])}
	if schema, _ := media["schema"].(map[string]any); text(schema["$ref"]) != "" {
		ref := text(schema["$ref"])
		x.root = ref[strings.LastIndexByte(ref, '/')+1:]
	}
	if said := text(d.resolve(x.schema["xml"])["name"]); said != "" {
		x.root = said
	}
	x.root = elementName(x.root)
	return x
}

func isJSONType(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ";")
	name = strings.TrimSpace(name)
	return name == "application/json" || strings.HasSuffix(name, "+json") || name == "*/*"
}

// returned reads the schemas of JSON answers.
func (d *reader) returned(o *operation, described map[string]any) {
	responses, _ := described["responses"].(map[string]any)
	for status, v := range responses {
		o.returns[strings.ToUpper(status)] = true
		content, _ := d.resolve(v)["content"].(map[string]any)
		for name, media := range content {
			if isJSONType(name) {
				o.answers[strings.ToUpper(status)] = d.resolve(d.resolve(media)["schema"])
			}
		}
	}
}

// answerOf is the schema that the document has for an answer; nil: none.
func (o *operation) answerOf(status int) map[string]any {
	code := strconv.Itoa(status)
	for _, name := range []string{code, code[:1] + "XX", "DEFAULT"} {
		if s := o.answers[name]; s != nil {
			return s
		}
	}
	return nil
}

// properties are those that a schema declares, with what allOf adds; closed is false where
// it may have others that it does not name.
func (d *reader) properties(s map[string]any) (all map[string]map[string]any, closed bool) {
	d.schemas = maxSchemas
	return d.gathered(s, 0)
}

func (d *reader) gathered(s map[string]any, depth int) (all map[string]map[string]any, closed bool) {
	all, closed = map[string]map[string]any{}, true
	d.schemas--
	if s = d.resolve(s); s == nil || depth > maxDepth || d.schemas < 0 {
		return all, false
	}
	if s["oneOf"] != nil || s["anyOf"] != nil || s["patternProperties"] != nil {
		closed = false
	}
	if more, said := s["additionalProperties"]; said && more != false {
		closed = false
	}
	own, _ := s["properties"].(map[string]any)
	for name, v := range own {
		all[name] = d.resolve(v)
	}
	parts, _ := s["allOf"].([]any)
	for _, part := range parts {
		below, isClosed := d.gathered(d.resolve(part), depth+1)
		closed = closed && isClosed
		maps.Copy(all, below)
	}
	return all, closed && len(all) > 0
}

func text(v any) string { s, _ := v.(string); return s }

func texts(v any) (all []string) {
	list, _ := v.([]any)
	for _, one := range list {
		all = append(all, text(one))
	}
	return all
}
