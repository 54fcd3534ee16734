package review

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Unjudged is something of which is not said that it was not used, although the log tells of no use.
type Unjudged struct {
	What string `json:"what"` // "endpoint orders GET /v1/orders/{id}"
	Why  string `json:"why"`
}

// Unjudged is what is not called unused, and why: it is new, or this log does not tell of all that it does.
// Where the log is too young to say anything, that alone is said.
func (u *Used) Unjudged(a Aim) []Unjudged {
	f := &finder{Aim: a, used: u}
	all := []Unjudged{}
	add := func(why, format string, args ...any) { all = append(all, Unjudged{fmt.Sprintf(format, args...), why}) }
	if f.young(time.Time{}) {
		add(fmt.Sprintf("the log tells of %s, and --settle asks for %s", days(u.Until.Sub(u.from(time.Time{}))), days(a.Settle)), "whatever is granted")
		return all
	}
	if a.Client == "" {
		for _, e := range u.Endpoints {
			if e.Requests == 0 && f.young(e.added) {
				add(f.newSince(e.added), "endpoint %s", e.String())
			}
		}
	}
	said := map[string]bool{}
	for i := range u.Clients {
		c := &u.Clients[i]
		switch {
		case !f.wants(c.Client) || c.Disabled:
		case c.Elsewhere != "":
			add(c.Elsewhere, "client %s", c.Client)
		case f.young(c.given) && len(c.Unused) > 0:
			add(f.newSince(c.given), "client %s, or a scope of it", c.Client)
		default:
			for _, s := range c.Scopes {
				if !s.used() && f.young(s.since) && !said[s.Scope] {
					said[s.Scope] = true
					add("the first endpoint that asks for it is "+f.newSince(s.since), "scope %s", s.Scope)
				}
			}
		}
	}
	for i := range u.Credentials {
		c := &u.Credentials[i]
		owner := f.client(c.Client)
		if f.wants(c.Client) && c.Requests == 0 && shownBy(c.Kind) && !c.short && f.young(c.Created) && owner != nil && !owner.Disabled && owner.Elsewhere == "" {
			add(f.newSince(c.Created), "%s %s of %s", c.Kind, c.ID, c.Client)
		}
	}
	for i := range u.Grants {
		if g := &u.Grants[i]; f.wants(g.Client) && g.Requests == 0 && f.young(g.Created) {
			add(f.newSince(g.Created), "grant %s of %s", g.ID, g.Client)
		}
	}
	return all
}

func (f *finder) newSince(at time.Time) string {
	if !at.Before(f.used.Until) {
		return "new, and not in force yet"
	}
	return "new since " + at.UTC().Format(time.DateOnly)
}

// idleScopes are those that were not used, and are old enough to say so.
func (f *finder) idleScopes(all []ScopeUse) []string {
	idle := []string{}
	for _, s := range all {
		if !s.used() && !f.young(s.since) {
			idle = append(idle, s.Scope)
		}
	}
	return idle
}

// waits reports whether somebody has scopes alone for which there was no endpoint until lately.
func (f *finder) waits(all []ScopeUse) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s ScopeUse) bool { return s.used() || !f.young(s.since) })
}

// addedAt is when an endpoint was put into the policy; zero: before the time, as far as is known.
func (u *use) addedAt(i int) time.Time {
	g := u.x.granted
	if g.Since != nil {
		at, known := g.Since[g.Endpoints[i].String()]
		if !known {
			return time.UnixMicro(u.window[1])
		}
		return at
	}
	if at, was := u.added[int32(i)]; was {
		return time.UnixMicro(at)
	}
	return time.Time{}
}

// demandedSince is since when scopes are asked for, by the oldest endpoint that asks for each.
func (u *use) demandedSince() map[string]time.Time {
	since := map[string]time.Time{}
	for i := range u.x.granted.Endpoints {
		at := u.addedAt(i)
		for _, scope := range u.x.granted.Endpoints[i].needs() {
			if known, is := since[scope]; !is || at.Before(known) {
				since[scope] = at
			}
		}
	}
	return since
}

// scopeSince is the same of a scope that was granted, which may end in a star.
func scopeSince(granted string, demanded map[string]time.Time) time.Time {
	if at, is := demanded[granted]; is {
		return at
	}
	var oldest []time.Time
	for scope, at := range demanded {
		if covers(granted, []string{scope}) {
			oldest = append(oldest, at)
		}
	}
	if len(oldest) == 0 {
		return time.Time{}
	}
	return slices.MinFunc(oldest, time.Time.Compare)
}

func days(d time.Duration) string {
	n := int(d / day)
	return fmt.Sprintf("%d %s", n, cmp.Or(map[bool]string{true: "day"}[n == 1], "days"))
}
