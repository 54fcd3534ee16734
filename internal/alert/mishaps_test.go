package alert_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"pavise.dev/pavise/audit"
)

// mishaps does to the newest event what happens to one in some hundred.
func (w *world) mishaps(all []audit.Event, c *caller, d *today, r *rand.Rand) []audit.Event {
	e := &all[len(all)-1]
	minute := e.Time.Hour()*60 + e.Time.Minute()
	for _, dep := range d.deploys {
		if dep.api == e.API && minute >= dep.from && minute < dep.from+dep.mins && r.Float64() < dep.share {
			fail(e, 502+r.IntN(2))
			return w.again(all, r)
		}
	}
	for _, of := range endpoints() {
		if of.pattern == e.Endpoint && of.api == e.API && r.Float64() < of.errors*(1+float64(minute/600)) {
			fail(e, 500)
			return w.again(all, r)
		}
	}
	switch r.IntN(1000) {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: // a link to what is not there any more
		e.Status, e.UpstreamStatus = 404, 404
	case 12, 13, 14, 15:
		refuse(e, "validate", "invalid_input", 400, true)
	case 16, 17, 18: // a page asks for more than a role may
		refuse(e, "access", "insufficient_scope", 403, true)
		e.API, e.Endpoint = "admin", []string{"GET /v1/reports/{id}", "GET /v1/audit"}[r.IntN(2)]
	case 19:
		refuse(e, "limit", "rate_limited", 429, true)
	case 20: // a path that is joined badly
		refuse(e, "door", "invalid_path", 400, false)
		e.API, e.Endpoint = "", ""
	case 21: // a wrong link
		refuse(e, "route", "unknown_endpoint", 404, false)
		e.API, e.Endpoint, e.Path = "", "", fmt.Sprint("/v1/", []string{"order", "orders/undefined", "me", "favicon.ico"}[r.IntN(4)])
	}
	switch {
	case c.shield == "hmac" && r.IntN(2000) == 0: // sent again after a timeout, as it was signed
		second := *e
		second.Time = second.Time.Add(2 * time.Second)
		refuse(&second, "consume", "replayed_request", 401, true)
		return append(all, second)
	case c.shield == "jwt" && r.IntN(60) == 0: // the token is over, and another is fetched
		refuse(e, "shield", "expired_credential", 401, true)
		return append(all, audit.Event{ID: e.ID + "g", Time: e.Time.Add(time.Second), Class: audit.Grant, Decision: audit.Noted, Action: "token.refresh", Client: "shop-web", Subject: c.name, Remote: e.Remote})
	case c.kind == "worker" && r.IntN(4000) == 0: // O'Brien
		refuse(e, "harm", "injection", 400, true)
	case c.kind == "job" && c.name == "job-13" && r.IntN(3) == 0: // asks for what may not be there yet
		e.Status, e.UpstreamStatus = 404, 404
	case c.kind == "phone" && r.IntN(1500) == 0: // two tabs
		refuse(e, "flow", "out_of_order", 409, true)
	}
	return all
}

// again is a retry, which mostly goes well.
func (w *world) again(all []audit.Event, r *rand.Rand) []audit.Event {
	e := all[len(all)-1]
	e.ID, e.Time = e.ID+"r", e.Time.Add(time.Duration(1+r.IntN(4))*time.Second)
	if r.IntN(4) > 0 {
		e.Decision, e.Status, e.UpstreamStatus = audit.Accepted, 200, 200
	}
	return append(all, e)
}

// house is what happens beside requests: sign-ins, plain HTTP, strangers, restarts.
func (w *world) house(all []audit.Event, d *today, minute int, at time.Time, r *rand.Rand) []audit.Event {
	tries := 0.02
	if d.number%7 == 0 && minute >= 7*60 && minute < 9*60 { // who remembers his password on Monday?
		tries = 0.4
	}
	for range poisson(r, tries) {
		c := w.callers[r.IntN(120)]
		for i := range 1 + r.IntN(2) {
			all = append(all, audit.Event{
				ID: fmt.Sprintf("s%x", r.Uint64()), Time: at.Add(time.Duration(i*10) * time.Second), Class: audit.Grant, Decision: audit.Noted, Action: "person.sign_in_failed",
				Client: "shop-web", Remote: netip.AddrPortFrom(w.address(c, d, minute, r), 1),
			})
		}
	}
	for range poisson(r, 0.3) { // strangers: a search engine, somebody who looks at the API's address with a browser
		e := audit.Event{
			ID: fmt.Sprintf("x%x", r.Uint64()), Time: at.Add(time.Duration(r.IntN(60)) * time.Second), Class: audit.Request, Host: "api.example.com", Method: "GET", Path: "/",
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{66, byte(r.IntN(256)), byte(r.IntN(256)), 5}), 1), UserAgent: "Mozilla/5.0",
		}
		switch r.IntN(4) {
		case 0:
			refuse(&e, "door", "tls_required", 403, false)
			e.Class = audit.Connection
		case 1:
			refuse(&e, "shield", "missing_credential", 401, false)
			e.API, e.Endpoint = "catalogue", "GET /v1/search"
		default:
			refuse(&e, "route", "unknown_endpoint", 404, false)
			e.Path = []string{"/", "/robots.txt", "/favicon.ico", "/sitemap.xml"}[r.IntN(4)]
		}
		all = append(all, e)
	}
	if minute == d.restart {
		for i, code := range []string{"sink_failing", "state_unconfirmed", "sink_recovered"} {
			all = append(all, audit.Event{ID: fmt.Sprintf("y%x", r.Uint64()), Time: at.Add(time.Duration(i*25) * time.Second), Class: audit.System, Decision: audit.Noted, Code: code, Target: "siem"})
		}
	}
	return all
}
