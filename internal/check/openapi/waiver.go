package openapi

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"pavise.dev/pavise/internal/finding"
)

// waiveKey is the extension under which waivers stand in a document: one, or a list. They
// are for the object in which they stand, and for all below it.
const waiveKey = "x-pavise-waive"

// Waiver says why findings of a rule are accepted, and until when.
type Waiver struct {
	Rule   string `json:"rule"`
	Where  string `json:"where"` // pointer: there, and below; empty: everywhere
	Reason string `json:"reason"`
	Until  string `json:"until"` // the last day (UTC)

	at   *at // where it stands; nil: in a file of its own
	used bool
}

// minReason and maxReason bound reasons, in characters.
const (
	minReason = 10
	maxReason = 200
)

// fault says what is wrong with a waiver.
func (w *Waiver) fault(known map[string]Rule) error {
	if _, ok := known[w.Rule]; !ok || strings.HasPrefix(w.Rule, "waiver-") {
		return fmt.Errorf("there is no rule %.60q that could be waived", w.Rule)
	}
	if n := utf8.RuneCountInString(w.Reason); n < minReason || n > maxReason {
		return fmt.Errorf("the reason has %d characters, want %d to %d", n, minReason, maxReason)
	}
	if _, err := time.Parse(time.DateOnly, w.Until); err != nil {
		return fmt.Errorf("%.40q is no day: write 2027-01-31", w.Until)
	}
	if w.Where != "" && !strings.HasPrefix(w.Where, "/") {
		return fmt.Errorf("%.60q is no pointer: write /paths/~1v1~1orders/get", w.Where)
	}
	return nil
}

// isOver reports whether the waiver's last day is behind us.
func (w *Waiver) isOver(now time.Time) bool {
	until, err := time.Parse(time.DateOnly, w.Until)
	return err != nil || !now.Before(until.AddDate(0, 0, 1))
}

// covers reports whether a waiver is for what a finding is about.
func (w *Waiver) covers(f *Finding) bool {
	return w.Rule == f.Rule && (w.Where == "" || f.Pointer == w.Where || strings.HasPrefix(f.Pointer, w.Where+"/"))
}

// maxWaivers bounds how many are read.
const maxWaivers = 1000

// ReadWaivers reads a file of waivers: a list of {rule, where, reason, until} in YAML or JSON, alone or
// under the word waivers. It is strict: unknown words and waivers that cannot work are errors.
func ReadWaivers(text []byte) ([]Waiver, error) {
	if len(text) > 1<<20 {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(text), 1<<20)
	}
	nodes, err := finding.ListOfWaivers(text)
	if err != nil {
		return nil, err
	}
	if len(nodes) > maxWaivers {
		return nil, fmt.Errorf("it has %d waivers, at most %d are read", len(nodes), maxWaivers)
	}
	rules := byID()
	all := make([]Waiver, 0, len(nodes))
	for _, n := range nodes {
		w, err := waiverOf(&n)
		if err == nil {
			err = w.fault(rules)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n.Line, err)
		}
		all = append(all, w)
	}
	return all, nil
}

func waiverOf(n *yaml.Node) (w Waiver, err error) {
	if n.Kind != yaml.MappingNode {
		return w, fmt.Errorf("a waiver is {rule, where, reason, until}")
	}
	members := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if _, twice := members[key.Value]; twice || value.Kind != yaml.ScalarNode {
			return w, fmt.Errorf("%.40q stands twice, or is no text", key.Value)
		}
		members[key.Value] = value.Value
	}
	if where, there := members["where"]; there {
		w.Where, _ = where.(string)
		delete(members, "where")
	}
	return w, w.take(members)
}

// take reads a waiver's members.
func (w *Waiver) take(members map[string]any) error {
	for name, v := range members {
		into := map[string]*string{"rule": &w.Rule, "reason": &w.Reason, "until": &w.Until}[name]
		text, ok := v.(string)
		if into == nil || !ok {
			return fmt.Errorf("%.40q is not known, or is no text", name)
		}
		*into = text
	}
	return nil
}

// waivers collects those of the document, wherever they stand.
func (c *check) waivers(a *at, object map[string]any) {
	v, there := object[waiveKey]
	if !there {
		return
	}
	own := a.to(waiveKey)
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	for i, one := range list {
		place := own
		if isList {
			place = own.to(strconv.Itoa(i))
		}
		w := Waiver{at: place, Where: a.pointer()}
		members, ok := one.(map[string]any)
		err := fmt.Errorf("a waiver is {rule, reason, until}")
		if ok {
			err = w.take(members)
		}
		if err == nil {
			err = w.fault(c.rules)
		}
		if err == nil && len(c.waived) >= maxWaivers {
			err = fmt.Errorf("it is one of more than %d", maxWaivers)
		}
		if err != nil {
			c.report("waiver-invalid", place, "%v", err)
			continue
		}
		c.waived = append(c.waived, &w)
	}
}

// waive marks the findings that are waived, and tells of waivers that are over or of no use.
func (c *check) waive(now time.Time) {
	for _, w := range c.waived {
		if w.isOver(now) {
			c.report("waiver-over", w.at, "the waiver of %s ended with %s: %s", w.Rule, w.Until, w.Reason)
			continue
		}
		for i := range c.findings {
			if f := &c.findings[i]; f.Waived == nil && w.covers(f) {
				f.Waived, w.used = w, true
			}
		}
		if !w.used {
			c.report("waiver-unused", w.at, "nothing is waived by the waiver of %s", w.Rule)
		}
	}
}
