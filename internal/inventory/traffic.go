package inventory

import (
	"cmp"
	"slices"
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
)

// When requests for what there is not are told: often, and not by somebody who tries everything.
const (
	oftenEnough = 20
	scannerAt   = 25 // different unknown paths of one network
	coverage    = 7 * 24 * time.Hour
)

// Unknown is an endpoint that was asked for, and that there is not.
type Unknown struct {
	Host     string    `json:"host"`
	Method   string    `json:"method"`
	Path     string    `json:"path"`          // its shape
	API      string    `json:"api,omitempty"` // of which the path is known, with other methods
	Code     string    `json:"code"`          // unknown_endpoint, method_not_allowed
	Requests int       `json:"requests"`
	Networks int       `json:"networks"` // at most 100 are counted
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
	return &Traffic{since: since, endpoints: map[[2]string]*use{}, shapes: map[asked]*asking{}, sources: map[string]*source{}}
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
	if who := cmp.Or(e.Client, e.User); who != "" && len(u.clients) < maxCallers {
		u.clients[who] = true
	}
}

func (t *Traffic) ask(e *audit.Event) {
	key, n := asked{e.Host, e.Method, shape(e.Path), e.Code}, max(e.Count, 1)
	network := ""
	if addr := e.Remote.Addr(); addr.IsValid() {
		network = limit.AddressKey(addr)
	}
	t.note(network, key)
	a := t.shapes[key]
	if a == nil {
		if len(t.shapes) >= maxShapes {
			t.left += n
			return
		}
		a = &asking{api: e.API, by: map[string]int{}, days: map[string]bool{}, first: e.Time}
		t.shapes[key] = a
	}
	if _, known := a.by[network]; known || len(a.by) < maxNetworks {
		a.by[network] += n
	} else {
		a.more += n
	}
	a.days[e.Time.UTC().Format(time.DateOnly)] = true
	a.last, a.sample = e.Time, e.ID
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

// unknown lists what was asked for often, the most often first.
func (t *Traffic) unknown(v *Inventory) {
	v.Since, v.Begins, v.Damage, v.LeftOut = t.since.UTC(), t.begins, t.damage, t.left
	v.uncovered = t.begins.IsZero() || v.Time.Sub(t.begins) < coverage
	for key, a := range t.shapes {
		requests, networks := a.more, 0
		for network, n := range a.by {
			if t.isScanner(network) {
				v.Scanned += n
				continue
			}
			requests += n
			networks++
		}
		if networks == 0 || requests < oftenEnough || len(a.days) < 2 && networks < 3 {
			continue
		}
		v.Unknown = append(v.Unknown, Unknown{
			Host: key.host, Method: key.method, Path: key.path, Code: key.code, API: a.api, Requests: requests, Networks: networks, Days: len(a.days),
			First: a.first, Last: a.last, Sample: a.sample,
		})
	}
	slices.SortFunc(v.Unknown, func(a, b Unknown) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Code, b.Code))
	})
}
