package own

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"pavise.dev/pavise/internal/attack"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// Rates and quotas per endpoint are there for all callers together, and requests of the test that
// are admitted use them up, as those of anybody would: an exception for testers would be a way around them
// for whoever gets hold of a tester's credential. So the test keeps to a tenth of each. It waits for that a
// little, and leaves cases out where it would have to wait for long. What counts for a client or an address is
// the test's own, but for callers whose tokens were given, and for those of whom nothing is known: they share, too.
// Whoever allows floods allows this.

const (
	shareOf     = 10 // the part of a limit that the test uses
	longestTurn = time.Minute
	longestAll  = 5 * time.Minute // in a run

	// Quotas are kept over runs, which begin each hour at most.
	runsInDay   = 24
	runsInMonth = 31 * runsInDay
)

// errShared is the error of a case that would use up what all callers share.
var errShared = errors.New("all callers share it, and the test keeps to a tenth of it: it was not used up for this")

// share is what the test may use of one limit at one endpoint, in the limit's own units.
type share struct {
	name string
	cost float64
	most float64 // at once
	gain float64 // in a second
	left float64
	at   time.Time
}

// shares are those of all endpoints.
type shares struct {
	now    func() time.Time
	gives  func(*place) bool // whether requests there may be a real caller's
	by     map[*place][]*share
	common map[string]*share // of limits that count a caller at several endpoints
	waited time.Duration
	spared map[string]int // requests that were not sent, by limit
}

func newShares(now func() time.Time, gives func(*place) bool) *shares {
	return &shares{now: now, gives: gives, by: map[*place][]*share{}, common: map[string]*share{}, spared: map[string]int{}}
}

// of are the shares at an endpoint.
func (s *shares) of(p *place) []*share {
	if known, is := s.by[p]; is {
		return known
	}
	limits := p.Limits
	if p.Step != nil {
		limits = slices.Concat(limits, p.Step.Limits)
	}
	all, given := []*share{}, s.gives(p)
	for _, l := range limits {
		switch {
		case l.Per == limit.PerEndpoint:
			all = append(all, rateShare(l, s.now()))
		case given && l.Per != limit.PerAddress:
			all = append(all, s.once(rateShare(l, s.now())))
		}
	}
	for _, q := range p.Quotas {
		switch {
		case q.Per == limit.PerEndpoint:
			all = append(all, quotaShare(q, s.now()))
		case given || hasPublic(p):
			all = append(all, s.once(quotaShare(q, s.now())))
		}
	}
	s.by[p] = all
	return all
}

// once is the share of a limit that counts at all its endpoints together.
func (s *shares) once(fresh *share) *share {
	if s.common[fresh.name] == nil {
		s.common[fresh.name] = fresh
	}
	one := s.common[fresh.name]
	one.cost = max(one.cost, fresh.cost) // an endpoint may count for more
	return one
}

// rateShare is a tenth of a rate; at least one request, where that leaves as much for others.
func rateShare(l limit.Limit, now time.Time) *share {
	burst := float64(cmp.Or(l.Rate.Burst, l.Rate.Count))
	one := &share{name: l.Name, cost: float64(max(l.Cost, 1)), most: burst / shareOf, at: now}
	if one.most < one.cost && burst >= 2*one.cost {
		one.most = one.cost
	}
	one.gain = float64(l.Rate.Count) / l.Rate.Per.Seconds() / shareOf
	one.left = one.most
	return one
}

// quotaShare is a tenth of a quota, in as many parts as there may be runs.
func quotaShare(q limit.Quota, now time.Time) *share {
	runs := runsInDay
	if q.Period == limit.Month {
		runs = runsInMonth
	}
	most := float64(q.Count) / shareOf / float64(runs)
	return &share{name: q.Name, cost: float64(max(q.Cost, 1)), most: most, left: most, at: now}
}

// wait is how long it takes until one request more is within the share; ok is false if it never is.
func (s *share) wait(now time.Time) (d time.Duration, ok bool) {
	s.left = min(s.most, s.left+s.gain*max(0, now.Sub(s.at).Seconds()))
	s.at = now
	switch {
	case s.left >= s.cost:
		return 0, true
	case s.most < s.cost || s.gain == 0:
		return 0, false
	}
	return time.Duration((s.cost-s.left)/s.gain*float64(time.Second)) + time.Millisecond, true
}

// reserve takes what one request uses of the shares of an endpoint, after the wait that comes back.
func (s *shares) reserve(p *place) (wait time.Duration, err error) {
	now := s.now()
	for _, one := range s.of(p) {
		d, ok := one.wait(now)
		if wait = max(wait, d); !ok || wait > longestTurn || s.waited+wait > longestAll {
			s.spared[one.name]++
			return 0, fmt.Errorf("the limit %s: %w", one.name, errShared)
		}
	}
	s.use(p)
	s.waited += wait
	return wait, nil
}

// use takes what one request used.
func (s *shares) use(p *place) {
	for _, one := range s.of(p) {
		one.left -= one.cost
	}
}

// said tells what was done about it.
func (s *shares) said() []string {
	names := map[string]bool{}
	for _, all := range s.by {
		for _, one := range all {
			names[one.name] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	text := fmt.Sprintf("of limits that all callers share (%s) the test uses a tenth: it waited %s for that", strings.Join(slices.Sorted(maps.Keys(names)), ", "), s.waited.Round(time.Second))
	if len(s.spared) > 0 {
		var left []string
		for _, name := range slices.Sorted(maps.Keys(s.spared)) {
			left = append(left, fmt.Sprintf("%s: %d", name, s.spared[name]))
		}
		text += ", and left requests out (" + strings.Join(left, ", ") + "); --allow floods uses up what there is"
	}
	return []string{text}
}

// isAdmitted reports whether what is wanted is said after a request was counted.
func (w want) isAdmitted() bool {
	switch w.code {
	case "", shield.ReplayedRequest, shield.InvalidInput, shield.GraphQLRefused, shield.Injection, shield.UnsupportedMedia, shield.Denied,
		shield.KeyRequired, shield.KeyReused, shield.OutOfOrder, shield.TooFast:
		return !w.any
	}
	return false
}

// paid waits until a request is within the shares, if it will be counted; waited says that it took time:
// a signature would be too old.
func (t *try) paid(w want, r *http.Request) (at *place, waited bool, err error) {
	for _, h := range t.r.hosts {
		if h.prober == t.s.Prober() {
			at, _ = h.routes.Match(r) // nil: none is counted
		}
	}
	if at == nil || t.r.g.Allowed&attack.Floods != 0 || !w.isAdmitted() {
		return at, false, nil
	}
	wait, err := t.r.shares.reserve(at)
	if err != nil || wait == 0 {
		return nil, false, err
	}
	return nil, true, t.pause(wait)
}
