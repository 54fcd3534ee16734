package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Problem is something wrong in a configuration file. Its JSON form is what
// `pavise check --json` prints.
type Problem struct {
	Pos     Pos
	Path    string // dotted: apis.orders.endpoints
	Message string
	Hint    string // the next thing to try
	Line    string // the offending line, without its line break
}

// MarshalJSON writes the problem flat: file, line, column, path, message, hint,
// text.
func (p Problem) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File    string `json:"file"`
		Line    int    `json:"line,omitempty"`
		Column  int    `json:"column,omitempty"`
		Path    string `json:"path,omitempty"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Text    string `json:"text,omitempty"`
	}{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Path, p.Message, p.Hint, p.Line})
}

// Problems are all that is wrong, in the order of the file. It is an error.
type Problems []Problem

// maxProblems bounds how many problems are reported: a file that is wrong
// throughout is mended from the top.
const maxProblems = 100

// Error lists the problems, one on a line.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, one := range p {
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

// String is "file:line:column: path: message".
func (p Problem) String() string {
	text := p.Pos.String() + ": "
	if p.Path != "" {
		text += printable(p.Path) + ": "
	}
	return text + printable(p.Message)
}

// String is "file:line:column", or the file alone.
func (p Pos) String() string {
	if p.Line == 0 {
		return printable(p.File)
	}
	return fmt.Sprintf("%s:%d:%d", printable(p.File), p.Line, p.Column)
}

// sorted orders problems as a reader meets them: the main file first, then its
// includes, each from the top. The same problem is told once.
func (p Problems) sorted(main string) Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(rank(a.Pos.File, main), rank(b.Pos.File, main)),
			strings.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column),
			strings.Compare(a.Path, b.Path),
			strings.Compare(a.Message, b.Message),
		)
	})
	p = slices.Compact(p)
	if len(p) > maxProblems {
		rest := len(p) - maxProblems
		p = append(p[:maxProblems:maxProblems], Problem{Pos: Pos{File: main}, Message: fmt.Sprintf("and %d more", rest)})
	}
	return p
}

func rank(file, main string) int {
	if file == main {
		return 0
	}
	return 1
}
