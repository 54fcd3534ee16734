// Package finding is the form that everything wrong takes which somebody has to know of: what
// `pavise check`, `pavise attack` and `pavise review` found. It holds no rule of its own.
//
// A tool has [Rule]s, looks, and makes [Finding]s of them with [Rule.At]; a [Report] is what it
// found, and [Write] writes reports in one of the [Forms]: as a table for people, as JSON, as
// SARIF 2.1.0 for code scanners, as JUnit XML for CI, or as one HTML page that can be mailed and
// printed.
//
//	finding.go  severities, rules, places, findings, reports
//	waiver.go   findings that are accepted for a time, with a reason
//	text.go     the table
//	sarif.go    SARIF 2.1.0
//	junit.go    JUnit XML
//	html.go     the page
//
// What it does not do: it masks nothing. Who makes a finding leaves secrets out of it.
package finding

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Severity says how bad a finding is.
type Severity int

// The severities. Info is a hint: a person has to look. Critical is what somebody can make use
// of now, without a credential.
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

func severities() []string { return []string{"info", "low", "medium", "high", "critical"} }

func (s Severity) String() string { return severities()[s] }

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// ParseSeverity reads the word.
func ParseSeverity(word string) (Severity, error) {
	if i := slices.Index(severities(), word); i >= 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("there is no severity %.40q", word)
}

// The ten risks of the OWASP API Security Top 10 of 2023.
const (
	API1  = "API1:2023 Broken Object Level Authorization"
	API2  = "API2:2023 Broken Authentication"
	API3  = "API3:2023 Broken Object Property Level Authorization"
	API4  = "API4:2023 Unrestricted Resource Consumption"
	API5  = "API5:2023 Broken Function Level Authorization"
	API6  = "API6:2023 Unrestricted Access to Sensitive Business Flows"
	API7  = "API7:2023 Server Side Request Forgery"
	API8  = "API8:2023 Security Misconfiguration"
	API9  = "API9:2023 Improper Inventory Management"
	API10 = "API10:2023 Unsafe Consumption of APIs"
)

// Standards are the places that a rule has in what others demand.
type Standards struct {
	OWASP string   `json:"owasp,omitempty"` // one of API1 to API10
	ASVS  []string `json:"asvs,omitempty"`  // requirements of OWASP ASVS 5.0: 12.3.1
	NIST  []string `json:"nist,omitempty"`  // recommendations of NIST SP 800-228: REC-API-9
	CWE   []string `json:"cwe,omitempty"`   // weaknesses: CWE-319
}

// Risk is the short name of its place in OWASP's list: API8. Empty: it has none.
func (s Standards) Risk() string {
	risk, _, _ := strings.Cut(s.OWASP, ":")
	return risk
}

// words are all that there are, for people.
func (s Standards) words() (all []string) {
	if s.OWASP != "" {
		all = append(all, s.OWASP)
	}
	for _, one := range s.ASVS {
		all = append(all, "ASVS "+one)
	}
	return slices.Concat(all, s.NIST, s.CWE)
}

// Rule is something that should not be, or should.
type Rule struct {
	ID       string   `json:"id"` // words with hyphens; it stays when the text is mended
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	Why      string   `json:"why"`  // what an attacker makes of it
	Mend     string   `json:"mend"` // what to do about it
	Standards
}

// Place is where something was found: in a file, or in what has no lines.
type Place struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0: the file as a whole
	Column int    `json:"column,omitempty"` // from 1, in characters

	// Path names the thing within its kind, the same each time: apis.orders.cors, a JSON
	// pointer, key pvs_live_…, POST https://api.example.com/v1/orders.
	Path string `json:"path,omitempty"`
}

// String is file:line:column, as far as it is known, or the path.
func (p Place) String() string {
	switch {
	case p.File == "":
		return p.Path
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, max(p.Column, 1))
}

// Finding is something wrong.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title,omitempty"`
	Where    Place    `json:"where"`
	What     string   `json:"what"` // what was seen there; never a secret
	Why      string   `json:"why"`
	Mend     string   `json:"mend"`
	Standards

	Proof  string  `json:"proof,omitempty"` // something to paste that shows it, secrets masked
	Case   string  `json:"case,omitempty"`  // of an attack: what was tried, the same in each run
	Waived *Waived `json:"waived,omitempty"`
}

// Again is the flag with which the tool looks again at this alone; empty: it has none.
func (f *Finding) Again() string {
	if f.Case == "" {
		return ""
	}
	return "--only '" + strings.ReplaceAll(f.Case, "'", `'\''`) + "'"
}

// Waived says why a finding is accepted.
type Waived struct {
	Reason string `json:"reason"`
	Until  string `json:"until"`           // the last day (UTC)
	Inside bool   `json:"inside,omitzero"` // the waiver stands in what was looked at, not in a file of its own
}

// maxWhat bounds what a finding says, in bytes.
const maxWhat = 400

// At makes a finding of a rule.
func (r Rule) At(where Place, format string, args ...any) Finding {
	return Finding{
		Rule: r.ID, Severity: r.Severity, Title: r.Title, Where: where, What: shorten(fmt.Sprintf(format, args...), maxWhat),
		Why: r.Why, Mend: r.Mend, Standards: r.Standards,
	}
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Report is what a tool found.
type Report struct {
	Tool     string    `json:"tool"` // pavise check
	Version  string    `json:"version,omitempty"`
	Subject  string    `json:"subject"`         // what was looked at: a file, an address
	About    string    `json:"about,omitempty"` // how much of it there is: 12 endpoints
	Time     time.Time `json:"time"`
	Rules    []Rule    `json:"-"` // that were asked, also those of which nothing was found
	Findings []Finding `json:"findings"`

	// Notes say what else is to be known; Partial says why not everything was looked at, and
	// is empty if it was.
	Notes   []string `json:"notes,omitempty"`
	Partial string   `json:"partial,omitempty"`

	// Unjudged are the cases of an attack that came to no verdict: not allowed, not possible,
	// not reached. What they look for may be there.
	Unjudged []string `json:"unjudged,omitempty"`
}

// Settles returns whether something is gone that was found before, and is not in this report. What a
// case found is gone when the case came to a verdict, or is none any more because its endpoint is gone.
func (r *Report) Settles() func(*Finding) bool {
	unjudged := map[string]bool{}
	for _, id := range r.Unjudged {
		unjudged[id] = true
	}
	return func(f *Finding) bool {
		if f.Case == "" {
			return r.Partial == ""
		}
		return !unjudged[f.Case]
	}
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

// counts are the findings of each severity, and those that are waived.
func (r *Report) counts() (by [Critical + 1]int, waived int) {
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Waived != nil {
			waived++
		} else {
			by[f.Severity]++
		}
	}
	return by, waived
}

// Sort orders findings: the worst first, then by rule and by where they are.
func (r *Report) Sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Where.File, b.Where.File),
			cmp.Compare(a.Where.Line, b.Where.Line), cmp.Compare(a.Where.Column, b.Where.Column), cmp.Compare(a.Where.Path, b.Where.Path), cmp.Compare(a.What, b.What),
		)
	})
}

// Forms are the forms in which reports are written.
func Forms() []string { return []string{"table", "json", "sarif", "junit", "html"} }

// Style says how reports are written, as far as their form leaves it open. The zero value is of
// use.
type Style struct {
	Color  bool     // of the table
	All    bool     // the table shows every place, and what is waived
	FailOn Severity // JUnit: what is less than this does not fail
}

// Write writes reports in a form.
func Write(w io.Writer, form string, style Style, reports ...*Report) error {
	switch form {
	case "table":
		for _, r := range reports {
			if err := WriteTable(w, style, r); err != nil {
				return err
			}
		}
		return nil
	case "json":
		return WriteJSON(w, reports...)
	case "sarif":
		return WriteSARIF(w, reports...)
	case "junit":
		return WriteJUnit(w, style, reports...)
	case "html":
		return WriteHTML(w, reports...)
	}
	return fmt.Errorf("there is no form %.40q: it is one of %s", form, strings.Join(Forms(), ", "))
}

// WriteJSON writes one report, or a list if there are several.
func WriteJSON(w io.Writer, reports ...*Report) error {
	var value any = reports
	if len(reports) == 1 {
		value = reports[0]
	}
	return encode(w, value)
}

func encode(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	return nil
}
