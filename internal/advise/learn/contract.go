package learn

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// contract is an OpenAPI document that is being written. What the log holds is in it: paths,
// parameters, and that there was a body; what it does not, has to be written by hand.
type contract struct {
	paths map[string]map[string]found
}

func newContract() *contract { return &contract{map[string]map[string]found{}} }

func (c *contract) add(f *found) {
	path := strings.ReplaceAll(f.path, "{$}", "")
	if c.paths[path] == nil {
		c.paths[path] = map[string]found{}
	}
	c.paths[path][strings.ToLower(f.method)] = *f
}

func (c *contract) text() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Learnt from requests by pavise init --learn. Bodies and answers are not in the log: describe them,")
	line("# then let pavise check FILE look at it, and pavise review --would-block at what it would refuse.")
	line("openapi: 3.1.0")
	line("info: {title: Learnt, version: \"1\"}")
	line("paths:")
	for _, path := range slices.Sorted(maps.Keys(c.paths)) {
		line("  %q:", path)
		for _, method := range slices.Sorted(maps.Keys(c.paths[path])) {
			f := c.paths[path][method]
			if !slices.Contains([]string{"get", "put", "post", "delete", "patch"}, method) {
				continue // a method of its own is no operation of OpenAPI
			}
			line("    %s:", method)
			if len(f.params)+len(f.calls.queries) > 0 {
				line("      parameters:")
			}
			for _, p := range f.params {
				line("        - {name: %s, in: path, required: true, schema: %s}", p.name, p.schema())
			}
			for _, name := range slices.Sorted(maps.Keys(f.calls.queries)) {
				line("        - {name: %q, in: query, schema: {type: string, maxLength: 256}}", name)
			}
			if f.calls.bodies > 0 && method != "get" && method != "delete" {
				line("      requestBody:")
				line("        content: {application/json: {schema: {type: object, additionalProperties: true}}}   # not in the log: describe it")
			}
			line("      responses: {2XX: {description: not in the log}, 4XX: {description: refused}}")
		}
	}
	return b.Bytes()
}

// schema bounds a parameter by what was seen.
func (p *param) schema() string {
	switch p.form {
	case number:
		return "{type: integer, minimum: 0}"
	case uuid:
		return "{type: string, format: uuid}"
	}
	if p.size == 0 || p.size > 128 {
		return "{type: string, minLength: 1, maxLength: 256}"
	}
	return fmt.Sprintf("{type: string, minLength: 1, maxLength: %d}", max(2*p.size, 32))
}
