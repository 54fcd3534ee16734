package config

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxShown is how much of a line is shown, in characters.
const maxShown = 120

// style writes parts of a report in colour, or plain.
type style bool

func (s style) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bad(text string) string   { return s.paint("1;31", text) }
func (s style) bold(text string) string  { return s.paint("1", text) }
func (s style) faint(text string) string { return s.paint("2", text) }
func (s style) help(text string) string  { return s.paint("36", text) }

// Format writes the problems as a person reads them: what is wrong and where,
// the line with a mark below the column, and a hint. What the files hold cannot
// steer the terminal. Color adds ANSI colours. Errors of w are ignored: there is
// nobody left to tell.
//
//	pavise.yaml:12:7: unknown setting "sheild"
//	   │
//	12 │       sheild: api_key
//	   │       ^ apis.orders.sheild
//	   hint: did you mean shield?
func (p Problems) Format(w io.Writer, color bool) {
	s := style(color)
	for i, one := range p {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = io.WriteString(w, one.format(s))
	}
	if len(p) > 1 {
		_, _ = fmt.Fprintf(w, "\n%s\n", s.bold(fmt.Sprintf("%d problems", len(p))))
	}
}

func (p Problem) format(s style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", s.bold(p.Pos.String()+":"), s.bad(printable(p.Message)))
	number := fmt.Sprint(p.Pos.Line)
	gutter := strings.Repeat(" ", len(number))
	if p.Line != "" {
		line, column := window(printable(p.Line), p.Pos.Column-1)
		bar := s.faint("│")
		fmt.Fprintf(&b, "  %s %s\n", gutter, bar)
		fmt.Fprintf(&b, "  %s %s %s\n", s.faint(number), bar, line)
		mark := strings.Repeat(" ", column) + s.bad("^")
		if p.Path != "" {
			mark += " " + s.faint(printable(p.Path))
		}
		fmt.Fprintf(&b, "  %s %s %s\n", gutter, bar, mark)
	} else if p.Path != "" {
		fmt.Fprintf(&b, "  %s\n", s.faint(printable(p.Path)))
	}
	if p.Hint != "" {
		fmt.Fprintf(&b, "  %s %s\n", s.help("hint:"), printable(p.Hint))
	}
	return b.String()
}

// window cuts a long line to what surrounds the column.
func window(line string, column int) (string, int) {
	length := utf8.RuneCountInString(line)
	column = min(max(column, 0), length)
	if length <= maxShown {
		return line, column
	}
	runes := []rune(line)
	start := min(max(column-maxShown/2, 0), length-maxShown)
	shown := string(runes[start : start+maxShown])
	if start > 0 {
		shown = "…" + string(runes[start+1:start+maxShown])
	}
	if start+maxShown < length {
		shown += "…"
	}
	return shown, column - start
}
