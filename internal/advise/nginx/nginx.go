// Package nginx reads nginx's configuration files, strictly and within bounds, so that what they
// say can be taken over. It knows the grammar (directives, blocks, quoting, comments, includes) and
// no directive's meaning but that of include.
//
// Included files are read inside the folder of the main file alone: a link, .. or another folder
// leads nowhere. What was not read is told. Blocks that hold another language (…_by_lua_block) are
// refused.
package nginx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Directive is one, with its block if it has one.
type Directive struct {
	Name  string
	Args  []string
	Block []Directive // nil: it ends with a semicolon
	File  string
	Line  int
}

// Place is where the directive stands.
func (d *Directive) Place() string { return fmt.Sprintf("%s:%d", d.File, d.Line) }

// Arg is an argument, or nothing.
func (d *Directive) Arg(i int) string {
	if i >= 0 && i < len(d.Args) {
		return d.Args[i]
	}
	return ""
}

// Bounds of what is read.
const (
	maxText       = 4 << 20 // bytes of all files
	maxFiles      = 256
	maxDepth      = 32 // blocks within each other
	maxWord       = 8 << 10
	maxDirectives = 100_000
)

// Error is what cannot be read, with its place.
type Error struct {
	File string
	Line int
	What string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }

// Read reads a file of a folder and what it includes. Base is the folder's own absolute name: files
// in it may be included by absolute names. Unread are the includes that were not followed, with why.
func Read(folder fs.FS, base, name string) (all []Directive, unread []string, err error) {
	l := &loader{folder: folder, base: path.Clean(filepath.ToSlash(base)), text: maxText, directives: maxDirectives}
	all, err = l.file(name, 0)
	return all, l.unread, err
}

// Parse reads a text that includes nothing.
func Parse(name string, text []byte) ([]Directive, error) {
	l := &loader{text: maxText, directives: maxDirectives}
	all, err := l.parse(name, text, 0)
	return all, err
}

// loader reads a file with its includes.
type loader struct {
	folder     fs.FS
	base       string
	text       int // bytes that may still be read
	directives int
	files      []string // that are being read, from the outermost
	read       int
	unread     []string
}

func (l *loader) file(name string, depth int) ([]Directive, error) {
	if slices.Contains(l.files, name) {
		return nil, &Error{name, 1, "it includes itself"}
	}
	if l.read++; l.read > maxFiles {
		return nil, &Error{name, 1, fmt.Sprintf("more than %d files are not read", maxFiles)}
	}
	file, err := l.folder.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, int64(l.text)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	l.files = append(l.files, name)
	defer func() { l.files = l.files[:len(l.files)-1] }()
	return l.parse(name, text, depth)
}

func (l *loader) parse(name string, text []byte, depth int) ([]Directive, error) {
	if l.text -= len(text); l.text < 0 {
		return nil, &Error{name, 1, fmt.Sprintf("the files have more than %d bytes", maxText)}
	}
	p := &parser{loader: l, words: &words{file: name, text: text, line: 1}}
	return p.block(depth, false)
}

// include reads the files of an include directive; what is not there, or lies elsewhere, is noted.
func (l *loader) include(d *Directive, depth int) ([]Directive, error) {
	if len(d.Args) != 1 {
		return nil, &Error{d.File, d.Line, "include wants one name"}
	}
	note := func(why string) {
		l.unread = append(l.unread, fmt.Sprintf("%s: include %s: %s", d.Place(), d.Args[0], why))
	}
	if l.folder == nil {
		note("this text is no file, and includes nothing")
		return nil, nil
	}
	pattern := path.Clean(filepath.ToSlash(d.Args[0]))
	if strings.Contains(d.Args[0], "$") {
		note("its name is made when nginx runs")
		return nil, nil
	}
	if within, ok := strings.CutPrefix(pattern, l.base+"/"); ok && path.IsAbs(pattern) {
		pattern = within
	}
	if path.IsAbs(pattern) || !fs.ValidPath(strings.NewReplacer("*", "x", "?", "x", "[", "x", "]", "x").Replace(pattern)) {
		note("it lies outside the folder of the main file, and is not read; copy it into the folder and name it from there")
		return nil, nil
	}
	names, err := fs.Glob(l.folder, pattern)
	if err != nil {
		return nil, &Error{d.File, d.Line, "the pattern of include cannot be read"}
	}
	if len(names) == 0 && !strings.ContainsAny(pattern, "*?[") {
		note("there is no such file")
	}
	var all []Directive
	for _, name := range names {
		part, err := l.file(name, depth)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			note("it cannot be read")
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all, nil
}

// parser builds directives of words.
type parser struct {
	loader *loader
	words  *words
}

// block reads directives up to the end of the file, or of the block.
func (p *parser) block(depth int, inside bool) ([]Directive, error) {
	if depth > maxDepth {
		return nil, p.words.fault("blocks nested more than %d deep", maxDepth)
	}
	all := []Directive{}
	for {
		d, end, err := p.directive(depth, inside)
		if err != nil || end {
			return all, err
		}
		if d.Name == "include" && d.Block == nil {
			included, err := p.loader.include(&d, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, included...)
			continue
		}
		all = append(all, d)
	}
}

// directive reads one; end says that there is none left.
func (p *parser) directive(depth int, inside bool) (d Directive, end bool, err error) {
	first, err := p.words.next()
	switch {
	case err != nil:
		return d, false, err
	case first.kind == endOfFile && inside:
		return d, false, p.words.fault("a block is not closed")
	case first.kind == endOfFile:
		return d, true, nil
	case first.kind == closing && inside:
		return d, true, nil
	case first.kind != word:
		return d, false, p.words.fault("a directive begins with its name, not with %q", first.kind)
	}
	if p.loader.directives--; p.loader.directives < 0 {
		return d, false, p.words.fault("more than %d directives", maxDirectives)
	}
	d = Directive{Name: first.text, File: p.words.file, Line: first.line}
	if strings.HasSuffix(d.Name, "_lua_block") || strings.HasSuffix(d.Name, "_lua") && d.Name == "lua" {
		return d, false, p.words.fault("%s holds another language, which is not read; take it out of a copy", d.Name)
	}
	for {
		t, err := p.words.next()
		if err != nil {
			return d, false, err
		}
		switch t.kind {
		case word:
			if len(d.Args) >= maxDirectives {
				return d, false, p.words.fault("too many words")
			}
			d.Args = append(d.Args, t.text)
		case semicolon:
			return d, false, nil
		case opening:
			d.Block, err = p.block(depth+1, true)
			return d, false, err
		default:
			return d, false, p.words.fault("%s is not ended by ; or a block", d.Name)
		}
	}
}
