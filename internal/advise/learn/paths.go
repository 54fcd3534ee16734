package learn

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Bounds of the tree of paths.
const (
	maxSegments = 16     // of a path; longer ones are left out
	maxNames    = 24     // different words at one place, before they are taken for values of a parameter
	maxNodes    = 20_000 // of one tree
)

// node is a place in the tree of paths: what may follow, and what was called there.
type node struct {
	words map[string]*node
	value *node // whatever stands for a value
	kinds form  // of the values
	size  int   // of the longest value, in bytes

	gathered bool // so many words stood here that every further one is a value
	calls    map[string]*calls
}

// form is what the values of a parameter look like.
type form uint8

const (
	number form = 1 << iota
	uuid
	text
)

var (
	numberForm = regexp.MustCompile(`^[0-9]{1,18}$`)
	uuidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	dateForm   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	hexForm    = regexp.MustCompile(`^[0-9a-fA-F]{8,}$`)
	wordForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._~-]{0,39}$`)
	versioned  = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)*$`)
)

// formOf says what a segment looks like; word: it is fixed, as far as one can tell from it alone.
func formOf(segment string) (f form, word bool) {
	switch {
	case numberForm.MatchString(segment):
		return number, false
	case uuidForm.MatchString(segment):
		return uuid, false
	case versioned.MatchString(segment):
		return 0, true
	case dateForm.MatchString(segment), hexForm.MatchString(segment) && strings.ContainsAny(segment, "0123456789"), !wordForm.MatchString(segment):
		return text, false // what the log has masked, and what is escaped, too
	case digits(segment) >= 3:
		return text, false // ord_12345
	}
	return 0, true
}

func digits(segment string) (n int) {
	for _, c := range segment {
		if c >= '0' && c <= '9' {
			n++
		}
	}
	return n
}

// tree is the paths of one host.
type tree struct {
	root  *node
	nodes int
	full  bool // it could not take all
	flush func()
}

func newNode() *node { return &node{} }

// at finds the place of a path, and makes it. It is nil for a path that is left out.
func (t *tree) at(path string) *node {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(segments) > maxSegments || !strings.HasPrefix(path, "/") {
		return nil
	}
	n := t.root
	for _, segment := range segments {
		f, word := formOf(segment)
		if segment == "" {
			word = true // a final slash
		}
		if n = t.below(n, segment, f, word); n == nil {
			return nil
		}
	}
	return n
}

// template finds the place of a pattern that the gateway had already: its parameters are known.
func (t *tree) template(path string) *node {
	n := t.root
	for segment := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		switch {
		case segment == "{$}":
			n = t.below(n, "", 0, true)
		case strings.HasPrefix(segment, "{"):
			n = t.below(n, segment, text, false)
			if n != nil {
				n.size = 0
			}
		default:
			n = t.below(n, segment, 0, true)
		}
		if n == nil {
			return nil
		}
	}
	return n
}

func (t *tree) below(n *node, segment string, f form, word bool) *node {
	if word {
		if known := n.words[segment]; known != nil {
			return known
		}
		if len(n.words) >= maxNames && segment != "" {
			t.gather(n)
		}
		if n.gathered && segment != "" {
			f, word = text, false
		}
	}
	if t.nodes >= maxNodes {
		t.full = true
		return nil
	}
	if !word {
		if n.value == nil {
			n.value = newNode()
			t.nodes++
		}
		n.kinds |= f
		n.value.size = max(n.value.size, len(segment))
		return n.value
	}
	if n.words == nil {
		n.words = map[string]*node{}
	}
	n.words[segment] = newNode()
	t.nodes++
	return n.words[segment]
}

// gather takes many different words at one place for the values of a parameter.
func (t *tree) gather(n *node) {
	t.flush() // what is being counted is counted for places that will be gone
	if n.value == nil {
		n.value = newNode()
	}
	n.kinds, n.gathered = n.kinds|text, true
	for _, word := range slices.Sorted(maps.Keys(n.words)) {
		if word == "" {
			continue
		}
		n.value.size = max(n.value.size, len(word))
		n.value.take(n.words[word])
		delete(n.words, word)
	}
}

// take adds what another place knows.
func (n *node) take(o *node) {
	n.size, n.kinds = max(n.size, o.size), n.kinds|o.kinds
	for method, c := range o.calls {
		if n.calls == nil {
			n.calls = map[string]*calls{}
		}
		if n.calls[method] == nil {
			n.calls[method] = c
			continue
		}
		n.calls[method].take(c)
	}
	for word, below := range o.words {
		if n.words == nil {
			n.words = map[string]*node{}
		}
		if n.words[word] == nil {
			n.words[word] = below
			continue
		}
		n.words[word].take(below)
	}
	switch {
	case o.value == nil:
	case n.value == nil:
		n.value = o.value
	default:
		n.value.take(o.value)
	}
}

// found is an endpoint of the tree.
type found struct {
	path   string // with parameters
	params []param
	method string
	calls  *calls
}

// param is a parameter of a path.
type param struct {
	name string
	form form
	size int
}

// all lists the endpoints, in the order of their paths.
func (t *tree) all() (list []found) {
	t.root.walk("", nil, &list)
	slices.SortFunc(list, func(a, b found) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method)) })
	return list
}

func (n *node) walk(path string, params []param, list *[]found) {
	for method, c := range n.calls {
		at := path
		if strings.HasSuffix(at, "/") {
			at += "{$}"
		}
		*list = append(*list, found{at, slices.Clone(params), method, c})
	}
	for word, below := range n.words {
		below.walk(path+"/"+word, params, list)
	}
	if n.value != nil {
		p := param{nameOf(path, params), n.kinds, n.value.size}
		n.value.walk(path+"/{"+p.name+"}", append(slices.Clone(params), p), list)
	}
}

// nameOf makes a parameter's name of the word before it.
func nameOf(path string, params []param) string {
	segments := strings.Split(path, "/")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(segments[len(segments)-1]))
	name = strings.Trim(name, "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' || strings.HasPrefix(segments[len(segments)-1], "{") {
		name = "value"
	}
	name += "_id"
	for slices.ContainsFunc(params, func(p param) bool { return p.name == name }) {
		name += "_"
	}
	return name
}
