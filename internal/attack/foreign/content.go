package foreign

import (
	"bytes"
	"strings"
)

// content looks at how bodies are read.
func (p *planner) content() {
	takesJSON := func(o *operation) bool { return o.media != "" && isJSONType(o.media) && o.method != "DELETE" }
	p.withGood("wrong-content-type", takesJSON, (*try).otherTypes)
	p.withGood("deep-json", takesJSON, (*try).deep)
	p.withGood("no-idempotency", func(o *operation) bool { return o.method == "POST" && o.idempotency() != "" }, (*try).twice)
}

// parses reports whether an operation refuses a body that is no JSON: only then what else it takes
// tells something.
func (t *try) parses(g *good, media string) (bool, error) {
	d := g.d.clone()
	d.media, d.text = media, []byte(`{"pavise`)
	a, err := t.send(t.w.caller(), d)
	return err == nil && a.Status >= 400 && a.Status < 500, err
}

// otherTypes sends JSON as what a form of another page can send (Fetch §2.2.2).
func (t *try) otherTypes(o *operation, g *good) error {
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded"} {
		parsed, err := t.parses(g, media)
		if err != nil || !parsed {
			return err
		}
		content, err := t.w.content(g.d)
		if err != nil {
			return err
		}
		d := g.d.clone()
		d.media, d.text = media, content
		a, err := t.send(t.w.caller(), d)
		if err != nil {
			return err
		}
		if ok(a) {
			t.found(o, a, "it answers %d to JSON that is said to be %s", a.Status, media)
			return nil
		}
	}
	return nil
}

// depth is how deep JSON is nested that nobody needs.
const depth = 5000

func (t *try) deep(o *operation, g *good) error {
	parsed, err := t.parses(g, o.media)
	if err != nil || !parsed {
		return err
	}
	content, err := t.w.content(g.d)
	if err != nil || !bytes.HasSuffix(content, []byte("}")) || len(content) < 3 {
		return err
	}
	d := g.d.clone()
	d.text = []byte(string(content[:len(content)-1]) + `,"` + nonsense() + `":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "}")
	a, err := t.send(t.w.caller(), d)
	if err != nil || !ok(a) {
		return err
	}
	t.found(o, a, "it answers %d to JSON that is nested %d deep", a.Status, depth)
	return nil
}

// idempotency is the header by which an operation knows a request again.
func (o *operation) idempotency() string {
	for _, p := range o.parameters {
		if p.in == "header" && strings.Contains(words(p.name), "idempotency") {
			return p.name
		}
	}
	return ""
}

// twice sends the same request with the same key, and looks for two objects.
func (t *try) twice(o *operation, g *good) error {
	d := g.d.clone()
	d.header.Set(o.idempotency(), nonsense())
	first, err := t.send(t.w.caller(), d)
	if err != nil || !ok(first) {
		return err
	}
	second, err := t.send(t.w.caller(), d)
	if err != nil || !ok(second) {
		return err
	}
	one, other := idOf(answerObject(first)), idOf(answerObject(second))
	if one != "" && other != "" && one != other {
		t.found(o, second, "it answers %d to the same %s again, with another object: %s and %s", second.Status, o.idempotency(), one, other)
	}
	return nil
}
