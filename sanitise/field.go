package sanitise

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Field is which values a rule is about.
type Field struct {
	In    string   // "body" or "query"
	Names []string // from the outermost; any and all are "*" and "**"
}

// Names that stand for several.
const (
	Any = "*"  // each member or entry
	All = "**" // whatever is inside, however deep; it comes last
)

// ParseField reads what [Rule.Field] holds: "body", "body POINTER", "query" or "query NAME". A
// pointer is a JSON pointer (RFC 6901) in which * stands for each member or entry, and ** at
// its end for whatever is inside. A form is an object of its fields; "query" alone stands for
// every parameter.
func ParseField(text string) (Field, error) {
	in, rest, more := strings.Cut(text, " ")
	f := Field{In: in}
	switch {
	case in != "body" && in != "query":
		return f, errors.New(`a field is in the body or in the query: "body /comment", "query q"`)
	case more && (rest == "" || strings.TrimSpace(rest) != rest):
		return f, errors.New("one blank stands between where a field is and its name")
	case in == "query" && !more:
		f.Names = []string{Any}
	case in == "query":
		f.Names = []string{rest}
	case more && rest[0] != '/':
		return f, fmt.Errorf("%q is no JSON pointer: it begins with /", rest)
	default:
		f.Names = split(rest)
	}
	for i, name := range f.Names {
		if name == All && (i < len(f.Names)-1 || in == "query") {
			return f, errors.New("** stands at the end of a pointer")
		}
		if i >= maxNames {
			return f, fmt.Errorf("a pointer of more than %d names", maxNames)
		}
	}
	return f, nil
}

// maxNames is how long a pointer may be.
const maxNames = 64

// split takes a pointer apart.
func split(pointer string) []string {
	if pointer == "" {
		return nil
	}
	names := strings.Split(pointer[1:], "/")
	for i, name := range names {
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return names
}

// escape writes a name for a pointer.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// node is where a rule's field leads, name by name.
type node struct {
	names  map[string]*node
	any    *node
	all    *node
	deep   bool // it is about whatever is inside
	cleans []step
	judges []step // that refuse

	made *pipeline // of this node alone
}

// at returns the node of a field, and makes what is missing on the way.
func (n *node) at(names []string) *node {
	for _, name := range names {
		var next **node
		switch name {
		case Any:
			next = &n.any
		case All:
			next = &n.all
		default:
			n = n.named(name)
			continue
		}
		if *next == nil {
			*next = &node{deep: name == All}
		}
		n = *next
	}
	return n
}

// named returns the node of a name, and makes it if it is missing.
func (n *node) named(name string) *node {
	if n.names == nil {
		n.names = map[string]*node{}
	}
	if n.names[name] == nil {
		n.names[name] = &node{}
	}
	return n.names[name]
}

// add adds the steps of a rule. A step that is there already is not done twice in a round.
func (n *node) add(r Rule) {
	into := &n.cleans
	if r.Refuse {
		into = &n.judges
	}
	for _, name := range r.Do {
		one, _ := stepOf(name) // checked
		if !slices.ContainsFunc(*into, func(s step) bool { return s.name == name }) {
			*into = append(*into, one)
		}
	}
	n.made = &pipeline{n.cleans, n.judges}
}

// below adds to into where the nodes lead for a member or an entry.
func below(nodes []*node, name []byte, into []*node) []*node {
	for _, n := range nodes {
		if next := n.names[string(name)]; next != nil {
			into = append(into, next)
		}
		if n.any != nil {
			into = append(into, n.any)
		}
		if n.all != nil {
			into = append(into, n.all)
		}
		if n.deep {
			into = append(into, n)
		}
	}
	return into
}

// pipelineOf is what is done to a text to which the nodes led; nil: nothing.
func pipelineOf(nodes []*node) *pipeline {
	var p *pipeline
	for _, n := range nodes {
		switch {
		case n.made == nil:
		case p == nil:
			p = n.made
		default:
			p = p.with(n.made)
		}
	}
	return p
}
