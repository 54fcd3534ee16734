package attack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNoCase is the error of a pattern that no case of a plan has.
var ErrNoCase = errors.New("no case of this attack is called so")

// Only leaves in a plan the cases that one of some patterns names: a case, a rule, or either with * for
// whatever stands there, and those that look at what others left. Each pattern must name one.
func (p *Plan) Only(patterns []string) error {
	used := make([]bool, len(patterns))
	p.Cases = slices.DeleteFunc(p.Cases, func(c Case) bool {
		kept := c.Last
		for i, pattern := range patterns {
			if c.Last {
				continue
			}
			if named(pattern, c.ID) || named(pattern, c.Rule.ID) {
				used[i], kept = true, true
			}
		}
		return !kept
	})
	if i := slices.Index(used, false); i >= 0 {
		return fmt.Errorf("%.200q: %w", patterns[i], ErrNoCase)
	}
	return nil
}

// named reports whether a pattern names a text: they are the same, but for what * stands for.
func named(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, last)
}

// Lacks is what the cases of a plan demand and is not allowed, where none of them can be tried without
// it; 0: one of them can.
func (p *Plan) Lacks(allowed Demand) (missing Demand) {
	for i := range p.Cases {
		if p.Cases[i].Last {
			continue
		}
		lacks := p.Cases[i].Demands &^ allowed
		if lacks == 0 {
			return 0
		}
		missing |= lacks
	}
	return missing
}
