package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Span is a value of a document, where it stands in the data.
type Span struct {
	Start, End int // of the value: with its quotes or brackets
	Name, Stop int // of the member's name, with its quotes; equal where there is none
	Next       int // in the index: the value that follows what is inside this one
	Escaped    bool
	plainName  bool // without escapes
}

// IsText reports whether the value is a string.
func (s Span) IsText(data []byte) bool { return data[s.Start] == '"' }

// IsObject and IsArray report whether there are values inside.
func (s Span) IsObject(data []byte) bool { return data[s.Start] == '{' }

// IsArray reports whether the value is an array.
func (s Span) IsArray(data []byte) bool { return data[s.Start] == '[' }

// HasName reports whether the value is a member of an object.
func (s Span) HasName() bool { return s.Stop > s.Name }

// Index reads data as strictly as [Document] does, but that it does not judge how large numbers
// are, and builds nothing: it says where each value stands, in order, the outermost first. into
// is used again if there is room.
func Index(data []byte, b Bounds, into []Span) ([]Span, error) {
	x := &indexer{parser: parser{data: data, depth: b.Depth, doc: &document{Bounds: b}}, spans: into[:0]}
	x.space()
	err := x.index(0, 0, 0, true)
	if err == nil {
		if x.space(); x.at != len(data) {
			err = errors.New("something follows the value")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("JSON at byte %d: %w", x.at, err)
	}
	return x.spans, nil
}

// Unquote returns the string that the data holds, quotes and all, which [Index] has read.
func Unquote(data []byte) string {
	if bytes.IndexByte(data, '\\') < 0 {
		return string(data[1 : len(data)-1])
	}
	p := &parser{data: data}
	text, _ := p.text() // it was read before
	return text
}

// NameOf is a member's name, which may be part of the data; nil for an entry.
func (s Span) NameOf(data []byte) []byte {
	switch {
	case s.plainName:
		return data[s.Name+1 : s.Stop-1]
	case s.HasName():
		return []byte(Unquote(data[s.Name:s.Stop]))
	}
	return nil
}

// NameIs reports whether a member has a name.
func (s Span) NameIs(data []byte, name string) bool {
	if s.plainName {
		return string(data[s.Name+1:s.Stop-1]) == name
	}
	return s.HasName() && Unquote(data[s.Name:s.Stop]) == name
}

type indexer struct {
	parser
	spans []Span
}

// index reads the value that is next, with the name that was read before it.
func (x *indexer) index(depth, name, stop int, plainName bool) error {
	if depth > x.depth {
		return fmt.Errorf("nested deeper than %d", x.depth)
	}
	if x.at >= len(x.data) {
		return errors.New("a value is missing")
	}
	own := len(x.spans)
	x.spans = append(x.spans, Span{Start: x.at, Name: name, Stop: stop, plainName: plainName && stop > name})
	var err error
	escaped := false
	switch x.data[x.at] {
	case '{':
		err = x.members(depth)
	case '[':
		err = x.entries(depth)
	case '"':
		escaped, err = x.skipText()
	case 't':
		err = x.word("true")
	case 'f':
		err = x.word("false")
	case 'n':
		err = x.word("null")
	default:
		err = x.skipNumber()
	}
	s := &x.spans[own]
	s.End, s.Next, s.Escaped = x.at, len(x.spans), escaped
	return err
}

// skipText is text, without building it. Escapes are looked at, so that half a surrogate pair
// is found.
func (x *indexer) skipText() (escaped bool, err error) {
	if !x.take('"') {
		return false, errors.New("a string is missing")
	}
	start := x.at
	for {
		x.at += plainRun(x.data[x.at:])
		if x.at >= len(x.data) {
			return escaped, errors.New("a string does not end")
		}
		switch c := x.data[x.at]; {
		case c == '"':
			if !utf8.Valid(x.data[start:x.at]) {
				return escaped, errors.New("a string is not UTF-8")
			}
			x.at++
			return escaped, nil
		case c == '\\':
			escaped = true
			x.at++
			if _, err := x.escape(); err != nil {
				return escaped, err
			}
		case c < ' ':
			return escaped, errors.New("a control character in a string")
		default:
			x.at++
		}
	}
}

// fewMembers are compared with each other; of more, the names are kept.
const fewMembers = 16

func (x *indexer) members(depth int) error {
	x.at++
	x.space()
	if x.take('}') {
		return nil
	}
	first := len(x.spans)
	var seen map[string]struct{}
	for count := 0; ; count++ {
		x.space()
		name := x.at
		escaped, err := x.skipText()
		if err != nil {
			return err
		}
		stop := x.at
		if count == fewMembers {
			seen = map[string]struct{}{}
			for i := first; i < len(x.spans); i = x.spans[i].Next {
				seen[Unquote(x.data[x.spans[i].Name:x.spans[i].Stop])] = struct{}{}
			}
		}
		if x.isTwice(first, name, stop, escaped, seen) {
			return errors.New("a name stands twice")
		}
		if !x.doc.more() {
			return fmt.Errorf("more than %d names and entries", x.doc.Entries)
		}
		x.space()
		if !x.take(':') {
			return errors.New("a colon is missing")
		}
		x.space()
		if err := x.index(depth+1, name, stop, !escaped); err != nil {
			return err
		}
		x.space()
		if x.take('}') {
			return nil
		}
		if !x.take(',') {
			return errors.New("an object does not end")
		}
	}
}

func (x *indexer) isTwice(first, name, stop int, escaped bool, seen map[string]struct{}) bool {
	if seen != nil {
		text := Unquote(x.data[name:stop])
		_, twice := seen[text]
		seen[text] = struct{}{}
		return twice
	}
	for i := first; i < len(x.spans); i = x.spans[i].Next {
		s := x.spans[i]
		if !escaped && s.plainName {
			if bytes.Equal(x.data[s.Name:s.Stop], x.data[name:stop]) {
				return true
			}
			continue
		}
		if s.NameIs(x.data, Unquote(x.data[name:stop])) {
			return true
		}
	}
	return false
}

func (x *indexer) entries(depth int) error {
	x.at++
	x.space()
	if x.take(']') {
		return nil
	}
	for {
		x.space()
		if !x.doc.more() {
			return fmt.Errorf("more than %d names and entries", x.doc.Entries)
		}
		if err := x.index(depth+1, 0, 0, false); err != nil {
			return err
		}
		x.space()
		if x.take(']') {
			return nil
		}
		if !x.take(',') {
			return errors.New("an array does not end")
		}
	}
}
