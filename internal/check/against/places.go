package against

import (
	"errors"
	"fmt"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// maxAtOnce bounds how many requests are under way at once: each is held within the one before.
const maxAtOnce = 1_000

// places compares how many requests are let through at the same time: of one client, and of all.
func (d *differ) places(s *policy, e *config.Resolved, base *call) error {
	other := d.counterpart(s, e)
	if other == nil || s == d.older || d.placesOf(s, e) == d.placesOf(d.older, other) {
		return nil
	}
	c, err := d.common(s, e, other, base)
	if c == nil || err != nil {
		return err
	}
	most := 0
	for _, p := range []placesAt{d.placesOf(s, e), d.placesOf(d.older, other)} {
		most = max(most, p.api.Client, p.api.All, p.own.Client, p.own.All)
	}
	if most >= maxAtOnce {
		most = maxAtOnce - 1
		d.result.LeftOut = append(d.result.LeftOut, fmt.Sprintf("%s: more than %d requests at the same time", e.Pattern, maxAtOnce))
	}
	for _, m := range modes() {
		row := c.with("places", c.note, m.set)
		var passed [2]int
		var refused [2]Decision
		for i, side := range []*policy{d.older, d.newer} {
			if err := side.meter.begin(d.world.now); err != nil {
				return err
			}
			if passed[i], refused[i], err = d.atOnce(side, row, most+1); err != nil {
				return err
			}
		}
		slow, into, side := 0, &d.result.Opened, "opened"
		if passed[1] < passed[0] {
			slow, into, side = 1, &d.result.Closed, "closed"
		}
		if passed[0] == passed[1] || passed[slow] == 0 || refused[slow].Code != string(shield.Busy) {
			continue
		}
		told := row.with("places", row.noted(fmt.Sprintf("%d at the same time, %s", passed[slow]+1, m.what)), func(*call) {})
		d.door(into, told, Decision{Passed: true, API: e.API, Endpoint: e.Pattern}, refused[slow], side)
	}
	return nil
}

// placesAt are how many requests may be under way at once at an API and at one of its endpoints.
type placesAt struct{ api, own config.Places }

func (d *differ) placesOf(s *policy, e *config.Resolved) placesAt {
	api := s.file.APIs[e.API]
	return placesAt{config.Places{Client: api.Concurrency, All: api.Together}, e.Own}
}

// atOnce sends a request, another one while it is under way, and so on until one is refused or so
// many are under way.
func (d *differ) atOnce(s *policy, c *call, most int) (passed int, refused Decision, err error) {
	r, err := d.make(s, c)
	if err != nil {
		return 0, Decision{}, err
	}
	d.result.Tried++
	var inner error
	got, err := s.guard.Hold(r, func() {
		if most > 1 {
			passed, refused, inner = d.atOnce(s, c, most-1)
		}
	})
	if err = errors.Join(err, inner); err != nil || !got.Passed {
		return 0, got, err
	}
	return passed + 1, refused, nil
}
