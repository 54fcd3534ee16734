package finding

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Waiver says why findings of a rule are accepted, and until when.
type Waiver struct {
	Rule   string
	Where  string // a place, a file or folder, or the case of an attack: there, and below; empty: everywhere
	Reason string
	Until  string // the last day (UTC)

	At     Place // where the waiver itself stands
	Inside bool  // in what is looked at
}

// Bounds of waivers: of a reason in characters, of a file in entries and bytes.
const (
	minReason   = 10
	maxReason   = 200
	maxWaivers  = 1000
	maxWaiving  = 1 << 20
	neverWaived = "waiver-"
)

// Fault says what is wrong with a waiver, nil if nothing is. Rules of waivers themselves cannot
// be waived.
func (w *Waiver) Fault(known func(rule string) bool) error {
	if !known(w.Rule) || strings.HasPrefix(w.Rule, neverWaived) {
		return fmt.Errorf("there is no rule %.60q that could be waived", w.Rule)
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(w.Reason)); n < minReason || n > maxReason {
		return fmt.Errorf("the reason has %d characters, want %d to %d", n, minReason, maxReason)
	}
	if _, err := time.Parse(time.DateOnly, w.Until); err != nil {
		return fmt.Errorf("%.40q is no day: write 2027-01-31", w.Until)
	}
	return nil
}

// IsOver reports whether the waiver's last day is behind us.
func (w *Waiver) IsOver(now time.Time) bool {
	until, err := time.Parse(time.DateOnly, w.Until)
	return err != nil || !now.Before(until.AddDate(0, 0, 1))
}

// Covers reports whether a waiver is for what a finding is about.
func (w *Waiver) Covers(f *Finding) bool {
	return w.Rule == f.Rule && (w.Where == "" || w.Where == f.Case ||
		isBelow(f.Where.Path, w.Where, "./ ") || isBelow(f.Where.File, path.Clean(w.Where), "/"))
}

// isBelow reports whether a path is another one, or goes on behind it with one of some signs.
func isBelow(name, above, signs string) bool {
	rest, ok := strings.CutPrefix(name, above)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], signs))
}

// Waive applies waivers that stand beside what was looked at, and notes which of them are over, and, if
// the whole was looked at, which waive nothing: nobody is to believe in them.
func (r *Report) Waive(waivers []Waiver, whole bool) {
	over, unused := Apply(r.Findings, waivers, r.Time)
	for _, w := range over {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: the waiver of %s ended with %s, and what it waived counts again", w.At, w.Rule, w.Until))
	}
	for _, w := range unused {
		if whole && r.Partial == "" && slices.ContainsFunc(r.Rules, func(asked Rule) bool { return asked.ID == w.Rule }) {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: nothing is waived by the waiver of %s", w.At, w.Rule))
		}
	}
}

// Apply marks the findings that are waived. It returns the waivers that are over, and those
// that waive nothing.
func Apply(findings []Finding, waivers []Waiver, now time.Time) (over, unused []Waiver) {
	for _, w := range waivers {
		if w.IsOver(now) {
			over = append(over, w)
			continue
		}
		used := false
		for i := range findings {
			if f := &findings[i]; w.Covers(f) {
				used = true
				if f.Waived == nil {
					f.Waived = &Waived{Reason: w.Reason, Until: w.Until, Inside: w.Inside}
				}
			}
		}
		if !used {
			unused = append(unused, w)
		}
	}
	return over, unused
}

// ReadWaivers reads a file of waivers: a list of {rule, where, reason, until} in YAML or JSON, alone or
// under the word waivers, as the configuration has it. It is strict: unknown words and waivers that
// cannot work are errors.
func ReadWaivers(name string, text []byte, known func(rule string) bool) ([]Waiver, error) {
	if len(text) > maxWaiving {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(text), maxWaiving)
	}
	nodes, err := ListOfWaivers(text)
	if err != nil {
		return nil, err
	}
	if len(nodes) > maxWaivers {
		return nil, fmt.Errorf("it has %d waivers, at most %d are read", len(nodes), maxWaivers)
	}
	all := make([]Waiver, 0, len(nodes))
	for _, n := range nodes {
		w, err := waiverOf(&n)
		if err == nil {
			err = w.Fault(known)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		w.At = Place{File: name, Line: n.Line, Column: n.Column}
		all = append(all, w)
	}
	return all, nil
}

// ListOfWaivers are the entries of a file of waivers, not looked at yet.
func ListOfWaivers(text []byte) ([]yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("read a list of waivers: %w", err)
	}
	if len(document.Content) == 0 {
		return nil, nil // an empty file
	}
	list := document.Content[0]
	if list.Kind == yaml.MappingNode && len(list.Content) == 2 && list.Content[0].Value == "waivers" {
		list = list.Content[1]
	}
	var nodes []yaml.Node
	if list.Kind == yaml.AliasNode || list.Decode(&nodes) != nil {
		return nil, fmt.Errorf("line %d: read a list of waivers: want entries that begin with - {rule: …, reason: …, until: …}, alone or under the word waivers", list.Line)
	}
	return nodes, nil
}

func waiverOf(n *yaml.Node) (w Waiver, err error) {
	if n.Kind != yaml.MappingNode {
		return w, fmt.Errorf("a waiver is {rule, where, reason, until}")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		into := map[string]*string{"rule": &w.Rule, "where": &w.Where, "reason": &w.Reason, "until": &w.Until}[key.Value]
		switch {
		case seen[key.Value] || value.Kind != yaml.ScalarNode:
			return w, fmt.Errorf("%.40q stands twice, or is no text", key.Value)
		case into == nil:
			return w, fmt.Errorf("%.40q is not known, or is no text", key.Value)
		}
		seen[key.Value], *into = true, value.Value
	}
	return w, nil
}
