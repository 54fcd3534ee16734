package leak

import (
	"bytes"
	"fmt"

	"pavise.dev/pavise/internal/jsonedit"
)

// JSON looks through a text in JSON: its texts, numbers and names. It is an error if it is
// none, and something in it would have to be looked at. Values at the pointers in spared are
// left alone.
func (s *Scanner) JSON(text []byte, spared map[string]bool) (Result, error) {
	// Nearly all answers hold nothing, and no escape behind which something could hide: a
	// text or number in which something is found is found in the whole as well.
	whole := len(s.find(text)) > 0
	if !whole && bytes.IndexByte(text, '\\') < 0 {
		return Result{Text: text}, nil
	}
	tree, err := jsonedit.Parse(text)
	if err != nil {
		return Result{}, fmt.Errorf("look through a text: %w", err)
	}
	return s.tree(tree, whole, spared), nil
}

// Lines looks through values in JSON that follow each other (NDJSON).
func (s *Scanner) Lines(text []byte) (Result, error) {
	tree, err := jsonedit.ParseAll(text)
	if err != nil {
		return Result{}, fmt.Errorf("look through a text: %w", err)
	}
	return s.tree(tree, true, nil), nil
}

// tree looks through all values, or through those alone that hold an escape.
func (s *Scanner) tree(tree *jsonedit.Tree, all bool, spared map[string]bool) Result {
	t, edits := tally{scanner: s}, &jsonedit.Edits{}
	var scratch []byte
	for i := range tree.Nodes {
		n := &tree.Nodes[i]
		where := func() string { return tree.Pointer(i, s.hide) }
		if n.NameTo > 0 && (all || n.NameEscaped) {
			for _, one := range s.find([]byte(tree.Name(i))) {
				t.add(one.kind, where).Named = true
			}
		}
		if (n.Kind != '"' && n.Kind != '0') || !all && !n.Escaped {
			continue
		}
		meant := tree.Text[n.From:n.To]
		if n.Kind == '"' {
			meant = meant[1 : len(meant)-1]
		}
		if n.Escaped {
			meant = jsonedit.Unquote(scratch[:0], meant)
			scratch = meant
		}
		spans := s.find(meant)
		if len(spans) == 0 || len(spared) > 0 && spared[tree.Pointer(i, nil)] {
			continue
		}
		masks := false
		for _, one := range spans {
			t.add(one.kind, where)
			masks = masks || s.actions[one.kind] == Mask
		}
		switch {
		case !masks:
		case n.Kind == '0': // a number that is masked becomes a text
			edits.Replace(n.From, n.To, `"`+string(s.mask(meant, spans))+`"`)
		default:
			edits.Replace(n.From+1, n.To-1, string(s.maskWritten(tree.Text[n.From+1:n.To-1], n.Escaped, spans)))
		}
	}
	return Result{Text: edits.Apply(tree.Text), Found: t.found()}
}

// hide is what is told of a name.
func (s *Scanner) hide(name string) string {
	if len(s.find([]byte(name))) > 0 {
		return "*"
	}
	return name
}

// maskWritten masks a text as it is written, so that its other escapes stay as they are.
func (s *Scanner) maskWritten(raw []byte, escaped bool, spans []span) []byte {
	if !escaped {
		return s.mask(raw, spans)
	}
	for range maxRounds {
		meant, at := jsonedit.Unquote(nil, raw), jsonedit.Written(raw)
		var out []byte
		end, masked := 0, false
		for _, one := range spans {
			if s.actions[one.kind] == Mask {
				out = append(out, raw[end:at[one.from]]...)
				out = append(out, shown(one.kind, meant[one.from:one.to])...)
				end, masked = at[one.to], true
			}
		}
		if !masked {
			return raw
		}
		raw = append(out, raw[end:]...)
		spans = s.find(jsonedit.Unquote(nil, raw))
	}
	return []byte(hidden)
}
