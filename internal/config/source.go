package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of a file.
const (
	maxFile  = 1 << 20 // bytes
	maxDepth = 32      // settings within settings
)

// Source is the text of a configuration file.
type Source struct {
	Name string // as messages show it
	Text []byte
	// Dir is the folder where relative paths start. If it is empty, no file
	// that the text names is looked at, and includes are refused.
	Dir string

	begin  string // what a file that says nothing should begin with; empty: hosts and apis
	starts []int  // offsets of the lines
}

// empty is a problem of a file that says nothing.
func (s *Source) empty(pos Pos, message string) *Problem {
	hint := s.begin
	if hint == "" {
		hint = "pavise init writes a file to begin with"
	}
	return s.problem(pos, hint, "%s", message)
}

// line returns the text of a line without its end, counted from 1.
func (s *Source) line(n int) string {
	if s.starts == nil {
		s.starts = []int{0}
		for i, c := range s.Text {
			if c == '\n' {
				s.starts = append(s.starts, i+1)
			}
		}
	}
	if n < 1 || n > len(s.starts) {
		return ""
	}
	line, _, _ := bytes.Cut(s.Text[s.starts[n-1]:], []byte("\n"))
	return redact(strings.TrimRight(string(line), "\r"))
}

// place returns line and column of a byte.
func (s *Source) place(offset int) Pos {
	before := s.Text[:min(max(offset, 0), len(s.Text))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Pos{s.Name, bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}

// end returns the place behind the last character that is neither space nor line
// break: where a file that was cut stops.
func (s *Source) end() Pos {
	return s.place(len(bytes.TrimRight(s.Text, " \t\r\n")))
}

func (s *Source) problem(pos Pos, hint, format string, args ...any) *Problem {
	return &Problem{Pos: pos, Message: redact(fmt.Sprintf(format, args...)), Hint: redact(hint), Line: s.line(pos.Line)}
}

// parse reads the text as one YAML document that holds settings.
func (s *Source) parse() (*yaml.Node, *Problem) {
	if p := s.readable(); p != nil {
		return nil, p
	}
	loader, err := yaml.NewLoader(bytes.NewReader(s.Text), yaml.WithPlugin(depth{}))
	if err != nil {
		return nil, s.problem(Pos{File: s.Name}, "", "the YAML reader could not be made: %v", err)
	}
	var document yaml.Node
	switch err := loader.Load(&document); {
	case errors.Is(err, io.EOF):
		return nil, s.empty(Pos{s.Name, 1, 1}, "the file is empty")
	case err != nil:
		return nil, s.syntax(err)
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		return nil, s.problem(s.pos(&second), "keep one document, without a line --- between", "the file holds more than one document")
	case !errors.Is(err, io.EOF):
		return nil, s.syntax(err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		hint := "begin with hosts: and apis:"
		if s.begin != "" {
			hint = s.begin
		}
		return nil, s.problem(s.pos(&document), hint, "the file holds no settings")
	}
	return document.Content[0], nil
}

func (s *Source) pos(n *yaml.Node) Pos { return Pos{s.Name, max(n.Line, 1), max(n.Column, 1)} }

// readable refuses what is no text, and text that reads otherwise than it is.
func (s *Source) readable() *Problem {
	if len(s.Text) > maxFile {
		return s.problem(Pos{File: s.Name}, "split it with include", "the file is longer than %d bytes", maxFile)
	}
	s.Text = bytes.TrimPrefix(s.Text, []byte("\ufeff"))
	for offset := 0; offset < len(s.Text); {
		r, size := utf8.DecodeRune(s.Text[offset:])
		switch {
		case r == utf8.RuneError && size == 1:
			return s.problem(s.place(offset), "save it as UTF-8", "the file is not UTF-8 text")
		case steers(r):
			return s.problem(s.place(offset), "remove the character", "the invisible character %U makes the line read otherwise than it is", r)
		case r < ' ' && r != '\n' && r != '\t' && r != '\r', r == 0x7f, r == 0x85:
			return s.problem(s.place(offset), "save it as UTF-8 without control characters", "the control character %U cannot stand in the file", r)
		}
		offset += size
	}
	if len(bytes.TrimSpace(s.Text)) == 0 {
		return s.empty(Pos{s.Name, 1, 1}, "the file is empty")
	}
	if s.Text[len(s.Text)-1] != '\n' {
		return s.problem(s.end(), "if the file is whole, end its last line with a line break", "the file ends in the middle of a line, as one that was cut off")
	}
	return nil
}

// syntax turns an error of the YAML reader into a problem in our own words.
func (s *Source) syntax(err error) *Problem {
	fault, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return s.problem(Pos{s.Name, 1, 1}, "", "the file is no YAML: %v", err)
	}
	pos := Pos{s.Name, max(fault.Mark.Line, 1), max(fault.Mark.Column, 1)}
	if errors.Is(err, errTooDeep) || strings.Contains(fault.Message, errTooDeep.Error()) {
		return s.problem(pos, "write it flatter", "nested more than %d deep", maxDepth)
	}
	began := Pos{s.Name, fault.ContextMark.Line, fault.ContextMark.Column}
	if last := s.end(); began.Line > 0 && (pos.Line > last.Line || pos.Line == last.Line && pos.Column >= last.Column) {
		return s.problem(last, fmt.Sprintf("what began at line %d, column %d has no end", began.Line, began.Column),
			"the file ends too early: it is cut off, or a bracket or quote is not closed")
	}
	line := s.line(pos.Line)
	if strings.Contains(leading(line), "\t") {
		return s.problem(Pos{s.Name, pos.Line, strings.Index(line, "\t") + 1}, "use spaces", "a tab cannot indent")
	}
	if p := s.unspaced(pos.Line-1, fault.Message); p != nil {
		return p
	}
	if known, ok := inOurWords(line, fault.Message); ok {
		return s.problem(pos, known.hint, "%s", known.message)
	}
	hint := "look at the indentation, brackets and quotes of this line and of those above it"
	if began.Line > 0 && began.Line != pos.Line {
		hint += fmt.Sprintf("; it belongs to what began at line %d", began.Line)
	}
	return s.problem(pos, hint, "this is no YAML: %s", fault.Message)
}

// unspacedSetting is a line like "host:127.0.0.1", which YAML takes for a text.
var unspacedSetting = regexp.MustCompile(`^( *)([A-Za-z0-9_-]+):([^\s/:][^\s]*)\s*$`)

// unspaced blames the line before a fault that has no blank after its colon: YAML reads on, and complains
// of what follows.
func (s *Source) unspaced(number int, message string) *Problem {
	if !strings.HasPrefix(message, "mapping values are not allowed") && !strings.HasPrefix(message, "could not find expected ':'") {
		return nil
	}
	for ; number > 0; number-- {
		line := s.line(number)
		if text := strings.TrimSpace(line); text == "" || text[0] == '#' {
			continue
		}
		found := unspacedSetting.FindStringSubmatch(line)
		if found == nil {
			return nil
		}
		return s.problem(Pos{s.Name, number, len(found[1]) + len(found[2]) + 1}, fmt.Sprintf("write %s: %s", found[2], found[3]), "a blank is missing after the colon")
	}
	return nil
}

func leading(line string) string {
	return line[:len(line)-len(strings.TrimLeft(line, " \t"))]
}

type words struct{ message, hint string }

// inOurWords translates the reader's most common complaints.
func inOurWords(line, message string) (words, bool) {
	switch {
	case strings.HasPrefix(message, "mapping values are not allowed"):
		return words{
			`a second ":" stands here, or the line is indented otherwise than those above`,
			`put quotes around a text that holds ": ", and indent settings of one block alike`,
		}, true
	case strings.HasPrefix(message, "could not find expected ':'"):
		return words{`a ":" is missing`, "write name: value"}, true
	case strings.HasPrefix(message, "found character that cannot start any token"):
		return words{"a value cannot begin with this character", "put quotes around the value"}, true
	case strings.HasPrefix(message, "did not find expected key"):
		return words{"this line does not fit those above", "indent settings of one block alike; put quotes around texts with special characters"}, true
	case strings.HasPrefix(message, "unknown anchor"):
		return words{"aliases (*) are not accepted", "write the value out, or put quotes around a text that begins with *"}, true
	case strings.HasPrefix(message, "did not find expected alphabetic"):
		return words{"anchors (&) and aliases (*) are not accepted", "put quotes around a text that begins with & or *"}, true
	case strings.HasPrefix(message, "did not find expected ',' or"):
		return words{"a comma or a closing bracket is missing before this", "write [a, b] or {a: b, c: d}; put quotes around texts that hold brackets or commas"}, true
	}
	return words{}, false
}

var errTooDeep = errors.New("nested too deep")

// depth bounds the nesting that the YAML reader follows.
type depth struct{}

// CheckDepth refuses what is deeper than a configuration can be.
func (depth) CheckDepth(level int, _ *yaml.DepthContext) error {
	if level > maxDepth {
		return errTooDeep
	}
	return nil
}

// CheckAlias accepts: aliases are refused when the nodes are decoded, which
// never expands them.
func (depth) CheckAlias(int, int) error { return nil }

// readFile reads a regular file of at most limit bytes. It never waits for a
// pipe or device.
func readFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("is no file")}
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, &os.PathError{Op: "read", Path: name, Err: fmt.Errorf("longer than %d bytes", limit)}
	}
	return text, nil
}

// reason is why a file could not be read, without its name.
func reason(err error) string {
	if fault, ok := errors.AsType[*os.PathError](err); ok {
		return fault.Err.Error()
	}
	return err.Error()
}
