// Package waf looks for injections: values of a request that become something else where a
// service writes them into a statement, a command, a path, a template or a page.
//
// A [Layer] stands behind the contract (pavise.Endpoint.Harm). It takes every text of a request
// that the API's description does not confine ([Walk]), looks at it as it came and decoded, and
// asks its detectors. One that finds something refuses the request with the code injection, and
// says in which field and which detector; never a value.
//
//	waf.go        the layer: options, exceptions, the judgement
//	places.go     which texts of a request are looked at
//	decode.go     what a text decodes to
//	text.go       a text, and what detectors look up
//	sql.go, sql_tokens.go, sql_statement.go    SQL
//	shell.go, traversal.go, template.go, nosql.go, ldap.go, xxe.go, jndi.go (and shellshock),
//	header.go, script.go    one detector each
//
// Detectors read structure, not words: what a database, a shell or a browser would do with the
// text from where it would begin to read it. Each says in its comment what it looks for and why
// harmless text does not match. All take time that grows with the text alone.
//
// What it does not do: it knows nothing of what the service does with a value. A value that a
// service writes into a statement is a fault of the service, and stays one. Bodies that are no
// text are not looked at.
package waf

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// Level says how sure a detector has to be.
type Level string

// Levels. The empty level is [Default].
const (
	Low     Level = "low"     // only what nothing harmless looks like
	Default Level = "default" // at most one harmless request in a thousand is refused
	High    Level = "high"    // whatever looks like a part of one: for endpoints that take no prose
)

func (l Level) grade() (grade, error) {
	switch l {
	case Low:
		return sure, nil
	case Default, "":
		return plain, nil
	case High:
		return faint, nil
	}
	return none, fmt.Errorf("level %q is none of low, default and high", l)
}

// Exception is a field that some detectors leave alone.
type Exception struct {
	// In and Pointer name the field as a refusal does: "body" and "/comments/*/text". A *
	// stands for any one name or place in a list, ** at the end for all that is below.
	In, Pointer string
	Detectors   []string // all, if empty
}

// Options say what is looked for. The zero value looks for everything everywhere.
type Options struct {
	Detectors []string // names of [Detectors]; all, if empty
	Level     Level
	Except    []Exception
	// Described knows which texts a contract confines; nil: all are looked at.
	Described Described
	// MaxText is how many bytes of texts of one request are looked at: one with more is
	// refused. 0: 4 MiB.
	MaxText int64
}

// defaultText is MaxText where nothing is said.
const defaultText = 4 << 20

// Layer looks for injections. It implements pavise.Layer and is safe for concurrent use.
type Layer struct {
	tables    *tables
	detectors []detector
	least     grade
	except    []except
	described Described
	maxText   int64
}

// New makes a layer.
func New(o Options) (*Layer, error) {
	l := &Layer{tables: newTables(), described: o.Described, maxText: o.MaxText}
	if l.maxText == 0 {
		l.maxText = defaultText
	}
	if l.maxText < 0 || l.maxText > 1<<30 {
		return nil, fmt.Errorf("%d bytes of text cannot be looked at", l.maxText)
	}
	var err error
	if l.least, err = o.Level.grade(); err != nil {
		return nil, err
	}
	if err := known(o.Detectors); err != nil {
		return nil, err
	}
	for _, d := range detectors() {
		if len(o.Detectors) == 0 || slices.Contains(o.Detectors, d.name) {
			l.detectors = append(l.detectors, d)
		}
	}
	for _, e := range o.Except {
		if err := known(e.Detectors); err != nil {
			return nil, err
		}
		compiled, err := compile(e)
		if err != nil {
			return nil, err
		}
		l.except = append(l.except, compiled)
	}
	return l, nil
}

func known(names []string) error {
	for _, name := range names {
		if !slices.Contains(Detectors(), name) {
			return fmt.Errorf("there is no detector %q; there are %s", name, strings.Join(Detectors(), ", "))
		}
	}
	return nil
}

// detector is one of them.
type detector struct {
	name  string
	needs mark // it finds nothing in a text that has none of these; 0: in any
	find  func(*text) grade
	heads bool // it is asked about credentials and headers of a known form, too
}

// Detectors are the names of all detectors.
func Detectors() []string {
	var names []string
	for _, d := range detectors() {
		names = append(names, d.name)
	}
	return names
}

func detectors() []detector {
	return []detector{
		{name: "header", needs: hasBreak, find: findHeader},
		{name: "jndi", needs: hasDollar, find: findJNDI, heads: true},
		{name: "ldap", needs: hasParenthesis, find: findLDAP},
		{name: "nosql", needs: hasDollar | hasQuote | hasDouble | hasDot, find: findNoSQL},
		{name: "script", needs: hasAngle | hasQuote | hasDouble | hasTick | hasColon, find: findScript},
		{name: "shell", needs: hasSemicolon | hasPipe | hasAmpersand | hasDollar | hasTick | hasBreak | hasAngle | hasSlash | hasBlank, find: findShell},
		{name: "shellshock", needs: hasParenthesis, find: findShellshock, heads: true},
		{name: "sql", find: findSQL},
		{name: "template", needs: hasBrace | hasAngle | hasUnderscore | hasParenthesis, find: findTemplate},
		{name: "traversal", needs: hasSlash | hasBackslash | hasColon | hasNul, find: findTraversal},
		{name: "xxe", needs: hasAngle, find: findXXE},
	}
}

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit. Bodies
// that are no text are not read at all.
func (l *Layer) Body() int64 { return 1 << 40 }

// maxFound is how many fields a refusal names.
const maxFound = 16

// maxPointer is how much of a pointer is told, in bytes: names are the caller's.
const maxPointer = 256

// Reads says that all of the input is looked at.
func (*Layer) Reads() shield.Reads { return shield.ReadsInput }

// Check implements pavise.Layer.
func (l *Layer) Check(r *http.Request, _ *shield.Identity) error {
	f := finding{layer: l, left: l.maxText, text: text{tables: l.tables}}
	f.asks = f.ask
	if err := Walk(r, l.described, f.look); err != nil {
		return err
	}
	return f.refusal()
}

// finding is what was found in a request.
type finding struct {
	layer  *Layer
	left   int64
	fields []shield.Field

	text  text
	place Place
	found string // by the detector of this name, in the text
	asks  func(*text) bool
}

// errMuch is a request with more text than is looked at.
func errMuch(most int64) error {
	return shield.Refuse(shield.TooLarge, "the request has more than %d bytes of text to look at for injections", most)
}

// look asks the detectors about a text.
func (f *finding) look(p Place, s string) error {
	if f.left -= int64(len(s)); f.left < 0 {
		return errMuch(f.layer.maxText)
	}
	f.place, f.found = p, ""
	f.text.variants(s, f.asks)
	if f.found != "" && len(f.fields) < maxFound {
		f.fields = append(f.fields, shield.Field{In: p.In, Pointer: told(p), Rule: f.found})
	}
	return nil
}

// ask asks the detectors until one finds something, and reports whether none has.
func (f *finding) ask(t *text) bool {
	l := f.layer
	for i := range l.detectors {
		d := &l.detectors[i]
		if d.needs != 0 && t.have&d.needs == 0 || f.place.Head && !d.heads {
			continue
		}
		if d.find(t) >= l.least && !l.excepted(f.place, d.name) {
			f.found = d.name
			return false
		}
	}
	return true
}

// told is the pointer to a place as callers and operators are told of it. A name can be the
// attack itself, so that only plain ones are told.
func told(p Place) string {
	names := slices.Clone(p.Names)
	for i, name := range names {
		if !isPlainName(name) {
			names[i] = "…"
		}
	}
	p.Names = names
	pointer := p.Pointer()
	if len(pointer) > maxPointer {
		pointer = pointer[:maxPointer] + "…"
	}
	return pointer
}

func isPlainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && strings.IndexByte("-_.:[]$@", c) < 0 || i >= 64 {
			return false
		}
	}
	return true
}

func (f *finding) refusal() error {
	if len(f.fields) == 0 {
		return nil
	}
	slices.SortFunc(f.fields, func(a, b shield.Field) int { // headers and names come in any order
		return cmp.Or(cmp.Compare(a.In, b.In), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule))
	})
	var said []string
	for _, one := range f.fields {
		said = append(said, one.In+" "+one.Pointer+" "+one.Rule)
	}
	refusal := shield.Refuse(shield.Injection, "%s", strings.Join(said, "; "))
	refusal.Fields = f.fields
	return refusal
}

// except is an exception, compiled.
type except struct {
	in        string
	names     []string
	below     bool
	detectors []string
}

func compile(e Exception) (except, error) {
	out := except{in: e.In, detectors: e.Detectors}
	if !slices.Contains([]string{"path", "query", "header", "cookie", "body"}, e.In) {
		return out, fmt.Errorf("a field is in path, query, header, cookie or body, not in %q", e.In)
	}
	if e.Pointer == "" {
		return out, nil
	}
	if e.Pointer[0] != '/' {
		return out, errors.New("a field's pointer begins with a slash: body /comment")
	}
	for name := range strings.SplitSeq(e.Pointer[1:], "/") {
		if out.below {
			return out, errors.New("** stands at the end of a pointer")
		}
		if name == "**" {
			out.below = true
			continue
		}
		out.names = append(out.names, strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~"))
	}
	return out, nil
}

// excepted reports whether a detector leaves a place alone.
func (l *Layer) excepted(p Place, detector string) bool {
	for i := range l.except {
		if e := &l.except[i]; e.holds(p) && (len(e.detectors) == 0 || slices.Contains(e.detectors, detector)) {
			return true
		}
	}
	return false
}

func (e *except) holds(p Place) bool {
	if e.in != p.In || len(p.Names) < len(e.names) || len(p.Names) > len(e.names) && !e.below {
		return false
	}
	for i, name := range e.names {
		if name != "*" && name != p.Names[i] {
			return false
		}
	}
	return true
}
