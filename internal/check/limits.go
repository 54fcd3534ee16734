package check

import (
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
)

func rulesOfLimits() []rule {
	return []rule{
		says("limit-missing", medium, "API4 ASVS-2.4.1 REC-API-15", "An endpoint without a limit", "Whoever may call may call as often as his line allows: data is copied out, secrets are guessed, the service is worn out.", "limit: 600/minute per client at the API, tighter at what costs more", limitMissing),
		says("limit-absurd", low, "API4 ASVS-2.4.1 REC-API-15", "A limit that limits nothing", "The number is beyond what one caller can send: it is there to be able to say that there is one.", "look at what callers need (pavise log), and allow twice as much", limitAbsurd),
		says("limit-shared", low, "API4 ASVS-2.4.1 REC-API-15", "One limit for all callers together", "One caller uses it up, and nobody else gets in.", "a limit per client beside it", limitShared),
		says("sensitive-flow-unlimited", medium, "API6 ASVS-2.4.1 ASVS-6.3.1 REC-API-10 REC-API-15", "A sensitive flow at the speed of machines", "Signing in, resetting, inviting or redeeming can be tried hundreds of times a minute: guessing pays.", "limit: 10/minute per user, or per address where nobody is known yet", sensitiveFlowUnlimited),
		says("address-limit-loose", low, "API4 ASVS-2.4.1 REC-API-10", "One address may send very much", "The bound that holds before anybody is known is beyond what one machine should need.", "limits.address: 6000/minute", addressLimitLoose),
		says("wrong-tries-many", medium, "API2 ASVS-6.3.1 REC-API-11", "Many wrong credentials before anybody is slowed down", "Guessing pays: so many tries a minute, from each network.", "limits.wrong_tries: 20", wrongTriesMany),
		says("connections-hogged", low, "API4 ASVS-13.2.6 REC-API-16", "One address may take many of the connections", "A few machines take them all, and nobody else gets in.", "limits.connections_per_address: below a tenth of limits.connections", connectionsHogged),
		says("body-huge", medium, "API4 ASVS-5.2.1 REC-API-14", "Bodies of any size", "One request fills the memory or the disk of the service.", "max_body: 10MiB; more at the endpoints that take files", bodyHuge),
		says("header-slow", medium, "API4 ASVS-13.2.6 REC-API-10", "Callers may be very slow", "Who sends a byte now and then holds a connection for minutes: a thousand of these are cheap.", "limits.header_timeout: 10s, limits.body_timeout: 30s", headerSlow),
		says("header-huge", low, "API4 ASVS-4.2.5 REC-API-14", "Very long heads", "Each is read into memory before anybody is known.", "limits.header_bytes: 32KiB", headerHuge),
		says("timeout-long", low, "API4 ASVS-13.2.6 REC-API-16", "Minutes until the service has to answer", "A service that hangs takes the callers' connections with it.", "timeout: 30s", timeoutLong),
		says("staleness-long", medium, "API2 ASVS-8.3.2 REC-API-17", "Revocations that may take minutes", "While the store cannot be asked, credentials that were revoked go on for so long.", "state.max_staleness: 60s", stalenessLong),
		says("quota-absurd", low, "API4 ASVS-2.4.1 REC-API-15", "A quota that the limit cannot reach", "At full speed the period ends before the quota does: it bounds nothing.", "a smaller quota, or none", quotaAbsurd),
	}
}

// perMinute is how much a rate allows in a minute.
func perMinute(r limit.Rate) float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Count) * float64(time.Minute) / float64(r.Per)
}

func limitMissing(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if len(e.Limits) == 0 && len(e.Quotas) == 0 && !isHealth(e) {
			l.found(path, "%s has neither a limit nor a quota", e.Pattern)
		}
	})
}

// isHealth reports whether an endpoint is one that load balancers ask.
func isHealth(e *config.Resolved) bool {
	return speaksOf(e.Path, []string{"health", "healthz", "livez", "readyz", "ping", "status"}) != ""
}

// plenty is more than one caller can have use for, in a minute.
const plenty = 100_000

func limitAbsurd(l *look) {
	l.each(func(e *config.Resolved, path string) {
		for _, one := range e.Limits {
			if one.Per != limit.PerEndpoint && perMinute(one.Rate) > plenty {
				at := path + ".limit"
				if !l.File.Says(at) {
					at = "apis." + e.API + ".limit"
				}
				l.found(at, "%s is allowed", one)
			}
		}
	})
}

func limitShared(l *look) {
	l.each(func(e *config.Resolved, path string) {
		shared := ""
		for _, one := range e.Limits {
			if one.Per != limit.PerEndpoint {
				return
			}
			shared = one.String()
		}
		if shared != "" {
			l.found(path, "%s is all that bounds %s", shared, e.Pattern)
		}
	})
}

func sensitiveFlowUnlimited(l *look) {
	l.each(func(e *config.Resolved, path string) {
		word := speaksOf(e.Path, sensitiveFlows())
		if word == "" || !writes(e) || e.Step != nil {
			return
		}
		tight := false
		for _, one := range e.Limits {
			tight = tight || one.Per != limit.PerEndpoint && perMinute(one.Rate) <= 60
		}
		if !tight {
			l.found(path, "%s speaks of %s, and may be called more than 60 times a minute", e.Pattern, word)
		}
	})
}

func addressLimitLoose(l *look) {
	if rate, err := limit.ParseRate(l.File.Limits.Address); err == nil && perMinute(rate) > 60_000 {
		l.found("limits.address", "%s are allowed", l.File.Limits.Address)
	}
}

func handshakesLoose(l *look) {
	if rate, err := limit.ParseRate(l.File.Limits.Handshakes); err == nil && perMinute(rate) > 60_000 {
		l.found("limits.handshakes", "%s are allowed", l.File.Limits.Handshakes)
	}
}

func wrongTriesMany(l *look) {
	if n := l.File.Limits.WrongTries; n > 100 {
		l.found("limits.wrong_tries", "%d a minute are allowed", n)
	}
}

func connectionsHogged(l *look) {
	if m := l.File.Limits; m.ConnectionsPer*4 > m.Connections {
		l.found("limits.connections_per_address", "one address may have %d of %d", m.ConnectionsPer, m.Connections)
	}
}

func bodyHuge(l *look) {
	l.each(func(e *config.Resolved, path string) {
		const most = 1 << 30
		if e.MaxBody <= most || !writes(e) {
			return
		}
		at := path + ".max_body"
		if !l.File.Says(at) {
			at = "apis." + e.API + ".max_body"
		}
		l.found(at, "%s takes bodies of %s", e.Pattern, config.Size(e.MaxBody))
	})
}

func headerSlow(l *look) {
	m := l.File.Limits
	if m.HeaderTimeout.Duration > time.Minute {
		l.found("limits.header_timeout", "a head may take %s", m.HeaderTimeout)
	}
	if m.BodyTimeout.Duration > 5*time.Minute {
		l.found("limits.body_timeout", "a body may be silent for %s", m.BodyTimeout)
	}
}

func headerHuge(l *look) {
	if n := l.File.Limits.HeaderBytes; n > 256<<10 {
		l.found("limits.header_bytes", "a head may have %s", n)
	}
}

func timeoutLong(l *look) {
	l.each(func(e *config.Resolved, path string) {
		if e.Timeout <= 5*time.Minute {
			return
		}
		at := path + ".timeout"
		if !l.File.Says(at) {
			at = "apis." + e.API + ".timeout"
		}
		l.found(at, "the service has %s", e.Timeout)
	})
}

func stalenessLong(l *look) {
	if t := l.File.State.MaxStaleness; t.Duration > 5*time.Minute {
		l.found("state.max_staleness", "revocations may be %s old", t)
	}
}

func quotaAbsurd(l *look) {
	l.each(func(e *config.Resolved, path string) {
		for _, q := range e.Quotas {
			minutes := 24 * 60.0
			if q.Period != limit.Day {
				minutes *= 31
			}
			for _, one := range e.Limits {
				if one.Per == q.Per && perMinute(one.Rate)*minutes < float64(q.Count) {
					l.found(path, "%s cannot be reached at %s", q, one)
				}
			}
		}
	})
}
