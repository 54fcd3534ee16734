package advise

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/route"
)

// Live is an endpoint of a configuration, in the terms of advice.
type Live struct {
	API, Pattern string
	Where        string   // file:line:column
	Ways         []Shield // through its shield: each one alone opens the endpoint
	Scopes       []string // none: no scope is demanded
	Limits       []limit.Limit
	Contract     bool              // requests are held to a description
	Undeclared   bool              // which lets pass what it does not name
	Injection    string            // "", low, default, high
	Idempotency  string            // "", optional, required
	Audit        bool              // required
	Answers      string            // how answers are held to the description: "", off, report, strip, refuse
	Detect       []string          // what is looked for in answers
	Trials       map[string]string // layers of which refusals are only recorded, and until when
}

// InForce is a configuration, in the terms of advice.
type InForce struct {
	Endpoints  []Live
	Detections bool
}

// Keep leaves out the endpoints of other APIs.
func (c *InForce) Keep(api string) {
	c.Endpoints = slices.DeleteFunc(c.Endpoints, func(l Live) bool { return l.API != api })
}

// Weaker is where a configuration gives less than is advised.
type Weaker struct {
	Endpoint string `json:"endpoint"` // as advised
	Live     string `json:"live"`     // API and pattern of the configuration
	Where    string `json:"where"`
	What     string `json:"what"` // shield, scopes, limit, …
	Has      string `json:"has"`
	Advised  string `json:"advised"`
	Rule     string `json:"rule"`
	Why      string `json:"why"`
}

// Comparison is what came of comparing a configuration with the advice.
type Comparison struct {
	Weaker []Weaker `json:"weaker"`
	Absent []string `json:"absent"` // advised endpoints that the configuration does not serve
	Beyond []string `json:"beyond"` // endpoints of the configuration that nothing was advised for
	Equal  int      `json:"equal"`  // endpoints that are at least as strong
}

// tolerance is how much higher a rate may be than the usual one before it is told of: the usual
// ones are no measurements.
const tolerance = 10

// Against compares a configuration with the advice, by what it does and not by how it is written.
func (p *Plan) Against(c InForce) Comparison {
	found := Comparison{Weaker: []Weaker{}, Absent: []string{}, Beyond: []string{}}
	tables, used := tablesOf(c.Endpoints), map[int]bool{}
	read := p.readScopes(tables, c.Endpoints)
	for i := range p.Advice {
		a := &p.Advice[i]
		at := tables.find(a.Pattern)
		if len(at) == 0 {
			found.Absent = append(found.Absent, a.Pattern)
		}
		for _, n := range at {
			used[n] = true
			j := &comparing{advice: a, live: &c.Endpoints[n], plan: p}
			j.everything(read, c.Detections)
			if len(j.found) == 0 {
				found.Equal++
			}
			found.Weaker = append(found.Weaker, j.found...)
		}
	}
	for n := range c.Endpoints {
		if !used[n] {
			found.Beyond = append(found.Beyond, c.Endpoints[n].API+": "+c.Endpoints[n].Pattern)
		}
	}
	return found
}

// tables are the endpoints of each API, as the gateway finds them.
type tables map[string]*route.Table[int]

func tablesOf(all []Live) tables {
	t := tables{}
	for i, l := range all {
		if t[l.API] == nil {
			t[l.API] = route.New[int]()
		}
		_ = t[l.API].Add(l.Pattern, i) // a configuration that was read has no other
	}
	return t
}

// find returns the endpoints to which a request for the pattern would go, one for each API.
func (t tables) find(pattern string) (all []int) {
	method, path, _ := strings.Cut(pattern, " ")
	segments := strings.Split(path, "/")
	for i, s := range segments {
		switch {
		case s == "{$}":
			segments[i] = ""
		case strings.HasPrefix(s, "{"):
			segments[i] = fmt.Sprintf("pavise-advise-%d", i) // what no pattern has
		}
	}
	path = strings.Join(segments, "/")
	for _, table := range t {
		if n, err := table.Match(&http.Request{Method: method, URL: &url.URL{Path: path}, RequestURI: path}); err == nil {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// readScopes are the sets of scopes with which one may read in the configuration.
func (p *Plan) readScopes(t tables, live []Live) (all [][]string) {
	for i := range p.Advice {
		if a := &p.Advice[i]; a.Answers.Harm == Read && !a.Public() {
			for _, n := range t.find(a.Pattern) {
				all = append(all, live[n].Scopes)
			}
		}
	}
	return all
}

// comparing is one advised endpoint and the one that serves it.
type comparing struct {
	advice *Advice
	live   *Live
	plan   *Plan
	found  []Weaker
}

func (j *comparing) weaker(what, has, advised, rule, why string) {
	j.found = append(j.found, Weaker{j.advice.Pattern, j.live.API + ": " + j.live.Pattern, j.live.Where, what, has, advised, rule, why})
}

// layer tells that a layer is weaker.
func (j *comparing) layer(name, has string) {
	l := j.advice.Layer(name)
	advised := l.Setting
	if advised == "" {
		advised = "yes"
	}
	j.weaker(name, has, advised, l.Rule, l.Why)
}

func (j *comparing) everything(read [][]string, detections bool) {
	j.shield()
	j.scopes(read)
	j.limit()
	j.contract()
	j.injection()
	j.responses()
	if j.advice.Has(LayerIdempotency) && j.live.Idempotency != "required" {
		j.layer(LayerIdempotency, orNone(j.live.Idempotency))
	}
	if j.advice.Has(LayerAudit) && !j.live.Audit {
		j.layer(LayerAudit, "local")
	}
	if j.advice.Has(LayerDetections) && !detections {
		j.layer(LayerDetections, "off")
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// shield holds each way in to what is demanded of at least one of the callers.
func (j *comparing) shield() {
	for _, way := range j.live.Ways {
		lacking, from, first := Guarantees(0), Caller(""), true
		for _, c := range j.advice.Answers.Callers {
			wants, _ := demanded(&j.advice.Answers, c)
			wants &= j.advice.served(c).Gives() // more than is advised is not missed
			if l := wants &^ way.Gives(); first || count(l) < count(lacking) {
				lacking, from, first = l, c, false
			}
		}
		if lacking == 0 {
			continue
		}
		r := demander(&j.advice.Answers, from, lacking)
		j.weaker("shield", way.String(), j.advice.Shield.String(), r.Rule, fmt.Sprintf("it is not %s: %s", strings.Join(lacking.Names(), ", "), r.Why))
	}
}

func count(g Guarantees) (n int) {
	for ; g != 0; g &= g - 1 {
		n++
	}
	return n
}

func (j *comparing) scopes(read [][]string) {
	switch l := j.advice.Layer(LayerScopes); {
	case l.Name == "":
	case len(j.live.Scopes) == 0:
		j.weaker("scopes", "any", strings.Join(j.advice.Scopes, ", "), l.Rule, l.Why)
	case j.advice.Answers.Harm.level() >= Money.level() && slices.ContainsFunc(read, func(scopes []string) bool { return within(j.live.Scopes, scopes) }):
		j.weaker("scopes", strings.Join(j.live.Scopes, ", "), strings.Join(j.advice.Scopes, ", "), l.Rule, "who may read may also do this: "+l.Why)
	}
}

func within(all, in []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !slices.Contains(in, s) })
}

// limit wants a bound for each caller, not one that all share.
func (j *comparing) limit() {
	l := j.advice.Layer(LayerLimit)
	wanted, err := limit.ParseLimit(j.advice.Limit)
	if err != nil {
		return
	}
	var best *limit.Limit
	for i := range j.live.Limits {
		one := &j.live.Limits[i]
		if one.Per != limit.PerEndpoint && (best == nil || perSecond(one.Rate) < perSecond(best.Rate)) {
			best = one
		}
	}
	switch {
	case best == nil:
		j.weaker("limit", "none", j.advice.Limit, l.Rule, l.Why)
	case perSecond(best.Rate) > tolerance*perSecond(wanted.Rate):
		j.weaker("limit", best.String(), j.advice.Limit, l.Rule, fmt.Sprintf("more than %d times the usual: %s", tolerance, l.Why))
	}
}

func (j *comparing) contract() {
	if !j.advice.Has(LayerContract) {
		return
	}
	switch until := j.live.Trials["contract"]; {
	case !j.live.Contract:
		j.layer(LayerContract, "none")
	case j.live.Undeclared:
		j.layer(LayerContract, "insecure_undeclared")
	case until != "":
		j.layer(LayerContract, "only recorded until "+until)
	}
}

func (j *comparing) injection() {
	if !j.advice.Has(LayerInjection) {
		return
	}
	switch until := j.live.Trials["injection"]; {
	case j.live.Injection == "":
		j.layer(LayerInjection, "none")
	case j.live.Injection == "low":
		j.layer(LayerInjection, "level: low")
	case until != "":
		j.layer(LayerInjection, "only recorded until "+until)
	}
}

func (j *comparing) responses() {
	l := j.advice.Layer(LayerResponses)
	if l.Name == "" {
		return
	}
	if until := j.live.Trials["responses"]; until != "" {
		j.layer(LayerResponses, "only recorded until "+until)
		return
	}
	var missing []string
	for _, kind := range []string{"card", "key", "private_key", "trace"} {
		if strings.Contains(l.Setting, kind) && !slices.Contains(j.live.Detect, kind) {
			missing = append(missing, kind)
		}
	}
	order := []string{"", "off", "report", "strip", "refuse"}
	wanted := ""
	for _, word := range order[2:] {
		if strings.Contains(l.Setting, "contract: "+word) {
			wanted = word
		}
	}
	switch {
	case len(missing) > 0:
		j.layer(LayerResponses, "looks for no "+strings.Join(missing, ", "))
	case slices.Index(order, j.live.Answers) < slices.Index(order, wanted):
		j.layer(LayerResponses, "contract: "+orNone(j.live.Answers))
	}
}

// Markdown writes the comparison as a table.
func (c *Comparison) Markdown() string {
	var b strings.Builder
	b.WriteString("| endpoint | weaker in | has | advised | rule | why |\n|---|---|---|---|---|---|\n")
	for _, w := range c.Weaker {
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | `%s` | `%s` | %s |\n", inline(w.Endpoint), w.What, inline(w.Has), inline(w.Advised), w.Rule, inline(w.Why))
	}
	return b.String()
}
