package schema

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// What programs that look at a document itself want of it: its values, and where they were
// written.

// Name is what the document is called in errors.
func (d *Document) Name() string { return d.name }

// Root is the document as plain values: those of encoding/json, with numbers as json.Number.
// They belong to the document, and must not be changed.
func (d *Document) Root() map[string]any {
	root, _ := d.tree.root.(map[string]any) // Open has looked
	return root
}

// At is what stands at a pointer (RFC 6901), which may be a fragment: "#/a/b".
func (d *Document) At(pointer string) (any, error) { return d.tree.at(pointer) }

// SplitPointer takes a pointer apart.
func SplitPointer(pointer string) []string { return split(pointer) }

// JoinPointer adds names to a pointer.
func JoinPointer(pointer string, names ...string) string { return join(pointer, names...) }

// Position is where something was written: line and column, from 1; a column is a character.
type Position struct{ Line, Column int }

// Positions finds where pointers lead to, or what is above them, all in one reading of the
// text: the name of a member, the beginning of an entry.
func (d *Document) Positions(pointers []string) []Position {
	found := make([]Position, len(pointers))
	wanted := &wanted{}
	for i, pointer := range pointers {
		wanted.add(split(pointer), i)
	}
	if d.tree.isJSON {
		s := &scanner{text: d.tree.text, line: 1, column: 1, found: found}
		s.space()
		s.tell(wanted)
		s.value(wanted)
		return found
	}
	if n, err := parse(d.tree.text); err == nil { // it has been read before
		wanted.tell(n, found)
		wanted.walk(n, found)
	}
	return found
}

// PlaceError is what is wrong at a place of a document. Its text has the line and column.
type PlaceError struct {
	Pointer string
	Why     string

	document *Document
}

func (e *PlaceError) Error() string {
	at := e.document.Positions([]string{e.Pointer})[0]
	return fmt.Sprintf("%s:%d:%d: %s", e.document.name, at.Line, at.Column, e.Why)
}

// wanted is a tree of places that are looked for.
type wanted struct {
	here  []int // of found
	below map[string]*wanted
}

func (w *wanted) add(names []string, i int) {
	for _, name := range names {
		if w.below == nil {
			w.below = map[string]*wanted{}
		}
		next := w.below[name]
		if next == nil {
			next = &wanted{}
			w.below[name] = next
		}
		w = next
	}
	w.here = append(w.here, i)
}

// all are the places here and below: what is not there is told as what is above it.
func (w *wanted) all(each func(int)) {
	for _, i := range w.here {
		each(i)
	}
	for _, below := range w.below {
		below.all(each)
	}
}

func (w *wanted) tell(n *yaml.Node, found []Position) {
	w.all(func(i int) { found[i] = Position{n.Line, n.Column} })
}

// walk looks through a document in YAML.
func (w *wanted) walk(n *yaml.Node, found []Position) {
	if w.below == nil {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if next := w.below[n.Content[i].Value]; next != nil {
				next.tell(n.Content[i], found)
				next.walk(n.Content[i+1], found)
			}
		}
	case yaml.SequenceNode:
		for i, entry := range n.Content {
			if next := w.below[strconv.Itoa(i)]; next != nil {
				next.tell(entry, found)
				next.walk(entry, found)
			}
		}
	}
}

// scanner looks through a document in JSON, which was read before and is well formed: what
// YAML's reader would make of it takes a hundred times its size.
type scanner struct {
	text  []byte
	at    int
	found []Position

	line    int
	column  int // of counted
	counted int // how far the characters of the line were counted
}

func (s *scanner) tell(w *wanted) {
	if w == nil {
		return
	}
	s.column += utf8.RuneCount(s.text[s.counted:s.at])
	s.counted = s.at
	w.all(func(i int) { s.found[i] = Position{s.line, s.column} })
}

func (s *scanner) space() {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\n':
			s.line, s.column, s.counted = s.line+1, 1, s.at+1
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

// value passes over a value; w is what is wanted in it, or nil.
func (s *scanner) value(w *wanted) {
	s.space()
	if s.at >= len(s.text) {
		return
	}
	switch s.text[s.at] {
	case '{', '[':
		s.entries(w, s.text[s.at] == '{')
	case '"':
		s.word()
	default:
		for s.at < len(s.text) && !isEnd(s.text[s.at]) {
			s.at++
		}
	}
}

func isEnd(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// entries passes over an object or an array.
func (s *scanner) entries(w *wanted, isObject bool) {
	s.at++
	for i := 0; ; i++ {
		s.space()
		if s.at >= len(s.text) || s.text[s.at] == '}' || s.text[s.at] == ']' {
			s.at++
			return
		}
		if s.text[s.at] == ',' {
			s.at++
			s.space()
		}
		var next *wanted
		if w != nil && !isObject {
			next = w.below[strconv.Itoa(i)]
		}
		if isObject {
			if w != nil && w.below != nil {
				next = w.below[s.name()]
				s.tell(next)
			}
			s.word()
			s.space()
			s.at++ // the colon
		} else {
			s.tell(next)
		}
		s.value(next)
	}
}

// name is the text that stands here.
func (s *scanner) name() (name string) {
	ahead := scanner{text: s.text, at: s.at}
	ahead.word()
	_ = json.Unmarshal(s.text[s.at:ahead.at], &name) // it is well formed
	return name
}

// word passes over a text.
func (s *scanner) word() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
}
