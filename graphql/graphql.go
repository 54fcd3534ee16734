// Package graphql holds requests to an endpoint that speaks GraphQL to bounds.
//
// One address takes every request there, and one request may ask for everything, a thousand
// times over. A [Layer] (pavise.Layer) reads the request strictly, as GraphQL over HTTP has it,
// parses its document within bounds, and counts what it would make a server do before a server
// sees it: how deep it goes, how many fields, aliases and directives it has with its fragments
// written out, and what it costs by the sizes of the lists that it asks for. It says which
// operations there may be, whether the service may be asked for its schema, and which scopes a
// field needs.
//
//	request.go    what GET and POST carry, batches, persisted documents
//	document.go   a document, parsed within bounds
//	count.go      what an operation does, fragments and all, in one pass
//	cost.go       how many entries a list has
//	schema.go     the service's schema, if it is given: fields, lists, directives of cost
//	scope.go      scopes of fields
//
// Everything in a request is judged: each operation of a document, though one is executed, and
// each entry of a batch. So it does not matter which one a server picks.
package graphql

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"pavise.dev/pavise/shield"
)

// Settings bound the requests of an endpoint. A number that is 0 stands for its default.
type Settings struct {
	Depth      int // fields within fields; 10
	Fields     int // of a request, fragments written out; 500
	Aliases    int // fields that are called otherwise; 15
	Directives int // 20
	Deferred   int // @defer and @stream; 0: none
	Cost       int // 1000
	Batch      int // requests in one; 1: no batches
	Tokens     int // of a document; 2000
	Bytes      int // of a document; 32 KiB
	Variables  int // bytes of variables; 64 KiB
	ListSize   int // how many entries are counted of a list of unknown size, where the schema says that it is one; 10

	Introspection bool                // whether the service may be asked for its schema
	Operations    []string            // the names that operations may have; empty: any, or none
	Scopes        map[string][]string // "Mutation.createOrder", "Query.*" → scopes that are all demanded; ["any"]: none
	Schema        []byte              // in the schema definition language; nil: not known
	Persisted     []byte              // the only documents that there may be; nil: any
}

// Any is what stands for no scope.
const Any = "any"

// Layer judges requests. It is safe for concurrent use.
type Layer struct {
	Settings
	schema    *known              // nil: not given
	scopes    scopes              // nil: none are named
	persisted map[string]document // by name and by digest; nil: any document may come
}

// New makes a layer.
func New(s Settings) (*Layer, error) {
	for _, bound := range []struct {
		of     *int
		preset int
	}{
		{&s.Depth, 10},
		{&s.Fields, 500},
		{&s.Aliases, 15},
		{&s.Directives, 20},
		{&s.Cost, 1000},
		{&s.Batch, 1},
		{&s.Tokens, 2000},
		{&s.Bytes, 32 << 10},
		{&s.Variables, 64 << 10},
		{&s.ListSize, 10},
	} {
		if *bound.of == 0 {
			*bound.of = bound.preset
		}
		if *bound.of < 0 {
			return nil, fmt.Errorf("a bound of GraphQL is %d", *bound.of)
		}
	}
	l := &Layer{Settings: s}
	var err error
	if s.Schema != nil {
		if l.schema, err = openSchema(s.Schema); err != nil {
			return nil, err
		}
	}
	if l.scopes, err = l.schema.scopes(s.Scopes); err != nil {
		return nil, err
	}
	if s.Persisted != nil {
		if l.persisted, err = openPersisted(s.Persisted); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Body is how much of a body is read: the guard bounds it by the endpoint's own limit.
func (l *Layer) Body() int64 { return 1 << 40 }

// Reads says that the input is looked at, and scopes.
func (*Layer) Reads() shield.Reads { return shield.ReadsInput | shield.ReadsToken }

// Check implements pavise.Layer.
func (l *Layer) Check(r *http.Request, id *shield.Identity) error {
	requests, fault := l.read(r)
	if fault != nil {
		return fault.refusal(nil)
	}
	var all tally
	for i, one := range requests {
		t, fault := l.judge(one, id)
		if fault == nil {
			all = all.and(t)
			fault = l.over(all)
		}
		if fault != nil {
			if len(requests) > 1 {
				fault.pointer = fmt.Sprintf("/%d%s", i, fault.pointer)
			}
			return fault.in(one.in).refusal(id)
		}
	}
	return nil
}

// over says which bound is broken, nil if none is.
func (l *Layer) over(t tally) *fault {
	for _, one := range []struct {
		rule      string
		have, may int
	}{
		{"depth", t.depth, l.Depth},
		{"fields", t.fields, l.Fields},
		{"aliases", t.aliases, l.Aliases},
		{"directives", t.directives, l.Directives},
		{"deferred", t.deferred, l.Deferred},
		{"cost", t.cost, l.Cost},
	} {
		if one.have > one.may {
			return broken(one.rule, "%s %s, at most %d", one.rule, atLeast(one.have), one.may)
		}
	}
	return nil
}

func atLeast(n int) string {
	if n >= enough {
		return "beyond counting"
	}
	return fmt.Sprint(n)
}

// fault is why a request is refused.
type fault struct {
	code    shield.Code
	where   string // "body" or "query"
	pointer string
	rule    string
	detail  string
	missing shield.Scopes // of an insufficient scope
}

// broken is a bound or rule of this layer that a request breaks.
func broken(rule, format string, args ...any) *fault {
	return &fault{code: shield.GraphQLRefused, rule: rule, detail: fmt.Sprintf(format, args...)}
}

func (f *fault) at(pointer string) *fault { f.pointer = pointer; return f }

func (f *fault) in(where string) *fault { f.where = where; return f }

// maxPointer is how much of a pointer is told, in bytes: names are the caller's.
const maxPointer = 256

func (f *fault) refusal(id *shield.Identity) error {
	refusal := shield.Refuse(f.code, "%s", f.detail)
	if f.rule != "" {
		pointer := f.pointer
		if len(pointer) > maxPointer {
			pointer = strings.ToValidUTF8(pointer[:maxPointer], "") + "…"
		}
		refusal.Fields = []shield.Field{{In: f.where, Pointer: pointer, Rule: f.rule}}
	}
	if f.code == shield.InsufficientScope && id != nil {
		refusal = refusal.Of(id.CredentialID, id.Client, true)
		if id.Scheme != "" {
			refusal.Challenge = []string{fmt.Sprintf(`%s error="insufficient_scope", scope=%q`, id.Scheme, strings.Join(f.missing, " "))}
		}
	}
	return refusal
}

// judge counts what a request does.
func (l *Layer) judge(one request, id *shield.Identity) (all tally, _ *fault) {
	d := one.document
	switch {
	case one.operation != "" && d.operation(one.operation) == nil:
		return all, broken("operation", "operationName names no operation of the document")
	case one.operation == "" && len(d.Operations) > 1:
		return all, broken("operation", "several operations, and operationName names none of them")
	}
	used := map[string]bool{}
	for _, o := range d.Operations {
		if one.in == "query" && o.Operation != "query" && o.Operation != "subscription" {
			return all, broken("method", "a mutation is sent with POST")
		}
		if len(l.Operations) > 0 && !slices.Contains(l.Operations, o.Name) {
			return all, broken("operation", "the operation's name is not one of those that there may be")
		}
		c := l.counter(d, o, one.variables, used)
		t := c.whole()
		if c.fault != nil {
			return all, c.fault
		}
		if f := l.scopes.missing(c.asked, id); f != nil {
			return all, f
		}
		all = all.and(t)
		if f := l.over(all); f != nil {
			return all, f
		}
	}
	c := l.counter(d, d.Operations[0], one.variables, used)
	c.unused()
	return all, c.fault
}
