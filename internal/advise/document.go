package advise

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"pavise.dev/pavise/route"
	"pavise.dev/pavise/schema"
)

// Facts are what a document tells of an operation.
type Facts struct {
	Described bool // there is a document, and it has the operation
	Open      bool // it says that nobody is asked who is calling
	Answers   bool // it describes what the operation answers
	Schemes   []string
	Scopes    []string // that it demands
	Named     []Named  // parameters and properties whose names tell what they hold
}

// Named is a name that tells what it holds.
type Named struct {
	Name   string
	Data   Data
	Answer bool // it stands in an answer
}

// Bounds of what is looked at.
const (
	maxOperations = 5_000
	maxSteps      = 400_000 // values of one operation's schemas, all operations together
	maxDepth      = 8       // of schemas within each other
	maxReferences = 16      // that lead on to each other
	maxNamed      = 32      // names kept of one operation
)

// FromDocument reads the operations of a document, and what it tells of the API.
func FromDocument(d *schema.Document) (api API, endpoints []Endpoint, left []Left) {
	r := &reader{document: d, root: d.Root(), steps: maxSteps}
	paths, _ := r.root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := r.object(paths[path])
		for _, method := range []string{"get", "post", "put", "patch", "delete", "head", "options", "trace"} {
			operation, ok := item[method].(map[string]any)
			if !ok {
				continue
			}
			for _, base := range schema.Bases(r.root, item, operation) {
				pattern, why := patternOf(method, base+path)
				if why == "" && len(endpoints) == maxOperations {
					why = fmt.Sprintf("more than %d operations are not looked at", maxOperations)
				}
				if why != "" {
					left = append(left, Left{strings.ToUpper(method) + " " + base + path, why})
					continue
				}
				endpoints = append(endpoints, Endpoint{Pattern: pattern, Facts: r.facts(item, operation)})
			}
		}
	}
	endpoints, left = without(d, endpoints, left)
	endpoints, unfit := Fit(route.New[bool](), endpoints)
	return r.api(), endpoints, append(left, unfit...)
}

// Fit leaves out endpoints that a table of routes cannot have beside those that it has: two
// patterns that match the same paths, of which neither is the more special.
func Fit(t *route.Table[bool], endpoints []Endpoint) (kept []Endpoint, left []Left) {
	for _, e := range endpoints {
		if err := t.Add(e.Pattern, true); err != nil {
			left = append(left, Left{e.Pattern, "another endpoint matches the same paths, and neither is the more special"})
			continue
		}
		kept = append(kept, e)
	}
	return kept, left
}

// without leaves out operations that Pavise could not hold to the document.
func without(d *schema.Document, endpoints []Endpoint, left []Left) ([]Endpoint, []Left) {
	kept := endpoints[:0]
	for _, e := range endpoints {
		if _, err := d.Operation(e.Pattern); err != nil {
			left = append(left, Left{e.Pattern, err.Error()})
			continue
		}
		kept = append(kept, e)
	}
	return kept, left
}

var (
	parameterForm = regexp.MustCompile(`^\{[^{}]*\}$`)
	notInNames    = regexp.MustCompile(`[^A-Za-z0-9_]+`)
)

// patternOf writes an operation's path as the configuration does; why says that it cannot be.
func patternOf(method, path string) (pattern, why string) {
	switch {
	case method == "head" || method == "options" || method == "trace":
		return "", strings.ToUpper(method) + " is no endpoint of its own: HEAD follows GET, OPTIONS the CORS rule, TRACE is never served"
	case !strings.HasPrefix(path, "/"):
		return "", "the path does not begin with /"
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		switch {
		case segment == "" && i == len(segments)-1:
			segments[i] = "{$}"
		case segment == "":
			return "", "the path has an empty segment, which the door refuses"
		case parameterForm.MatchString(segment):
			segments[i] = "{" + identifier(segment[1:len(segment)-1], i) + "}"
		case strings.ContainsAny(segment, "{}"):
			return "", "a parameter is only a part of a segment, and patterns match whole segments"
		case strings.ContainsAny(segment, "?#;\\ *%") || strings.HasPrefix(segment, ":") || segment == "." || segment == "..":
			return "", "the path has characters that the door refuses"
		}
	}
	return strings.ToUpper(method) + " /" + strings.Join(segments, "/"), ""
}

// identifier is a parameter's name as patterns want it.
func identifier(name string, i int) string {
	name = strings.Trim(notInNames.ReplaceAllString(name, "_"), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		return fmt.Sprintf("p%d", i)
	}
	return name
}

// reader reads one document.
type reader struct {
	document *schema.Document
	root     map[string]any
	steps    int
}

// object follows references to an object.
func (r *reader) object(v any) map[string]any {
	for range maxReferences {
		object, _ := v.(map[string]any)
		ref, refers := object["$ref"].(string)
		if !refers || !strings.HasPrefix(ref, "#/") {
			return object
		}
		var err error
		if v, err = r.document.At(ref); err != nil {
			return nil
		}
	}
	return nil
}

func (r *reader) facts(item, operation map[string]any) Facts {
	f := Facts{Described: true}
	r.security(&f, operation)
	for _, from := range []map[string]any{item, operation} {
		list, _ := from["parameters"].([]any)
		for _, one := range list {
			p := r.object(one)
			name, _ := p["name"].(string)
			f.note(name, false)
		}
	}
	r.content(&f, r.object(operation["requestBody"]), false)
	responses, _ := operation["responses"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		if strings.HasPrefix(status, "2") {
			r.content(&f, r.object(responses[status]), true)
		}
	}
	return f
}

func (f *Facts) note(name string, answer bool) {
	if d := classOf(name); d != "" && len(f.Named) < maxNamed {
		f.Named = append(f.Named, Named{name, d, answer})
	}
}

// content looks at the schemas of a body.
func (r *reader) content(f *Facts, body map[string]any, answer bool) {
	content, _ := body["content"].(map[string]any)
	for _, media := range slices.Sorted(maps.Keys(content)) {
		described, _ := content[media].(map[string]any)
		if answer && described["schema"] != nil {
			f.Answers = true
		}
		r.schema(f, described["schema"], answer, 0)
	}
}

// schema collects the names of a schema's properties.
func (r *reader) schema(f *Facts, v any, answer bool, depth int) {
	r.steps--
	s := r.object(v)
	if s == nil || depth > maxDepth || r.steps < 0 {
		return
	}
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		f.note(name, answer)
		r.schema(f, properties[name], answer, depth+1)
	}
	for _, word := range []string{"items", "additionalProperties"} {
		r.schema(f, s[word], answer, depth+1)
	}
	for _, word := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[word].([]any)
		for _, one := range list {
			r.schema(f, one, answer, depth+1)
		}
	}
}

// security reads which schemes an operation names, or the document for it.
func (r *reader) security(f *Facts, operation map[string]any) {
	requirements, own := operation["security"].([]any)
	if !own {
		requirements, _ = r.root["security"].([]any)
	}
	f.Open = own && len(requirements) == 0 // said in so many words; silence says nothing
	for _, one := range requirements {
		requirement, _ := one.(map[string]any)
		if len(requirement) == 0 {
			f.Open = true // as good as nothing
		}
		for _, name := range slices.Sorted(maps.Keys(requirement)) {
			r.scheme(f, name)
			scopes, _ := requirement[name].([]any)
			for _, scope := range scopes {
				if word, _ := scope.(string); isScope(word) && !slices.Contains(f.Scopes, word) {
					f.Scopes = append(f.Scopes, word)
				}
			}
		}
	}
	if len(requirements) > 1 {
		f.Scopes = nil // alternatives may demand different ones: which holds for all is not said
	}
}

var scopeForm = regexp.MustCompile(`^[!#-\[\]-~]{1,128}$`)

func isScope(word string) bool {
	return scopeForm.MatchString(word) && word != "any" && !slices.Contains([]string{"openid", "profile", "email", "offline_access"}, word)
}

// scheme notes the kinds of one security scheme.
func (r *reader) scheme(f *Facts, name string) {
	all, _ := r.root["components"].(map[string]any)
	schemes, _ := all["securitySchemes"].(map[string]any)
	s := r.object(schemes[name])
	kind, _ := s["type"].(string)
	detail, _ := s["scheme"].(string)
	in, _ := s["in"].(string)
	switch kind {
	case "http":
		kind = strings.ToLower(detail)
	case "apiKey":
		if in == "cookie" {
			kind = in
		}
	case "oauth2":
		flows, _ := s["flows"].(map[string]any)
		f.Schemes = append(f.Schemes, slices.Sorted(maps.Keys(flows))...)
		return
	}
	f.Schemes = append(f.Schemes, cmp.Or(kind, "unknown"))
}

// api is what a document tells of the whole API: its name, its host, and who gives out tokens.
func (r *reader) api() (api API) {
	info, _ := r.root["info"].(map[string]any)
	title, _ := info["title"].(string)
	api.Name = nameOf(title)
	servers, _ := r.root["servers"].([]any)
	for _, one := range servers {
		server, _ := one.(map[string]any)
		address, _ := server["url"].(string)
		if u, err := url.Parse(address); err == nil && u.Scheme == "https" && u.Host != "" && u.Port() == "" && !strings.ContainsAny(address, "{}") {
			api.Host = strings.ToLower(u.Hostname())
			break
		}
	}
	all, _ := r.root["components"].(map[string]any)
	schemes, _ := all["securitySchemes"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(schemes)) {
		address, _ := r.object(schemes[name])["openIdConnectUrl"].(string)
		if issuer, ok := strings.CutSuffix(address, "/.well-known/openid-configuration"); ok && strings.HasPrefix(issuer, "https://") {
			api.Tokens.Issuer = issuer
		}
	}
	return api
}

// nameOf makes an API's name of a title: "Shop API v2" is shop.
func nameOf(title string) string {
	var kept []string
	for word := range strings.SplitSeq(lowered(title), "_") {
		ascii := strings.Trim(notInNames.ReplaceAllString(word, ""), "_")
		if ascii != "" && ascii == word && !isVersion(word) && !slices.Contains([]string{"api", "the", "service", "rest", "openapi", "swagger"}, word) && len(kept) < 3 {
			kept = append(kept, word)
		}
	}
	name := strings.Join(kept, "-")
	return name[:min(len(name), 48)]
}
