package against

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
	"pavise.dev/pavise/shield"
)

// mode is what requests in a row have in common, so that what counts it is counted on; all else
// they have of their own.
type mode struct {
	what string
	set  func(*call)
}

func modes() []mode {
	return []mode{
		{"by everybody", func(c *call) { c.strangers = true }},
		{"of one client", func(c *call) { c.name, c.strangers = "client-of-many", true }},
		{"from one address", func(c *call) { c.network, c.strangers = addressOf(1), true }},
		{"of one person, by several clients", func(*call) {}},
	}
}

// rates compares how many requests pass at an endpoint, at once and as time goes on: for each
// rate and quota alone, and from what both let through.
func (d *differ) rates(s *policy, e *config.Resolved, base *call) error {
	other := d.counterpart(s, e)
	addresses := d.older.file.Limits.Address == d.newer.file.Limits.Address
	if other == nil || s == d.older || sameRates(e, other) && addresses {
		return nil
	}
	c, err := d.common(s, e, other, base)
	if c == nil || err != nil {
		return err
	}
	return d.schedules(c, e.API, e.Pattern)
}

// common is a request that both let through; nil: none was found.
func (d *differ) common(s *policy, e, other *config.Resolved, base *call) (*call, error) {
	scopes := slices.Clone(e.Scopes)
	for _, scope := range other.Scopes {
		if !scopes.Has(scope) {
			scopes = append(scopes, scope)
		}
	}
	own, others := d.partsOf(s.file, e), d.partsOf(d.other(s).file, other)
	all := [][]proof{base.proofs}
	for _, way := range slices.Concat(own, others) {
		all = append(all, plainly(way))
	}
	for _, one := range own {
		for _, more := range others { // with the credentials of both at once
			all = append(all, slices.Concat(plainly(one), plainly(more)))
		}
	}
	for _, proofs := range all[:min(len(all), maxWays)] {
		c := base.with("rate", base.note, func(c *call) { c.proofs, c.scopes = proofs, scopes })
		passes := true
		for _, side := range []*policy{d.newer, d.older} {
			got, err := d.decide(side, c)
			if err != nil {
				return nil, err
			}
			passes = passes && got.Passed
		}
		if passes {
			return c, nil
		}
	}
	return nil, nil
}

// schedules looks for requests in a row of which one side lets through more than the other.
func (d *differ) schedules(c *call, api, pattern string) error {
	for _, m := range modes() {
		row := c.with("rate", c.note, m.set)
		for _, fast := range []*policy{d.newer, d.older} {
			found, err := d.outpace(fast, d.other(fast), row)
			if err != nil {
				return fmt.Errorf("count requests %s: %w", m.what, err)
			}
			for _, one := range found {
				told := row.with("rate", row.noted(one.String()+" "+m.what), func(*call) {})
				passed := Decision{Passed: true, API: api, Endpoint: pattern}
				if fast == d.newer {
					d.door(&d.result.Opened, told, passed, one.refused, "opened")
				} else {
					d.door(&d.result.Closed, told, passed, one.refused, "closed")
				}
			}
		}
	}
	return nil
}

// schedule is a number of requests within a time, the last of which one side refuses.
type schedule struct {
	requests int
	within   time.Duration
	refused  Decision
}

func (s *schedule) String() string {
	if s.within == 0 {
		return fmt.Sprintf("%d times in a row", s.requests)
	}
	unit := time.Second
	switch {
	case s.within > 24*time.Hour:
		unit = time.Hour
	case s.within > time.Hour:
		unit = time.Minute
	}
	return fmt.Sprintf("%d times within %s", s.requests, config.Duration{Duration: (s.within + unit - 1).Truncate(unit)})
}

// outpace looks for schedules that one side lets through and the other does not: one as soon as the
// fast one lets requests through, and one that uses up the quotas of the slow one. Only the first
// requests and the last are sent; what lies between is counted by the counters of both.
func (d *differ) outpace(fast, slow *policy, c *call) (all []*schedule, err error) {
	quick, err := d.countersOf(fast, c)
	if err != nil {
		return nil, err
	}
	tight, err := d.countersOf(slow, c)
	if err != nil {
		return nil, err
	}
	for _, look := range []func(fast, slow *policy, c *call, quick, tight []counter) (*schedule, error){d.pace, d.exhaust} {
		found, err := look(fast, slow, c, quick, tight)
		if err != nil {
			return nil, err
		}
		if found != nil {
			all = append(all, found)
		}
	}
	return all, nil
}

// countersOf are what requests in a row are counted with together.
func (d *differ) countersOf(s *policy, c *call) (all []counter, err error) {
	for i := range 2 {
		got, err := d.decide(s, c)
		if err != nil || !got.Passed {
			return nil, err
		}
		if i == 0 {
			all = slices.Clone(s.meter.last)
		}
	}
	return both(all, s.meter.last), nil
}

// isBounded reports whether each of some counters has one like it among others: those let
// through no more.
func isBounded(tight, quick []counter) bool {
	return !slices.ContainsFunc(tight, func(c counter) bool { return !slices.ContainsFunc(quick, c.same) })
}

// lastMinute is the last one of the month.
func lastMinute(t time.Time) time.Time {
	_, end := limit.Month.Window(t)
	return end.Add(-time.Minute)
}

// mostMoments bounds at how many moments a schedule sends.
const mostMoments = 20_000

// pace sends as soon and as much as the fast side lets through, until the slow one is behind.
func (d *differ) pace(fast, slow *policy, c *call, quick, tight []counter) (*schedule, error) {
	if isBounded(tight, quick) {
		return nil, nil
	}
	begins := d.world.now
	if slices.ContainsFunc(quick, counter.isQuota) {
		begins = lastMinute(begins) // the next day's and month's may be used soon, too
	}
	for _, side := range []*policy{fast, slow} {
		if err := side.meter.begin(begins); err != nil {
			return nil, err
		}
	}
	found := &schedule{}
	stops := crossings(quick, tight, lastMinute(begins).Add(time.Minute).Sub(begins))
	for range mostMoments {
		most, err := fast.meter.room(quick)
		if err != nil {
			return nil, err
		}
		room, err := slow.meter.room(tight)
		if err != nil {
			return nil, err
		}
		n := min(most, room)
		for side, counters := range map[*policy][]counter{fast: quick, slow: tight} {
			if err := side.meter.count(counters, n); err != nil {
				return nil, err
			}
		}
		found.requests += n
		if most > room {
			return d.last(found, fast, slow, c)
		}
		wait, err := fast.meter.untilFull(quick)
		if err != nil {
			return nil, err
		}
		for len(stops) > 0 && stops[0] <= found.within {
			stops = stops[1:]
		}
		if wait == 0 || len(stops) == 0 {
			return nil, nil // what follows is as it was
		}
		wait = min(wait, stops[0]-found.within)
		found.within += wait
		fast.meter.pass(wait)
		slow.meter.pass(wait)
	}
	d.result.LeftOut = append(d.result.LeftOut, fmt.Sprintf("%s %s: requests at more than %d moments", c.method, c.path, mostMoments))
	return nil, nil
}

// last sends the request that only the fast side lets through.
func (d *differ) last(found *schedule, fast, slow *policy, c *call) (*schedule, error) {
	passed, err := d.send(fast, c)
	if err != nil || !passed.Passed {
		return nil, err
	}
	found.requests++
	if found.refused, err = d.send(slow, c); err != nil || found.refused.Passed {
		return nil, err
	}
	d.result.Tried++
	return found, nil
}

// crossings are the moments at which another rate may begin to bound, or the slow side to be
// behind: after the last of them nothing changes. A quota adds the end of its period, and the time in which every
// rate is as if nothing was counted.
func crossings(quick, tight []counter, ends time.Duration) (all []time.Duration) {
	rates := slices.DeleteFunc(slices.Concat(quick, tight), counter.isQuota)
	longest := time.Duration(0)
	for i, a := range rates {
		longest = max(longest, a.rate.Per)
		for _, b := range rates[i+1:] {
			faster := a.perSecond() - b.perSecond()
			if faster == 0 {
				continue
			}
			for _, more := range []float64{0, 2, -2} { // whole requests are counted
				if seconds := (b.burst() - a.burst() + more) / faster; seconds > 0 && seconds < longestSchedule.Seconds() {
					all = append(all, time.Duration(seconds*float64(time.Second))+time.Nanosecond)
				}
			}
		}
	}
	if slices.ContainsFunc(quick, counter.isQuota) && len(rates) > 0 {
		all = append(all, ends, ends+longest)
	}
	slices.Sort(all)
	return all
}

// longestSchedule bounds how long a schedule takes: rates count over a month at most.
const longestSchedule = 400 * 24 * time.Hour

// exhaust sends at a pace that the rates of both bear, from the first moment of a month on, until a
// quota of the slow one is used up: so that only quotas have to be counted.
func (d *differ) exhaust(fast, slow *policy, c *call, quick, tight []counter) (*schedule, error) {
	theirs, ours := quotasOf(quick), quotasOf(tight)
	if isBounded(ours, theirs) {
		return nil, nil
	}
	const day = 24 * time.Hour
	begins := time.Date(d.world.now.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, side := range []*policy{fast, slow} {
		if err := side.meter.begin(begins); err != nil {
			return nil, err
		}
	}
	found := &schedule{}
	for n := range 31 {
		found.within = time.Duration(n+1)*day - time.Second
		most, err := fast.meter.room(theirs)
		if err != nil {
			return nil, err
		}
		most = min(most, paced(slices.Concat(quick, tight), found.within)-found.requests)
		room, err := slow.meter.room(ours)
		if err != nil {
			return nil, err
		}
		counted := max(min(most, room), 0)
		for side, counters := range map[*policy][]counter{fast: theirs, slow: ours} {
			if err := side.meter.count(counters, counted); err != nil {
				return nil, err
			}
		}
		found.requests += counted
		if most > room {
			fast.meter.pass(day - time.Second)
			slow.meter.pass(day - time.Second)
			return d.last(found, fast, slow, c)
		}
		fast.meter.pass(day)
		slow.meter.pass(day)
	}
	return nil, nil
}

func quotasOf(all []counter) (quotas []counter) {
	for _, c := range all {
		if c.isQuota() {
			quotas = append(quotas, c)
		}
	}
	return quotas
}

// paced is how many requests rates let through within a time.
func paced(counters []counter, within time.Duration) int {
	least := math.MaxInt
	for _, c := range counters {
		if !c.isQuota() {
			least = min(least, int(c.burst()+c.perSecond()*within.Seconds()))
		}
	}
	return least
}

func sameRates(a, b *config.Resolved) bool {
	return slices.EqualFunc(a.Limits, b.Limits, func(x, y limit.Limit) bool { return x.String() == y.String() }) &&
		slices.EqualFunc(a.Quotas, b.Quotas, func(x, y limit.Quota) bool { return x.String() == y.String() })
}

// everywhere compares what bounds all APIs together: requests of one address, and wrong tries. A
// door at one endpoint is enough.
func (d *differ) everywhere() error {
	older, newer := d.older.file.Limits, d.newer.file.Limits
	for i := range d.newer.endpoints {
		e := &d.newer.endpoints[i]
		address := older.Address != newer.Address && !d.proved[place{word: addressLimit}]
		wrong := older.WrongTries != newer.WrongTries && !d.proved[place{word: wrongTries}]
		if !address && !wrong {
			return nil
		}
		base, err := d.plain(d.newer, e, e.Hosts[0], formsOf(e.Path, 0)[0])
		if err != nil {
			return err
		}
		if base == nil {
			continue
		}
		other, err := d.answering(d.older, base)
		if err != nil {
			return err
		}
		if other == nil {
			continue
		}
		c, err := d.common(d.newer, e, other, base)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if address {
			if err := d.schedules(c, e.API, e.Pattern); err != nil {
				return err
			}
		}
		if wrong {
			if err := d.guesses(e, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// answering is the endpoint of a side at which a call arrives; nil: at none.
func (d *differ) answering(s *policy, c *call) (*config.Resolved, error) {
	got, err := d.decide(s, c)
	if err != nil {
		return nil, err
	}
	for i := range s.endpoints {
		if e := &s.endpoints[i]; e.API == got.API && e.Pattern == got.Endpoint {
			return e, nil
		}
	}
	return nil, nil
}

// guesses sends as many wrong credentials from one network as one side bears and the other does
// not, and then a request that both would let through.
func (d *differ) guesses(e *config.Resolved, c *call) error {
	older, newer := d.older.file.Limits.WrongTries, d.newer.file.Limits.WrongTries
	row := c.with("wrong_tries", c.note, func(c *call) { c.network = addressOf(1<<31 + d.number) })
	wrong := row.with("wrong_tries", "", func(c *call) {
		c.proofs, c.header["Authorization"], c.header["X-Api-Key"] = []proof{nobody()}, "Bearer wrong", "wrong"
	})
	n := min(older, newer) + 1
	var got [2]Decision
	for i, side := range []*policy{d.older, d.newer} {
		proxies, err := proxiesOf(side.file)
		if err != nil {
			return err
		}
		if got[i], err = d.guess(side, wrong, row, proxies, n); err != nil {
			return err
		}
	}
	told := row.with("wrong_tries", row.noted(fmt.Sprintf("after %d wrong credentials from its network", n)), func(*call) {})
	passed := Decision{Passed: true, API: e.API, Endpoint: e.Pattern}
	switch {
	case got[1].Passed && got[0].Code == string(shield.LockedOut):
		d.door(&d.result.Opened, told, passed, got[0], "opened")
	case got[0].Passed && got[1].Code == string(shield.LockedOut):
		d.door(&d.result.Closed, told, passed, got[1], "closed")
	}
	return nil
}

// guess has a side refuse wrong credentials, of which the first is sent and the others are counted as it was, and
// decide about a right one then.
func (d *differ) guess(s *policy, wrong, right *call, proxies []netip.Prefix, n int) (Decision, error) {
	if s.tries == nil {
		return Decision{Passed: true}, nil
	}
	s.tries.Trust(proxies)
	defer s.tries.Trust(everybody())
	got, err := d.decide(s, wrong)
	if err != nil || got.Passed || got.Step != "shield" || got.Code == string(shield.MissingCredential) {
		return Decision{}, err // it is no wrong try here
	}
	from, err := netip.ParseAddrPort(right.network)
	if err != nil {
		return Decision{}, fmt.Errorf("read the network of a call: %w", err)
	}
	for range n - 1 {
		s.tries.Wrong("", from.Addr())
	}
	return d.decide(s, right)
}

// proxiesOf are networks whose wrong tries are somebody else's.
func proxiesOf(f *config.File) (all []netip.Prefix, err error) {
	for _, text := range f.Proxies.Addresses {
		network, err := config.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("trusted_proxies.addresses: %w", err)
		}
		all = append(all, network)
	}
	return all, nil
}

// everybody is trusted while requests are tried for themselves: what is wrong with one must not touch the next.
func everybody() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}
}
