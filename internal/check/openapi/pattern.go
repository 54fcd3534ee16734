package openapi

import (
	"regexp/syntax"
)

// shape is what is known of a pattern.
type shape struct {
	anchored     bool // it is held against the whole text
	longest      int  // of what fits, in characters; -1: nothing bounds it
	catastrophic bool // an engine that backtracks may take exponential time
}

// maxPattern is the longest pattern that is looked at, in bytes.
const maxPattern = 1000

// shapeOf looks at a pattern; ok is false where it is too long, or Go does not read it.
func shapeOf(pattern string) (s shape, ok bool) {
	if len(pattern) > maxPattern {
		return s, false
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return s, false
	}
	s.anchored = isEdge(re, true) && isEdge(re, false)
	s.longest = longest(re)
	s.catastrophic = isCatastrophic(re)
	return s, true
}

// isEdge reports whether a pattern begins, or ends, where the text does.
func isEdge(re *syntax.Regexp, begin bool) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpBeginLine:
		return begin
	case syntax.OpEndText, syntax.OpEndLine:
		return !begin
	case syntax.OpCapture:
		return isEdge(re.Sub[0], begin)
	case syntax.OpConcat:
		if begin {
			return isEdge(re.Sub[0], begin)
		}
		return isEdge(re.Sub[len(re.Sub)-1], begin)
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if !isEdge(sub, begin) {
				return false
			}
		}
		return true
	}
	return false
}

// longest is the length of the longest text that a pattern takes; -1: there is none.
func longest(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpStar, syntax.OpPlus:
		return -1
	case syntax.OpRepeat:
		if one := longest(re.Sub[0]); one >= 0 && re.Max >= 0 {
			return one * re.Max
		}
		return -1
	case syntax.OpCapture, syntax.OpQuest:
		return longest(re.Sub[0])
	case syntax.OpConcat, syntax.OpAlternate:
		total := 0
		for _, sub := range re.Sub {
			one := longest(sub)
			if one < 0 {
				return -1
			}
			if re.Op == syntax.OpAlternate {
				total = max(total, one)
			} else {
				total += one
			}
		}
		return total
	}
	return 0 // empty, or a place
}

// manyTimes is from where on a bounded repetition is as bad as an endless one.
const manyTimes = 20

func repeats(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && (re.Max < 0 || re.Max >= manyTimes)
}

// varies reports whether a part of a round takes texts of several lengths.
func varies(re *syntax.Regexp) bool {
	return repeats(re) || re.Op == syntax.OpRepeat && re.Min != re.Max || shortest(re) == 0 && longest(re) != 0
}

// isCatastrophic looks for a repetition whose rounds can be told apart in many ways: a
// part of no fixed length in it that meets itself, or another that takes the same characters,
// with nothing between them that neither takes; or alternatives that begin alike.
func isCatastrophic(re *syntax.Regexp) bool {
	if repeats(re) && isAmbiguous(re.Sub[0]) {
		return true
	}
	for _, sub := range re.Sub {
		if isCatastrophic(sub) {
			return true
		}
	}
	return false
}

func isAmbiguous(round *syntax.Regexp) bool {
	for round.Op == syntax.OpCapture {
		round = round.Sub[0]
	}
	if round.Op == syntax.OpAlternate {
		for i, sub := range round.Sub {
			for _, other := range round.Sub[:i] {
				if overlap(first(sub), first(other)) {
					return true
				}
			}
			if isAmbiguous(sub) {
				return true
			}
		}
		return false
	}
	parts := flat(nil, round)
	for i, part := range parts {
		if varies(part) && meetsAgain(parts, i) {
			return true
		}
	}
	return false
}

// meetsAgain goes on from a repeated part, around to the next round, until something stands
// there that must, and that the part does not take.
func meetsAgain(parts []*syntax.Regexp, i int) bool {
	own := characters(parts[i])
	for k := 1; k <= len(parts); k++ {
		next := parts[(i+k)%len(parts)]
		switch {
		case varies(next) && overlap(own, characters(next)), !repeats(parts[i]) && overlap(own, first(next)):
			return true
		case shortest(next) > 0 && !overlap(own, characters(next)):
			return false
		}
	}
	return false
}

// flat takes a round apart, through groups.
func flat(parts []*syntax.Regexp, re *syntax.Regexp) []*syntax.Regexp {
	switch re.Op {
	case syntax.OpCapture:
		return flat(parts, re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			parts = flat(parts, sub)
		}
		return parts
	case syntax.OpEmptyMatch:
		return parts
	}
	return append(parts, re)
}

func shortest(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpPlus, syntax.OpCapture:
		return shortest(re.Sub[0])
	case syntax.OpRepeat:
		return shortest(re.Sub[0]) * min(re.Min, 1)
	case syntax.OpConcat:
		total := 0
		for _, sub := range re.Sub {
			total += shortest(sub)
		}
		return total
	case syntax.OpAlternate:
		least := shortest(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			least = min(least, shortest(sub))
		}
		return least
	}
	return 0
}

// characters are all that a pattern takes anywhere, as pairs of first and last.
func characters(re *syntax.Regexp) []rune {
	switch re.Op {
	case syntax.OpLiteral:
		var all []rune
		for _, r := range re.Rune {
			all = append(all, r, r)
		}
		return all
	case syntax.OpCharClass:
		return re.Rune
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return []rune{0, 0x10ffff}
	}
	var all []rune
	for _, sub := range re.Sub {
		all = append(all, characters(sub)...)
	}
	return all
}

// first are the characters that a pattern may begin with.
func first(re *syntax.Regexp) []rune {
	switch re.Op {
	case syntax.OpLiteral:
		return []rune{re.Rune[0], re.Rune[0]}
	case syntax.OpConcat:
		var all []rune
		for _, sub := range re.Sub {
			all = append(all, first(sub)...)
			if shortest(sub) > 0 {
				break
			}
		}
		return all
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return characters(re)
	}
	var all []rune
	for _, sub := range re.Sub {
		all = append(all, first(sub)...)
	}
	return all
}

func overlap(a, b []rune) bool {
	for i := 0; i+1 < len(a); i += 2 {
		for k := 0; k+1 < len(b); k += 2 {
			if a[i] <= b[k+1] && b[k] <= a[i+1] {
				return true
			}
		}
	}
	return false
}
