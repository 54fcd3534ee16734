package sanitise

import "slices"

// pipeline is what is done to a text.
type pipeline struct {
	cleans []step
	judges []step // that refuse
}

// with adds the steps of another pipeline that are not there.
func (p *pipeline) with(other *pipeline) *pipeline {
	return &pipeline{union(p.cleans, other.cleans), union(p.judges, other.judges)}
}

func union(a, b []step) []step {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.ContainsFunc(out, func(have step) bool { return have.name == s.name }) {
			out = append(out, s)
		}
	}
	return out
}

// maxRounds is how often a text goes through its steps. Honest texts need two: one that cleans,
// and one that finds nothing left. What is encoded deeper than this is refused.
const maxRounds = 10

// clean takes a text through its steps until nothing changes any more, so that what one step
// brings to light the others see too, and a cleaned text stays as it is. It returns the name of
// a step that refuses the text, empty for none.
func (p *pipeline) clean(text string, c *counts) (out, refusedBy string) {
	if name := p.judge(text); name != "" {
		return text, name
	}
	before := text
	var changed []string
	for round := 0; ; round++ {
		after := text
		var here []string
		for _, s := range p.cleans {
			done := s.do(after)
			if done != after {
				here = append(here, s.name)
			}
			after = done
		}
		if after == text {
			break
		}
		if round == maxRounds {
			return text, here[0]
		}
		text = after
		for _, name := range here {
			if !slices.Contains(changed, name) {
				changed = append(changed, name)
			}
		}
	}
	if text == before {
		return before, ""
	}
	if name := p.judge(text); name != "" {
		return text, name
	}
	for _, name := range changed {
		c.add(name, 1)
	}
	return text, ""
}

// judge returns the first step that would change a text and refuses it.
func (p *pipeline) judge(text string) string {
	for _, s := range p.judges {
		if s.do(text) != text {
			return s.name
		}
	}
	return ""
}
