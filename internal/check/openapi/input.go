package openapi

import (
	"slices"
	"strings"
)

// bounds judges what a schema that callers' values are held to leaves open; m is the schema
// with its parts.
func (c *check) bounds(t task, m map[string]any) {
	if has(m, "enum", "const") {
		return
	}
	composed := has(m, "anyOf", "oneOf")
	types := typesOf(m)
	if len(types) == 0 {
		if !composed && !has(m, "not", "if", "$ref") {
			c.report("value-free", t.at, "%s may be anything", t.called())
		}
		return
	}
	if composed && !has(m, "type") {
		return // the alternatives are judged
	}
	for _, kind := range types {
		switch kind {
		case "string":
			c.text(t, m)
		case "integer", "number":
			c.number(t, m)
		case "array":
			if items := m["items"]; !has(m, "maxItems") && items != false {
				c.report("array-unbounded", t.at, "%s has no maxItems", t.called())
			}
		case "object":
			c.object(t, m, composed)
		}
	}
}

// has reports whether a schema says one of the words.
func has(m map[string]any, any ...string) bool {
	return slices.ContainsFunc(any, func(word string) bool { _, there := m[word]; return there })
}

// text judges a text.
func (c *check) text(t task, m map[string]any) {
	format, _ := m["format"].(string)
	bounded := has(m, "maxLength") || isFixed(format)
	why := "has no maxLength"
	if pattern, ok := m["pattern"].(string); ok {
		c.steps -= len(pattern)
		s, known := shapeOf(pattern)
		if known && s.anchored && s.longest >= 0 {
			bounded = true
		}
		why = "has no maxLength, and its pattern bounds no length"
		c.pattern(t, s, known)
	}
	switch {
	case bounded:
	case format == "binary" || m["contentMediaType"] != nil && m["contentEncoding"] == nil:
		c.report("upload-unbounded", t.at, "the file %s has no maxLength", t.called())
	default:
		c.report("string-unbounded", t.at, "%s %s", t.called(), why)
	}
	if isAddress(t.name) && !has(m, "pattern") || (format == "uri" || format == "url") && !has(m, "pattern") {
		c.report("ssrf-candidate", t.at, "%s is an address", t.called())
	}
}

func (c *check) pattern(t task, s shape, known bool) {
	if known && !s.anchored {
		c.report("pattern-unanchored", t.at.to("pattern"), "the pattern of %s is found anywhere in the text", t.called())
	}
	if known && s.catastrophic {
		c.report("pattern-catastrophic", t.at.to("pattern"), "the pattern of %s can be fitted in many ways", t.called())
	}
}

// isFixed reports whether a format bounds the length by itself.
func isFixed(format string) bool {
	switch format {
	case "date", "date-time", "time", "duration", "uuid", "ipv4", "ipv6", "hostname", "idn-hostname", "email", "idn-email":
		return true
	}
	return false
}

func (c *check) number(t task, m map[string]any) {
	least, most := has(m, "minimum") || isNumber(m["exclusiveMinimum"]), has(m, "maximum") || isNumber(m["exclusiveMaximum"])
	if m["format"] == "int32" {
		least, most = true, true
	}
	switch {
	case least && most:
	case !most && t.isParameter() && isPageSize(t.name):
		c.report("page-size-unbounded", t.at, "%s has no maximum", t.called())
	case !most && !least:
		c.report("number-unbounded", t.at, "%s has neither minimum nor maximum", t.called())
	case !most:
		c.report("number-unbounded", t.at, "%s has no maximum", t.called())
	default:
		c.report("number-unbounded", t.at, "%s has no minimum", t.called())
	}
}

func isNumber(v any) bool {
	_, isBool := v.(bool)
	return v != nil && !isBool
}

// isParameter reports whether the schema is that of a parameter.
func (t *task) isParameter() bool {
	return t.at != nil && t.at.name == "schema" && t.at.above != nil && t.at.above.above != nil && t.at.above.above.name == "parameters"
}

func (c *check) object(t task, m map[string]any, composed bool) {
	more, said := m["additionalProperties"]
	if m["unevaluatedProperties"] == false || more == false {
		return
	}
	described := len(objectOf(m, "properties")) > 0 || has(m, "patternProperties") || composed
	schema, isSchema := more.(map[string]any)
	switch {
	case more == true || isSchema && isFree(schema):
		c.report("object-open", t.at, "%s takes any property", t.called())
	case isSchema && !has(m, "maxProperties"):
		c.report("map-unbounded", t.at, "%s has no maxProperties", t.called())
	case !said && !described:
		c.report("object-open", t.at, "%s says nothing of its properties", t.called())
	}
}

// isFree reports whether a schema takes anything.
func isFree(s map[string]any) bool {
	for word := range s {
		switch word {
		case "title", "description", "example", "examples", "default", "deprecated", "nullable":
		default:
			return strings.HasPrefix(word, "x-")
		}
	}
	return true
}

// parameter judges one of an operation's parameters.
func (c *check) parameter(o *operation, p parameter) {
	name, in := textOf(p.object, "name"), textOf(p.object, "in")
	_, flag := c.resolve(p.at, p.object["schema"])
	switch {
	case flag["type"] == "boolean": // hide_secret, has_email
	case in == "path" && isSecret(name):
		c.report("secret-in-path", p.at, "%s: %.80q stands in the path", o.name(), name)
	case in == "query" && isSecret(name):
		c.report("secret-in-query", p.at, "%s: %.80q stands in the query", o.name(), name)
	case (in == "path" || in == "query") && isPersonal(name):
		c.report("personal-data-in-url", p.at, "%s: %.80q stands in the URL", o.name(), name)
	case in == "header" && isCredential(name):
		c.report("credential-as-parameter", p.at, "%s: the header %.80q is described as a parameter", o.name(), name)
	}
	a, v, described := p.at.to("schema"), p.object["schema"], true
	if v == nil {
		types, content := members(p.object, "content")
		if described = len(types) > 0; described {
			a, v = p.at.to("content", types[0], "schema"), objectOf(content, types[0])["schema"]
		}
	}
	if !described || v == nil {
		return // unusable, which is told
	}
	_, s := c.resolve(a, v)
	if in == "path" && endsWith(words(name), "id") && slices.Contains(typesOf(c.merged(s)), "integer") {
		c.report("sequential-id", p.at, "%s: %.80q is a whole number", o.name(), name)
	}
	c.queue = append(c.queue, task{at: a, value: v, name: name})
}

// isCredential reports whether a header of this name holds a credential.
func isCredential(name string) bool {
	w := strings.TrimPrefix(words(name), "x_")
	return isSecret(name) || slices.Contains([]string{"authorization", "proxy_authorization", "auth", "apikey", "api_key", "token", "access_key", "cookie"}, w)
}

// body judges what an operation takes as its body.
func (c *check) body(o *operation) {
	a, body := c.resolve(o.at.to("requestBody"), o.object["requestBody"])
	types, content := members(body, "content")
	for _, name := range types {
		media, _ := content[name].(map[string]any)
		place := a.to("content", name)
		if strings.Contains(name, "*") {
			c.report("wildcard-media-type", place, "%s: a body of type %.80q", o.name(), name)
		}
		v, described := media["schema"]
		switch {
		case described:
			c.value(place.to("schema"), v, input, true)
			c.identifier(o, place.to("schema"), v)
			c.files(place, name, media)
		case isStructured(name) && !strings.Contains(name, "*"):
			c.report("value-free", place, "%s: the body of type %.80q has no schema", o.name(), name)
		case !strings.Contains(name, "*"):
			c.report("upload-unbounded", place, "%s: nothing bounds the body of type %.80q", o.name(), name)
		}
	}
}

// identifier looks for an id that the caller of POST may choose. Further down, an id is that
// of something else.
func (c *check) identifier(o *operation, a *at, v any) {
	a, s := c.resolve(a, v)
	if id := objectOf(objectOf(s, "properties"), "id"); o.method == "post" && id != nil {
		if _, own := c.resolve(a, id); own["readOnly"] != true && id["readOnly"] != true {
			c.report("mass-assignment", a.to("properties", "id"), "a caller may write %q", "id")
		}
	}
}

// files looks for parts of a form that are files of any type.
func (c *check) files(a *at, media string, object map[string]any) {
	if !strings.HasPrefix(strings.ToLower(media), "multipart/") {
		return
	}
	place, s := c.resolve(a.to("schema"), object["schema"])
	names, in := members(c.merged(s), "properties")
	for _, name := range names {
		_, part := c.resolve(nil, in[name])
		if part["type"] == "array" {
			_, part = c.resolve(nil, part["items"])
		}
		isFile := part["format"] == "binary" || part["contentMediaType"] != nil
		if isFile && part["readOnly"] != true && textOf(objectOf(objectOf(object, "encoding"), name), "contentType") == "" && part["contentMediaType"] == nil {
			c.report("upload-any-type", place.to("properties", name), "the file %.80q may be of any type", name)
		}
	}
}
