// Package jsonedit changes JSON texts where they stand: what is not touched keeps every
// byte, the order of its names, the spelling of its numbers and its blanks.
//
// A [Tree] says where each value of a text stands. Edits are gathered ([Edits]) and applied
// in one pass.
package jsonedit

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// MaxDepth is the deepest nesting that is read.
const MaxDepth = 512

// Node is a value of a text.
type Node struct {
	From, To         int  // of the value; of a string with its quotes
	NameFrom, NameTo int  // of the name before it, with its quotes; NameTo is 0 where there is none
	Parent           int  // the node that holds it; -1: none
	Next             int  // the first node that is not below it
	Kind             byte // '{', '[', '"', '0' for a number, 'w' for true, false and null
	Escaped          bool // a string with a backslash
	NameEscaped      bool
}

// Tree is a text with the places of its values, in the order of the text.
type Tree struct {
	Text  []byte
	Nodes []Node
}

// Parse reads a text that holds one value. It takes what RFC 8259 allows and nothing else;
// names may stand twice, and texts need not be UTF-8.
func Parse(text []byte) (*Tree, error) {
	p := newParser(text)
	p.space()
	if err := p.value(-1, 0, 0, false, 0); err != nil {
		return nil, p.fault(err)
	}
	p.space()
	if p.at != len(text) {
		return nil, p.fault(errors.New("something follows the value"))
	}
	return p.tree, nil
}

// ParseAll reads a text of values that follow each other, as in NDJSON.
func ParseAll(text []byte) (*Tree, error) {
	p := newParser(text)
	for p.space(); p.at < len(text); p.space() {
		if err := p.value(-1, 0, 0, false, 0); err != nil {
			return nil, p.fault(err)
		}
	}
	return p.tree, nil
}

// Children goes through the nodes right below one.
func (t *Tree) Children(i int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for c := i + 1; c < t.Nodes[i].Next; c = t.Nodes[c].Next {
			if !yield(c) {
				return
			}
		}
	}
}

// Name is the name before a node, as it is meant.
func (t *Tree) Name(i int) string {
	n := &t.Nodes[i]
	if n.NameTo == 0 {
		return ""
	}
	raw := t.Text[n.NameFrom+1 : n.NameTo-1]
	if !n.NameEscaped {
		return string(raw)
	}
	return string(Unquote(nil, raw))
}

// Pointer is where a node stands (RFC 6901). Each part is handed to shown first, which may
// hide it; nil shows all.
func (t *Tree) Pointer(i int, shown func(name string) string) string {
	var parts []string
	for ; i >= 0; i = t.Nodes[i].Parent {
		n := &t.Nodes[i]
		switch {
		case n.NameTo > 0:
			name := t.Name(i)
			if shown != nil {
				name = shown(name)
			}
			parts = append(parts, strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
		case n.Parent >= 0:
			index := 0
			for c := range t.Children(n.Parent) {
				if c == i {
					break
				}
				index++
			}
			parts = append(parts, strconv.Itoa(index))
		}
	}
	slices.Reverse(parts)
	if len(parts) == 0 {
		return ""
	}
	return "/" + strings.Join(parts, "/")
}

// Find is the node at a path of names and indices, -1 if there is none.
func (t *Tree) Find(path []string) int { return t.FindAll([][]string{path})[0] }

// FindAll are the nodes at paths, in their order, -1 where there is none. It goes through the
// tree once, however many paths there are.
func (t *Tree) FindAll(paths [][]string) []int {
	root := &branch{}
	for i, path := range paths {
		at := root
		for _, name := range path {
			at = at.below(name)
		}
		at.paths = append(at.paths, i)
	}
	found := make([]int, len(paths))
	for i := range found {
		found[i] = -1
	}
	t.find(0, root, found)
	return found
}

// branch is where paths lead along together.
type branch struct {
	paths []int // that end here
	names map[string]*branch
}

func (b *branch) below(name string) *branch {
	next := b.names[name]
	if next == nil {
		if b.names == nil {
			b.names = map[string]*branch{}
		}
		next = &branch{}
		b.names[name] = next
	}
	return next
}

func (t *Tree) find(i int, b *branch, found []int) {
	for _, path := range b.paths {
		if found[path] < 0 { // of a name that stands twice, the first
			found[path] = i
		}
	}
	if len(b.names) == 0 {
		return
	}
	index := 0
	for c := range t.Children(i) {
		name := strconv.Itoa(index)
		if t.Nodes[i].Kind == '{' {
			name = t.Name(c)
		}
		if next := b.names[name]; next != nil {
			t.find(c, next, found)
		}
		index++
	}
}

type parser struct {
	tree *Tree
	at   int
}

func newParser(text []byte) parser {
	return parser{tree: &Tree{Text: text, Nodes: make([]Node, 0, 1+len(text)/16)}}
}

func (p *parser) fault(err error) error { return fmt.Errorf("JSON at byte %d: %w", p.at, err) }

func (p *parser) space() {
	for text := p.tree.Text; p.at < len(text) && (text[p.at] == ' ' || text[p.at] == '\t' || text[p.at] == '\n' || text[p.at] == '\r'); {
		p.at++
	}
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.tree.Text) && p.tree.Text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// value reads a value and what is below it.
func (p *parser) value(parent, nameFrom, nameTo int, nameEscaped bool, depth int) (err error) {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	if p.at >= len(p.tree.Text) {
		return errors.New("a value is missing")
	}
	i, c := len(p.tree.Nodes), p.tree.Text[p.at]
	p.tree.Nodes = append(p.tree.Nodes, Node{From: p.at, NameFrom: nameFrom, NameTo: nameTo, NameEscaped: nameEscaped, Parent: parent, Kind: c})
	escaped := false
	switch c {
	case '{', '[':
		p.at++
		err = p.entries(i, c, depth)
	case '"':
		escaped, err = p.text()
	case 't', 'f', 'n':
		p.tree.Nodes[i].Kind = 'w'
		err = p.word()
	default:
		p.tree.Nodes[i].Kind = '0'
		err = p.number()
	}
	n := &p.tree.Nodes[i]
	n.To, n.Next, n.Escaped = p.at, len(p.tree.Nodes), escaped
	return err
}

// entries reads what is in an object or array.
func (p *parser) entries(i int, open byte, depth int) error {
	end := open + 2 // } and ]
	p.space()
	if p.take(end) {
		return nil
	}
	for {
		p.space()
		var nameFrom, nameTo int
		var escaped bool
		if open == '{' {
			var err error
			nameFrom = p.at
			if escaped, err = p.text(); err != nil {
				return err
			}
			nameTo = p.at
			p.space()
			if !p.take(':') {
				return errors.New("a colon is missing")
			}
			p.space()
		}
		if err := p.value(i, nameFrom, nameTo, escaped, depth+1); err != nil {
			return err
		}
		p.space()
		if p.take(end) {
			return nil
		}
		if !p.take(',') {
			return errors.New("an object or array does not end")
		}
	}
}

// text reads a string.
func (p *parser) text() (escaped bool, err error) {
	if !p.take('"') {
		return false, errors.New("a string is missing")
	}
	text := p.tree.Text
	for p.at < len(text) {
		c := text[p.at]
		p.at++
		switch {
		case c == '"':
			return escaped, nil
		case c < ' ':
			return escaped, errors.New("a control character in a string")
		case c == '\\':
			escaped = true
			if err := p.escape(); err != nil {
				return escaped, err
			}
		}
	}
	return escaped, errors.New("a string does not end")
}

func (p *parser) escape() error {
	text := p.tree.Text
	if p.at >= len(text) {
		return errors.New("a string does not end")
	}
	c := text[p.at]
	p.at++
	if c != 'u' {
		if strings.IndexByte(`"\/bfnrt`, c) < 0 {
			return errors.New("an unknown escape")
		}
		return nil
	}
	for range 4 {
		if p.at >= len(text) || unhex(text[p.at]) < 0 {
			return errors.New("an escape does not end")
		}
		p.at++
	}
	return nil
}

func (p *parser) word() error {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(p.tree.Text)-p.at >= len(word) && string(p.tree.Text[p.at:p.at+len(word)]) == word {
			p.at += len(word)
			return nil
		}
	}
	return errors.New("not a value")
}

func (p *parser) number() error {
	p.take('-')
	if !p.take('0') && p.digits() == 0 {
		return errors.New("not a value")
	}
	if p.take('.') && p.digits() == 0 {
		return errors.New("a number does not end")
	}
	if p.take('e') || p.take('E') {
		if !p.take('+') {
			p.take('-')
		}
		if p.digits() == 0 {
			return errors.New("a number does not end")
		}
	}
	return nil
}

func (p *parser) digits() (n int) {
	for p.at < len(p.tree.Text) && p.tree.Text[p.at] >= '0' && p.tree.Text[p.at] <= '9' {
		p.at++
		n++
	}
	return n
}
