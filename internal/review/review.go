// Package review says what the event log tells of a configuration, and of what was granted.
//
// [Block] sums up what layers on trial, and candidates, would have refused, and says of each
// whether it is safe to enforce. [Read] says which of what is [Granted] was used; [Used.Propose] makes
// a smaller policy of it, and [Proposal.Judge] says whom that would have hit. [Lost] is what a
// credential opens, and what was done with it.
//
//	review.go   trials: what is counted
//	would.go    the event's field would, read
//	verdict.go  is it safe to enforce, and how sure is that?
//	sketch.go   how many different ones, in bounded memory
//
//	granted.go  what configuration and store allow
//	quick.go    the few fields of an event that matter, read out of its bytes
//	use.go      one pass over the log, by all cores
//	used.go     what was used of it, and what was not
//	unjudged.go what is new, or not known well enough to be called unused
//	policy.go   Cedar policies: what they can have decided
//	rules.go    findings
//	proposal.go a smaller policy, and its trial
//	patch.go    endpoints, taken out of the configuration's files
//	html.go     who used what, as a page
//	lost.go     a credential that was lost
//
// A log may be long: a [Block] is told one event after the other, and keeps counts alone. What
// callers can name (a parameter that nobody declared) makes at most [MaxGroups] rows of one
// layer.
package review

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/limit"
)

// Tried is a layer that is on trial at an endpoint now, or a candidate.
type Tried struct {
	API, Endpoint string
	Layer         string // as in the event: "contract", "candidate-scopes"
	Until         string // the last day
}

// Options of a review.
type Options struct {
	Since, Until time.Time // Until is not in it
	API          string    // empty: all
	Tried        []Tried

	// Changed is when what is tried was last written. What came before the gateway read that
	// was judged by something else.
	Changed time.Time
	// Enough is how many requests make a verdict; 0: [DefaultEnough].
	Enough int
}

// MaxGroups bounds the rows of one layer of an endpoint; what is beyond is one row.
const MaxGroups = 200

// maxEndpoints bounds the endpoints, of which a log of many configurations may tell.
const maxEndpoints = 20_000

// Block sums up what would have been refused. It is not safe for concurrent use.
type Block struct {
	options  Options
	counting bool      // the configuration in force judges
	from     time.Time // since when
	all      map[[2]string]*endpoint
	left     int // requests of endpoints beyond the bound
}

type endpoint struct {
	requests int
	layers   map[string]*layer
}

// layer is what one layer on trial did at an endpoint.
type layer struct {
	until  string // empty: it is not tried now
	would  tally
	groups map[group]*tally

	// Since what is tried is in force:
	judged, proved        int // requests that it looked at
	refused, provedRefuse int
	cut                   int // events of which not all is known
	hit                   map[string]int
}

// group is what a layer refuses for.
type group struct{ code, in, rule, pointer string }

// tally counts requests, and who sent them.
type tally struct {
	count             int
	clients, networks sketch
	first, last       time.Time
	sample            string
}

// maxHit bounds the clients that are remembered by name for one layer.
const maxHit = 1000

// NewBlock begins a review.
func NewBlock(o Options) *Block {
	o.Enough = cmp.Or(o.Enough, DefaultEnough)
	b := &Block{options: o, all: map[[2]string]*endpoint{}, counting: !o.Changed.After(o.Since), from: o.Since}
	for _, t := range o.Tried {
		if o.API == "" || o.API == t.API {
			b.endpoint(t.API, t.Endpoint).layer(t.Layer).until = t.Until
		}
	}
	return b
}

func (b *Block) endpoint(api, pattern string) *endpoint {
	key := [2]string{api, pattern}
	e := b.all[key]
	if e == nil {
		e = &endpoint{layers: map[string]*layer{}}
		if len(b.all) < maxEndpoints {
			b.all[key] = e
		} else {
			b.left++
		}
	}
	return e
}

func (e *endpoint) layer(name string) *layer {
	l := e.layers[name]
	if l == nil {
		l = &layer{groups: map[group]*tally{}, hit: map[string]int{}}
		e.layers[name] = l
	}
	return l
}

// Add takes the next event of the log, oldest first.
func (b *Block) Add(e *audit.Event) {
	if e.Time.Before(b.options.Since) || !b.options.Until.IsZero() && !e.Time.Before(b.options.Until) {
		return
	}
	switch {
	case isLoad(e):
		if !b.counting && !e.Time.Before(b.options.Changed) {
			b.counting, b.from = true, e.Time
		}
	case e.Class == audit.Request && e.Endpoint != "" && (b.options.API == "" || b.options.API == e.API):
		b.request(e)
	}
}

// isLoad reports whether the configuration was read anew.
func isLoad(e *audit.Event) bool {
	return e.Class == audit.System && e.Code == "started" || e.Class == audit.Admin && isReload(e.Action, e.Decision)
}

// isReload reports whether an act read the configuration: the gateway notes each time that it did, and the
// administration that somebody asked for it.
func isReload(action string, decision audit.Decision) bool {
	return action == "reload" || action == "configuration.reload" && decision != audit.Refused && decision != audit.Failed
}

func (b *Block) request(e *audit.Event) {
	count := max(e.Count, 1)
	at := b.endpoint(e.API, e.Endpoint)
	at.requests += count
	kept, cut := parseWould(e.Would)
	refused := map[string]bool{}
	for _, w := range kept {
		l := at.layer(w.layer)
		l.group(group{w.code, w.in, w.rule, w.pointer}).add(e, count)
		if !refused[w.layer] {
			refused[w.layer] = true
			l.would.add(e, count)
		}
	}
	if !b.counting {
		return
	}
	for name, l := range at.layers {
		l.judge(e, count, refused[name], cut, stepOf(e) > stepOfLayer(name))
	}
}

// judge counts a request that a layer looked at, since what is tried is in force.
func (l *layer) judge(e *audit.Event, count int, refused, cut, passed bool) {
	if !refused && !passed {
		return
	}
	l.judged += count
	if e.Proved {
		l.proved += count
	}
	if cut {
		l.cut += count
	}
	if !refused {
		return
	}
	l.refused += count
	if !e.Proved {
		return
	}
	l.provedRefuse += count
	who := cmp.Or(e.Client, e.User, e.CredentialID)
	if _, known := l.hit[who]; known || len(l.hit) < maxHit {
		l.hit[who] += count
	}
}

// group finds the count of a row. What is beyond the bound shares one.
func (l *layer) group(g group) *tally {
	t := l.groups[g]
	if t == nil {
		if len(l.groups) >= MaxGroups {
			g = group{code: g.code, pointer: "…"}
			if t = l.groups[g]; t != nil {
				return t
			}
		}
		t = &tally{}
		l.groups[g] = t
	}
	return t
}

func (t *tally) add(e *audit.Event, count int) {
	t.count += count
	if who := cmp.Or(e.Client, e.User, e.CredentialID); who != "" {
		t.clients.add(who)
	}
	if addr := e.Remote.Addr(); addr.IsValid() {
		t.networks.add(limit.AddressKey(addr))
	}
	if t.first.IsZero() {
		t.first = e.Time
	}
	t.last, t.sample = e.Time, e.ID
}

// steps are those of the path behind which a request was looked at by the layers before.
func steps() []string {
	return []string{"door", "limit", "route", "load", "cors", "shield", "access", "admit", "sanitise", "validate", "policy", "consume", "harm", "candidate", "flow", "proxy"}
}

// stepOf is how far a request came.
func stepOf(e *audit.Event) int {
	if e.Decision == audit.Accepted {
		return len(steps())
	}
	if i := slices.Index(steps(), e.Step); i >= 0 {
		return i
	}
	return len(steps()) // behind the proxy
}

// stepOfLayer is where a layer stands.
func stepOfLayer(name string) int {
	switch {
	case name == "contract":
		return slices.Index(steps(), "validate")
	case name == "injection":
		return slices.Index(steps(), "harm")
	case strings.HasPrefix(name, "candidate-"):
		return slices.Index(steps(), "candidate")
	}
	return slices.Index(steps(), "proxy")
}
