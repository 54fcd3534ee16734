package alert_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise/audit"
)

// world makes the harmless traffic of a company's APIs: some four hundred callers with the rhythm
// of days and weeks, and what goes wrong in every company. Every day follows from the seed and
// its number alone. What is in it:
//
//   - 120 people in twelve offices, each behind one address, with their time zone's hours; they
//     work late, travel, and now and then somebody is called at night
//   - 90 people with telephones, whose networks change all day
//   - a shop's app with one key for all who use it, and a marketing day with five times the traffic
//   - 60 partners' servers, some in two places, some that move to another provider, one that opens a second place
//   - 40 jobs at night, some late, some very large, some that ask for what is not there
//   - 25 devices over IPv6 whose prefixes change, 8 monitors
//   - deployments with minutes of 5xx, slow services, retries, repeated signatures
//   - keys that have ended or were copied badly, passwords mistyped (most on Monday mornings),
//     links to what is not there, forms with O'Brien in them, pages that ask for more than a role may
//   - restarts of the SIEM and of the database, certificates that are renewed in time
type world struct {
	seed    uint64
	callers []*caller
	n       int // events made
}

// caller is somebody or something that calls.
type caller struct {
	kind      string
	name      string
	zone      int // hours from UTC
	networks  []netip.Addr
	agent     string
	shield    string
	rate      float64 // requests a minute when it is busy
	hour      int     // of a job
	endpoints []int
}

// endpoint is one of an API.
type endpoint struct {
	api, pattern, path string // the path, up to an id
	errors             float64
}

func endpoints() []endpoint {
	return []endpoint{
		{"orders", "GET /v1/orders/{id}", "/v1/orders/", 0.001},
		{"orders", "GET /v1/orders", "/v1/orders", 0.002},
		{"orders", "POST /v1/orders", "/v1/orders", 0.004},
		{"catalogue", "GET /v1/products/{id}", "/v1/products/", 0.0005},
		{"catalogue", "GET /v1/search", "/v1/search", 0.01},
		{"billing", "GET /v1/invoices/{id}", "/v1/invoices/", 0.002},
		{"billing", "POST /v1/payments", "/v1/payments", 0.003},
		{"people", "GET /v1/people/{id}", "/v1/people/", 0.001},
		{"devices", "POST /v1/readings", "/v1/readings", 0.0005},
		{"admin", "GET /v1/reports/{id}", "/v1/reports/", 0.02},
	}
}

// monday is when the simulated weeks begin.
var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

func newWorld(seed uint64) *world {
	w := &world{seed: seed}
	r := rand.New(rand.NewPCG(seed, 0))
	v4 := func(a, b int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(r.IntN(256)), byte(1 + r.IntN(254))})
	}
	add := func(kind string, n int, change func(i int, c *caller)) {
		for i := range n {
			c := &caller{kind: kind, name: fmt.Sprintf("%s-%d", kind, i), shield: "api_key"}
			change(i, c)
			w.callers = append(w.callers, c)
		}
	}
	offices := make([]netip.Addr, 12)
	for i := range offices {
		offices[i] = v4(80+i, r.IntN(256))
	}
	add("worker", 120, func(i int, c *caller) {
		c.zone = []int{-8, -5, 0, 1, 1, 1, 1, 2, 5, 8, 9, 1}[i%12]
		c.networks = []netip.Addr{offices[i%12], v4(90, r.IntN(256))} // the office, and home
		c.shield, c.agent, c.rate = "jwt", "Mozilla/5.0 (X11; Linux x86_64)", 0.2+0.5*r.Float64()
		c.endpoints = []int{0, 1, 1, 2, 3, 4, 5, 7, 9}
	})
	add("phone", 90, func(i int, c *caller) {
		c.zone, c.shield, c.agent, c.rate = 1, "jwt", "ShopApp/7.2 (iPhone)", 0.4+r.Float64()
		c.networks = []netip.Addr{v4(91, r.IntN(256))}
		c.endpoints = []int{0, 1, 2, 3, 3, 4, 5, 6}
	})
	add("app", 1, func(_ int, c *caller) {
		c.zone, c.agent, c.rate, c.endpoints = 1, "ShopApp/7.2 (Android)", 25, []int{3, 3, 3, 4}
	})
	add("partner", 60, func(i int, c *caller) {
		c.zone, c.agent, c.rate = []int{-5, 0, 1, 1, 8}[i%5], []string{"Go-http-client/1.1", "python-requests/2.32.3", "okhttp/4.12.0", "Apache-HttpClient/5.3"}[i%4], 0.2+r.Float64()
		c.networks = []netip.Addr{v4(34, r.IntN(256))}
		if i%4 == 0 {
			c.networks = append(c.networks, v4(52, r.IntN(256)))
		}
		if i%3 == 0 {
			c.shield = "hmac"
		}
		c.endpoints = []int{0, 0, 1, 2, 3, 5, 6}[i%3:]
	})
	add("job", 40, func(i int, c *caller) {
		c.hour, c.agent, c.rate, c.networks = i%5, "curl/8.5.0", 1+20*r.Float64(), []netip.Addr{v4(35, r.IntN(256))}
		if i == 7 || i == 21 {
			c.rate = 60 // thousands of objects in one night
		}
		c.endpoints = []int{[]int{0, 3, 5, 7}[i%4]}
	})
	add("device", 25, func(i int, c *caller) {
		c.shield, c.agent, c.rate, c.endpoints = "mtls", "meter/3.1", 0.2, []int{8}
		b := [16]byte{0x20, 0x01, 0x0d, 0xb8 + byte(i%3), byte(r.IntN(256)), byte(r.IntN(256)), byte(i)}
		c.networks = []netip.Addr{netip.AddrFrom16(b)}
	})
	add("monitor", 8, func(i int, c *caller) {
		c.agent, c.rate, c.networks, c.endpoints = "Blackbox-Exporter/0.25", 1, []netip.Addr{v4(10, 0)}, []int{i % 8}
	})
	return w
}

func (w *world) find(name string) *caller {
	return w.callers[slices.IndexFunc(w.callers, func(c *caller) bool { return c.name == name })]
}

// today is what one day has that others have not.
type today struct {
	number     int
	weekend    bool
	marketing  bool
	deploys    []deploy
	endedFrom  map[*caller]int // minute from which a credential is over
	endedUntil map[*caller]int
	wrongFrom  map[*caller]int // minute at which somebody deploys a bad copy of a key
	late       map[*caller]int // hours by which people or jobs are late
	called     map[*caller]int // UTC hour at which somebody is called at night
	away       map[*caller]netip.Addr
	restart    int // minute of a restart of the SIEM or the database; -1: none
}

type deploy struct {
	api        string
	from, mins int
	share      float64
}

func (w *world) day(n int) *today {
	r := rand.New(rand.NewPCG(w.seed, 1000+uint64(n)))
	d := &today{
		number: n, weekend: n%7 >= 5, marketing: n == 16, restart: -1, late: map[*caller]int{}, called: map[*caller]int{}, away: map[*caller]netip.Addr{},
		endedFrom: map[*caller]int{}, endedUntil: map[*caller]int{}, wrongFrom: map[*caller]int{},
	}
	for _, api := range []string{"orders", "catalogue", "billing", "people", "devices", "admin"} {
		if !d.weekend && r.IntN(2) == 0 {
			d.deploys = append(d.deploys, deploy{api, 8*60 + r.IntN(10*60), 1 + r.IntN(4), 0.2 + 0.5*r.Float64()})
		}
	}
	if r.IntN(4) == 0 {
		d.restart = r.IntN(1400)
	}
	for i, c := range w.callers {
		switch c.kind {
		case "partner", "job":
			if r.IntN(150) == 0 {
				d.endedFrom[c] = r.IntN(1200)
				d.endedUntil[c] = d.endedFrom[c] + 20 + r.IntN(180)
			}
			if r.IntN(150) == 0 {
				d.wrongFrom[c] = r.IntN(1400)
			}
			if r.IntN(12) == 0 {
				d.late[c] = r.IntN(3)
			}
			if c.kind == "partner" && i%20 == 3 && n >= 12+i%5 { // moves to another provider, for good
				d.away[c] = netip.AddrFrom4([4]byte{13, byte(i), 7, 7})
			}
		case "worker":
			if r.IntN(25) == 0 {
				d.late[c] = 1 + r.IntN(3)
			}
			if r.IntN(3000) == 0 {
				d.called[c] = ((2+r.IntN(3)-c.zone)%24 + 24) % 24
			}
			if trip := rand.New(rand.NewPCG(w.seed+uint64(i), uint64(n/7))); trip.IntN(25) == 0 { // a week elsewhere
				d.away[c] = netip.AddrFrom4([4]byte{190, byte(trip.IntN(256)), byte(trip.IntN(256)), 9})
			}
		}
	}
	return d
}

// run makes the events from one day's minute to another, in order, with those of an attack
// among them.
func (w *world) run(fromDay, fromMinute, minutes int, attack []audit.Event, see func(*audit.Event)) {
	var minute []audit.Event
	var d *today
	for m := fromDay*1440 + fromMinute; m < fromDay*1440+fromMinute+minutes; m++ {
		if d == nil || d.number != m/1440 {
			d = w.day(m / 1440)
		}
		r := rand.New(rand.NewPCG(w.seed, uint64(m)<<20))
		at := monday.Add(time.Duration(m) * time.Minute)
		minute = minute[:0]
		for _, c := range w.callers {
			minute = w.call(minute, c, d, m%1440, at, r)
		}
		minute = w.house(minute, d, m%1440, at, r)
		for len(attack) > 0 && attack[0].Time.Before(at.Add(time.Minute)) {
			minute = append(minute, attack[0])
			attack = attack[1:]
		}
		slices.SortStableFunc(minute, func(a, b audit.Event) int { return a.Time.Compare(b.Time) })
		for i := range minute {
			w.n++
			see(&minute[i])
		}
	}
}

// busy is how much of its rate a caller calls at a minute of the day (UTC).
func (d *today) busy(c *caller, minute int) float64 {
	local := math.Mod(float64(minute)/60+float64(c.zone)+24, 24)
	switch c.kind {
	case "worker":
		if called, ok := d.called[c]; ok && minute/60 == called {
			return 1
		}
		if d.weekend {
			return 0
		}
		if local >= 8.5 && local < 17.5+float64(d.late[c]) && (local < 12 || local > 12.75) {
			return 1
		}
	case "phone":
		if local >= 7 && local < 9 || local >= 12 && local < 13.5 || local >= 18 && local < 23 {
			if d.marketing {
				return 1
			}
			return 0.25
		}
		return 0.004
	case "app":
		much := 0.1 + 0.5*max(0, math.Sin((local-7)/16*math.Pi))
		if d.marketing && minute >= 10*60 && minute < 14*60 {
			return 5 * much
		}
		return much
	case "partner":
		much := 0.15 + 0.6*max(0, math.Sin((local-6)/14*math.Pi))
		if d.weekend {
			much /= 3
		}
		if d.marketing && minute >= 10*60 && minute < 14*60 {
			much *= 4
		}
		return much
	case "job":
		begins := c.hour*60 + 60*d.late[c]
		if minute >= begins && minute < begins+50 {
			return 1
		}
		return 0
	case "device", "monitor":
		return 1
	}
	return 0
}

// call makes the requests of one caller in one minute.
func (w *world) call(into []audit.Event, c *caller, d *today, minute int, at time.Time, r *rand.Rand) []audit.Event {
	n := poisson(r, c.rate*d.busy(c, minute))
	if minute == d.wrongFrom[c] && minute > 0 { // a bad copy of a key: some tries, then it is put back
		for i := range 8 + r.IntN(8) {
			e := w.event(c, d, minute, at.Add(time.Duration(i*i)*time.Second), r)
			refuse(&e, "shield", "invalid_credential", 401, false)
			into = append(into, e)
		}
	}
	for range n {
		e := w.event(c, d, minute, at.Add(time.Duration(r.Int64N(int64(time.Minute)))), r)
		from, until := d.endedFrom[c], d.endedUntil[c]
		if until > 0 && minute >= from && minute < until {
			refuse(&e, "shield", "expired_credential", 401, true)
			into = append(into, e)
			continue
		}
		into = w.mishaps(append(into, e), c, d, r)
	}
	return into
}

// event is a request that is let pass.
func (w *world) event(c *caller, d *today, minute int, at time.Time, r *rand.Rand) audit.Event {
	to := endpoints()[c.endpoints[r.IntN(len(c.endpoints))]]
	e := audit.Event{
		ID: fmt.Sprintf("%016x", r.Uint64()), Time: at, Class: audit.Request, TLS: "1.3", Proto: "HTTP/2.0", Method: to.pattern[:4], Host: "api.example.com", Path: to.path,
		API: to.api, Endpoint: to.pattern, Step: "proxy", Decision: audit.Accepted, Status: 200, Shield: c.shield, Client: c.name, CredentialID: "id-" + c.name, Proved: true,
		UserAgent: c.agent, Remote: netip.AddrPortFrom(w.address(c, d, minute, r), 40000),
	}
	if to.path[len(to.path)-1] == '/' {
		most := 3000
		if c.rate > 50 {
			most = 1_000_000
		}
		e.Path += fmt.Sprint(r.IntN(most))
	}
	if c.shield == "jwt" {
		e.Issuer, e.Subject, e.User, e.Client = "https://login.example.com", c.name, c.name, "shop-web"
		e.CredentialID = fmt.Sprintf("%s-%d", c.name, minute/60) // tokens live for an hour
	}
	return e
}

// address is from where a caller calls at present.
func (w *world) address(c *caller, d *today, minute int, r *rand.Rand) netip.Addr {
	if elsewhere, ok := d.away[c]; ok {
		return elsewhere
	}
	switch c.kind {
	case "phone": // at home, or anywhere
		if minute > 18*60 && r.IntN(10) > 0 {
			return c.networks[0]
		}
		of := rand.New(rand.NewPCG(w.seed, uint64(d.number*1440+minute)/25^hashOf(c.name)))
		return netip.AddrFrom4([4]byte{100, byte(64 + of.IntN(6)), byte(of.IntN(8)), byte(of.IntN(256))})
	case "app":
		return netip.AddrFrom4([4]byte{100, byte(64 + r.IntN(6)), byte(r.IntN(64)), byte(r.IntN(256))})
	case "worker": // two days a week at home
		if (d.number+int(hashOf(c.name)%5))%5 < 2 || minute/60 == d.called[c] && d.called[c] > 0 {
			return c.networks[1]
		}
		return c.networks[0]
	case "device": // a new prefix each day
		b := c.networks[0].As16()
		b[7] = byte(d.number)
		return netip.AddrFrom16(b)
	}
	if c.name == "partner-13" && d.number >= 17 && r.IntN(2) == 0 { // opens a second place
		return netip.AddrFrom4([4]byte{18, 13, 7, 7})
	}
	return c.networks[r.IntN(len(c.networks))]
}

func hashOf(name string) (h uint64) {
	for i := range len(name) {
		h = h*31 + uint64(name[i])
	}
	return h
}

func refuse(e *audit.Event, step, code string, status int, proved bool) {
	e.Decision, e.Step, e.Code, e.Status, e.Proved = audit.Refused, step, code, status, proved
	if !proved {
		e.Client, e.User, e.Subject, e.Issuer, e.Shield = "", "", "", "", ""
	}
}

func fail(e *audit.Event, status int) {
	e.Decision, e.Status, e.UpstreamStatus = audit.Failed, status, status
}

func poisson(r *rand.Rand, mean float64) int {
	if mean <= 0 {
		return 0
	}
	n, p, least := 0, r.Float64(), math.Exp(-mean)
	for ; p > least; n++ {
		p *= r.Float64()
	}
	return n
}
