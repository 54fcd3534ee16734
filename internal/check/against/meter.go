package against

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"pavise.dev/pavise/limit"
)

// Meter stands in the place of what a guard counts requests with: it is its limiter, and has its
// quotas. It notes with what a request was counted, so that any number of further ones can be
// counted by the same arithmetic instead of being sent; and its clock is moved by hand. It is for
// one goroutine.
type Meter struct {
	rates  *limit.Memory
	quotas *limit.MemoryQuotas
	moment time.Time
	last   []counter // of the last request

	rated, quoted bool // something was counted
}

// counter is what one request is counted with: a rate, or a quota, which has a period.
type counter struct {
	key   string
	rate  limit.Rate
	quota limit.Quota
	cost  int
}

// newMeter is a meter that has counted nothing.
func newMeter(at time.Time) (*Meter, error) {
	m := &Meter{rated: true, quoted: true}
	return m, m.begin(at)
}

// maxCounted is how many callers a meter tells apart: those of one schedule are few.
const maxCounted = 1024

// begin begins anew, at a moment.
func (m *Meter) begin(at time.Time) (err error) {
	m.moment, m.last = at, nil
	now := func() time.Time { return m.moment }
	if m.rated {
		if m.rates, err = limit.NewMemory(limit.MemoryOptions{Now: now, MaxKeys: maxCounted}); err != nil {
			return fmt.Errorf("count anew: %w", err)
		}
	}
	if m.quoted {
		if m.quotas, err = limit.NewMemoryQuotas(maxCounted, now); err != nil {
			return fmt.Errorf("count anew: %w", err)
		}
	}
	m.rated, m.quoted = false, false
	return nil
}

// pass lets time pass for what counts.
func (m *Meter) pass(d time.Duration) { m.moment = m.moment.Add(d) }

// Take implements [limit.Limiter].
func (m *Meter) Take(key string, rate limit.Rate, cost int) (limit.State, error) {
	m.rated = true
	m.last = append(m.last, counter{key: key, rate: rate, cost: cost})
	return m.rates.Take(key, rate, cost)
}

// Quotas are the quotas that are counted beside the rates.
func (m *Meter) Quotas() limit.Quotas { return (*quotaMeter)(m) }

type quotaMeter Meter

// Take implements [limit.Quotas].
func (m *quotaMeter) Take(key string, q limit.Quota, cost int) (limit.State, error) {
	m.quoted = true
	m.last = append(m.last, counter{key: key, quota: q, cost: cost})
	return m.quotas.Take(key, q, cost)
}

// Return implements [limit.Quotas].
func (m *quotaMeter) Return(key string, q limit.Quota, cost int) { m.quotas.Return(key, q, cost) }

// isQuota reports whether it is a quota that counts.
func (c counter) isQuota() bool { return c.quota.Period != "" }

// same reports whether a counter bounds as another does, whatever it is called.
func (c counter) same(o counter) bool {
	return c.rate == o.rate && c.quota.Count == o.quota.Count && c.quota.Period == o.quota.Period && c.cost == o.cost
}

// burst is how many requests at once a counter lets through that has counted nothing.
func (c counter) burst() float64 {
	if c.isQuota() {
		return float64(c.quota.Count / c.cost)
	}
	tokens := c.rate.Burst
	if tokens == 0 {
		tokens = c.rate.Count
	}
	return float64(tokens) / float64(c.cost)
}

// perSecond is how many requests a rate lets through in the long run.
func (c counter) perSecond() float64 {
	return float64(c.rate.Count) / c.rate.Per.Seconds() / float64(c.cost)
}

// peek is what a counter would say of another request.
func (m *Meter) peek(c counter) (limit.State, error) {
	if c.isQuota() {
		return m.quotas.Peek(c.key, c.quota, c.cost)
	}
	return m.rates.Peek(c.key, c.rate, c.cost)
}

// room is how many more requests pass now, as far as some counters say.
func (m *Meter) room(counters []counter) (int, error) {
	least := math.MaxInt
	for _, c := range counters {
		state, err := m.peek(c)
		if err != nil {
			return 0, err
		}
		n := 0
		if state.Allowed {
			n = 1 + state.Remaining/c.cost
		}
		least = min(least, n)
	}
	return least, nil
}

// count counts requests that are not sent; there is room for them.
func (m *Meter) count(counters []counter, requests int) error {
	if requests == 0 {
		return nil
	}
	m.rated, m.quoted = true, true
	for _, c := range counters {
		var state limit.State
		var err error
		if c.isQuota() {
			state, err = m.quotas.Take(c.key, c.quota, c.cost*requests)
		} else {
			state, err = m.rates.Take(c.key, c.rate, c.cost*requests)
		}
		if err == nil && !state.Allowed {
			err = errors.New("there is no room for them")
		}
		if err != nil {
			return fmt.Errorf("count %d requests: %w", requests, err)
		}
	}
	return nil
}

// untilFull is how long it takes until one more of some counters is as if nothing was counted: to
// wait for longer may give away what could have passed. 0: all are.
func (m *Meter) untilFull(counters []counter) (least time.Duration, err error) {
	for _, c := range counters {
		state, err := m.peek(c)
		if err != nil {
			return 0, err
		}
		wait := state.Reset
		if state.Allowed && !c.isQuota() { // it speaks of after the request
			wait -= time.Duration((int64(c.rate.Per) + int64(c.rate.Count) - 1) / int64(c.rate.Count) * int64(c.cost))
		}
		if c.isQuota() && state.Allowed {
			continue // it bounds nothing yet
		}
		if wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
	}
	return least, nil
}

// both are the counters that two requests have in common.
func both(one, other []counter) (all []counter) {
	for _, c := range one {
		if slices.Contains(other, c) && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}
