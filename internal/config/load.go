package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/shield"
)

// maxFile is the longest configuration file, in bytes.
const maxFile = 1 << 20

// Load reads a configuration file and its includes. The error is [Problems] if the
// files could be read but do not hold a policy.
func Load(name string, kinds []shield.Kind) (*File, error) {
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	text, err := readFile(absolute)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w; `pavise init` writes one to begin with", err)
	}
	f := &File{Dir: filepath.Dir(absolute), Path: absolute, Paths: []string{absolute}}
	l := &loader{file: f, kinds: kinds, sources: map[string]*source{}}
	l.read(&source{name: name, text: text}, f)
	l.include()
	f.setDefaults()
	l.check()
	if len(l.problems) > 0 {
		return nil, l.problems.sorted()
	}
	return f, nil
}

func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	return text, nil
}

// loader gathers one configuration and everything that is wrong with it.
type loader struct {
	file     *File
	kinds    []shield.Kind
	sources  map[string]*source
	problems Problems
}

// read decodes one file into a struct.
func (l *loader) read(s *source, into any) {
	l.sources[s.name] = s
	d := &decoder{source: s, kinds: l.kinds}
	defer func() { l.problems = append(l.problems, d.problems...) }()
	reader := yaml.NewDecoder(bytes.NewReader(s.text))
	var document yaml.Node
	if err := reader.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			d.problem(&yaml.Node{Line: 1, Column: 1}, "", "`pavise init` writes a file to begin with", "the file is empty")
			return
		}
		d.syntax(err)
		return
	}
	var second yaml.Node
	if err := reader.Decode(&second); !errors.Is(err, io.EOF) {
		d.problem(&yaml.Node{Line: 1, Column: 1}, "", "keep one document, without --- between", "the file holds more than one document, or is cut off")
		return
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		d.problem(&yaml.Node{Line: 1, Column: 1}, "", "begin with hosts: and apis:", "the file holds no settings")
		return
	}
	d.structure(document.Content[0], reflect.ValueOf(into).Elem(), "", 0)
}

// syntax turns an error of the YAML reader into a problem with its line.
func (d *decoder) syntax(err error) {
	n := &yaml.Node{Line: 1, Column: 1}
	message := err.Error()
	if at := strings.Index(message, "line "); at >= 0 {
		_, _ = fmt.Sscanf(message[at:], "line %d", &n.Line) // else the first line stands for the file
	}
	d.problem(n, "", "look at the indentation and the brackets at this line and above it", "this is no YAML: %s", message)
}

// included is what a further file may hold: it may add APIs and scopes, and
// cannot change what the main file says.
type included struct {
	APIs   map[string]API    `yaml:"apis" doc:"Sets of endpoints behind one upstream."`
	Scopes map[string]string `yaml:"scopes" doc:"Scopes that these endpoints name."`
}

// maxIncludes bounds how many files are read.
const maxIncludes = 256

func (l *loader) include() {
	for _, pattern := range l.file.Include {
		names, err := filepath.Glob(filepath.Join(l.file.Dir, pattern))
		if err != nil || filepath.IsAbs(pattern) || len(names) > maxIncludes {
			l.at(Pos{File: l.file.Path, Line: 1, Column: 1}, "include", "name files below the folder of this one, like services/*.yaml", "pattern %q cannot be used", pattern)
			continue
		}
		slices.Sort(names)
		for _, name := range names {
			l.includeFile(name)
		}
	}
}

func (l *loader) includeFile(name string) {
	shown := name
	if relative, err := filepath.Rel(l.file.Dir, name); err == nil {
		shown = relative
	}
	text, err := readFile(name)
	if err != nil {
		l.at(Pos{File: shown, Line: 1, Column: 1}, "", "check the file's permissions", "cannot be read: %v", err)
		return
	}
	l.file.Paths = append(l.file.Paths, name)
	var part included
	l.read(&source{name: shown, text: text}, &part)
	for api, settings := range part.APIs {
		if _, ok := l.file.APIs[api]; ok {
			l.at(settings.Pos, "apis."+api, "an included file adds APIs; change this one where it stands", "API %s stands in another file already", api)
			continue
		}
		if len(settings.Allow) > 0 || settings.Upstream.Skip != nil {
			l.at(settings.Pos, "apis."+api, "move it to the main file", "an included file may tighten, never weaken: no insecure_ settings")
		}
		if l.file.APIs == nil {
			l.file.APIs = map[string]API{}
		}
		l.file.APIs[api] = settings
	}
	for scope, meaning := range part.Scopes {
		if known, ok := l.file.Scopes[scope]; ok && known != meaning {
			l.at(Pos{File: shown, Line: 1, Column: 1}, "scopes."+scope, "describe it in one place", "scope %s is described in two ways", scope)
			continue
		}
		if l.file.Scopes == nil {
			l.file.Scopes = map[string]string{}
		}
		l.file.Scopes[scope] = meaning
	}
}

// at adds a problem at a place that the decoder has left already.
func (l *loader) at(pos Pos, path, hint, format string, args ...any) {
	p := Problem{Pos: pos, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
	if s := l.sources[pos.File]; s != nil {
		p.Line = s.line(pos.Line)
	}
	l.problems = append(l.problems, p)
}

// setDefaults fills in what the file does not say.
func (f *File) setDefaults() {
	set(&f.Listen.HTTPS, "127.0.0.1:8443")
	set(&f.State.Folder, "pavise-data")
	set(&f.State.MasterKey, "pavise.key")
	f.State.Folder, f.State.MasterKey = f.Abs(f.State.Folder), f.Abs(f.State.MasterKey)
	set(&f.State.Socket, filepath.Join(f.State.Folder, "admin.sock"))
	set(&f.Log.Folder, filepath.Join(f.State.Folder, "log"))
	f.State.Socket, f.Log.Folder = f.Abs(f.State.Socket), f.Abs(f.Log.Folder)
	set(&f.State.MaxStaleness.Duration, time.Minute)
	set(&f.Log.Keep.Duration, 90*24*time.Hour)
	set(&f.Log.MaxSize, 10<<30)
	set(&f.Limits.Address, "6000/minute")
	set(&f.Limits.Connections, 10000)
	set(&f.Limits.ConnectionsPer, 256)
	set(&f.Limits.HeaderBytes, 32<<10)
	set(&f.Limits.HeaderTimeout.Duration, 10*time.Second)
	set(&f.Limits.BodyTimeout.Duration, 30*time.Second)
	set(&f.Limits.IdleTimeout.Duration, 2*time.Minute)
	set(&f.Limits.WrongTries, 20)
	for name, api := range f.APIs {
		set(&api.MaxBody, 10<<20)
		set(&api.Timeout.Duration, 30*time.Second)
		set(&api.Audit, "local")
		set(&api.Upstream.MaxConnections, 512)
		set(&api.Upstream.Connect.Duration, 5*time.Second)
		f.APIs[name] = api
	}
	for name, issuer := range f.Issuers {
		set(&issuer.Leeway.Duration, 30*time.Second)
		set(&issuer.MaxAge.Duration, 24*time.Hour)
		set(&issuer.KeysMaxAge.Duration, 24*time.Hour)
		set(&issuer.CoolDown.Duration, 30*time.Second)
		f.Issuers[name] = issuer
	}
}

func set[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// Abs returns a file name of the configuration as an absolute one.
func (f *File) Abs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(f.Dir, name)
}
