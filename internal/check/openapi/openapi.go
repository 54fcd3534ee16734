// Package openapi looks for security faults of an API's description itself: operations that
// anybody may call, values that nothing bounds, secrets in URLs, answers that let everything
// out. [Check] reads a document and tells its [Finding]s, each of a [Rule], with the place
// where it was written. Nothing is fetched, and no value of the document is told that looks
// like a secret.
//
//	rule.go       the rules: why they are there, and what mends them
//	walk.go       the whole document, once; what it refers to; what stands unused
//	operation.go  operations: who may call them, whom to ask, what they answer
//	identity.go   schemes of security, and their requirements
//	server.go     where the document says the API is
//	input.go      what callers send: bounds
//	output.go     what is answered: too much
//	names.go      names of parameters and properties that tell what they hold
//	pattern.go    patterns that bind nothing, or keep a machine busy
//	secret.go     texts that look like real secrets
//	waiver.go     findings that are accepted for a time, with a reason
//	standards.go  where OWASP ASVS and NIST demand the same
//	common.go     the report in the form that all tools have in common
//
// What callers send and what is answered are told apart: bounds are asked of the first alone.
// A schema that many operations share is judged once for each of the two, where it stands.
//
// What it does not do: it cannot see whether an operation asks the service's own questions
// (whose object is this?). Hints of severity [Info] say where to look.
package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/schema"
)

// Options of a check. The zero value is of use, but for the time.
type Options struct {
	Now     time.Time // for what is over
	Waivers []Waiver  // beside those of the document
}

// Finding is something wrong in a document.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	OWASP    string   `json:"owasp"`
	Line     int      `json:"line"`
	Column   int      `json:"column"`
	Pointer  string   `json:"pointer"` // RFC 6901
	What     string   `json:"what"`
	Waived   *Waiver  `json:"waived,omitempty"`
}

// Report is what was found in a document, in the order of its text. [Report.Common] has it in
// the form of all tools.
type Report struct {
	File       string    `json:"file"`
	Operations int       `json:"operations"`
	Findings   []Finding `json:"findings"`

	// More is how many findings were not kept, after the bound; Partial says that the
	// document was too large or too entangled to be looked at to its end.
	More    int  `json:"more,omitempty"`
	Partial bool `json:"partial,omitempty"`
}

// At counts the findings of a severity or above, without those that are waived.
func (r *Report) At(least Severity) (n int) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Waived == nil && f.Severity >= least {
			n++
		}
	}
	return n
}

// Bounds of one check.
const (
	maxFindings  = 50_000
	maxPointers  = 64 << 20 // bytes of all findings' pointers
	maxSteps     = 8_000_000
	maxTried     = 10_000 // operations that are compiled
	maxLinked    = 10_000 // components that refer to others, where they are
	maxWhat      = 400    // bytes of what a finding says
	maxReference = 16     // references that lead on to each other
)

// Check looks through a document. The error is about a text that is none.
func Check(name string, text []byte, o Options) (*Report, error) {
	d, err := schema.Open(name, text, schema.Options{})
	if err != nil {
		return nil, err
	}
	c := &check{
		document: d, root: d.Root(), rules: byID(), now: o.Now, steps: maxSteps,
		seen: map[string]bool{}, visited: map[visit]bool{}, hidden: map[uintptr]hidden{}, ids: map[string]bool{},
		secrets: secretForms(),
	}
	for i := range o.Waivers {
		w := o.Waivers[i]
		c.waived = append(c.waived, &w)
	}
	c.everything()
	c.servers(nil, c.root)
	c.schemes()
	c.operations()
	c.drain()
	c.onlyReturned()
	c.unused()
	c.unusable()
	c.waive(o.Now)
	return c.finish(), nil
}

func byID() map[string]Rule {
	all := map[string]Rule{}
	for _, r := range Rules() {
		all[r.ID] = r
	}
	return all
}

// check is one check.
type check struct {
	document *schema.Document
	root     map[string]any
	rules    map[string]Rule
	now      time.Time
	steps    int // that are left

	findings []Finding
	more     int
	kept     int             // bytes of pointers
	seen     map[string]bool // rule and pointer of each finding
	waived   []*Waiver

	secrets    []compiledForm
	references references
	owned      bool // the document says whom to ask
	operated   int
	ids        map[string]bool // operationIds
	visited    map[visit]bool
	queue      []task
	hidden     map[uintptr]hidden // writeOnly properties
}

// step spends a step; without any left, nothing more is looked at.
func (c *check) step() bool {
	c.steps--
	return c.steps > 0
}

// report keeps a finding. The same fault of the same place is told once.
func (c *check) report(rule string, a *at, format string, args ...any) {
	if len(c.findings) >= maxFindings || c.kept+a.length() > maxPointers {
		c.more++
		return
	}
	pointer := a.pointer()
	key := rule + "\x00" + pointer
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	c.kept += len(pointer)
	r, known := c.rules[rule]
	if !known {
		panic("openapi: there is no rule " + rule)
	}
	c.findings = append(c.findings, Finding{Rule: rule, Severity: r.Severity, OWASP: r.OWASP, Pointer: pointer, What: shorten(fmt.Sprintf(format, args...))})
}

// shorten keeps what a finding says on its line.
func shorten(text string) string {
	if len(text) <= maxWhat {
		return text
	}
	return strings.ToValidUTF8(text[:maxWhat], "") + "…"
}

// unusable tells of operations with which Pavise would not start.
func (c *check) unusable() {
	if c.isPartial() || c.more > 0 {
		return // it would take too long
	}
	c.document.Try(maxTried, func(pattern string, err error) {
		if err == nil {
			return
		}
		pointer, why := "", err.Error()
		if place, ok := errors.AsType[*schema.PlaceError](err); ok {
			pointer, why = place.Pointer, place.Why
		}
		delete(c.seen, "reference-broken\x00"+pointer)
		c.report("unusable", pointed(pointer), "%s: %s", pattern, why)
	})
	c.findings = slices.DeleteFunc(c.findings, func(f Finding) bool {
		return f.Rule == "reference-broken" && !c.seen[f.Rule+"\x00"+f.Pointer] // told as unusable
	})
}

// finish orders the findings by where they stand.
func (c *check) finish() *Report {
	pointers := make([]string, len(c.findings))
	for i := range c.findings {
		pointers[i] = c.findings[i].Pointer
	}
	for i, at := range c.document.Positions(pointers) {
		c.findings[i].Line, c.findings[i].Column = at.Line, at.Column
	}
	slices.SortFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Pointer, b.Pointer))
	})
	return &Report{
		File: c.document.Name(), Operations: c.operated, Findings: append([]Finding{}, c.findings...),
		More: c.more, Partial: c.isPartial() || c.more > 0 || len(c.document.Operations()) > maxTried,
	}
}

// isPartial reports whether the document was too much.
func (c *check) isPartial() bool { return c.steps <= 0 || len(c.references.by) > maxLinked }
