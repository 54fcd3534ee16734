package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Problem is something wrong in a configuration file.
type Problem struct {
	Pos     Pos
	Path    string // dotted: apis.orders.endpoints
	Message string
	Hint    string // the next thing to try
	Line    string // the offending line, for printing
}

// Problems are all that is wrong, in the order of the file. It is an error.
type Problems []Problem

// Error lists the problems, one on a line.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, one := range p {
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

// String is "file:line:column: message".
func (p Problem) String() string {
	text := fmt.Sprintf("%s:%d:%d: ", p.Pos.File, p.Pos.Line, p.Pos.Column)
	if p.Path != "" {
		text += p.Path + ": "
	}
	return text + p.Message
}

// Format writes the problems as a person reads them: place, line with a mark below
// the column, and a hint.
func (p Problems) Format(w io.Writer) {
	for _, one := range p {
		_, _ = fmt.Fprintln(w, one.String())
		if one.Line != "" {
			number := fmt.Sprint(one.Pos.Line)
			_, _ = fmt.Fprintf(w, "  %s | %s\n", number, one.Line)
			_, _ = fmt.Fprintf(w, "  %s | %s^\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", max(one.Pos.Column-1, 0)))
		}
		if one.Hint != "" {
			_, _ = fmt.Fprintf(w, "  hint: %s\n", one.Hint)
		}
	}
}

func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return p
}

// source is a file that was read.
type source struct {
	name string
	text []byte
}

// line returns the text of a line, without tabs that would move the mark.
func (s *source) line(n int) string {
	lines := bytes.SplitN(s.text, []byte("\n"), n+1)
	if n < 1 || n > len(lines) {
		return ""
	}
	return strings.ReplaceAll(string(bytes.TrimRight(lines[n-1], "\r")), "\t", " ")
}

// nearest returns the word of known that is closest to word, or "" if none is
// close enough to be meant.
func nearest(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, candidate := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is the number of letters to add, drop or change.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, before+cost)
		}
	}
	return row[len(b)]
}
