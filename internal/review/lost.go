package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
)

// Lost is what somebody can do who has got hold of a credential, and what was done with it.
type Lost struct {
	Kind        string    `json:"kind"`
	ID          string    `json:"id"`
	Client      string    `json:"client"`
	Contact     string    `json:"contact,omitempty"`
	State       string    `json:"state"` // "in force", or why it opens nothing
	InForce     bool      `json:"in_force"`
	Environment string    `json:"environment,omitempty"`
	Created     time.Time `json:"created"`
	Until       time.Time `json:"until,omitzero"` // zero: without an end
	LastUsed    time.Time `json:"last_used,omitzero"`
	Scopes      []string  `json:"scopes"`
	Networks    []string  `json:"networks"` // from which it is good; none: from everywhere

	Reach   []Reach   `json:"reach"`
	Derived []Derived `json:"derived"`

	Since    time.Time     `json:"since"`
	Begins   *time.Time    `json:"log_begins,omitempty"`
	Touched  []Touched     `json:"touched"`
	From     []NetworkSeen `json:"from"`
	Acts     []Act         `json:"acts"` // at the authorization server, and by administrators, the newest
	Records  int           `json:"records"`
	Unlisted int           `json:"unlisted,omitempty"` // records beyond what is listed
	Damage   string        `json:"damage,omitempty"`
}

// Reach is an endpoint that the credential opens now, or would with another proof of the same client.
type Reach struct {
	API      string   `json:"api"`
	Endpoint string   `json:"endpoint"`
	Hosts    []string `json:"hosts"`
	With     []string `json:"with,omitempty"`  // what else has to be proved, by the same client
	Lacks    []string `json:"lacks,omitempty"` // scopes: it does not open it
	Asks     []string `json:"asks,omitempty"`  // what only a request shows: a condition, a rule of the shield
}

// Opens reports whether whoever has the credential and nothing else gets in.
func (r *Reach) Opens() bool { return len(r.With) == 0 && len(r.Lacks) == 0 }

// Derived is what came of the credential, and ends with it.
type Derived struct {
	What  string `json:"what"` // certificate, grant, tokens
	ID    string `json:"id,omitempty"`
	About string `json:"about,omitempty"`
}

// Touched is an endpoint that was called with the credential.
type Touched struct {
	API      string `json:"api"`
	Endpoint string `json:"endpoint"`
	Activity
	Objects  []string `json:"objects"`            // paths, as they were recorded; the first so many
	Distinct int      `json:"distinct"`           // different paths
	About    bool     `json:"about,omitempty"`    // distinct is an estimate
	IDs      []string `json:"request_ids"`        // of requests, the newest
	Codes    []string `json:"refusals,omitempty"` // for which it was refused

	paths   sketch
	refused map[string]int
}

// NetworkSeen is from where it was used.
type NetworkSeen struct {
	Network  string    `json:"network"`
	Requests int       `json:"requests"`
	Accepted int       `json:"accepted"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Sample   string    `json:"sample"`
}

// Act is what was done beside requests.
type Act struct {
	Time   time.Time `json:"time"`
	ID     string    `json:"id"`
	Action string    `json:"action"`
	Actor  string    `json:"actor,omitempty"`
	Detail string    `json:"detail,omitempty"`
}

// Bounds of what is listed; the evidence has all of it.
const (
	maxObjects = 100
	maxIDs     = 100
	maxFrom    = 200
	maxActs    = 200
	maxTouched = 2000
)

// Describe says what a credential is.
func Describe(c *client.Credential, owner *client.Client, now time.Time) *Lost {
	l := &Lost{
		Kind: c.Kind, ID: c.ID, Client: c.Client, Contact: owner.Contact, Environment: c.Environment, Created: c.Created, Until: c.End(), LastUsed: c.LastUsed,
		Scopes: append([]string{}, held(owner, c)...), Networks: []string{}, Reach: []Reach{}, Derived: []Derived{}, Touched: []Touched{}, From: []NetworkSeen{}, Acts: []Act{},
	}
	for _, n := range c.Networks {
		l.Networks = append(l.Networks, n.String())
	}
	switch {
	case !c.Revoked.IsZero():
		l.State = "revoked at " + c.Revoked.UTC().Format(time.RFC3339)
	case owner.Disabled:
		l.State = "its client is disabled"
	case !l.Until.IsZero() && !now.Before(l.Until):
		l.State = "ended at " + l.Until.UTC().Format(time.RFC3339)
	case now.Before(c.NotBefore):
		l.State, l.InForce = "not valid before "+c.NotBefore.UTC().Format(time.RFC3339), true
	default:
		l.State, l.InForce = "in force", true
	}
	return l
}

// Trace reads what was done by a credential, or by others who are named: certificates that came of
// it, or its client, if that one's tokens came of it.
func (l *Lost) Trace(ctx context.Context, folders, names []string, since time.Time) error {
	l.Since = since
	t := &tracer{lost: l, touched: map[[2]string]*Touched{}, from: map[string]*NetworkSeen{}}
	for _, folder := range folders {
		begin, err := audit.Begins(folder)
		if err != nil {
			return fmt.Errorf("find the beginning of the log: %w", err)
		}
		if !begin.IsZero() && (l.Begins == nil || begin.After(*l.Begins)) {
			l.Begins = &begin
		}
		err = audit.Each(ctx, folder, audit.Query{About: names, Since: since}, func(f audit.Found) error {
			t.take(&f.Event)
			return nil
		})
		if fault, ok := errors.AsType[*audit.Fault](err); ok {
			l.Damage = fault.Error()
		} else if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
	}
	t.finish()
	return nil
}

// Traced says from when on the log was looked through.
func (l *Lost) Traced() string {
	switch {
	case l.Begins == nil:
		return "of which the log tells nothing: it is empty"
	case l.Begins.After(l.Since):
		return "since " + l.Begins.UTC().Format("2006-01-02 15:04Z") + ", when the log begins"
	}
	return "since " + l.Since.UTC().Format("2006-01-02 15:04Z")
}

type tracer struct {
	lost    *Lost
	touched map[[2]string]*Touched
	from    map[string]*NetworkSeen
	key     []byte
}

func (t *tracer) take(e *audit.Event) {
	t.lost.Records++
	if e.Class != audit.Request {
		act := Act{Time: e.Time, ID: e.ID, Action: cmp.Or(e.Action, e.Code), Actor: e.Actor, Detail: cmp.Or(e.Change, e.Detail)}
		if t.lost.Acts = append(t.lost.Acts, act); len(t.lost.Acts) > maxActs {
			t.lost.Acts = slices.Delete(t.lost.Acts, 0, 1)
			t.lost.Unlisted++
		}
		return
	}
	t.place(e)
	key := [2]string{e.API, e.Endpoint}
	at := t.touched[key]
	if at == nil {
		if len(t.touched) >= maxTouched {
			t.lost.Unlisted++
			return
		}
		at = &Touched{API: e.API, Endpoint: e.Endpoint, Objects: []string{}, IDs: []string{}, refused: map[string]int{}}
		t.touched[key] = at
	}
	count := max(e.Count, 1)
	if e.Decision != audit.Accepted && stepOf(e) < len(steps())-1 {
		at.Refused += count
		if _, known := at.refused[e.Code]; known || len(at.refused) < maxCodes {
			at.refused[e.Code] += count
		}
		return
	}
	moment := e.Time
	if at.Requests += count; at.First == nil || moment.Before(*at.First) {
		at.First = &moment
	}
	if at.Last == nil || !moment.Before(*at.Last) {
		at.Last, at.Sample = &moment, e.ID
	}
	at.paths.add(e.Path)
	if len(at.Objects) < maxObjects && !slices.Contains(at.Objects, e.Path) {
		at.Objects = append(at.Objects, e.Path)
	}
	if at.IDs = append(at.IDs, e.ID); len(at.IDs) > maxIDs {
		at.IDs = slices.Delete(at.IDs, 0, 1)
	}
}

// maxCodes bounds the codes for which one endpoint refused it.
const maxCodes = 50

func (t *tracer) place(e *audit.Event) {
	if !e.Remote.Addr().IsValid() {
		return
	}
	t.key = network(t.key, []byte(e.Remote.String()))
	at := t.from[string(t.key)]
	if at == nil {
		if len(t.from) >= maxFrom {
			return
		}
		at = &NetworkSeen{Network: string(t.key), First: e.Time}
		t.from[at.Network] = at
	}
	at.Requests += max(e.Count, 1)
	if e.Decision == audit.Accepted {
		at.Accepted += max(e.Count, 1)
	}
	at.Last, at.Sample = e.Time, e.ID
}

func (t *tracer) finish() {
	for _, at := range t.touched {
		n, exact := at.paths.count()
		at.Distinct, at.About = n, !exact
		for _, code := range slices.Sorted(maps.Keys(at.refused)) {
			at.Codes = append(at.Codes, fmt.Sprintf("%s (%d)", code, at.refused[code]))
		}
		t.lost.Touched = append(t.lost.Touched, *at)
	}
	slices.SortFunc(t.lost.Touched, func(a, b Touched) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.API, b.API), strings.Compare(a.Endpoint, b.Endpoint))
	})
	for _, at := range t.from {
		t.lost.From = append(t.lost.From, *at)
	}
	slices.SortFunc(t.lost.From, func(a, b NetworkSeen) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Network, b.Network))
	})
}
