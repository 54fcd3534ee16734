package jsonedit

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// Edits are changes of one text. The zero value changes nothing.
type Edits struct {
	list []edit
}

type edit struct {
	from, to int
	with     string
}

// Len is how many there are.
func (e *Edits) Len() int { return len(e.list) }

// Replace puts something in the place of a piece.
func (e *Edits) Replace(from, to int, with string) {
	e.list = append(e.list, edit{from, to, with})
}

// Remove takes nodes out of what holds them, with the commas that belong to them. A node that
// nothing holds becomes null.
func (t *Tree) Remove(e *Edits, nodes ...int) {
	gone, holders := map[int]bool{}, map[int]bool{}
	for _, i := range nodes {
		if t.Nodes[i].Parent < 0 {
			e.Replace(t.Nodes[i].From, t.Nodes[i].To, "null")
			continue
		}
		gone[i], holders[t.Nodes[i].Parent] = true, true
	}
	for holder := range holders {
		t.removeFrom(e, holder, gone)
	}
}

func (t *Tree) removeFrom(e *Edits, holder int, gone map[int]bool) {
	before, kept := -1, false // where what stands before ends; whether something before stays
	for c := range t.Children(holder) {
		n := &t.Nodes[c]
		switch {
		case !gone[c]:
			kept = true
		case kept:
			e.Replace(before, n.To, "")
		case n.Next < t.Nodes[holder].Next:
			e.Replace(t.begin(c), t.begin(n.Next), "")
		default:
			e.Replace(t.begin(c), n.To, "")
		}
		before = n.To
	}
}

// begin is where a node begins, with its name.
func (t *Tree) begin(i int) int {
	if n := &t.Nodes[i]; n.NameTo > 0 {
		return n.NameFrom
	}
	return t.Nodes[i].From
}

// Apply returns the text with all changes; one that lies within another is part of it. The
// text itself stays as it is.
func (e *Edits) Apply(text []byte) []byte {
	if len(e.list) == 0 {
		return text
	}
	slices.SortFunc(e.list, func(a, b edit) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	out := make([]byte, 0, len(text))
	at := 0
	for _, one := range e.list {
		if one.from < at {
			continue
		}
		out = append(out, text[at:one.from]...)
		out = append(out, one.with...)
		at = one.to
	}
	return append(out, text[at:]...)
}

// Unquote appends to a text what a string means, given without its quotes. What is no
// character is U+FFFD.
func Unquote(to, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 == len(raw) {
			return append(to, raw...)
		}
		r, size := escaped(raw[i:])
		to = utf8.AppendRune(append(to, raw[:i]...), r)
		raw = raw[i+size:]
	}
}

// Written says for each byte of what a string means where it was written; where the last ends
// stands behind.
func Written(raw []byte) (at []int) {
	for i := 0; i < len(raw); {
		size, length := 1, 1
		if raw[i] == '\\' && i+1 < len(raw) {
			var r rune
			r, size = escaped(raw[i:])
			length = len(utf8.AppendRune(nil, r))
		}
		for range length {
			at = append(at, i)
		}
		i += size
	}
	return append(at, len(raw))
}

// escaped reads the escape at the beginning of raw.
func escaped(raw []byte) (r rune, size int) {
	switch raw[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		high := hex4(raw, 2)
		if high < 0 {
			return utf8.RuneError, 2
		}
		if !utf16.IsSurrogate(high) {
			return high, 6
		}
		if len(raw) >= 12 && raw[6] == '\\' && raw[7] == 'u' {
			if both := utf16.DecodeRune(high, hex4(raw, 8)); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(raw[1]), 2
}

func hex4(raw []byte, at int) (r rune) {
	if len(raw) < at+4 {
		return -1
	}
	for _, c := range raw[at : at+4] {
		digit := unhex(c)
		if digit < 0 {
			return -1
		}
		r = r<<4 | digit
	}
	return r
}

func unhex(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}
