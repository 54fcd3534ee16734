package client

import (
	"fmt"
	"slices"
	"strings"
)

// nearest proposes up to three names that differ little from a wrong one, as the
// end of an error; empty if none does.
func nearest(wrong string, names []string) string {
	type near struct {
		name     string
		distance int
	}
	var found []near
	if len(wrong) <= maxText {
		for _, name := range names {
			if d := distance(wrong, name); d <= max(1, len(wrong)/3) {
				found = append(found, near{name, d})
			}
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.distance - b.distance })
	var quoted []string
	for _, n := range found[:min(3, len(found))] {
		quoted = append(quoted, fmt.Sprintf("%q", n.name))
	}
	return "; did you mean " + strings.Join(quoted, ", ") + "?"
}

// distance counts the bytes to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Nearest proposes up to three of names that a wrong one may have been meant to be, as the
// end of an error; empty if none is near.
func Nearest(wrong string, names []string) string { return nearest(wrong, names) }
