// Package against compares two configurations by what they decide. For every door that the new
// one opens there is a request that it lets through and the old one refuses; for every door that
// it closes, the reverse.
//
// [Compare] asks both guards, with all their steps, about requests of every kind that either
// configuration tells apart: each host and pattern of both, with every way to satisfy the shield
// of either, every setting of it used to its bound, the scopes of either and none, bodies that
// are plain, at the bound, undescribed and harmful, origins, leniencies of the door, and as many
// requests as either's rates and quotas let through, at once and as time goes on. A request of
// which it is told was truly decided by both: nothing is concluded from texts. Of many requests in
// a row only the first and the last are sent; what lies between is counted by the counters of both.
//
//	world.go      whoever could call: it issues credentials of every client, issuer and authority
//	proof.go      what a shield could be satisfied with
//	call.go       one request, with its credentials
//	changed.go    where anything can differ at all
//	candidates.go which requests are tried at an endpoint
//	facet.go      in which respects they differ, alone and two by two
//	body.go       bodies, of an API's description and against it
//	meter.go      counters, that count requests which need not be sent
//	schedule.go   requests in a row, and as time goes on
//	places.go     requests at the same time
//	unproved.go   settings that differ, and that no door explains
//
// Settings of one layer may show only behind one way in (signed bodies are bounded by the signature's
// shield), so that each way in is tried with everything else. And an endpoint that goes leaves its
// requests to another: each endpoint is tried at the paths of those that only the other
// configuration has. Where a setting differs and no door shows it, requests are varied in two
// respects at once, up to a bound; [Result.LeftOut] says where it was reached.
//
// The other way round nothing is promised for what cannot be told by such requests: conditions
// and policies in Cedar beyond tenants and scopes, orders of flows, places for concurrent
// requests, answers, and what stands around the endpoints (the authorization server, the own
// authority, proxies). [Result.Unproved] names the settings that
// differ and that no door explains, each for itself.
package against

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Others stand in the place of what a policy knows of others: credentials, issuers, authorities.
type Others struct {
	Now         time.Time
	Credentials shield.Lookup
	Issuer      func(f *config.File, name string) (*shield.Issuer, error)
	Bundle      func(text []byte) []byte // what a shield reads instead of a file with authorities
	Own         func() []byte            // the installation's own authority, PEM

	Limiter limit.Limiter        // counts rates
	Quotas  limit.Quotas         // counts days and months
	Tries   func(*limit.Lockout) // is handed what counts wrong tries
}

// Decision is what became of a request.
type Decision struct {
	Passed   bool
	Status   int
	Step     string
	Code     string
	Endpoint string
	API      string
}

func (d Decision) String() string {
	if d.Passed {
		return "passes"
	}
	return fmt.Sprintf("%d %s, at the step %s", d.Status, d.Code, d.Step)
}

// Guard decides about requests as a configuration has it.
type Guard interface {
	Decide(r *http.Request) (Decision, error)
	// Hold decides likewise; while a request that passed is under way, it calls meanwhile.
	Hold(r *http.Request, meanwhile func()) (Decision, error)
}

// Build makes the guard of a configuration over others.
type Build func(f *config.File, o Others) (Guard, error)

// Door is a request that one configuration lets through, and the other does not.
type Door struct {
	Host    string `json:"host"`
	Method  string `json:"method"`
	Path    string `json:"path"`
	API     string `json:"api"`     // of the configuration that lets it through
	Pattern string `json:"pattern"` // likewise
	With    string `json:"with"`    // the credentials and what is peculiar to the request
	Refused string `json:"refused"` // what the other one answers
	Request string `json:"request"` // to read: credentials are named, not written
}

// Result is how two configurations differ.
type Result struct {
	Opened   []Door       `json:"opened"`
	Closed   []Door       `json:"closed"`
	Unproved []Difference `json:"unproved,omitempty"` // settings that differ, and that no request told apart
	Tried    int          `json:"tried"`              // requests
	LeftOut  []string     `json:"left_out,omitempty"` // what a bound kept from being tried
}

// maxDoors bounds how many are told of one side.
const maxDoors = 10_000

// Compare finds the doors that newer opens, and those that it closes.
func Compare(older, newer *config.File, build Build, now time.Time) (*Result, error) {
	d := &differ{world: newWorld(now), result: &Result{Opened: []Door{}, Closed: []Door{}}, told: map[string]bool{}, seen: map[string]bool{}, proved: map[place]bool{}, hosts: map[string]bool{}, issuers: map[string][]place{}}
	var err error
	if d.older, err = d.side(older, build); err != nil {
		return nil, fmt.Errorf("the old configuration: %w", err)
	}
	if d.newer, err = d.side(newer, build); err != nil {
		return nil, fmt.Errorf("the new configuration: %w", err)
	}
	d.changes, d.same = config.Changes(older, newer), map[place]int{}
	for _, c := range d.changes {
		d.same[d.placeOf(c.Path)]++
	}
	skip := unchanged(older, newer)
	for _, s := range []*policy{d.newer, d.older} {
		for i := range s.endpoints {
			if e := &s.endpoints[i]; !skip(e) {
				if err := d.endpoint(s, e); err != nil {
					return nil, fmt.Errorf("try %s: %w", e.Pattern, err)
				}
			}
		}
	}
	if err := d.everywhere(); err != nil {
		return nil, err
	}
	if err := d.inPairs(); err != nil {
		return nil, err
	}
	d.result.Unproved = d.unexplained()
	return d.result, nil
}

// policy is one of the two.
type policy struct {
	file      *config.File
	endpoints []config.Resolved
	guard     Guard
	meter     *Meter
	tries     *limit.Lockout
}

func (d *differ) side(f *config.File, build Build) (s *policy, err error) {
	s = &policy{file: f}
	if s.endpoints, err = f.Resolve(); err != nil {
		return nil, err
	}
	if s.meter, err = newMeter(d.world.now); err != nil {
		return nil, err
	}
	s.guard, err = build(f, Others{
		Now: d.world.now, Credentials: d.world, Issuer: d.world.issuer, Bundle: d.world.bundle, Own: d.world.own,
		Limiter: s.meter, Quotas: s.meter.Quotas(),
		Tries: func(tries *limit.Lockout) {
			s.tries = tries
			tries.Trust(everybody())
		},
	})
	return s, err
}

type differ struct {
	world        *world
	older, newer *policy
	result       *Result
	told         map[string]bool    // doors
	proved       map[place]bool     // what doors explain
	hosts        map[string]bool    // of doors
	issuers      map[string][]place // whose tokens doors are opened with, and where
	number       int                // of requests
	seen         map[string]bool    // requests that were tried
	changes      []config.Change    // settings that differ
	same         map[place]int      // how many of them a door would explain at once
}

func (d *differ) other(s *policy) *policy {
	if s == d.newer {
		return d.older
	}
	return d.newer
}

// try has both decide about a call, and notes a door.
func (d *differ) try(c *call) error {
	key := c.key()
	if d.seen[key] {
		return nil
	}
	d.seen[key] = true
	older, err := d.decide(d.older, c)
	if err != nil {
		return err
	}
	newer, err := d.decide(d.newer, c)
	if err != nil {
		return err
	}
	d.result.Tried++
	switch {
	case newer.Passed && !older.Passed:
		d.door(&d.result.Opened, c, newer, older, "opened")
	case older.Passed && !newer.Passed:
		d.door(&d.result.Closed, c, older, newer, "closed")
	}
	return nil
}

// decide has one side decide about a call as if it was the first.
func (d *differ) decide(s *policy, c *call) (Decision, error) {
	if err := s.meter.begin(d.world.now); err != nil {
		return Decision{}, err
	}
	return d.send(s, c)
}

// send has one side decide about a call after what it has counted.
func (d *differ) send(s *policy, c *call) (Decision, error) {
	s.meter.last = s.meter.last[:0]
	r, err := d.make(s, c)
	if err != nil {
		return Decision{}, err
	}
	return s.guard.Decide(r)
}

// make makes the request of a call anew: credentials may be used once.
func (d *differ) make(s *policy, c *call) (*http.Request, error) {
	d.number++
	d.world.forget()
	asks := s.file.Hosts[c.host].ClientCertificates == "ask" || len(s.file.Proxies.Terminators) > 0
	return c.send(d.world, d.number, asks)
}

// door notes a door. Of doors of one endpoint that are refused for the same thing, and are
// opened in the same respect, one is told.
func (d *differ) door(into *[]Door, c *call, passed, refused Decision, side string) {
	d.proves(c, passed, refused)
	place := []string{side, c.host, passed.API, passed.Endpoint, c.at, refused.Code}
	key := strings.Join(append(place, refused.Step, c.respect), "\x00")
	base := strings.Join(append(place, refused.Step, "plain"), "\x00")
	same := strings.Join(append(place, c.what()), "\x00")
	if d.told[key] || d.told[base] || d.told[same] || len(*into) >= maxDoors {
		return
	}
	d.told[key], d.told[same] = true, true
	*into = append(*into, Door{
		Host: c.host, Method: c.method, Path: c.target(), API: passed.API, Pattern: passed.Endpoint, With: c.what(), Refused: refused.String(), Request: c.shown(),
	})
}

// Rules are those of findings about doors.
func Rules() []finding.Rule {
	places := finding.Standards{OWASP: finding.API5, ASVS: []string{"8.2.1", "8.3.1"}, NIST: []string{"REC-API-12"}}
	return []finding.Rule{
		{ID: "door-opened", Severity: finding.High, Title: "The new configuration lets through what the old one refused", Why: "Such requests reach the service from the next reload on.", Mend: "if it is not meant, take the change back; if it is, let somebody else say so too", Standards: places},
		{ID: "door-closed", Severity: finding.Info, Title: "The new configuration refuses what the old one let through", Why: "Whoever sends such requests today will be refused.", Mend: "ask pavise log for such calls, and tell their clients; or try it first (candidate)", Standards: places},
		{ID: "difference-unproved", Severity: finding.Low, Title: "A difference that no request tells apart", Why: "It may open a door, or close one: conditions, orders and answers cannot be told by single requests.", Mend: "read it", Standards: places},
	}
}

// Report tells of differences as findings.
func Report(subject string, r *Result, now time.Time) *finding.Report {
	rules := Rules()
	report := &finding.Report{Tool: "pavise check", Subject: subject, About: fmt.Sprintf("%d requests tried on both", r.Tried), Notes: r.LeftOut, Time: now, Rules: rules, Findings: []finding.Finding{}}
	add := func(rule finding.Rule, doors []Door) {
		for _, door := range doors {
			f := rule.At(finding.Place{Path: door.Method + " https://" + door.Host + door.Path}, "%s, with %s; otherwise: %s", door.Pattern, door.With, door.Refused)
			f.Proof = door.Request
			report.Findings = append(report.Findings, f)
		}
	}
	add(rules[0], r.Opened)
	add(rules[1], r.Closed)
	for _, one := range r.Unproved {
		report.Findings = append(report.Findings, rules[2].At(finding.Place{Path: one.Path}, "%s", one.values()))
	}
	return report
}
