package openapi

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"pavise.dev/pavise/schema"
)

// at is a place of the document: a name, and what it stands in. Places share what is above
// them, so that a million of them are as small as a million names.
type at struct {
	above *at
	name  string
}

func (a *at) to(names ...string) *at {
	for _, name := range names {
		a = &at{a, name}
	}
	return a
}

// names are the names from the top down to the place.
func (a *at) names() (all []string) {
	for ; a != nil; a = a.above {
		all = append(all, a.name)
	}
	slices.Reverse(all)
	return all
}

// length is about that of the pointer.
func (a *at) length() (n int) {
	for ; a != nil; a = a.above {
		n += 1 + len(a.name)
	}
	return n
}

func (a *at) pointer() string { return schema.JoinPointer("", a.names()...) }

func pointed(pointer string) *at {
	var a *at
	return a.to(schema.SplitPointer(pointer)...)
}

// references is what refers to what.
type references struct {
	used map[string]bool     // components that operations and the rest refer to
	by   map[string][]string // component: those that it refers to
}

// everything looks at each value of the document once: references, waivers, secrets.
func (c *check) everything() {
	c.references = references{used: map[string]bool{}, by: map[string][]string{}}
	c.each(nil, c.root, "")
}

// each looks at a value; in names the component that it is a part of.
func (c *check) each(a *at, v any, in string) {
	if !c.step() {
		return
	}
	switch v := v.(type) {
	case string:
		if kind := c.secretKind(v); kind != "" {
			c.report("secret-in-document", a, "what looks like %s", kind)
		}
	case map[string]any:
		c.waivers(a, v)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name == waiveKey {
				continue
			}
			below := a.to(name)
			component := in
			if depthOf(below) == 3 && below.above.above.name == "components" {
				component = below.above.name + "/" + name
			}
			c.refers(below, v[name], component)
			c.each(below, v[name], component)
		}
	case []any:
		for i, entry := range v {
			c.each(a.to(strconv.Itoa(i)), entry, in)
		}
	}
}

// depthOf counts up to four: further down nobody asks.
func depthOf(a *at) (n int) {
	for ; a != nil && n < 4; a = a.above {
		n++
	}
	return n
}

// refers notes what a member refers to, if it is $ref, or the mapping of a discriminator.
func (c *check) refers(a *at, v any, in string) {
	target, ok := v.(string)
	isMapping := a.above != nil && a.above.name == "mapping"
	if !ok || a.name != "$ref" && !isMapping {
		return
	}
	if isMapping && !strings.HasPrefix(target, "#") {
		target = "#/components/schemas/" + target // a bare name
	}
	names := schema.SplitPointer(target)
	if !strings.HasPrefix(target, "#/") {
		if !c.isExample(a) {
			c.report("reference-broken", a.above, "%.120q is outside this document", target)
		}
		return
	}
	if len(names) >= 3 && names[0] == "components" {
		component := names[1] + "/" + names[2]
		if in == "" {
			c.references.used[component] = true
		} else {
			c.references.by[in] = append(c.references.by[in], component)
		}
	}
	if _, err := c.document.At(target); err != nil && !c.isExample(a) {
		c.report("reference-broken", a.above, "there is nothing at %.120q", target)
	}
}

// isExample reports whether a place is within a value that is shown, in which $ref and the
// like are mere names.
func (c *check) isExample(a *at) bool {
	for ; a != nil; a = a.above {
		switch a.name {
		case "example", "examples", "default", "enum", "const":
			return true
		}
	}
	return false
}

// unused tells of components that nothing leads to.
func (c *check) unused() {
	for open := slices.Collect(maps.Keys(c.references.used)); len(open) > 0; {
		last := open[len(open)-1]
		open = open[:len(open)-1]
		for _, next := range c.references.by[last] {
			if !c.references.used[next] {
				c.references.used[next] = true
				open = append(open, next)
			}
		}
	}
	components, _ := c.root["components"].(map[string]any)
	for kind, v := range components {
		list, _ := v.(map[string]any)
		if strings.HasPrefix(kind, "x-") || len(list) == 0 {
			continue
		}
		for name := range list {
			if !c.references.used[kind+"/"+name] && !strings.HasPrefix(name, "x-") {
				c.report("unused-component", pointed("").to("components", kind, name), "nothing uses %s %.80q", strings.TrimSuffix(kind, "s"), name)
			}
		}
	}
}

// resolve follows references to an object, and says where it stands.
func (c *check) resolve(a *at, v any) (*at, map[string]any) {
	for range maxReference {
		object, ok := v.(map[string]any)
		if !ok {
			return a, nil
		}
		ref, refers := object["$ref"].(string)
		if !refers {
			return a, object
		}
		var err error
		if v, err = c.document.At(ref); err != nil || !strings.HasPrefix(ref, "#/") {
			return a, nil // told already
		}
		a = pointed(ref)
	}
	return a, nil // in a circle
}

// identityOf tells values apart that stand in different places.
func identityOf(m map[string]any) uintptr { return reflect.ValueOf(m).Pointer() }

// members lists an object's members that are objects, in the order of their names.
func members(object map[string]any, name string) (names []string, in map[string]any) {
	in, _ = object[name].(map[string]any)
	return slices.Sorted(maps.Keys(in)), in
}

// entries is the list that an object has under a name.
func entries(object map[string]any, name string) []any {
	list, _ := object[name].([]any)
	return list
}

func textOf(object map[string]any, name string) string {
	text, _ := object[name].(string)
	return text
}
