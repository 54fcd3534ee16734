package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
)

// Judgement is what a configuration makes of a recorded request.
type Judgement struct {
	Passes        bool
	Open          string // why it cannot be said; Passes means nothing then
	API, Endpoint string
	Step, Code    string // of a refusal
	Why           string
	Unjudged      []string // steps that look at what is not recorded
	Differs       []string // of these, and of limits, what another configuration has otherwise
	LimitsDiffer  bool
	NotConfigured bool // the request reached something of Pavise's own, which is not judged here
}

// Judge judges recorded requests. It is for one goroutine.
type Judge interface {
	Judge(e *audit.Event) Judgement
}

// Kind of change.
const (
	NewlyFails  = "newly fails"
	NewlyPasses = "newly passes"
)

// Group are requests of one client to one endpoint that one reason changes.
type Group struct {
	Change   string    `json:"change"`
	API      string    `json:"api,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	Client   string    `json:"client,omitempty"` // empty: nobody proved who he is
	Step     string    `json:"step,omitempty"`   // that refuses, after or before the change
	Code     string    `json:"code,omitempty"`
	Why      string    `json:"why,omitempty"`
	Count    int       `json:"count"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Samples  []string  `json:"samples"` // ids of requests
}

// Compared is what a change of the configuration would have changed.
type Compared struct {
	Since       time.Time      `json:"since"`
	Until       time.Time      `json:"until"`
	Requests    int            `json:"requests"`
	Judged      int            `json:"judged"`
	Same        int            `json:"same"`
	NewlyFails  int            `json:"newly_fails"`
	NewlyPasses int            `json:"newly_passes"`
	Otherwise   int            `json:"refused_otherwise"` // before and after, for different reasons
	NotJudged   map[string]int `json:"not_judged,omitempty"`
	Partly      map[string]int `json:"partly,omitempty"` // judged, but for these steps
	Groups      []Group        `json:"groups"`
	MoreGroups  int            `json:"more_groups,omitempty"` // requests whose groups found no room
	Damage      string         `json:"damage,omitempty"`      // what of the log could not be read
	Notes       []string       `json:"notes"`
}

// Bounds of what is kept, whatever the log holds.
const (
	maxGroups  = 4096
	maxSamples = 3
	maxReasons = 64
	maxWhy     = 160 // bytes
)

// Diff gathers what a change would change. Its memory is bounded. It is for one goroutine.
type Diff struct {
	before, after Judge
	groups        map[grouped]*Group
	found         Compared
}

// NewDiff compares two configurations.
func NewDiff(before, after Judge) *Diff {
	return &Diff{before: before, after: after, groups: map[grouped]*Group{}, found: Compared{NotJudged: map[string]int{}, Partly: map[string]int{}, Groups: []Group{}}}
}

// Add asks both about an event; those that are no requests are passed over.
func (d *Diff) Add(e *audit.Event) {
	if e.Class != audit.Request {
		return
	}
	n := max(e.Count, 1)
	d.found.Requests += n
	if e.Note == "tested" || client.IsTester(e.Client) {
		d.open("sent by `pavise attack`", n)
		return
	}
	if e.Method == "OPTIONS" {
		d.open("a preflight, which the rule for other origins answers", n)
		return
	}
	before := d.before.Judge(e)
	if before.Open != "" {
		d.open(before.Open, n)
		return
	}
	after := d.after.Judge(e)
	switch {
	case after.Open != "":
		d.open(after.Open, n)
		return
	case before.NotConfigured && after.NotConfigured:
		d.open("an endpoint of Pavise's own: authorization server, enrolment, metadata", n)
		return
	case before.Passes && after.Passes && len(after.Differs) > 0:
		d.open(strings.Join(after.Differs, ", ")+": set otherwise, and what it looks at is not recorded", n)
		return
	}
	d.found.Judged += n
	d.weigh(e, &before, &after, n)
}

// weigh counts a request that both could judge.
func (d *Diff) weigh(e *audit.Event, before, after *Judgement, n int) {
	for _, step := range after.Unjudged {
		count(d.found.Partly, step, n)
	}
	if before.Passes && after.Passes && after.LimitsDiffer {
		count(d.found.Partly, "admit: limits differ, and rates are not replayed", n)
	}
	switch {
	case before.Passes && !after.Passes && refusedElsewhere(e):
		d.found.Otherwise += n
	case before.Passes && !after.Passes:
		d.found.NewlyFails += n
		d.group(NewlyFails, e, after, after, n)
	case !before.Passes && after.Passes:
		d.found.NewlyPasses += n
		d.group(NewlyPasses, e, after, before, n)
	case !before.Passes && before.Code != after.Code:
		d.found.Otherwise += n
	default:
		d.found.Same += n
	}
}

// refusedElsewhere reports whether a request was refused by a step that is not judged again.
func refusedElsewhere(e *audit.Event) bool {
	return e.Decision != audit.Accepted && slices.Contains([]string{"limit", "load", "cors", "admit", "sanitise", "validate", "consume", "harm", "flow"}, e.Step)
}

func (d *Diff) open(why string, n int) { count(d.found.NotJudged, why, n) }

// count counts, with the rest together where there is no room.
func count(in map[string]int, what string, n int) {
	if _, known := in[what]; !known && len(in) >= maxReasons {
		what = "other reasons"
	}
	in[what] += n
}

// grouped is what the requests of a group have in common.
type grouped struct{ change, api, endpoint, client, step, code, why string }

func (d *Diff) group(change string, e *audit.Event, at, refusal *Judgement, n int) {
	key := grouped{
		change: change, api: cmp.Or(at.API, e.API), endpoint: cmp.Or(at.Endpoint, e.Endpoint, e.Method+" "+e.Path),
		step: refusal.Step, code: refusal.Code, why: short(refusal.Why),
	}
	if e.Proved {
		key.client = cmp.Or(e.Client, e.CredentialID)
	}
	g := d.groups[key]
	if g == nil {
		if len(d.groups) >= maxGroups {
			d.found.MoreGroups += n
			return
		}
		g = &Group{Change: key.change, API: key.api, Endpoint: key.endpoint, Client: key.client, Step: key.step, Code: key.code, Why: key.why, First: e.Time}
		d.groups[key] = g
	}
	g.Count += n
	if e.Time.Before(g.First) {
		g.First = e.Time
	}
	if e.Time.After(g.Last) {
		g.Last = e.Time
	}
	if len(g.Samples) < maxSamples {
		g.Samples = append(g.Samples, e.ID)
	}
}

func short(text string) string {
	if len(text) <= maxWhy {
		return text
	}
	return strings.ToValidUTF8(text[:maxWhy], "") + "…"
}

// Found is what was found, the largest groups first.
func (d *Diff) Found(since, until time.Time) Compared {
	found := d.found
	found.Since, found.Until = since, until
	for _, g := range d.groups {
		found.Groups = append(found.Groups, *g)
	}
	slices.SortFunc(found.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(a.Change, b.Change), cmp.Compare(b.Count, a.Count), cmp.Compare(a.API, b.API), cmp.Compare(a.Endpoint, b.Endpoint),
			cmp.Compare(a.Client, b.Client), cmp.Compare(a.Why, b.Why))
	})
	found.Notes = Untold()
	return found
}

// Untold is what events cannot tell of requests.
func Untold() []string {
	return []string{
		"bodies, headers and values of queries are not recorded: contracts, injections, and conditions that name them are not judged",
		"rates, quotas and places are not replayed, and nothing is said of nonces or flows",
		"scopes are those that clients and credentials have now; of a token only those that the event shows",
		fmt.Sprintf("the wrong is kept wrong: a credential that was refused stays refused where the shield is the same; %d groups are kept at most", maxGroups),
	}
}
