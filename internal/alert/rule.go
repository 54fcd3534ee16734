package alert

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// Rule is a detection that counts: more than so many events of one kind, for one caller or
// thing, within a time. Most of those that there are, and all that operators write, are such.
type Rule struct {
	Name      string
	Severity  Severity
	Means, Do string

	When      When
	Per       Per
	Different Aspect // count different ones of these, not events
	Most      int    // it fires with one more
	Over      time.Duration

	What  string        // what is counted, for people: "wrong credentials"
	Quiet time.Duration // after which an incident ends; 0: three times Over, at least 15 minutes
	Table int           // for how many callers is counted; 0: 100,000
}

// When says which events count. What is empty matches all.
type When struct {
	Class    audit.Class
	Codes    []string // of acts and grants: the action
	Decision audit.Decision
	API      string
	Endpoint string
	Method   string
	Status   Statuses

	unproved bool                    // what proves no credential
	and      func(*audit.Event) bool // what takes more than words
}

// Statuses are those from Least to Most; zeros match all.
type Statuses struct{ Least, Most int }

func (w *When) match(e *audit.Event) bool {
	switch {
	case w.Class != "" && e.Class != w.Class,
		w.Decision != "" && e.Decision != w.Decision,
		w.API != "" && e.API != w.API,
		w.Endpoint != "" && e.Endpoint != w.Endpoint,
		w.Method != "" && e.Method != w.Method,
		w.Status.Most != 0 && (e.Status < w.Status.Least || e.Status > w.Status.Most),
		w.unproved && e.Proved,
		len(w.Codes) > 0 && !slices.Contains(w.Codes, codeOf(e)):
		return false
	}
	return w.and == nil || w.and(e)
}

// codeOf is the code of an event; of acts and grants, which have none, the action.
func codeOf(e *audit.Event) string {
	if e.Code != "" {
		return e.Code
	}
	return e.Action
}

// Aspect is something of an event of which different ones can be counted.
type Aspect string

// What can be counted different ones of.
const (
	Paths       Aspect = "path"
	Endpoints   Aspect = "endpoint"
	Networks    Aspect = "network" // IPv4 /24, IPv6 /48
	Credentials Aspect = "credential"
	Users       Aspect = "user"
)

// hash of the aspect of an event; false if it has none.
func (a Aspect) hash(e *audit.Event, seed uint64) (uint64, bool) {
	switch a {
	case Paths:
		if e.Endpoint == "" && isMasked(e.Path) {
			h := hash(seed, e.ID)
			return h, h>>32%hiddenPaths == 0
		}
		return hash(seed, e.Host, e.Path), true
	case Endpoints:
		return hash(seed, e.API, e.Endpoint), e.Endpoint != ""
	case Networks:
		wide := cut(e.Remote.Addr(), wide4, wide6)
		return hashNetwork(seed, wide), wide.IsValid()
	case Credentials:
		return hash(seed, e.CredentialID), e.CredentialID != ""
	}
	return hash(seed, e.Issuer, e.User), e.User != ""
}

// hiddenPaths is how many requests for what no endpoint has count as one different path on a host
// that takes secrets in paths: there the log does not show what was asked for.
const hiddenPaths = 4

// isMasked reports whether a segment of a path is hidden.
func isMasked(path string) bool {
	return strings.HasSuffix(path, "/*") || strings.Contains(path, "/*/")
}

// Bits of a network that belongs to one organisation or one cell of a carrier.
const (
	wide4 = 24
	wide6 = 48
)

// MaxDifferent is how many different ones can be told apart.
const MaxDifferent = 300

// Kind makes the detection.
func (r Rule) Kind() Kind {
	quiet, size := r.Quiet, r.Table
	if quiet == 0 {
		quiet = max(3*r.Over, 15*time.Minute)
	}
	if size == 0 {
		size = 100_000
	}
	return Kind{
		Name: r.Name, Severity: r.Severity, Means: r.Means, Do: r.Do, Quiet: quiet, Codes: r.When.Codes, Most: r.Most,
		About: r.Per.subjects(r.When.Class), class: r.When.Class, unproved: r.When.unproved,
		Counts: r.counts(), Different: r.Different != "",
		New: func() Detection { return &counter{rule: r, seen: NewTable[tally](size)} },
	}
}

// counts says what the threshold counts.
func (r *Rule) counts() string {
	return fmt.Sprintf("%s of one %s within %s", r.What, r.Per, span(r.Over))
}

// span writes a duration without units that are zero.
func span(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= u.unit && d%u.unit == 0 {
			if n := d / u.unit; n != 1 {
				return fmt.Sprintf("%d %ss", n, u.name)
			}
			return "one " + u.name
		}
	}
	return d.String()
}

type counter struct {
	rule Rule
	seen Table[tally]
}

type tally struct {
	N         Window
	Different Sketch
}

// State implements Detection.
func (c *counter) State() any { return &c.seen }

// See implements Detection.
func (c *counter) See(e *audit.Event, raise func(Alert)) {
	if !c.rule.When.match(e) {
		return
	}
	key, ok := c.rule.Per.key(e, c.seen.Seed)
	if !ok {
		return
	}
	n := 0
	if c.rule.Different == "" {
		n = c.seen.At(key).N.Add(max(e.Count, 1), e.Time, c.rule.Over)
	} else if h, ok := c.rule.Different.hash(e, c.seen.Seed); ok {
		n = int(c.seen.At(key).Different.Add(h, e.Time, c.rule.Over))
	}
	if n > c.rule.Most {
		raise(Alert{Subject: c.rule.Per.subject(e), What: c.rule.said(n)})
	}
}

func (r *Rule) said(n int) string {
	switch {
	case r.Most == 0:
		return r.What
	case r.Different != "":
		return fmt.Sprintf("some %d %s within %s", n, r.What, span(r.Over))
	}
	return fmt.Sprintf("%d %s within %s", n, r.What, span(r.Over))
}
