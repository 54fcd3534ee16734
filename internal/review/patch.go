package review

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Cut is an endpoint to take out of a file of the configuration.
type Cut struct {
	Endpoint string
	Line     int // of its pattern, from 1
}

// Patch takes endpoints out of a text, with the comments that stand right above them, and leaves every
// other byte. It returns the text without them, a unified diff of both, and what it could not take out
// because it does not stand on lines of its own.
func Patch(name, text string, cuts []Cut) (after, diff string, left []string) {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	gone := make([]bool, len(lines))
	for _, cut := range cuts {
		from, to, ok := extent(lines, cut)
		if !ok {
			left = append(left, cut.Endpoint)
			continue
		}
		for i := from; i < to; i++ {
			gone[i] = true
		}
	}
	for _, at := range emptied(lines, gone) {
		for i := range cuts { // a mapping without entries is another thing: leave the last endpoint
			if from, to, ok := extent(lines, cuts[i]); ok && from <= at && at < to && gone[at] {
				for n := from; n < to; n++ {
					gone[n] = false
				}
				left = append(left, cuts[i].Endpoint)
			}
		}
	}
	var b strings.Builder
	for i, line := range lines {
		if !gone[i] {
			b.WriteString(line)
		}
	}
	slices.Sort(left)
	return b.String(), unified(name, lines, gone), left
}

// extent finds the lines of a mapping's entry: comments above, and everything that is indented
// deeper below.
func extent(lines []string, cut Cut) (from, to int, ok bool) {
	at := cut.Line - 1
	_, pattern, _ := strings.Cut(cut.Endpoint, " ")
	if at < 0 || at >= len(lines) || pattern == "" {
		return 0, 0, false
	}
	own := strings.TrimLeft(lines[at], " ")
	depth := len(lines[at]) - len(own)
	key := strings.Trim(own, `"'`)
	if depth == 0 || !strings.HasPrefix(key, pattern) || strings.HasPrefix(own, "{") {
		return 0, 0, false
	}
	for to = at + 1; to < len(lines); to++ {
		rest := strings.TrimLeft(lines[to], " ")
		if strings.TrimSpace(rest) == "" || len(lines[to])-len(rest) > depth {
			continue
		}
		break
	}
	for to > at+1 && (strings.TrimSpace(lines[to-1]) == "" || isComment(lines[to-1]) && indent(lines[to-1]) <= depth) {
		to-- // blank lines and comments before the next entry are its own
	}
	for from = at; from > 0 && isComment(lines[from-1]) && indent(lines[from-1]) == depth; from-- {
	}
	return from, to, true
}

func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func isComment(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " "), "#") }

// emptied are lines of entries that were the last of their mapping.
func emptied(lines []string, gone []bool) (last []int) {
	for i, line := range lines {
		if gone[i] || isComment(line) || !strings.HasSuffix(strings.TrimRight(line, " \r\n"), ":") {
			continue
		}
		had, has := -1, false
		for n := i + 1; n < len(lines); n++ {
			if strings.TrimSpace(lines[n]) == "" || isComment(lines[n]) {
				continue
			}
			if indent(lines[n]) <= indent(line) {
				break
			}
			if gone[n] {
				had = n
			} else {
				has = true
				break
			}
		}
		if had >= 0 && !has {
			last = append(last, had)
		}
	}
	return last
}

// diffContext is how many lines a diff shows around what is gone.
const diffContext = 3

// unified writes what is gone as a diff that patch and git apply take.
func unified(name string, lines []string, gone []bool) string {
	var hunks [][2]int // from, to, with context
	for i := range lines {
		if !gone[i] {
			continue
		}
		from, to := max(0, i-diffContext), min(len(lines), i+1+diffContext)
		if n := len(hunks); n > 0 && hunks[n-1][1] >= from {
			hunks[n-1][1] = to
			continue
		}
		hunks = append(hunks, [2]int{from, to})
	}
	if len(hunks) == 0 {
		return ""
	}
	var b strings.Builder
	shown := filepath.ToSlash(name)
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", shown, shown)
	removed := 0
	for _, h := range hunks {
		cut := 0
		for i := h[0]; i < h[1]; i++ {
			if gone[i] {
				cut++
			}
		}
		begin := h[0] + 1 - removed
		if h[1]-h[0] == cut {
			begin--
		}
		fmt.Fprintf(&b, "@@ -%d,%d +%d,%d @@\n", h[0]+1, h[1]-h[0], begin, h[1]-h[0]-cut)
		for i := h[0]; i < h[1]; i++ {
			sign := " "
			if gone[i] {
				sign = "-"
			}
			b.WriteString(sign + lines[i])
			if !strings.HasSuffix(lines[i], "\n") {
				b.WriteString("\n\\ No newline at end of file\n")
			}
		}
		removed += cut
	}
	return b.String()
}
