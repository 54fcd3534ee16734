package leak

import (
	"cmp"
	"slices"
	"strings"
)

// matcher finds in one pass where short patterns stand in a text: a machine of states with
// one step for each byte, as Aho and Corasick have it, but over sets of bytes. In a pattern, #
// is a digit and ^ a letter; anything else is itself.
type matcher struct {
	class   [256]uint32
	next    []uint32 // by state and class; a state is where its row begins
	quiet   uint32   // states below it end no pattern
	width   uint32   // of a row
	ends    [][]int  // by state, counted from quiet: the patterns that end there
	lengths []int
}

func fits(p, c byte) bool {
	switch p {
	case '#':
		return c >= '0' && c <= '9'
	case '^':
		return isLetter(c)
	}
	return p == c
}

// position is how much of a pattern has been seen.
type position struct{ pattern, seen int }

// state is what of all patterns has been seen at a byte, and which have just ended.
type state struct {
	positions []position
	ends      []int
	next      []int // by class
}

// newMatcher makes the machine: a state for each set of positions that can be reached (the
// subset construction).
func newMatcher(patterns []string) *matcher {
	m := &matcher{}
	for _, p := range patterns {
		m.lengths = append(m.lengths, len(p))
	}
	examples := m.classify(patterns)
	m.width = uint32(len(examples))
	begins := make([][]position, len(examples)) // by class: what any byte of it begins
	for class, c := range examples {
		for i, p := range patterns {
			if fits(p[0], c) {
				begins[class] = append(begins[class], position{i, 0})
			}
		}
	}
	states, known := []*state{{}}, map[string]int{"": 0}
	var name []byte
	after := &state{}
	for i := 0; i < len(states); i++ {
		for class, c := range examples {
			after.positions, after.ends = after.positions[:0], after.ends[:0]
			after.step(patterns, states[i].positions, c)
			after.step(patterns, begins[class], c)
			name = after.name(name[:0])
			n, there := known[string(name)]
			if !there {
				n = len(states)
				known[string(name)] = n
				states = append(states, &state{positions: slices.Clone(after.positions), ends: slices.Clone(after.ends)})
			}
			states[i].next = append(states[i].next, n)
		}
	}
	m.lay(states)
	return m
}

// step adds what a byte makes of positions.
func (s *state) step(patterns []string, from []position, c byte) {
	for _, p := range from {
		switch pattern := patterns[p.pattern]; {
		case !fits(pattern[p.seen], c):
		case p.seen+1 == len(pattern):
			s.ends = append(s.ends, p.pattern)
		default:
			s.positions = append(s.positions, position{p.pattern, p.seen + 1})
		}
	}
}

// name is the same for states that are the same.
func (s *state) name(to []byte) []byte {
	slices.SortFunc(s.positions, func(a, b position) int { return cmp.Or(a.pattern-b.pattern, a.seen-b.seen) })
	slices.Sort(s.ends)
	for _, p := range s.positions {
		to = append(to, byte(p.pattern>>8), byte(p.pattern), byte(p.seen))
	}
	for _, n := range s.ends {
		to = append(to, 255, byte(n>>8), byte(n))
	}
	return to
}

// lay lays the states out in one table, those that end nothing first.
func (m *matcher) lay(states []*state) {
	order := make([]int, 0, len(states))
	for _, loud := range []bool{false, true} {
		for i, s := range states {
			if (len(s.ends) > 0) == loud {
				order = append(order, i)
			}
		}
		if !loud {
			m.quiet = uint32(len(order)) * m.width
		}
	}
	row := make([]uint32, len(states))
	for at, i := range order {
		row[i] = uint32(at) * m.width
	}
	for _, i := range order {
		for _, to := range states[i].next {
			m.next = append(m.next, row[to])
		}
		if row[i] >= m.quiet {
			m.ends = append(m.ends, states[i].ends)
		}
	}
}

// classify puts bytes together that no pattern tells apart, and returns one of each class.
func (m *matcher) classify(patterns []string) (examples []byte) {
	known := map[string]uint32{}
	for c := range 256 {
		var name strings.Builder
		for _, p := range patterns {
			for i := range len(p) {
				if fits(p[i], byte(c)) {
					name.WriteString(p[i : i+1])
				} else {
					name.WriteByte(0)
				}
			}
		}
		class, there := known[name.String()]
		if !there {
			class = uint32(len(examples))
			known[name.String()] = class
			examples = append(examples, byte(c))
		}
		m.class[c] = class
	}
	return examples
}

// each calls found with each pattern and where it begins, in the order of their ends.
func (m *matcher) each(text []byte, found func(pattern, at int)) {
	var state uint32
	next, quiet := m.next, m.quiet
	for i, c := range text {
		state = next[state+m.class[c]]
		if state >= quiet {
			for _, pattern := range m.ends[(state-quiet)/m.width] {
				found(pattern, i+1-m.lengths[pattern])
			}
		}
	}
}

// What bytes are.

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isWord(c byte) bool   { return isDigit(c) || isLetter(c) || c == '_' || c >= 0x80 }

// before and after are the bytes around a place; a blank where the text ends.
func before(text []byte, at int) byte {
	if at <= 0 {
		return ' '
	}
	return text[at-1]
}

func after(text []byte, at int) byte {
	if at >= len(text) {
		return ' '
	}
	return text[at]
}
