package strictjson

import (
	"errors"
	"fmt"
	"strings"
)

// Want says which parts of a document are wanted. The zero Want wants to know
// only whether the value is there, and of which type it is.
type Want struct {
	All     bool             // everything below
	Members map[string]*Want // of an object
}

// Select reads data as strictly as [Parse] does, every part of it, but builds only
// what is wanted, so that a long document costs no more memory than its names. Of
// an object it returns the wanted members that are there; where a value is wanted
// only as being there, or turns out not to be an object, an empty object or array
// stands for whatever it holds.
//
// It is stricter than Parse in one thing: a member whose name differs from a wanted
// one only in case is refused, because many readers, Go's own among them, would
// take it for the wanted one.
func Select(data []byte, want *Want) (any, error) {
	p := parser{data: data, depth: MaxDepth}
	p.space()
	v, err := p.choose(0, want)
	if err != nil {
		return nil, fmt.Errorf("JSON at byte %d: %w", p.at, err)
	}
	p.space()
	if p.at != len(p.data) {
		return nil, fmt.Errorf("JSON at byte %d: something follows the value", p.at)
	}
	return v, nil
}

// choose reads a value. Of objects and arrays that nobody wants, nothing is kept.
func (p *parser) choose(depth int, want *Want) (any, error) {
	if want != nil && want.All {
		return p.value(depth)
	}
	if depth > p.depth {
		return nil, fmt.Errorf("nested deeper than %d", p.depth)
	}
	if p.at < len(p.data) {
		switch p.data[p.at] {
		case '{':
			return p.chooseMembers(depth, want)
		case '[':
			return []any{}, p.skipArray(depth)
		}
	}
	return p.value(depth)
}

func (p *parser) chooseMembers(depth int, want *Want) (map[string]any, error) {
	p.at++
	var object map[string]any
	if want != nil {
		object = map[string]any{}
	}
	p.space()
	if p.take('}') {
		return object, nil
	}
	var seen names
	for {
		p.space()
		name, err := p.text()
		if err != nil {
			return nil, err
		}
		if !seen.add(name) {
			return nil, errors.New("a name stands twice")
		}
		p.space()
		if !p.take(':') {
			return nil, errors.New("a colon is missing")
		}
		p.space()
		if err := p.member(depth, want, object, name); err != nil {
			return nil, err
		}
		p.space()
		if p.take('}') {
			return object, nil
		}
		if !p.take(',') {
			return nil, errors.New("an object does not end")
		}
	}
}

func (p *parser) member(depth int, want *Want, object map[string]any, name string) error {
	var below *Want
	if want != nil {
		below = want.Members[name]
		if below == nil && want.resembles(name) {
			return errors.New("a name differs from a wanted one only in case")
		}
	}
	v, err := p.choose(depth+1, below)
	if below != nil {
		object[name] = v
	}
	return err
}

func (w *Want) resembles(name string) bool {
	for wanted := range w.Members {
		if strings.EqualFold(wanted, name) {
			return true
		}
	}
	return false
}
