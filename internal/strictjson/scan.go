package strictjson

import (
	"errors"
	"fmt"
)

// Scan reads data as strictly as [Document] does, within bounds, and builds nothing: for bodies
// of which only the form is judged.
func Scan(data []byte, b Bounds) error {
	p := parser{data: data, copy: string(data), depth: b.Depth, doc: &document{Bounds: b}}
	p.space()
	if err := p.skip(0); err != nil {
		return fmt.Errorf("JSON at byte %d: %w", p.at, err)
	}
	p.space()
	if p.at != len(p.data) {
		return fmt.Errorf("JSON at byte %d: something follows the value", p.at)
	}
	return nil
}

// skip reads a value of which nothing is kept.
func (p *parser) skip(depth int) error {
	if depth > p.depth {
		return fmt.Errorf("nested deeper than %d", p.depth)
	}
	if p.at >= len(p.data) {
		return errors.New("a value is missing")
	}
	switch p.data[p.at] {
	case '{':
		return p.skipObject(depth)
	case '[':
		return p.skipArray(depth)
	case '"':
		_, err := p.text()
		return err
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	}
	number, err := p.number()
	if err != nil || p.doc == nil || number.isShort() {
		return err
	}
	return p.doc.bounds(number)
}

func (p *parser) skipObject(depth int) error {
	p.at++
	p.space()
	if p.take('}') {
		return nil
	}
	var seen names
	for {
		p.space()
		name, err := p.text()
		if err != nil {
			return err
		}
		if !seen.add(name) {
			return errors.New("a name stands twice")
		}
		if p.doc != nil && !p.doc.more() {
			return fmt.Errorf("more than %d names and entries", p.doc.Entries)
		}
		p.space()
		if !p.take(':') {
			return errors.New("a colon is missing")
		}
		p.space()
		if err := p.skip(depth + 1); err != nil {
			return err
		}
		p.space()
		if p.take('}') {
			return nil
		}
		if !p.take(',') {
			return errors.New("an object does not end")
		}
	}
}

func (p *parser) skipArray(depth int) error {
	p.at++
	p.space()
	if p.take(']') {
		return nil
	}
	for {
		p.space()
		if p.doc != nil && !p.doc.more() {
			return fmt.Errorf("more than %d names and entries", p.doc.Entries)
		}
		if err := p.skip(depth + 1); err != nil {
			return err
		}
		p.space()
		if p.take(']') {
			return nil
		}
		if !p.take(',') {
			return errors.New("an array does not end")
		}
	}
}

// names are the names of one object. Few are compared one by one, many are hashed.
type names struct {
	few  [12]string
	n    int
	many map[string]struct{}
}

// add reports whether the name is new.
func (s *names) add(name string) bool {
	if s.many != nil {
		before := len(s.many)
		s.many[name] = struct{}{}
		return len(s.many) > before
	}
	for _, known := range s.few[:s.n] {
		if known == name {
			return false
		}
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	s.many = make(map[string]struct{}, 4*len(s.few))
	for _, known := range s.few {
		s.many[known] = struct{}{}
	}
	s.many[name] = struct{}{}
	return true
}

// isShort reports whether a number is a whole one below 10^15, which every reader reads alike.
func (n Number) isShort() bool {
	if len(n) > 15 {
		return false
	}
	for i := range len(n) {
		if c := n[i]; c < '0' || c > '9' {
			return false
		}
	}
	return true
}
