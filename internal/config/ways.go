package config

import "slices"

// Way is one way to satisfy a shield: proofs that have to come together.
type Way []Proof

// Proof is one of the shields that a way holds.
type Proof struct {
	*Shield

	Actor bool // somebody else may give it
}

// Ways are the ways to satisfy a shield, in the order in which they are written: `any` has those of each of its
// parts, `all` has those of its parts in every combination. Combinations of combinations have
// more than anybody can look at: at most so many are returned, and all reports whether none was
// left out. Each one that is returned is whole.
func (s *Shield) Ways(most int) (ways []Way, all bool) {
	all = true
	switch {
	case len(s.Any) > 0:
		for i := range s.Any {
			part, whole := s.Any[i].Ways(most - len(ways))
			ways, all = append(ways, part...), all && whole
		}
	case len(s.All) > 0:
		ways = []Way{nil}
		for i := range s.All {
			part, whole := s.All[i].Shield.Ways(most)
			longer, every := joined(ways, part, s.All[i].Actor, most)
			ways, all = longer, all && whole && every
		}
	case most > 0:
		ways = []Way{{{Shield: s}}}
	default:
		all = false
	}
	return ways, all
}

// joined joins each of some ways with each of others, at most so many; an actor's are all his.
func joined(ways, others []Way, actor bool, most int) (all []Way, every bool) {
	for _, way := range ways {
		for _, other := range others {
			if len(all) >= most {
				return all, false
			}
			next := slices.Concat(way, other)
			for i := len(way); i < len(next); i++ {
				next[i].Actor = next[i].Actor || actor
			}
			all = append(all, next)
		}
	}
	return all, true
}
