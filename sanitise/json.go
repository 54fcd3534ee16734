package sanitise

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"pavise.dev/pavise/internal/jsonedit"
	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Bounds of a JSON document, those that contracts have.
const (
	maxDepth   = 64
	maxEntries = 100_000
)

func index(text []byte, into []strictjson.Span) ([]strictjson.Span, error) {
	return strictjson.Index(text, strictjson.Bounds{Depth: maxDepth, Entries: maxEntries, LargeIntegers: true}, into)
}

// edit is a piece of a text with what takes its place.
type edit struct {
	start, end int
	text       string
}

// apply makes edits, which are in order and apart.
func apply(text []byte, edits []edit) []byte {
	grown := 0
	for _, e := range edits {
		grown += len(e.text) - (e.end - e.start)
	}
	out, at := make([]byte, 0, len(text)+max(grown, 0)), 0
	for _, e := range edits {
		out = append(out, text[at:e.start]...)
		out = append(out, e.text...)
		at = e.end
	}
	return append(out, text[at:]...)
}

// editor goes through a document.
type editor struct {
	*Sanitiser
	data   []byte
	spans  []strictjson.Span
	nodes  []*node // those that lead to the value, on top of those that lead to what holds it
	edits  []edit
	path   []int // objects and arrays that hold the value
	number []byte
	counts *counts
	grown  int64
	fault  error
}

// indexes are kept from one request to the next.
type indexes struct{ spans []strictjson.Span }

// maxKept is how many spans of an index are kept for the next request.
const maxKept = 4096

// document cleans the texts of a JSON document, each in its place.
func (s *Sanitiser) document(text []byte, c *counts) ([]byte, error) {
	kept, _ := s.pool.Get().(*indexes)
	if kept == nil {
		kept = &indexes{}
	}
	spans, err := index(text, kept.spans)
	if err != nil {
		return nil, refusedForm(err)
	}
	e := &editor{Sanitiser: s, data: text, spans: spans, counts: c, nodes: make([]*node, 0, 16)}
	e.nodes = append(e.nodes, s.body)
	e.value(0, 0)
	if cap(spans) <= maxKept {
		kept.spans = spans
		s.pool.Put(kept)
	}
	if e.fault != nil || len(e.edits) == 0 {
		return text, e.fault
	}
	return apply(text, e.edits), nil
}

// value cleans a value; the nodes that lead to it are those from first on.
func (e *editor) value(i, first int) {
	span, nodes := e.spans[i], e.nodes[first:]
	if e.fault != nil || len(nodes) == 0 {
		return
	}
	if span.IsText(e.data) {
		e.text(i, nodes)
		return
	}
	if !span.IsObject(e.data) && !span.IsArray(e.data) {
		return
	}
	isArray, inside := span.IsArray(e.data), len(e.nodes)
	e.path = append(e.path, i)
	for n, at := 0, i+1; at < span.Next; n, at = n+1, e.spans[at].Next {
		e.nodes = below(e.nodes[first:inside], e.name(at, n, isArray), e.nodes[:inside])
		e.value(at, inside)
		e.nodes = e.nodes[:inside]
	}
	e.path = e.path[:len(e.path)-1]
}

// name is what a pointer calls a member or an entry, until the next is asked for.
func (e *editor) name(i, n int, entry bool) []byte {
	if entry {
		e.number = strconv.AppendInt(e.number[:0], int64(n), 10)
		return e.number
	}
	return e.spans[i].NameOf(e.data)
}

// text cleans a text.
func (e *editor) text(i int, nodes []*node) {
	p := pipelineOf(nodes)
	if p == nil {
		return
	}
	span := e.spans[i]
	before := strictjson.Unquote(e.data[span.Start:span.End])
	after, step := p.clean(before, e.counts)
	switch {
	case step != "":
		e.fault = refused("body", e.pointer(i), step)
	case after != before:
		quoted := quote(after)
		if e.grown += int64(len(quoted) - (span.End - span.Start)); e.grown > 0 && int64(len(e.data))+e.grown > e.most {
			e.fault = shield.Refuse(shield.TooLarge, "the cleaned body is longer than %d bytes", e.most)
		}
		e.edits = append(e.edits, edit{span.Start, span.End, quoted})
	}
}

// pointer says where a value is, which is inside the last that is on the path.
func (e *editor) pointer(i int) (pointer string) {
	path := append(e.path, i)
	for at, holder := range path[:len(path)-1] {
		n, own := 0, path[at+1]
		for i := holder + 1; i != own; i = e.spans[i].Next {
			n++
		}
		pointer += "/" + escape(string(e.name(own, n, e.spans[holder].IsArray(e.data))))
	}
	return pointer
}

// quote writes a text as JSON, with no more escapes than it needs.
func quote(text string) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 1, len(text)+2)
	out[0] = '"'
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r < ' ' || r == 0x7f:
			out = append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return string(append(out, '"'))
}

// withoutMembers takes members away at pointers. What stands around them stays as it is.
func withoutMembers(text []byte, pointers []string, c *counts) ([]byte, error) {
	tree, err := jsonedit.Parse(text)
	if err != nil {
		return nil, refusedForm(err)
	}
	paths := make([][]string, len(pointers))
	for i, p := range pointers {
		paths[i] = split(p)
	}
	found, members, end := tree.FindAll(paths), []int{}, 0
	slices.Sort(found)
	for _, i := range found {
		if i >= end && tree.Nodes[i].NameTo > 0 { // not inside the one before
			members, end = append(members, i), tree.Nodes[i].Next
		}
	}
	if len(members) == 0 {
		return text, nil
	}
	c.add(StripUndeclared, len(members))
	var edits jsonedit.Edits
	tree.Remove(&edits, members...)
	return edits.Apply(text), nil
}
