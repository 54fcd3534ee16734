// Package sample makes requests for the tests of package schema: valid ones by an OpenAPI
// document, and ones that each break one rule. Nothing but tests uses it.
package sample

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Request is a request as a test writes it.
type Request struct {
	method, path string
	query        url.Values
	header       http.Header
	Body         string
}

// Target is the path with the query.
func (s Request) Target() string {
	if len(s.query) == 0 {
		return s.path
	}
	return s.path + "?" + s.query.Encode()
}

// HTTP is the request as a server gets it.
func (s Request) HTTP() *http.Request {
	r := httptest.NewRequest(s.method, "https://api.example.com"+s.Target(), strings.NewReader(s.Body))
	maps.Copy(r.Header, s.header)
	return r
}

// Sampler makes values that fit the schemas of a document. It is written against the text of
// the standard and knows nothing of the package that it tests.
type Sampler struct{ root map[string]any }

// New reads a document in JSON or YAML.
func New(text []byte) (*Sampler, error) {
	s := &Sampler{}
	if json.Unmarshal(text, &s.root) == nil {
		return s, nil
	}
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	again, err := json.Marshal(root)
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(again, &s.root)
}

func (s *Sampler) resolve(v any) map[string]any {
	for range 20 {
		object, _ := v.(map[string]any)
		ref, ok := object["$ref"].(string)
		if !ok {
			return object
		}
		v = s.root
		for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
			switch in := v.(type) {
			case map[string]any:
				v = in[name]
			case []any:
				var i int
				_, _ = fmt.Sscan(name, &i)
				v = in[i]
			}
		}
	}
	return nil
}

// operation finds an operation in the text.
func (s *Sampler) operation(method, path string) (parameters []map[string]any, body map[string]any) {
	paths, _ := s.root["paths"].(map[string]any)
	found := ""
	for one := range paths {
		if strings.HasSuffix(path, one) && len(one) > len(found) {
			found = one
		}
	}
	item := s.resolve(paths[found])
	described := s.resolve(item[strings.ToLower(method)])
	for _, from := range []map[string]any{item, described} {
		list, _ := from["parameters"].([]any)
		for _, one := range list {
			parameters = append(parameters, s.resolve(one))
		}
	}
	return parameters, s.resolve(described["requestBody"])
}

// Request is a valid request for an operation: all that is required, and what can be added. It is
// false if none can be made.
func (s *Sampler) Request(method, path string) (Request, bool) {
	out := Request{method: method, path: path, query: url.Values{}, header: http.Header{}}
	parameters, body := s.operation(method, path)
	for _, p := range parameters {
		name, _ := p["name"].(string)
		text, ok := s.text(p)
		if !ok {
			if p["required"] == true {
				return out, false
			}
			continue
		}
		switch p["in"] {
		case "path":
			out.path = strings.ReplaceAll(out.path, "{"+name+"}", url.PathEscape(text))
		case "query":
			out.query.Set(name, text)
		case "header":
			out.header.Set(name, text)
		}
	}
	content, _ := body["content"].(map[string]any)
	if described, ok := content["application/json"].(map[string]any); ok {
		v, ok := s.value(described["schema"], 0)
		text, err := json.Marshal(v)
		if !ok || err != nil {
			return out, false
		}
		out.Body = string(text)
		out.header.Set("Content-Type", "application/json")
		return out, true
	}
	return out, body["required"] != true
}

// text is the text of a parameter: of those that are one value.
func (s *Sampler) text(p map[string]any) (string, bool) {
	v, ok := s.value(p["schema"], 0)
	switch v := v.(type) {
	case string:
		return v, ok && v != ""
	case float64, bool:
		return fmt.Sprint(v), ok
	case []any:
		if len(v) == 1 && ok {
			return fmt.Sprint(v[0]), true
		}
	}
	return "", false
}

// flat is a schema with what it refers to and is made of (allOf) in one.
func (s *Sampler) flat(v any, depth int) (map[string]any, bool) {
	from := s.resolve(v)
	if from == nil || depth > 8 {
		return nil, false
	}
	out := map[string]any{}
	properties := map[string]any{}
	var required []any
	add := func(m map[string]any) {
		for name, word := range m {
			switch name {
			case "properties":
				maps.Copy(properties, word.(map[string]any))
			case "required":
				required = append(required, word.([]any)...)
			case "allOf":
			default:
				out[name] = word
			}
		}
	}
	all, _ := from["allOf"].([]any)
	for _, one := range all {
		part, ok := s.flat(one, depth+1)
		if !ok {
			return nil, false
		}
		add(part)
	}
	add(from)
	if len(properties) > 0 {
		out["properties"] = properties
	}
	if len(required) > 0 {
		out["required"] = required
	}
	return out, true
}

func (s *Sampler) value(v any, depth int) (any, bool) {
	f, ok := s.flat(v, 0)
	if !ok || depth > 6 {
		return nil, false
	}
	for _, word := range []string{"oneOf", "anyOf"} {
		if all, said := f[word].([]any); said {
			return s.either(f, word, all, depth)
		}
	}
	if values, said := f["enum"].([]any); said {
		return values[0], true
	}
	if one, said := f["const"]; said {
		return one, true
	}
	switch typeOf(f) {
	case "object":
		return s.object(f, depth)
	case "array":
		if n, _ := f["minItems"].(float64); n > 1 {
			return nil, false
		}
		item, ok := s.value(f["items"], depth+1)
		return []any{item}, ok
	case "boolean":
		return true, true
	case "integer", "number":
		n := 1.0
		if low, said := f["minimum"].(float64); said && low > n {
			n = low
		}
		if high, said := f["maximum"].(float64); said && high < n {
			n = high
		}
		return n, f["multipleOf"] == nil
	case "string":
		return s.string(f)
	case "":
		if len(f) == 0 {
			return "any", true
		}
		if f["properties"] != nil {
			return s.object(f, depth)
		}
	}
	return nil, false
}

func typeOf(f map[string]any) string {
	switch kind := f["type"].(type) {
	case string:
		return kind
	case []any:
		for _, one := range kind {
			if one != "null" {
				return one.(string)
			}
		}
	}
	return ""
}

// either takes the first alternative that has a sample, which others might fit as well.
func (s *Sampler) either(f map[string]any, word string, all []any, depth int) (any, bool) {
	if f["properties"] != nil || word == "oneOf" && len(all) > 1 && s.alike(all) {
		return nil, false // what fits several is a matter of taste
	}
	for _, one := range all {
		if v, ok := s.value(one, depth+1); ok {
			return v, true
		}
	}
	return nil, false
}

// alike reports whether two alternatives have a type in common.
func (s *Sampler) alike(all []any) bool {
	seen := map[string]bool{}
	for _, one := range all {
		f, _ := s.flat(one, 0)
		kind := typeOf(f)
		if kind == "integer" {
			kind = "number"
		}
		if kind == "" || seen[kind] {
			return true
		}
		seen[kind] = true
	}
	return false
}

func (s *Sampler) object(f map[string]any, depth int) (any, bool) {
	out := map[string]any{}
	properties, _ := f["properties"].(map[string]any)
	required, _ := f["required"].([]any)
	for name, p := range properties {
		flat, ok := s.flat(p, 0)
		if ok && flat["readOnly"] == true {
			continue
		}
		v, ok := s.value(p, depth+1)
		if ok && (depth < 2 || slices.Contains(required, any(name))) {
			out[name] = v
		}
	}
	for _, name := range required {
		text, _ := name.(string)
		flat, _ := s.flat(properties[text], 0)
		if _, there := out[text]; !there && flat["readOnly"] != true {
			if properties[text] != nil {
				return nil, false
			}
			out[text] = "any"
		}
	}
	if n, _ := f["minProperties"].(float64); len(out) < int(n) {
		return nil, false
	}
	if n, said := f["maxProperties"].(float64); said && len(out) > int(n) {
		return nil, false
	}
	return out, f["not"] == nil && f["if"] == nil
}

func (s *Sampler) string(f map[string]any) (any, bool) {
	text := map[any]string{
		"date-time": "2026-11-30T07:00:00Z", "date": "2026-11-30", "uuid": "0d0e4a3c-3c1c-4c1e-8f5e-1d2c3b4a5968", "email": "ada@example.com",
		"uri": "https://example.com/a", "hostname": "example.com", "ipv4": "192.0.2.1", "time": "07:00:00Z", "byte": "YWI=",
	}[f["format"]]
	if f["pattern"] != nil {
		example, ok := f["example"].(string) // which need not fit
		matches, err := regexp.MatchString(f["pattern"].(string), example)
		return example, ok && err == nil && matches
	}
	if text != "" {
		return text, true
	}
	if n, _ := f["minLength"].(float64); n > 4 {
		return strings.Repeat("a", int(n)), true
	}
	text = "text"
	if n, said := f["maxLength"].(float64); said && n < 4 {
		text = text[:int(n)]
	}
	return text, f["format"] != "binary"
}

// Changed are requests that each break one rule, by "rule:where".
func (s *Sampler) Changed(method, path string, good Request) map[string]Request {
	out := map[string]Request{}
	parameters, body := s.operation(method, path)
	query := func(name, value string) Request {
		bad := good
		bad.query = maps.Clone(good.query)
		bad.query.Set(name, value)
		return bad
	}
	out["undeclared parameter:"] = query("x-undeclared", "1")
	for _, p := range parameters {
		name, _ := p["name"].(string)
		f, ok := s.flat(p["schema"], 0)
		if p["in"] != "query" || !ok || f["oneOf"] != nil || f["anyOf"] != nil {
			continue
		}
		if p["required"] == true {
			bad := query(name, "")
			bad.query.Del(name)
			out["required parameter dropped:"+name] = bad
		}
		switch kind := typeOf(f); {
		case kind == "integer" || kind == "number" || kind == "boolean":
			out["wrong type of a parameter:"+name] = query(name, "x")
		case f["enum"] != nil:
			out["no value of the list:"+name] = query(name, "no-such-value")
		}
		if high, said := f["maximum"].(float64); said {
			out["parameter beyond a bound:"+name] = query(name, fmt.Sprint(int64(high)+1))
		}
	}
	content, _ := body["content"].(map[string]any)
	described, ok := content["application/json"].(map[string]any)
	if !ok || good.Body == "" {
		return out
	}
	f, ok := s.flat(described["schema"], 0)
	var object map[string]any
	if json.Unmarshal([]byte(good.Body), &object) != nil || !ok || f["oneOf"] != nil || f["anyOf"] != nil {
		return out
	}
	with := func(name string, v any) Request {
		changed := maps.Clone(object)
		if changed[name] = v; v == nil {
			delete(changed, name)
		}
		text, _ := json.Marshal(changed)
		bad := good
		bad.Body = string(text)
		return bad
	}
	properties, _ := f["properties"].(map[string]any)
	if len(properties) > 0 && f["additionalProperties"] == nil {
		out["undeclared property:"] = with("x-undeclared", 1)
	}
	required, _ := f["required"].([]any)
	for name, p := range properties {
		if _, there := object[name]; !there {
			continue
		}
		if slices.Contains(required, any(name)) {
			out["required property dropped:"+name] = with(name, nil)
		}
		flat, ok := s.flat(p, 0)
		if !ok || flat["oneOf"] != nil || flat["anyOf"] != nil {
			continue
		}
		if kind, said := flat["type"].(string); said {
			var wrong any = map[string]any{"x-undeclared": 1}
			if kind == "object" {
				wrong = 1
			}
			out["wrong type of a property:"+name] = with(name, wrong)
		}
		if high, said := flat["maxLength"].(float64); said && high < 1<<16 {
			out["property beyond a bound:"+name] = with(name, strings.Repeat("a", int(high)+1))
		}
		if high, said := flat["maximum"].(float64); said {
			out["property beyond a bound:"+name] = with(name, high+1)
		}
		if flat["readOnly"] == true {
			out["readOnly property:"+name] = with(name, "x")
		}
	}
	return out
}
