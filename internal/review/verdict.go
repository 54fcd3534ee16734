package review

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// DefaultEnough is how many requests make a verdict: of 300 without a refusal, fewer than one
// in a hundred would be refused, at 95 % confidence (the rule of three).
const DefaultEnough = 300

// Verdict says whether a layer can be enforced.
type Verdict string

// The verdicts.
const (
	Safe    Verdict = "safe to enforce"
	Hits    Verdict = "would refuse callers"    // who proved who they are
	Look    Verdict = "look at the rows"        // whether those are callers cannot be told
	TooFew  Verdict = "too few requests"        // to say anything
	Waiting Verdict = "not in force yet"        // the gateway has not read what is tried
	Over    Verdict = "not on trial (any more)" // the log tells of it, the configuration does not
)

// Summary is what a review found.
type Summary struct {
	Since     time.Time  `json:"since"`
	Until     time.Time  `json:"until"`
	Judged    *time.Time `json:"judged_since"` // since when what is tried is in force; nil: not yet
	Endpoints []Endpoint `json:"endpoints"`
	Left      int        `json:"left_out,omitempty"` // requests of endpoints beyond the bound
	Damage    string     `json:"damage,omitempty"`   // what of the log could not be read
}

// Endpoint is an endpoint of which something is on trial, or was.
type Endpoint struct {
	API      string  `json:"api"`
	Endpoint string  `json:"endpoint"`
	Requests int     `json:"requests"` // all of the window, refused ones too
	Layers   []Layer `json:"layers"`
}

// Layer is what a layer on trial would have done.
type Layer struct {
	Layer    string  `json:"layer"`
	Until    string  `json:"until,omitempty"` // the last day of the trial
	Verdict  Verdict `json:"verdict"`
	Why      string  `json:"why"`
	Judged   int     `json:"judged"`  // requests that it looked at, since what is tried is in force
	Refused  int     `json:"refused"` // of these
	Proved   int     `json:"proved"`  // of the refused, those of proved identities
	Hit      []Hit   `json:"hit,omitempty"`
	Rows     []Row   `json:"rows"`
	Requests Row     `json:"requests"` // all of the window that it would have refused
}

// Hit is a caller who would be refused.
type Hit struct {
	Client   string `json:"client"`
	Requests int    `json:"requests"`
}

// Row is what requests would have been refused for.
type Row struct {
	Code     string    `json:"code,omitempty"`
	In       string    `json:"in,omitempty"`
	Rule     string    `json:"rule,omitempty"`
	Pointer  string    `json:"pointer,omitempty"`
	Count    int       `json:"count"`
	Share    float64   `json:"share"` // of all requests of the endpoint
	Clients  int       `json:"clients"`
	Networks int       `json:"networks"`
	About    bool      `json:"about,omitempty"` // clients or networks are an estimate
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
	Sample   string    `json:"sample,omitempty"` // the last request's id
}

// Summary says what was found, in the order of APIs and endpoints.
func (b *Block) Summary() Summary {
	s := Summary{Since: b.options.Since, Until: b.options.Until, Left: b.left, Endpoints: []Endpoint{}}
	if b.counting {
		s.Judged = &b.from
	}
	for key, e := range b.all {
		if len(e.layers) == 0 {
			continue
		}
		shown := Endpoint{API: key[0], Endpoint: key[1], Requests: e.requests}
		for _, name := range slices.Sorted(maps.Keys(e.layers)) {
			shown.Layers = append(shown.Layers, b.layer(name, e.layers[name], e.requests))
		}
		s.Endpoints = append(s.Endpoints, shown)
	}
	slices.SortFunc(s.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return s
}

func (b *Block) layer(name string, l *layer, requests int) Layer {
	out := Layer{
		Layer: name, Until: l.until, Judged: l.judged, Refused: l.refused, Proved: l.provedRefuse,
		Requests: l.would.row(group{}, requests), Rows: []Row{},
	}
	for g, t := range l.groups {
		out.Rows = append(out.Rows, t.row(g, requests))
	}
	slices.SortFunc(out.Rows, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code), cmp.Compare(a.In, b.In), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Pointer, b.Pointer))
	})
	for who, n := range l.hit {
		out.Hit = append(out.Hit, Hit{who, n})
	}
	slices.SortFunc(out.Hit, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Client, b.Client))
	})
	out.Verdict, out.Why = b.verdict(l, out.Hit)
	return out
}

func (t *tally) row(g group, requests int) Row {
	r := Row{Code: g.code, In: g.in, Rule: g.rule, Pointer: g.pointer, Count: t.count, First: t.first, Last: t.last, Sample: t.sample}
	if requests > 0 {
		r.Share = float64(t.count) / float64(requests)
	}
	var exactly, also bool
	r.Clients, exactly = t.clients.count()
	r.Networks, also = t.networks.count()
	r.About = !exactly || !also
	return r
}

// verdict says whether a layer can be enforced, and why.
func (b *Block) verdict(l *layer, hit []Hit) (Verdict, string) {
	n, of := l.judged, "requests"
	if l.proved > 0 { // what strangers send says nothing of those who may call
		n, of = l.proved, "requests of proved identities"
	}
	switch {
	case l.until == "":
		return Over, "the configuration does not try it"
	case !b.counting:
		return Waiting, "its files were written after the gateway last read them"
	case l.provedRefuse > 0:
		return Hits, fmt.Sprintf("%d of %d %s: %s", l.provedRefuse, n, of, named(hit))
	case l.refused > 0 && l.proved == 0:
		return Look, fmt.Sprintf("%d of %d requests; nobody here proves who he is, so that callers and attackers cannot be told apart", l.refused, n)
	case l.cut > 0:
		return Look, fmt.Sprintf("of %d requests the log holds only a part of what they would have been refused for", l.cut)
	case n < b.options.Enough:
		return TooFew, fmt.Sprintf("%d %s, want %d%s", n, of, b.options.Enough, atMost(n))
	case l.refused > 0:
		return Safe, fmt.Sprintf("none of %d %s%s; only %d of strangers would be refused", n, of, atMost(n), l.refused)
	}
	return Safe, fmt.Sprintf("none of %d %s%s", n, of, atMost(n))
}

// atMost is what no refusal among n requests says of the share, by the rule of three.
func atMost(n int) string {
	if n < 4 {
		return ""
	}
	return fmt.Sprintf(": below %s %% at 95 %%", percent(3/float64(n)))
}

// percent writes a share with two digits that matter.
func percent(share float64) string {
	return fmt.Sprintf("%.2g", 100*share)
}

// maxNamed is how many callers a verdict names.
const maxNamed = 5

func named(hit []Hit) string {
	var all []string
	for _, h := range hit[:min(len(hit), maxNamed)] {
		all = append(all, fmt.Sprintf("%s (%d)", h.Client, h.Requests))
	}
	if more := len(hit) - len(all); more > 0 {
		all = append(all, fmt.Sprintf("%d more", more))
	}
	return strings.Join(all, ", ")
}
