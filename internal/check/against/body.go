package against

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/schema"
)

// body is what a request carries: parameters of the query, and a body.
type body struct {
	query, media string
	text         []byte
	note         string
}

// bodies are those that an endpoint may be sent: plain ones first, then such as its description,
// its detectors or its bounds refuse.
func (d *differ) bodies(f *config.File, e *config.Resolved) []body {
	plain := body{}
	if writes(e.Method) {
		plain = body{media: "application/json", text: []byte("{}")}
	}
	var all []body
	if e.GraphQL != nil {
		all = append(all, queries(e.GraphQL)...)
	}
	if described := describedBy(f, e); described != nil {
		all = append(all, described...)
	}
	if len(all) == 0 {
		all = append(all, plain)
	}
	first := all[0]
	add := func(note string, change func(*body)) {
		next := first
		change(&next)
		next.note = note
		all = append(all, next)
	}
	add("with a parameter that nobody described", func(b *body) { b.query = joined(b.query, "undescribed=1") })
	add("with a script in the query", func(b *body) {
		b.query = joined(b.query, "q=%3Cscript%3Ealert%281%29%3C%2Fscript%3E")
	})
	if writes(e.Method) {
		add("with a property that nobody described", func(b *body) { b.text = withProperty(b.text, "undescribed", true) })
		add("with SQL in a text", func(b *body) {
			b.text = withProperty(b.text, "text", "1' OR '1'='1' UNION SELECT password FROM users--")
		})
		add("with a list for a body", func(b *body) { b.text = []byte("[]") })
		add("without a body", func(b *body) { b.text, b.media = nil, "" })
		add("with a body of plain text", func(b *body) { b.text, b.media = []byte("text"), "text/plain" })
	}
	return all
}

func joined(query, more string) string {
	if query == "" {
		return more
	}
	return query + "&" + more
}

// withProperty adds a property to a JSON object.
func withProperty(text []byte, name string, value any) []byte {
	members := map[string]any{}
	if json.Unmarshal(text, &members) != nil {
		return text
	}
	members[name] = value
	out, err := json.Marshal(members)
	if err != nil {
		return text
	}
	return out
}

// queries are requests in GraphQL: plain, and at each of the bounds, by each kind of question that
// has scopes of its own.
func queries(g *config.GraphQL) (all []body) {
	ask := func(note, query string) {
		text, err := json.Marshal(map[string]string{"query": query})
		if err == nil {
			all = append(all, body{media: "application/json", text: text, note: note})
		}
	}
	ask("", "{ __typename }")
	ask("asking for the schema", "{ __schema { types { name } } }")
	for _, root := range append([]string{"Query.*"}, slices.Sorted(maps.Keys(g.Scopes))...) {
		kind, field, _ := strings.Cut(root, ".")
		if field == "" || field == "*" {
			field = "a"
		}
		kind = strings.ToLower(kind) + " "
		ask("asking for "+root, kind+"{ "+field+" }")
		ask(fmt.Sprintf("fields %d deep, of %s", g.Depth, root), kind+"{ "+field+" "+strings.Repeat("{ a ", g.Depth-1)+strings.Repeat("}", g.Depth))
		var aliases strings.Builder
		for i := range min(g.Aliases, 2000) {
			fmt.Fprintf(&aliases, "x%d: %s ", i, field)
		}
		ask(fmt.Sprintf("%d aliases of %s", g.Aliases, root), kind+"{ "+aliases.String()+"}")
		ask(fmt.Sprintf("%d fields of %s", g.Fields, root), kind+"{ "+strings.Repeat(field+" ", min(g.Fields, 5000))+"}")
		ask(fmt.Sprintf("%d directives at %s", g.Directives, root), kind+"{ "+field+" "+strings.Repeat("@skip(if: false) ", min(g.Directives, 2000))+"}")
	}
	if g.Batch > 1 {
		batch := "[" + strings.Repeat(string(all[0].text)+",", min(g.Batch, 200)-1) + string(all[0].text) + "]"
		all = append(all, body{media: "application/json", text: []byte(batch), note: fmt.Sprintf("%d questions at once", g.Batch)})
	}
	return all
}

// describedBy are bodies and parameters that an endpoint's description asks for: a whole one, and
// one for each property and bound.
func describedBy(f *config.File, e *config.Resolved) (all []body) {
	switch {
	case e.Schema != nil:
		text, err := os.ReadFile(f.Abs(e.Schema.File))
		var root map[string]any
		if err != nil || json.Unmarshal(text, &root) != nil {
			return nil
		}
		return (&sampler{root: root}).bodies(root)
	case e.OpenAPI != nil:
		text, err := os.ReadFile(f.Abs(e.OpenAPI.File))
		if err != nil {
			return nil
		}
		document, err := schema.Open(e.OpenAPI.File, text, schema.Options{})
		if err != nil {
			return nil
		}
		return (&sampler{root: document.Root()}).operation(e)
	}
	return nil
}

// sampler makes values of schemas.
type sampler struct{ root map[string]any }

// follow resolves references within the document.
func (s *sampler) follow(v any) map[string]any {
	m, _ := v.(map[string]any)
	for range 16 {
		ref, ok := m["$ref"].(string)
		rest, inside := strings.CutPrefix(ref, "#/")
		if !ok || !inside {
			return m
		}
		var at any = s.root
		for part := range strings.SplitSeq(rest, "/") {
			members, _ := at.(map[string]any)
			at = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		}
		m, _ = at.(map[string]any)
	}
	return m
}

// operation is what the document says of an endpoint's requests.
func (s *sampler) operation(e *config.Resolved) []body {
	paths, _ := s.root["paths"].(map[string]any)
	item := s.follow(paths[e.Path])
	operation := s.follow(item[strings.ToLower(e.Method)])
	if operation == nil {
		return nil
	}
	var query []string
	parameters, _ := item["parameters"].([]any)
	own, _ := operation["parameters"].([]any)
	for _, one := range slices.Concat(parameters, own) {
		p := s.follow(one)
		if p["in"] == "query" && p["required"] == true {
			query = append(query, fmt.Sprintf("%v=%v", p["name"], s.values(s.follow(p["schema"]), 0)[0]))
		}
	}
	content, _ := s.follow(operation["requestBody"])["content"].(map[string]any)
	all := []body{{query: strings.Join(query, "&")}}
	for media, one := range content {
		if !strings.Contains(media, "json") {
			continue
		}
		all = s.bodies(s.follow(s.follow(one)["schema"]))
		for i := range all {
			all[i].media, all[i].query = media, strings.Join(query, "&")
		}
	}
	return all
}

func (s *sampler) bodies(of map[string]any) (all []body) {
	for i, value := range s.values(of, 0) {
		text, err := json.Marshal(value)
		if err != nil {
			continue
		}
		b := body{media: "application/json", text: text}
		if i > 0 {
			b.note = "with another value of the description"
		}
		all = append(all, b)
	}
	return all
}

const (
	maxDeep   = 6
	maxValues = 60
	maxText   = 4096
)

// values are values of a schema: a whole one first, then one for each bound and choice.
func (s *sampler) values(of map[string]any, deep int) []any {
	of = s.follow(of)
	if deep > maxDeep || of == nil {
		return []any{"x"}
	}
	if list, ok := of["enum"].([]any); ok && len(list) > 0 {
		return list
	}
	if value, ok := of["const"]; ok {
		return []any{value}
	}
	for _, word := range []string{"allOf", "oneOf", "anyOf"} {
		if list, ok := of[word].([]any); ok && len(list) > 0 && of["properties"] == nil {
			return s.values(s.follow(list[0]), deep+1)
		}
	}
	kind, _ := of["type"].(string)
	if kinds, ok := of["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[0].(string)
	}
	switch {
	case kind == "object" || of["properties"] != nil:
		return s.objects(of, deep)
	case kind == "array":
		item := s.values(s.follow(of["items"]), deep+1)[0]
		n := int(number(of["minItems"], 1))
		all := []any{slices.Repeat([]any{item}, min(max(n, 1), 100))}
		if most := int(number(of["maxItems"], 0)); most > 0 && most <= 1000 {
			all = append(all, slices.Repeat([]any{item}, most))
		}
		return all
	case kind == "integer" || kind == "number":
		all := []any{json.Number(fmt.Sprint(number(of["minimum"], 1)))}
		for _, word := range []string{"minimum", "maximum"} {
			if of[word] != nil {
				all = append(all, json.Number(fmt.Sprint(of[word])))
			}
		}
		return all
	case kind == "boolean":
		return []any{true, false}
	case kind == "null":
		return []any{nil}
	}
	return texts(of)
}

// texts are texts of a schema.
func texts(of map[string]any) []any {
	formats := map[string]string{"uuid": "0b8f4a52-2c6f-4a7e-9b0a-3c1d2e4f5a6b", "date": "2026-11-30", "date-time": "2026-11-30T12:00:00Z", "email": "a@example.com", "uri": "https://example.com/a", "ipv4": "192.0.2.1"}
	format, _ := of["format"].(string)
	if text := formats[format]; text != "" {
		return []any{text}
	}
	if of["pattern"] != nil {
		return []any{"A-7", "a", "7", "A", "EUR", "abc", "12345678"}
	}
	least := int(number(of["minLength"], 1))
	all := []any{strings.Repeat("x", min(max(least, 1), maxText))}
	if most := int(number(of["maxLength"], 0)); most > 0 {
		all = append(all, strings.Repeat("x", min(most, maxText)))
	}
	return all
}

func number(v any, otherwise float64) float64 {
	switch n := v.(type) {
	case nil:
		return otherwise
	case float64:
		return n
	case int:
		return float64(n)
	default:
		var f float64
		if _, err := fmt.Sscan(fmt.Sprint(n), &f); err != nil {
			return otherwise
		}
		return f
	}
}

// objects are objects of a schema: one with everything, one with what is required alone, and
// one for each other value of each property.
func (s *sampler) objects(of map[string]any, deep int) []any {
	properties, _ := of["properties"].(map[string]any)
	required, _ := of["required"].([]any)
	whole, least := map[string]any{}, map[string]any{}
	others := map[string][]any{}
	for name, one := range properties {
		p := s.follow(one)
		if p["readOnly"] == true {
			continue
		}
		values := s.values(p, deep+1)
		whole[name], others[name] = values[0], values[1:]
		if slices.Contains(required, any(name)) {
			least[name] = values[0]
		}
	}
	all := []any{whole, least}
	for name, values := range others {
		for _, value := range values {
			if len(all) >= maxValues {
				return all
			}
			next := map[string]any{}
			for other, v := range whole {
				next[other] = v
			}
			next[name] = value
			all = append(all, next)
		}
	}
	return all
}
