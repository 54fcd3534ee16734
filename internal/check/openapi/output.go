package openapi

// lets judges what an answer lets out; m is its schema with its parts.
func (c *check) lets(t task, m map[string]any) {
	if !t.good || has(m, "enum", "const", "anyOf", "oneOf", "not") {
		return
	}
	more := m["additionalProperties"]
	schema, isSchema := more.(map[string]any)
	isObject := false
	for _, kind := range typesOf(m) {
		isObject = isObject || kind == "object"
	}
	switch {
	case !isObject || has(m, "patternProperties"):
	case more == true || isSchema && isFree(schema) || more == nil && len(objectOf(m, "properties")) == 0:
		c.report("response-open-object", t.at, "%s may hold any property", t.called())
	}
}
