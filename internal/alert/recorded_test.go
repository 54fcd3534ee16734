package alert_test

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise/audit"
)

// recording is an attack as the gateway would have recorded it, on the Monday behind the three
// weeks: what comes beside the harmless traffic.
type recording struct {
	detection string
	what      string
	begins    int // minute of the day
	minutes   int // that it lasts
	events    func(w *world, a *attack)
}

// attack makes the events of one.
type attack struct {
	all   []audit.Event
	at    time.Time
	world *world
	today *today
}

// of is a request of a caller of the world at a time from the beginning on.
func (a *attack) of(caller string, after time.Duration, change func(*audit.Event)) {
	c := a.world.find(caller)
	at := a.at.Add(after)
	e := a.world.event(c, a.today, at.Hour()*60+at.Minute(), at, newRand(uint64(len(a.all))+77))
	e.ID = fmt.Sprint("a", len(a.all))
	if change != nil {
		change(&e)
	}
	a.all = append(a.all, e)
}

// stranger is a request of nobody.
func (a *attack) stranger(from string, after time.Duration, change func(*audit.Event)) {
	e := audit.Event{
		ID: fmt.Sprint("a", len(a.all)), Time: a.at.Add(after), Class: audit.Request, Remote: address(from), Method: "GET", Host: "api.example.com",
		API: "orders", Endpoint: "GET /v1/orders/{id}", Path: "/v1/orders/7", UserAgent: "python-requests/2.32.3",
	}
	refuse(&e, "shield", "invalid_credential", 401, false)
	if change != nil {
		change(&e)
	}
	a.all = append(a.all, e)
}

// system is an event of the gateway itself.
func (a *attack) system(code, target string, after time.Duration) {
	a.all = append(a.all, audit.Event{
		ID: fmt.Sprint("a", len(a.all)), Time: a.at.Add(after), Class: audit.System, Decision: audit.Noted, Code: code, Target: target,
	})
}

func (a *attack) sorted() []audit.Event {
	slices.SortStableFunc(a.all, func(a, b audit.Event) int { return a.Time.Compare(b.Time) })
	return a.all
}

func address(text string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(text), 4444) }

func from(text string) func(*audit.Event) {
	return func(e *audit.Event) { e.Remote = address(text) }
}

// code makes a refusal of a request.
func code(word string, status int, detail string) func(*audit.Event) {
	return func(e *audit.Event) {
		e.Decision, e.Code, e.Status, e.Detail = audit.Refused, word, status, detail
	}
}

const (
	second = time.Second
	minute = time.Minute
)

// recordings has at least one attack for each detection.
func recordings() []recording {
	return []recording{
		{"guessing", "10,000 random keys from one address; the log counts what is beyond 20 a second", 540, 60, func(_ *world, a *attack) {
			for i := range 100 {
				a.stranger("203.0.113.9", time.Duration(i)*second, func(e *audit.Event) { e.Count = 100 })
			}
		}},
		{"credential_attacked", "signatures with one known key id, from 60 networks", 540, 60, func(_ *world, a *attack) {
			for i := range 60 {
				a.stranger(fmt.Sprintf("198.51.%d.9", i), time.Duration(i)*5*second, func(e *audit.Event) { e.Code, e.CredentialID = "invalid_signature", "id-partner-3" })
			}
		}},
		{"stuffing", "a list of leaked keys, two from each of 100 networks", 540, 60, func(_ *world, a *attack) {
			for i := range 200 {
				a.stranger(fmt.Sprintf("198.51.%d.9", i/2), time.Duration(i)*3*second, nil)
			}
		}},
		{"sign_in_guessing", "passwords of one person from one network", 540, 60, func(_ *world, a *attack) {
			for i := range 60 {
				a.stranger("203.0.113.9", time.Duration(i)*7*second, func(e *audit.Event) {
					*e = audit.Event{ID: e.ID, Time: e.Time, Class: audit.Grant, Decision: audit.Noted, Action: "person.sign_in_failed", Client: "shop-web", Remote: e.Remote}
				})
			}
		}},
		{"unauthorized_burst", "a program without a credential, five times a second", 540, 60, func(_ *world, a *attack) {
			for i := range 1500 {
				a.stranger("203.0.113.9", time.Duration(i)*second/5, code("missing_credential", 401, ""))
			}
		}},
		{"revoked_used", "a stolen key, after it was revoked", 540, 60, func(_ *world, a *attack) {
			for i := range 10 {
				a.of("partner-3", time.Duration(i)*minute, func(e *audit.Event) {
					from("203.0.113.9")(e)
					code("revoked_credential", 401, "")(e)
				})
			}
		}},
		{"expired_used", "an old key that a program goes on using for a day", 60, 1300, func(_ *world, a *attack) {
			for i := range 1200 {
				a.of("partner-5", time.Duration(i)*minute, code("expired_credential", 401, ""))
			}
		}},
		{"replay", "one signed payment, a hundred times", 540, 60, func(_ *world, a *attack) {
			for i := range 100 {
				a.of("partner-3", time.Duration(i)*second, func(e *audit.Event) {
					from("203.0.113.9")(e)
					code("replayed_request", 401, "")(e)
				})
			}
		}},
		{"exposed_credential", "a key in a query", 540, 60, func(_ *world, a *attack) {
			a.stranger("203.0.113.9", 0, func(e *audit.Event) { e.Code, e.Status, e.Exposed = "exposed_credential", 400, true })
		}},
		{"plain_http", "a device that was set up without TLS", 540, 120, func(_ *world, a *attack) {
			for i := range 700 {
				a.stranger("203.0.113.9", time.Duration(i)*10*second, func(e *audit.Event) { e.Class, e.Code, e.Status = audit.Connection, "tls_required", 403 })
			}
		}},
		{"scope_probing", "a stolen token tries every endpoint of the administration", 540, 60, func(_ *world, a *attack) {
			for i := range 20 {
				a.of("worker-7", time.Duration(i)*3*second, func(e *audit.Event) {
					code("insufficient_scope", 403, "")(e)
					e.API, e.Endpoint = "admin", fmt.Sprintf("GET /v1/admin/%d", i)
				})
			}
		}},
		{"endpoint_scan", "a scanner with a list of paths", 540, 60, func(_ *world, a *attack) {
			for i := range 200 {
				a.stranger("203.0.113.9", time.Duration(i)*second, func(e *audit.Event) {
					code("unknown_endpoint", 404, "")(e)
					e.API, e.Endpoint, e.Path = "", "", fmt.Sprint("/api/v", i)
				})
			}
		}},
		{"refresh_reuse", "a stolen refresh token", 540, 60, func(_ *world, a *attack) {
			a.stranger("203.0.113.9", 0, func(e *audit.Event) {
				*e = audit.Event{ID: e.ID, Time: e.Time, Class: audit.Grant, Decision: audit.Noted, Action: "grant.reuse", Client: "shop-web", Subject: "worker-7", Remote: e.Remote}
			})
		}},
		{"token_tampering", "alg none, alg HS256 with the public key, a kid of 5,000 bytes", 540, 60, func(_ *world, a *attack) {
			for i, detail := range []string{"issuer corp may not sign with the token's alg", "issuer corp may not sign with the token's alg", "the token's kid has more than 256 bytes"} {
				a.stranger("203.0.113.9", time.Duration(i)*second, func(e *audit.Event) { e.Detail = detail })
			}
		}},
		{"unbound_token", "tokens of a service, without its certificate", 540, 60, func(_ *world, a *attack) {
			for i := range 20 {
				a.stranger("203.0.113.9", time.Duration(i)*second, code("unbound_credential", 401, "the credential is bound to certificate x, the caller presented \"\""))
			}
		}},
		{"forged_certificate", "a certificate made with a copy of the authority's key", 540, 60, func(_ *world, a *attack) {
			a.of("device-3", 0, code("invalid_credential", 401, "another certificate is recorded under this serial number: the authority's key may have been stolen"))
		}},
		{"injection_burst", "sqlmap", 540, 60, func(_ *world, a *attack) {
			for i := range 60 {
				a.stranger("203.0.113.9", time.Duration(i)*second, code("injection", 400, ""))
			}
		}},
		{"honeypot", "/.env", 540, 60, func(_ *world, a *attack) {
			a.stranger("203.0.113.9", 0, code("honeypot", 404, ""))
		}},
		{"flow_abuse", "a checkout replayed a thousand times, its last step first", 540, 60, func(_ *world, a *attack) {
			for i := range 1000 {
				a.of("phone-7", time.Duration(i)*second, code([]string{"out_of_order", "too_fast", "idempotency_key_reused"}[i%3], 409, ""))
			}
		}},
		{"protocol_abuse", "two lengths, in many spellings", 540, 60, func(_ *world, a *attack) {
			for i := range 60 {
				a.stranger("203.0.113.9", time.Duration(i)*second, func(e *audit.Event) { e.Class, e.Code, e.Status = audit.Connection, "bad_framing", 400 })
			}
		}},
		{"certificate_ending", "a certificate that was not renewed", 540, 60, func(_ *world, a *attack) { a.system("certificate_expiring", "api.example.com", 0) }},
		{"sink_failing", "the SIEM is away for an hour", 540, 60, func(_ *world, a *attack) {
			a.system("sink_failing", "siem", 0)
			a.system("sink_recovered", "siem", 29*minute)
		}},
		{"schedule_failed", "the nightly check failed", 180, 1, func(_ *world, a *attack) { a.system("schedule_failed", "schedule check", 0) }},
		{"audit_failure", "the machine lost power", 540, 60, func(_ *world, a *attack) { a.system("log_tail_lost", "", 0) }},
		{"state_unconfirmed", "the database is away", 540, 60, func(_ *world, a *attack) {
			for i := range 10 {
				a.system("state_unconfirmed", "", time.Duration(i)*minute)
			}
		}},
		{"error_rate", "a service fails one request in three for half an hour", 600, 60, func(_ *world, a *attack) {
			for i := range 300 {
				a.of("app-0", time.Duration(i)*6*second, func(e *audit.Event) {
					e.API, e.Endpoint = "catalogue", "GET /v1/search"
					fail(e, 503)
				})
			}
		}},
		{"many_networks", "a partner's key that was published, used from 40 networks", 540, 60, func(_ *world, a *attack) {
			for i := range 80 {
				a.of("partner-3", time.Duration(i)*8*second, from(fmt.Sprintf("198.51.%d.9", i%40)))
			}
		}},
		{"first_use", "a partner's stolen key, used by hand beside its owner", 540, 60, func(_ *world, a *attack) {
			for i := range 5 {
				a.of("partner-2", time.Duration(i)*minute, from("203.0.113.9"))
			}
		}},
		{"unusual_volume", "a program of a partner's that has run away", 600, 60, func(_ *world, a *attack) {
			for i := range 3000 {
				a.of("partner-5", time.Duration(i)*second/2, func(e *audit.Event) { e.Path = "/v1/orders/7" })
			}
		}},
		{"unusual_hour", "a person's session, at night", 60, 120, func(_ *world, a *attack) {
			for i := range 60 {
				a.of("worker-3", time.Duration(i)*30*second, nil) // an office at UTC+1
			}
		}},
		{"mass_reading", "10,000 orders over a day, one every eight seconds", 30, 1400, func(_ *world, a *attack) {
			for i := range 10_000 {
				a.of("partner-7", time.Duration(i)*8*second, func(e *audit.Event) {
					e.API, e.Endpoint, e.Path = "orders", "GET /v1/orders/{id}", fmt.Sprint("/v1/orders/", i)
				})
			}
		}},
		{"object_probing", "a person walks through the ids of invoices", 540, 60, func(_ *world, a *attack) {
			for i := range 200 {
				a.of("worker-7", time.Duration(i)*2*second, func(e *audit.Event) {
					e.API, e.Endpoint, e.Path = "billing", "GET /v1/invoices/{id}", fmt.Sprint("/v1/invoices/", 100+i)
					if i%10 > 0 {
						e.Status, e.UpstreamStatus = []int{403, 404}[i%2], 403
					}
				})
			}
		}},
	}
}
