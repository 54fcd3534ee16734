// Package check audits an installation: its configuration, what its store holds, its
// certificates and files. It reads values, not only whether something is there: how long a
// secret is and whether it repeats itself, when a certificate ends, whether anybody can have the
// scopes that an endpoint demands.
//
// [Run] asks every rule of [Rules] about a [Subject] and returns a report. A rule is one small
// function in a table:
//
//	rule.go          what a rule is, and the list of all
//	access.go        who may call what: shields, scopes, patterns
//	issuers.go       whose tokens are trusted
//	secrets.go       secrets and the files that hold them
//	certificates.go  certificates, keys, authorities, revocation lists
//	transport.go     upstreams, proxies, browsers, what Pavise fetches
//	limits.go        rates, sizes, times
//	input.go         contracts, injections, GraphQL, idempotency
//	watch.go         events: where they go, how long they stay, who looks
//	oauth.go         the authorization server
//	exceptions.go    what weakens protection on purpose, trials, waivers
//	store.go         clients and credentials
//	words.go         what names of paths say
//
// Findings that are accepted are waived, for a reason and until a day: in the configuration
// (waivers) or in a file. Waivers that are over, or waive nothing, are findings themselves.
//
// Nothing is changed, and no secret is told. What would keep Pavise from starting is no finding
// but an error when the configuration is read.
//
// Its neighbours: check/openapi looks at descriptions of APIs, check/against compares two
// configurations, check/leaks looks for keys where they should not be.
package check

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/shield"
)

// Subject is what is looked at.
type Subject struct {
	File    *config.File // as [config.Load] returns it
	Held    *Held        // what the store holds; nil: nobody looked
	Waivers []finding.Waiver
	Now     time.Time

	// Others reports whether a rule is another tool's, whose findings are waived in the
	// configuration, or in the same file, too. nil: none is.
	Others func(rule string) bool
}

// Held is what the store of an installation holds, without any secret.
type Held struct {
	Clients     []client.Client
	Credentials []client.Credential
	Authority   []Authority
}

// Authority is a certificate of the installation's own certificate authority.
type Authority struct {
	Subject, Role string // root, issuing
	Active        bool
	Offline       bool // its key is kept elsewhere
	NotBefore     time.Time
	NotAfter      time.Time
}

// Run asks all rules.
func Run(s Subject) (*finding.Report, error) {
	endpoints, err := s.File.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolve the configuration: %w", err)
	}
	report := &finding.Report{Tool: "pavise check", Subject: s.File.Where("").File, Time: s.Now, Findings: []finding.Finding{}}
	l := &look{Subject: s, endpoints: endpoints, report: report, told: map[string]bool{}, ways: map[*config.Shield][]way{}}
	l.open()
	for _, r := range table() {
		report.Rules = append(report.Rules, r.Rule)
		l.rule = r.Rule
		if r.look != nil && (!r.held || s.Held != nil) {
			r.look(l)
		}
	}
	l.waive()
	report.Sort()
	return report, nil
}

// look is one audit.
type look struct {
	Subject

	endpoints []config.Resolved
	secrets   []secretFile
	chains    []chain
	bundles   []bundle
	ways      map[*config.Shield][]way

	rule   finding.Rule
	report *finding.Report
	told   map[string]bool // rule and path of each finding
}

// open reads the files that the configuration names, once for all rules.
func (l *look) open() {
	l.secrets = l.readSecrets()
	l.chains = l.readChains()
	l.bundles = l.readBundles()
}

// found reports something at a setting. The same fault of the same place is told once.
func (l *look) found(path, format string, args ...any) {
	pos := l.File.Where(path)
	l.add(finding.Place{File: pos.File, Line: pos.Line, Column: pos.Column, Path: path}, format, args...)
}

// held reports something that the store holds.
func (l *look) held(name, format string, args ...any) {
	l.add(finding.Place{Path: name}, format, args...)
}

func (l *look) add(where finding.Place, format string, args ...any) {
	key := l.rule.ID + "\x00" + where.Path
	if l.told[key] {
		return
	}
	l.told[key] = true
	l.report.Findings = append(l.report.Findings, l.rule.At(where, format, args...))
}

// waive marks what is accepted, and tells of waivers that are over or of no use.
func (l *look) waive() {
	waivers := slices.Clone(l.Waivers)
	for i, w := range l.File.Waivers {
		path := fmt.Sprintf("waivers.%d", i)
		pos := l.File.Where(path)
		waivers = append(waivers, finding.Waiver{
			Rule: w.Rule, Where: w.Where, Reason: w.Reason, Until: w.Until, Inside: true,
			At: finding.Place{File: pos.File, Line: pos.Line, Column: pos.Column, Path: path},
		})
	}
	known := map[string]finding.Rule{}
	for _, r := range l.report.Rules {
		known[r.ID] = r
	}
	isOthers := func(rule string) bool { return l.Others != nil && l.Others(rule) }
	var good []finding.Waiver
	for _, w := range waivers {
		if err := w.Fault(func(rule string) bool { _, own := known[rule]; return own || isOthers(rule) }); err != nil {
			l.report.Findings = append(l.report.Findings, known["waiver-invalid"].At(w.At, "%v", err))
			continue
		}
		good = append(good, w)
	}
	over, unused := finding.Apply(l.report.Findings, good, l.Now)
	for _, w := range over {
		l.report.Findings = append(l.report.Findings, known["waiver-over"].At(w.At, "the waiver of %s ended with %s: %s", w.Rule, w.Until, w.Reason))
	}
	for _, w := range unused {
		if l.Held == nil && isHeld(w.Rule) || isOthers(w.Rule) {
			continue // nobody looked whether it is of use
		}
		l.report.Findings = append(l.report.Findings, known["waiver-unused"].At(w.At, "nothing is waived by the waiver of %s", w.Rule))
	}
}

// way is one way to satisfy a shield: proofs that have to come together.
type way config.Way

// maxWays bounds combinations of combinations.
const maxWays = 256

// waysOf are the ways to satisfy a shield.
func (l *look) waysOf(s *config.Shield) []way {
	if known, ok := l.ways[s]; ok {
		return known
	}
	var all []way
	ways, _ := s.Ways(maxWays)
	for _, w := range ways {
		all = append(all, way(w))
	}
	l.ways[s] = all
	return all
}

// has reports whether one of the proofs is of a kind.
func (w way) has(kinds ...string) bool {
	return slices.ContainsFunc(w, func(p config.Proof) bool { return slices.Contains(kinds, p.Kind) })
}

// only reports whether all proofs are of some kinds.
func (w way) only(kinds ...string) bool {
	return !slices.ContainsFunc(w, func(p config.Proof) bool { return !slices.Contains(kinds, p.Kind) })
}

// leaves are the shields that a shield is made of.
func leaves(s *config.Shield, path string, visit func(one *config.Shield, path string)) {
	switch {
	case s == nil:
	case len(s.Any) > 0:
		for i := range s.Any {
			leaves(&s.Any[i], fmt.Sprintf("%s.any.%d", path, i), visit)
		}
	case len(s.All) > 0:
		for i := range s.All {
			leaves(&s.All[i].Shield, fmt.Sprintf("%s.all.%d", path, i), visit)
		}
	default:
		visit(s, path+"."+s.Kind)
	}
}

// shields visits every shield of the file where it is written.
func (l *look) shields(visit func(one *config.Shield, path string)) {
	for _, name := range sorted(l.File.APIs) {
		api := l.File.APIs[name]
		leaves(api.Shield, "apis."+name+".shield", visit)
		for _, pattern := range sorted(api.Endpoints) {
			leaves(api.Endpoints[pattern].Shield, "apis."+name+".endpoints."+pattern+".shield", visit)
		}
	}
}

// pathOf is the dotted path of an endpoint.
func pathOf(e *config.Resolved) string { return "apis." + e.API + ".endpoints." + e.Pattern }

// each asks about every endpoint.
func (l *look) each(visit func(e *config.Resolved, path string)) {
	for i := range l.endpoints {
		visit(&l.endpoints[i], pathOf(&l.endpoints[i]))
	}
}

// isPublic reports whether anybody may call an endpoint.
func isPublic(e *config.Resolved) bool { return e.Shield.Kind == "public" }

// writes reports whether an endpoint changes something.
func writes(e *config.Resolved) bool { return e.Method != "GET" && e.Method != "" }

// isCatchAll reports whether an endpoint is for whatever lies below a path.
func isCatchAll(e *config.Resolved) bool { return strings.HasSuffix(e.Path, "...}") }

// grants reports whether ceilings let a scope through.
func grants(ceilings []string, scope string) bool {
	return len(shield.Scopes{scope}.Within(shield.Scopes(ceilings))) == 1
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// certificateName is how a certificate is called for people.
func certificateName(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return c.Subject.String()
}

// days is a duration for people.
func days(d time.Duration) string {
	n := int(d / (24 * time.Hour))
	if n == 1 {
		return "1 day"
	}
	if n < 2 {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", n)
}
