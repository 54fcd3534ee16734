package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// ErrUnread is the error of a configuration file that is not there, or cannot be read.
var ErrUnread = errors.New("read the configuration")

// Load reads a configuration file and its includes. Kinds are the shields that it
// may name. The error is [Problems] if the files could be read but do not hold a
// configuration that can work; then there is no File.
func Load(name string, kinds []shield.Kind) (*File, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("find the configuration %s: %w", name, err)
	}
	text, err := readFile(absolute, maxFile)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %s; pavise init writes one to begin with", ErrUnread, name, reason(err))
	}
	src := Source{Name: name, Text: text, Dir: filepath.Dir(absolute)}
	return parse(&File{Path: absolute, Paths: []string{absolute}}, src, kinds)
}

// Parse reads a configuration from memory. If src has no Dir, files that it names
// are not looked at, and it cannot have includes. Errors are as those of [Load].
func Parse(src Source, kinds ...shield.Kind) (*File, error) {
	return parse(&File{Path: src.Name}, src, kinds)
}

func parse(f *File, src Source, kinds []shield.Kind) (*File, error) {
	f.Dir, f.places = src.Dir, places{"": {&src, Pos{src.Name, 1, 1}, Pos{src.Name, 1, 1}}}
	l := &loader{file: f, kinds: kinds, name: src.Name}
	if l.read(&src, f, false) {
		l.include()
		f.setPaths()
		l.check()
	}
	if len(l.problems) > 0 {
		return nil, l.problems.sorted(src.Name)
	}
	return f, nil
}

// loader gathers one configuration and everything that is wrong with it.
type loader struct {
	file     *File
	kinds    []shield.Kind
	name     string // of the main file, as messages show it
	problems Problems
}

// read decodes one file into a struct; false if it is no YAML at all.
func (l *loader) read(s *Source, into any, included bool) bool {
	root, problem := s.parse()
	if problem != nil {
		l.problems = append(l.problems, *problem)
		return false
	}
	d := &decoder{source: s, kinds: l.kinds, included: included, places: l.file.places, problems: &l.problems}
	if d.plain(root, "") {
		d.structure(root, reflect.ValueOf(into).Elem(), "")
	}
	return true
}

// at adds a problem about a setting, where it stands or should stand.
func (l *loader) at(path, hint, format string, args ...any) {
	l.problems = append(l.problems, l.file.places.problem(path, hint, format, args...))
}

// atKey adds a problem about the name of a setting.
func (l *loader) atKey(path, hint, format string, args ...any) {
	l.problems = append(l.problems, l.file.places.ofKey(path, hint, format, args...))
}

// problem is a problem about the value of a setting.
func (p places) problem(path, hint, format string, args ...any) Problem {
	found, ok := p.find(path)
	if !ok {
		return Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	problem := found.source.problem(found.value, hint, format, args...)
	problem.Path = path
	return *problem
}

// ofKey is a problem about the name of a setting, not about what stands behind it.
func (p places) ofKey(path, hint, format string, args ...any) Problem {
	problem := p.problem(path, hint, format, args...)
	if found, ok := p[path]; ok {
		problem.Pos, problem.Line = found.key, found.source.line(found.key.Line)
	}
	return problem
}

// included is what a further file may hold: it adds APIs and scopes, and cannot
// change what other files say.
type included struct {
	APIs   map[string]API    `yaml:"apis" doc:"Sets of endpoints behind one upstream." hint:"a name has 1 to 64 letters, digits, dots, hyphens and underscores" keys:"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"`
	Scopes map[string]string `yaml:"scopes" doc:"Scopes that these endpoints name." hint:"a scope has no spaces, quotes or backslashes: orders:read" keys:"^[!#-\\[\\]-~]{1,128}$"`
}

// maxIncludes bounds how many files are read.
const maxIncludes = 256

func (l *loader) include() {
	for i, pattern := range l.file.Include {
		path := fmt.Sprintf("include.%d", i)
		if l.file.Dir == "" {
			l.at(path, "", "this text is no file, so that it cannot include others")
			continue
		}
		for _, name := range l.matches(path, pattern) {
			l.includeFile(path, name)
		}
	}
}

// matches returns the files of a pattern, relative to the main file, sorted.
func (l *loader) matches(path, pattern string) []string {
	const hint = "name files below the folder of this one, like services/*.yaml"
	if !filepath.IsLocal(pattern) || strings.Contains(pattern, `\`) {
		l.at(path, hint, "%q does not lie below the folder of this file", pattern)
		return nil
	}
	names, err := filepath.Glob(filepath.Join(escape(l.file.Dir), pattern))
	switch {
	case err != nil:
		l.at(path, hint, "%q is no pattern of file names", pattern)
		return nil
	case len(names) == 0 && !strings.ContainsAny(pattern, "*?["):
		l.at(path, "the path is relative to this file", "there is no file %s", pattern)
		return nil
	case len(names)+len(l.file.Paths) > maxIncludes:
		l.at(path, "", "more than %d files", maxIncludes)
		return nil
	}
	slices.Sort(names)
	return names
}

// escape makes a folder's name match itself alone in a pattern.
func escape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func (l *loader) includeFile(path, name string) {
	relative, err := filepath.Rel(l.file.Dir, name)
	if err != nil {
		relative = name
	}
	shown := filepath.Join(filepath.Dir(l.name), relative)
	switch {
	case name == l.file.Path:
		l.at(path, "put included files into a folder of their own, like services/*.yaml", "the file would include itself")
		return
	case slices.Contains(l.file.Paths, name):
		l.at(path, "let each file match one pattern", "%s is included twice", shown)
		return
	}
	text, err := readFile(name, maxFile)
	if err != nil {
		l.at(path, "check the file's permissions", "%s cannot be read: %s", shown, reason(err))
		return
	}
	l.file.Paths = append(l.file.Paths, name)
	l.merge(&Source{Name: shown, Text: text, Dir: l.file.Dir})
}

// merge decodes an included file beside what is known, with places of its own
// until it is clear that they collide with none.
func (l *loader) merge(s *Source) {
	known := l.file.places
	l.file.places = places{"": {s, Pos{s.Name, 1, 1}, Pos{s.Name, 1, 1}}}
	var part included
	l.read(s, &part, true)
	own := l.file.places
	l.file.places = known
	for name, api := range part.APIs {
		if l.collides(own, "apis."+name, "an included file adds APIs; change this one where it stands") {
			forget(own, "apis."+name)
			continue
		}
		put(&l.file.APIs, name, api)
	}
	for name, meaning := range part.Scopes {
		if l.collides(own, "scopes."+name, "describe a scope in one file") {
			forget(own, "scopes."+name)
			continue
		}
		put(&l.file.Scopes, name, meaning)
	}
	for path, at := range own {
		if _, ok := known[path]; !ok {
			known[path] = at
		}
	}
}

// collides reports a setting that stands in another file already.
func (l *loader) collides(own places, path, hint string) bool {
	other, ok := l.file.places[path]
	if ok {
		here := own[path]
		p := here.source.problem(here.key, hint, "%s stands in %s already", path, other.key)
		p.Path = path
		l.problems = append(l.problems, *p)
	}
	return ok
}

func forget(p places, path string) {
	for each := range p {
		if each == path || strings.HasPrefix(each, path+".") {
			delete(p, each)
		}
	}
}

func put[V any](m *map[string]V, name string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[name] = value
}

// setPaths makes the paths of what Pavise writes absolute.
func (f *File) setPaths() {
	f.State.Folder, f.State.MasterKey = f.Abs(f.State.Folder), f.Abs(f.State.MasterKey)
	within := func(name *string, otherwise string) {
		if *name == "" {
			*name = filepath.Join(f.State.Folder, otherwise)
		}
		*name = f.Abs(*name)
	}
	within(&f.State.Socket, "admin.sock")
	within(&f.Log.Folder, "log")
	if f.Log.Kept != "" {
		f.Log.Kept = f.Abs(f.Log.Kept)
	}
}

// Abs returns a path of the configuration as an absolute one: relative paths
// start in the folder of the main file.
func (f *File) Abs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.Dir, name)
}
