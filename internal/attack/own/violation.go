package own

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// violations are ways to say something that a description may not allow.
func violations() []violation {
	return slices.Concat(ofQuery(), ofMedia(), ofSyntax(), ofMembers())
}

func ofQuery() []violation {
	return []violation{
		{name: "an undeclared parameter", row: 109, change: func(d draft) (draft, bool) {
			d.target = withQuery(d.target, "pavise_undeclared=1")
			return d, true
		}},
		{name: "a parameter twice", row: 109, change: func(d draft) (draft, bool) {
			if len(d.words) == 0 {
				return d, false
			}
			d.target = withQuery(d.target, d.words[0]+"=1&"+d.words[0]+"=2")
			return d, true
		}},
		{name: "a parameter of another type", row: 108, change: func(d draft) (draft, bool) {
			if len(d.words) == 0 {
				return d, false
			}
			path, _, _ := strings.Cut(d.target, "?")
			d.target = path + "?" + d.words[0] + "=%7B%22a%22:1%7D"
			return d, true
		}},
	}
}

// typed sends the body as something else.
func typed(name, media string) violation {
	return violation{name: name, row: 103, body: true, change: func(d draft) (draft, bool) {
		d.header.Del("Content-Type")
		if media != "" {
			d.header.Set("Content-Type", media)
		}
		return d, len(d.body) > 0
	}}
}

func ofMedia() []violation {
	return []violation{
		typed("no content type", ""), typed("the content type text/plain", "text/plain"), typed("the content type of a form", "application/x-www-form-urlencoded"),
		typed("the character set UTF-7", "application/json; charset=utf-7"), typed("the content type application/xml", "application/xml"), typed("a content type that is none", "json"),
		{name: "an unknown content encoding", row: 104, body: true, change: func(d draft) (draft, bool) {
			d.header.Set("Content-Encoding", "pavise")
			return d, len(d.body) > 0
		}},
		{name: "no body", row: 108, body: true, change: func(d draft) (draft, bool) {
			had := len(d.body) > 0
			d.body = nil
			d.header.Del("Content-Type")
			return d, had
		}},
	}
}

// written replaces the text of a JSON body.
func written(name string, change func(body []byte) []byte) violation {
	return violation{name: name, row: 102, body: true, change: func(d draft) (draft, bool) {
		if len(d.members) == 0 {
			return d, false
		}
		d.body = change(d.body)
		return d, true
	}}
}

// instead of the last brace.
func before(end string) func([]byte) []byte {
	return func(body []byte) []byte { return append(bytes.TrimSuffix(bytes.TrimSpace(body), []byte("}")), end...) }
}

// depth is of a value that readers which call themselves do not survive.
const depth = 10_000

func ofSyntax() []violation {
	return []violation{
		written("a trailing comma", before(",}")),
		written("a comment", before("/* pavise */}")),
		written("NaN", before(`,"pavise":NaN}`)),
		written("a number beyond all bounds", before(`,"pavise":1e400}`)),
		written("a lone surrogate", before(`,"pavise":"\ud800"}`)),
		written("an unfinished object", before("")),
		written("text behind the end", func(body []byte) []byte { return append(body, " {}"...) }),
		written("a byte order mark", func(body []byte) []byte { return append([]byte("\xef\xbb\xbf"), body...) }),
		written("UTF-16", utf16le),
		written("a value that is ten thousand deep", func([]byte) []byte {
			return []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth))
		}),
		written("a name twice", func(body []byte) []byte {
			text := bytes.TrimSpace(body)
			return slices.Concat([]byte("{"), bytes.TrimSuffix(text[1:], []byte("}")), []byte(","), text[1:])
		}),
		written("a list", func(body []byte) []byte { return slices.Concat([]byte("["), body, []byte("]")) }),
		written("a text", func([]byte) []byte { return []byte(`"pavise"`) }),
		written("null", func([]byte) []byte { return []byte("null") }),
	}
}

func utf16le(body []byte) (out []byte) {
	for _, unit := range utf16.Encode([]rune(string(body))) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return out
}

// member changes the first member of a body, by name.
func member(name string, change func(object map[string]any, first string)) violation {
	return violation{name: name, row: 108, body: true, change: func(d draft) (draft, bool) {
		if len(d.members) == 0 {
			return d, false
		}
		object := maps.Clone(d.members)
		change(object, slices.Sorted(maps.Keys(object))[0])
		text, err := json.Marshal(object)
		d.body = text
		return d, err == nil
	}}
}

func ofMembers() []violation {
	return []violation{
		member("an undeclared property", func(object map[string]any, _ string) { object["pavise_undeclared"] = true }),
		member("a property that gives rights", func(object map[string]any, _ string) { object["role"], object["is_admin"] = "admin", true }),
		member("a property is missing", func(object map[string]any, first string) { delete(object, first) }),
		member("a property is null", func(object map[string]any, first string) { object[first] = nil }),
		member("a property is an object", func(object map[string]any, first string) { object[first] = map[string]any{"$ne": nil} }),
		member("a property is a list", func(object map[string]any, first string) { object[first] = []any{1, "a"} }),
		member("a property is a very long text", func(object map[string]any, first string) { object[first] = strings.Repeat("a", 100_000) }),
		member("a property is a very large number", func(object map[string]any, first string) {
			object[first] = json.Number("123456789012345678901234567890")
		}),
		member("all properties are missing", func(object map[string]any, _ string) { clear(object) }),
	}
}
