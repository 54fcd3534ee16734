package learn

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/advise"
	"pavise.dev/pavise/route"
)

// Log learns from events, one after the other in the order of their time. It is not safe for
// concurrent use. Its memory is bounded, whatever the events hold.
type Log struct {
	apis     map[string]*learnt // by host
	counting counting
	options  Options

	refused, unknown, left, proposed int
}

// maxProposed bounds how many endpoints are proposed: a configuration has its bound, and people
// have to read it.
const maxProposed = 500

// Options of learning. The zero value is of use.
type Options struct {
	Least     int    // requests of an endpoint before it is proposed; default 3
	Candidate string // file of the contract that is proposed; empty: none is
	Until     string // day until which it is tried
	Upstream  string // where the service listens; default: where the events say that answers came from
}

// maxHosts bounds how many hosts are looked at.
const maxHosts = 64

// learnt is what was seen of one host.
type learnt struct {
	host      string
	name      string
	paths     *tree
	upstreams map[string]int
	names     map[string]int // of APIs
}

// calls is what was seen of one method at one place.
type calls struct {
	count   int
	minutes minutes
	callers map[string]bool // at most maxCallers
	shields map[string]int
	agents  map[agent]int
	inside  int // from private addresses
	users   int // that named a person
	queries map[string]bool
	bodies  int
	longest int64 // body
}

const (
	maxCallers = 256
	maxQueries = 64
	maxShields = 16
)

// agent is a sort of program.
type agent string

const (
	aBrowser agent = "browser"
	aMobile  agent = "mobile"
	aProgram agent = "program"
)

// NewLog begins to learn.
func NewLog(o Options) *Log {
	l := &Log{apis: map[string]*learnt{}, options: o}
	l.options.Least = cmp.Or(o.Least, 3)
	l.counting.now = map[counted]int{}
	return l
}

// Add takes an event.
func (l *Log) Add(e *audit.Event) {
	switch {
	case e.Class != audit.Request:
		return
	case e.Decision != audit.Accepted:
		l.refused += max(e.Count, 1)
		return
	case e.Status == 404 || e.Status == 405 || e.Status == 501:
		l.unknown++
		return
	case e.Status >= 400 || e.Status == 0 || !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, e.Method):
		l.left++
		return
	}
	host := strings.ToLower(hostOf(e.Host))
	a := l.apis[host]
	if a == nil {
		if len(l.apis) >= maxHosts {
			l.left++
			return
		}
		a = &learnt{host: host, paths: &tree{root: newNode(), flush: l.counting.flush}, upstreams: map[string]int{}, names: map[string]int{}}
		l.apis[host] = a
	}
	at := a.place(e)
	if at == nil {
		l.left++
		return
	}
	bump(a.upstreams, e.Upstream)
	bump(a.names, e.API)
	if at.calls == nil {
		at.calls = map[string]*calls{}
	}
	c := at.calls[e.Method]
	if c == nil {
		if len(at.calls) >= 8 {
			l.left++
			return
		}
		c = &calls{callers: map[string]bool{}, shields: map[string]int{}, agents: map[agent]int{}, queries: map[string]bool{}}
		at.calls[e.Method] = c
	}
	c.add(e)
	l.counting.add(e.Time, c, subjectOf(e))
}

// bump counts a word, of at most 64 different ones.
func bump(m map[string]int, word string) {
	if _, known := m[word]; word != "" && (known || len(m) < 64) {
		m[word]++
	}
}

func hostOf(authority string) string {
	if u, err := url.Parse("https://" + authority); err == nil {
		return u.Hostname()
	}
	return authority
}

// place is where a request belongs: to the gateway's own pattern, if that says more than "all that
// is below".
func (a *learnt) place(e *audit.Event) *node {
	_, pattern, _ := strings.Cut(e.Endpoint, " ")
	if strings.HasPrefix(pattern, "/") && !strings.Contains(pattern, "...}") {
		return a.paths.template(pattern)
	}
	return a.paths.at(e.Path)
}

func subjectOf(e *audit.Event) string {
	switch {
	case e.User != "":
		return "user " + e.Client + " " + e.User
	case e.Client != "":
		return "client " + e.Client
	}
	return "address " + e.Remote.Addr().Unmap().String()
}

func (c *calls) add(e *audit.Event) {
	c.count++
	if len(c.callers) < maxCallers {
		c.callers[subjectOf(e)] = true
	}
	if shield := cmp.Or(e.Shield, "none"); len(c.shields) < maxShields || c.shields[shield] > 0 {
		c.shields[shield]++
	}
	c.agents[agentOf(e.UserAgent)]++
	if addr := e.Remote.Addr(); addr.IsPrivate() || addr.IsLoopback() {
		c.inside++
	}
	if e.User != "" {
		c.users++
	}
	if e.BytesIn > 0 {
		c.bodies++
		c.longest = max(c.longest, e.BytesIn)
	}
	for pair := range strings.SplitSeq(e.Query, "&") {
		if name, _, _ := strings.Cut(pair, "="); name != "" && name != "*" && len(c.queries) < maxQueries {
			c.queries[name] = true
		}
	}
}

func (c *calls) take(o *calls) {
	c.count, c.inside, c.users, c.bodies, c.longest = c.count+o.count, c.inside+o.inside, c.users+o.users, c.bodies+o.bodies, max(c.longest, o.longest)
	c.minutes.take(&o.minutes)
	for caller := range o.callers {
		if len(c.callers) < maxCallers {
			c.callers[caller] = true
		}
	}
	for name, n := range o.shields {
		c.shields[name] += n
	}
	for name, n := range o.agents {
		c.agents[name] += n
	}
	for name := range o.queries {
		if len(c.queries) < maxQueries {
			c.queries[name] = true
		}
	}
}

func agentOf(name string) agent {
	for _, part := range []string{"CFNetwork", "okhttp", "Dalvik", "Darwin/", "Dart/", "Alamofire", "ReactNative"} {
		if strings.Contains(name, part) {
			return aMobile
		}
	}
	if strings.HasPrefix(name, "Mozilla/") {
		return aBrowser
	}
	return aProgram
}

// Propose ends learning.
func (l *Log) Propose() *Proposal {
	l.counting.flush()
	p := &Proposal{}
	contract := newContract()
	names := map[string]bool{}
	for _, host := range slices.Sorted(maps.Keys(l.apis)) {
		a := l.apis[host]
		if plan := l.plan(a, p, contract); len(plan.Advice) > 0 {
			for i := 2; names[plan.API.Name]; i++ {
				plan.API.Name = fmt.Sprintf("%s-%d", a.name, i)
			}
			names[plan.API.Name] = true
			p.Plans = append(p.Plans, plan)
		}
	}
	if l.options.Candidate != "" && len(p.Plans) > 0 {
		p.Contract = contract.text()
	}
	l.counts(p)
	return p
}

// counts tells of what was not learnt from.
func (l *Log) counts(p *Proposal) {
	gap := func(rule string, n int, what, more, do string) {
		if n > 0 {
			p.Open = append(p.Open, Gap{rule, "log", amount(n, what) + more, do})
		}
	}
	gap("refused", l.refused, "refused request", ", not learnt from", "pavise log search --decision refused shows them")
	gap("unknown-to-service", l.unknown, "request", " for what the service does not know, not learnt from", "shadow endpoints, probes, or old clients: look before they are refused")
	gap("not-learnt", l.left, "request", " failed, or too odd to learn from", "look at them: pavise log search")
	gap("not-counted", l.counting.lost, "request", " of more callers than are counted within a minute: rates may be too low", "learn from a shorter time")
	for _, a := range l.apis {
		if a.paths.full {
			gap("paths-too-many", 1, "host", " with more different paths than are kept: "+a.host, "name endpoints with parameters by hand, and learn again")
		}
	}
}

// amount is how many things there are: "1 request", "2 requests".
func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// plan makes answers of what was seen of a host.
func (l *Log) plan(a *learnt, p *Proposal, contract *contract) *advise.Plan {
	a.name = cmp.Or(most(a.names), "api")
	upstream := cmp.Or(l.options.Upstream, addressOf(most(a.upstreams)))
	api := advise.API{Name: a.name, Host: a.host, Upstream: upstream}
	var endpoints []advise.Endpoint
	rare, many := 0, 0
	table := route.New[bool]()
	for _, f := range a.paths.all() {
		switch {
		case f.calls.count < l.options.Least:
			rare++
			continue
		case l.proposed >= maxProposed:
			many++
			continue
		}
		e := l.endpoint(&f)
		if _, unfit := advise.Fit(table, []advise.Endpoint{e}); len(unfit) > 0 {
			p.Open = append(p.Open, Gap{"patterns-clash", e.Pattern, unfit[0].Why, "name what is fixed in its path, and write it by hand"})
			continue
		}
		l.proposed++
		endpoints = append(endpoints, e)
		contract.add(&f)
		l.open(p, &f, e.Pattern)
		p.Seen = append(p.Seen, Seen{e.Pattern, f.calls.count, len(f.calls.callers), strings.Join(slices.Sorted(maps.Keys(f.calls.shields)), ", "), f.calls.minutes.most(99), ""})
	}
	if rare > 0 {
		p.Open = append(p.Open, Gap{"seen-rarely", a.host, fmt.Sprintf("%s called fewer than %s, not proposed", amount(rare, "endpoint"), amount(l.options.Least, "time")), "--least 1 proposes them, too"})
	}
	if many > 0 {
		p.Open = append(p.Open, Gap{"endpoints-too-many", a.host, fmt.Sprintf("%s more than the %d that are proposed", amount(many, "endpoint"), maxProposed), "--least with a higher number leaves out what is called rarely"})
	}
	if upstream == "" {
		p.Open = append(p.Open, Gap{"upstream-unknown", a.host, "no event says where the service listens", "--upstream http://127.0.0.1:3000"})
	}
	plan := advise.Advise(api, endpoints)
	plan.Candidate, plan.Until = l.options.Candidate, l.options.Until
	for i := range plan.Advice {
		p.Seen[len(p.Seen)-len(plan.Advice)+i].Proposed = plan.Advice[i].Limit
	}
	return plan
}

func addressOf(upstream string) string {
	if upstream == "" || strings.Contains(upstream, "://") {
		return upstream
	}
	return "http://" + upstream
}

// most is the word that was counted most.
func most(m map[string]int) (word string) {
	for _, one := range slices.Sorted(maps.Keys(m)) {
		if m[one] > m[word] {
			word = one
		}
	}
	return word
}

func (l *Log) endpoint(f *found) advise.Endpoint {
	e := advise.Endpoint{Pattern: f.method + " " + f.path}
	callers, why := f.calls.who()
	e.Answers.Callers = callers
	if callers != nil {
		e.Guessed = append(e.Guessed, advise.Guess{Question: "callers", Rule: "learnt-callers", Why: why})
	}
	if f.calls.users > 0 {
		e.Answers.Data = advise.User
		e.Guessed = append(e.Guessed, advise.Guess{Question: "data", Rule: "learnt-users", Why: "tokens of people were shown"})
		if advise.NamesDelicate(e.Pattern) {
			e.Answers.Data, e.Guessed = "", e.Guessed[:len(e.Guessed)-1] // the path says more
		}
	}
	e.InForce = f.calls.inForce()
	e.Answers.Rate = f.calls.minutes.rate()
	if f.calls.bodies > 0 && f.method != "GET" {
		e.Settings = append(e.Settings, fmt.Sprintf("max_body: %d", max(bodyOf(f.calls.longest), 16<<10)))
	}
	e.Complete()
	return e
}

// bodyOf is four times the longest body that was seen, as a power of two.
func bodyOf(longest int64) int64 {
	size := int64(1)
	for size < 4*longest && size < 1<<40 {
		size *= 2
	}
	return size
}

// who guesses the callers by what proved them, and by what their programs say of themselves.
func (c *calls) who() (callers []advise.Caller, why string) {
	add := func(one advise.Caller) {
		if !slices.Contains(callers, one) {
			callers = append(callers, one)
		}
	}
	people := func() {
		if c.agents[aBrowser] > 0 {
			add(advise.Browser)
		}
		if c.agents[aMobile] > 0 {
			add(advise.Mobile)
		}
	}
	for _, shield := range slices.Sorted(maps.Keys(c.shields)) {
		switch shield {
		case advise.APIKey:
			add(advise.ThirdParty)
		case advise.HMAC:
			add(advise.Partner)
		case advise.MTLS:
			add(advise.Service)
		case advise.JWT, advise.Introspect:
			before := len(callers)
			people()
			if len(callers) == before {
				add(advise.ThirdParty)
			}
		default:
			people()
			switch {
			case c.agents[aProgram] == 0:
			case c.inside == c.count:
				add(advise.Service)
			default:
				add(advise.ThirdParty)
			}
		}
	}
	return callers, "by the credentials, programs and addresses of those who called: " + strings.Join(slices.Sorted(maps.Keys(c.shields)), ", ")
}

// inForce is what every request showed.
func (c *calls) inForce() (g advise.Guarantees) {
	first := true
	for kind := range c.shields {
		given := advise.Shield{Kind: kind}.Gives()
		if first {
			g, first = given, false
		}
		g &= given
	}
	return g
}

// open tells of what was seen and should not be.
func (l *Log) open(p *Proposal, f *found, pattern string) {
	if n := f.calls.shields["none"] + f.calls.shields["public"]; n > 0 {
		p.Open = append(p.Open, Gap{"nobody-asked", pattern, fmt.Sprintf("%d of %s proved nobody", n, amount(f.calls.count, "request")), "the proposed shield asks; callers need credentials before it is put in force"})
	}
	if f.calls.bodies > 0 {
		p.Open = append(p.Open, Gap{"body-unknown", pattern, "bodies were sent, and events hold none: what is in them is not known", "describe them in the contract before it is enforced"})
	}
	if f.calls.minutes.total < enough {
		p.Open = append(p.Open, Gap{"rate-unknown", pattern, fmt.Sprintf("requests in %s are too few to measure a rate; the usual one is proposed", amount(f.calls.minutes.total, "minute")), "learn from a longer time"})
	}
}
