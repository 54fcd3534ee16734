package inventory

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/client"
	"pavise.dev/pavise/limit"
)

// Bounds of what is counted: what callers can name is bounded, whatever they send.
const (
	maxShapes    = 20_000
	maxNetworks  = 100 // remembered of one shape
	maxSources   = 50_000
	maxCallers   = 10_000 // clients remembered of one endpoint
	maxEndpoints = 50_000
	maxListed    = 1_000 // undeclared endpoints
)

// When requests for what there is not are told: often, and not by somebody who tries everything.
const (
	oftenEnough = 20
	scannerAt   = 25 // different unknown paths of one network
	coverage    = 7 * 24 * time.Hour
)

// Unknown is an endpoint that was asked for, and that nobody declared.
type Unknown struct {
	Host     string    `json:"host"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`              // its shape
	API      string    `json:"api,omitempty"`     // of which the path is known, with other methods; or that let it through
	Code     string    `json:"code,omitempty"`    // unknown_endpoint, method_not_allowed; empty: it was let through
	Through  string    `json:"through,omitempty"` // the catch-all endpoint that let it through
	Answered int       `json:"answered"`          // requests that the service answered with 2xx
	Requests int       `json:"requests"`
	Networks int       `json:"networks"`            // at most 100 are counted
	Callers  int       `json:"networks_of_callers"` // those among them from which what is declared is called, too
	Paths    int       `json:"paths,omitempty"`     // different paths that are told as one
	Days     int       `json:"days"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Sample   string    `json:"sample"` // the last request's id
}

// Traffic counts what the event log tells of. It is not safe for concurrent use.
type Traffic struct {
	since     time.Time
	begins    time.Time
	damage    string
	endpoints map[[2]string]*use
	shapes    map[asked]*asking
	sources   map[string]*source // networks that asked for unknown paths
	callers   map[string]bool    // networks from which somebody who proved who he is called what is declared
	left      int
}

// use is how an endpoint was called.
type use struct {
	calls, refused int
	last           time.Time
	clients        map[string]bool
}

type asked struct{ host, method, path, code string }

type asking struct {
	api         string
	through     string         // the endpoint that let it through
	answered    int            // with 2xx
	requests    int            // all
	by          map[string]int // requests by network
	more        int            // of networks beyond the bound
	days        map[string]bool
	first, last time.Time
	sample      string
}

// source is a network.
type source struct{ shapes map[asked]bool }

// NewTraffic begins to count what happened since a time.
func NewTraffic(since time.Time) *Traffic {
	return &Traffic{since: since, endpoints: map[[2]string]*use{}, shapes: map[asked]*asking{}, sources: map[string]*source{}, callers: map[string]bool{}}
}

// Damaged notes that not all of the log could be read.
func (t *Traffic) Damaged(why string) { t.damage = why }

// Add takes the next event of the log.
func (t *Traffic) Add(e *audit.Event) {
	if e.Time.Before(t.since) {
		return
	}
	if t.begins.IsZero() || e.Time.Before(t.begins) {
		t.begins = e.Time
	}
	if e.Class != audit.Request || e.Note == "tested" || client.IsTester(e.Client) {
		return // what `pavise attack` sent is nobody's call, also what was refused or went through
	}
	switch {
	case e.Endpoint != "":
		t.call(e)
	case (e.Code == "unknown_endpoint" || e.Code == "method_not_allowed") && e.Path != "":
		t.ask(e)
	}
}

func (t *Traffic) call(e *audit.Event) {
	key := [2]string{e.API, e.Endpoint}
	u := t.endpoints[key]
	if u == nil {
		if len(t.endpoints) >= maxEndpoints {
			return
		}
		u = &use{clients: map[string]bool{}}
		t.endpoints[key] = u
	}
	if e.Decision != audit.Accepted {
		u.refused += max(e.Count, 1)
		return
	}
	u.calls += max(e.Count, 1)
	if e.Time.After(u.last) {
		u.last = e.Time
	}
	if who := cmp.Or(e.Client, e.User); who != "" {
		if len(u.clients) < maxCallers {
			u.clients[who] = true
		}
		if len(t.callers) < maxSources {
			t.callers[networkOf(e)] = true
		}
	}
	if e.Path != "" && isCatchAll(e.Endpoint) {
		t.ask(e)
	}
}

func networkOf(e *audit.Event) string {
	addr := e.Remote.Addr()
	if !addr.IsValid() {
		return ""
	}
	return limit.AddressKey(addr)
}

// isCatchAll reports whether an endpoint lets every path through, so that nobody has declared what stands
// behind it: GET /{path...}, also below a version. A folder of files, GET /v1/files/{path...}, is declared.
func isCatchAll(pattern string) bool {
	_, path, _ := strings.Cut(pattern, " ")
	begin, wild := strings.CutSuffix(path, "...}")
	if wild {
		begin = begin[:strings.LastIndexByte(begin, '{')+1]
		begin = strings.TrimSuffix(begin, "{")
	}
	if !wild && !strings.HasSuffix(path, "/") {
		return false
	}
	for s := range strings.SplitSeq(strings.Trim(begin, "/"), "/") {
		if s != "" && s != "api" && !versionForm.MatchString(s) {
			return false
		}
	}
	return true
}

// ask counts a request for what nobody declared.
func (t *Traffic) ask(e *audit.Event) {
	key, n, network := asked{e.Host, e.Method, shape(e.Path), e.Code}, max(e.Count, 1), networkOf(e)
	answered := e.Decision == audit.Accepted && e.UpstreamStatus >= 200 && e.UpstreamStatus < 300
	if e.Decision == audit.Accepted {
		key.code = ""
	}
	if !answered {
		t.note(network, key)
	}
	a := t.shapes[key]
	if a == nil {
		t.makeRoom()
		a = &asking{api: e.API, through: e.Endpoint, by: map[string]int{}, days: map[string]bool{}, first: e.Time}
		t.shapes[key] = a
	}
	a.requests += n
	if answered {
		a.answered += n
	}
	if _, known := a.by[network]; known || len(a.by) < maxNetworks {
		a.by[network] += n
	} else {
		a.more += n
	}
	a.days[e.Time.UTC().Format(time.DateOnly)] = true
	a.last, a.sample = e.Time, e.ID
}

// makeRoom forgets the half of what was asked for least, where there is no room: who tries everything cannot
// keep what is asked for often from being seen, also when he comes first.
func (t *Traffic) makeRoom() {
	if len(t.shapes) < maxShapes {
		return
	}
	keys := make([]asked, 0, len(t.shapes))
	for key := range t.shapes {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b asked) int {
		one, other := t.shapes[a], t.shapes[b]
		return cmp.Or(cmp.Compare(other.answered, one.answered), cmp.Compare(other.requests, one.requests), other.last.Compare(one.last), a.compare(b))
	})
	for _, key := range keys[maxShapes/2:] {
		t.left += t.shapes[key].requests
		delete(t.shapes, key)
	}
}

func (k asked) compare(o asked) int {
	return cmp.Or(strings.Compare(k.host, o.host), strings.Compare(k.path, o.path), strings.Compare(k.method, o.method), strings.Compare(k.code, o.code))
}

// note remembers how many different paths a network tries.
func (t *Traffic) note(network string, key asked) {
	s := t.sources[network]
	if s == nil {
		if len(t.sources) >= maxSources {
			return
		}
		s = &source{map[asked]bool{}}
		t.sources[network] = s
	}
	if len(s.shapes) < scannerAt {
		s.shapes[key] = true
	}
}

func (t *Traffic) isScanner(network string) bool {
	s := t.sources[network]
	return s != nil && len(s.shapes) >= scannerAt
}

// count gives an API its numbers.
func (t *Traffic) count(api *API) {
	callers := map[string]bool{}
	for i := range api.Endpoints {
		e := &api.Endpoints[i]
		u := t.endpoints[[2]string{api.Name, e.Pattern}]
		if u == nil {
			continue
		}
		e.Calls, e.Refused, e.LastCall, e.Clients = u.calls, u.refused, u.last, len(u.clients)
		api.Calls += u.calls
		api.Refused += u.refused
		if u.last.After(api.LastCall) {
			api.LastCall = u.last
		}
		for who := range u.clients {
			callers[who] = true
		}
	}
	api.Clients = len(callers)
}

// unknown lists what was asked for often and nobody declared: first what a service answers, then what is asked
// for from where callers are, then what strangers alone ask for.
func (t *Traffic) unknown(v *Inventory) {
	v.Since, v.Begins, v.Damage, v.LeftOut = t.since.UTC(), t.begins, t.damage, t.left
	v.uncovered = t.begins.IsZero() || v.Time.Sub(t.begins) < coverage
	for key, a := range t.shapes {
		u := Unknown{
			Host: key.host, Method: key.method, Path: key.path, Code: key.code, API: a.api, Through: a.through, Answered: a.answered, Requests: a.more, Days: len(a.days),
			First: a.first, Last: a.last, Sample: a.sample,
		}
		for network, n := range a.by {
			if t.isScanner(network) && a.answered == 0 {
				v.Scanned += n
				continue
			}
			u.Requests += n
			u.Networks++
			if t.callers[network] {
				u.Callers++
			}
		}
		if a.answered == 0 && (u.Networks == 0 || u.Requests < oftenEnough || u.Days < 2 && u.Networks < 3) {
			continue
		}
		v.Unknown = append(v.Unknown, u)
	}
	slices.SortFunc(v.Unknown, compareUnknown)
	v.Unknown = together(v.Unknown)
	if more := len(v.Unknown) - maxListed; more > 0 {
		v.Unlisted, v.Unknown = more, v.Unknown[:maxListed]
	}
}

func compareUnknown(a, b Unknown) int {
	flag := func(is bool) int {
		if is {
			return 0
		}
		return 1
	}
	return cmp.Or(
		cmp.Compare(b.Answered, a.Answered), cmp.Compare(flag(a.Callers > 0), flag(b.Callers > 0)), cmp.Compare(flag(a.Paths == 0), flag(b.Paths == 0)), cmp.Compare(b.Requests, a.Requests),
		cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Code, b.Code),
	)
}
