// Package limit bounds how often and how much: rates counted by GCRA, exact
// under concurrency, quotas of days and months, concurrency of callers, all requests under
// way, and lock-outs after wrong tries.
//
// A [Rate] is written "600/minute" in the configuration and always counts
// something named: per client, user, address or endpoint. An address counts by
// /32 (IPv4) or /64 (IPv6).
//
// [Memory] has tables for each limit, so that no limit's callers crowd out
// another's, and within one limit those of addresses are apart from those of
// clients and users, who were authenticated. Where more networks than it has room
// for (an eighth of MaxKeys, 125,000 by default) used a limit so recently that they
// cannot be forgotten, new ones count together with their neighbours: by /56, /48
// and /32 of IPv6, by /24, /16 and /8 of IPv4. Whoever fills the table out of one
// allocation then shares a quota with himself, and a stranger is counted with his
// own surroundings. What remains: an honest caller who is new in the attacker's
// /56 shares that quota until it is full again; and somebody with some ten thousand
// /32s of IPv6, or addresses all over IPv4, makes all new networks of that limit
// share one. Nobody who is being counted already is touched, and clients and users
// are never folded: a limit with more of them at once than MaxKeys refuses new ones.
// The memory is about 150 bytes for each key, so at most 170 MB for each limit.
package limit

import "time"

// Subject is what a limit counts for.
type Subject string

// The subjects of limits.
const (
	PerClient   Subject = "client"
	PerUser     Subject = "user"
	PerAddress  Subject = "address"
	PerEndpoint Subject = "endpoint"
)

// Rate is a number of requests in a time, with a burst of at most the number
// itself.
type Rate struct {
	Count int           // requests, 1 to 1e9
	Per   time.Duration // 1 s to 31 d
	Burst int           // requests at once; 0 means Count
}

// Limit is one rule of an endpoint.
type Limit struct {
	Name string // in headers and events: "orders-client"
	Rate Rate
	Per  Subject
	Cost int // of one request; 0 means 1
}

// State is what is left after a try, for the RateLimit headers.
type State struct {
	Allowed   bool
	Remaining int           // requests that would pass now
	Reset     time.Duration // until Remaining is full again
	Retry     time.Duration // until one request would pass; 0 if Allowed
}

// Limiter counts. It is safe for concurrent use and bounded in memory.
type Limiter interface {
	// Take uses cost tokens of key under rate, all or none. Key holds the name
	// of the limit and whom it counts for. An error means that nobody can
	// count; the caller refuses.
	Take(key string, rate Rate, cost int) (State, error)
}
