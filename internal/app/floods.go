package app

import (
	"cmp"
	"fmt"
	"net/netip"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
)

// openLimits makes what counts and bounds requests for as long as the process lives: a reload
// gives nobody a new rate, and no place twice.
func (a *App) openLimits(f *config.File) (err error) {
	if a.limiter, err = limit.NewMemory(limit.MemoryOptions{Now: a.now}); err != nil {
		return err
	}
	if a.tries, err = newTries(f, a.now); err != nil {
		return err
	}
	if a.State != nil {
		a.quotas = a.State.Quotas
	} else if a.quotas, err = limit.NewMemoryQuotas(0, a.now); err != nil { // a configuration is only checked
		return err
	}
	a.load, err = limit.NewLoad(f.Limits.Requests)
	return err
}

// flooded adds what an endpoint bounds by quotas, places and its priority. What is under way
// when the configuration is read again keeps its place, unless the bounds change.
func (g *generation) flooded(e *pavise.Endpoint, from config.Resolved) (err error) {
	e.Quotas = from.Quotas
	if e.Priority, err = limit.ParsePriority(from.Priority); err != nil {
		return err
	}
	api := g.file.APIs[from.API]
	for _, of := range []struct {
		name   string
		places config.Places
	}{
		{from.API, config.Places{Client: api.Concurrency, All: api.Together}},
		{from.API + " " + from.Pattern, from.Own},
	} {
		if of.places == (config.Places{}) {
			continue
		}
		places, err := g.placesOf(fmt.Sprintf("%s %d %d", of.name, of.places.Client, of.places.All), of.places)
		if err != nil {
			return fmt.Errorf("concurrency: %w", err)
		}
		e.Concurrency = append(e.Concurrency, places)
	}
	return nil
}

func (g *generation) placesOf(name string, p config.Places) (places *limit.Concurrency, err error) {
	if places = g.places[name]; places != nil {
		return places, nil
	}
	if places = g.before[name]; places == nil {
		if places, err = limit.NewConcurrency(cmp.Or(p.Client, p.All), p.All); err != nil {
			return nil, err
		}
	}
	if g.places == nil {
		g.places = map[string]*limit.Concurrency{}
	}
	g.places[name] = places
	return places, nil
}

// handshake reports whether another TLS handshake with an address may begin. Behind a trusted
// proxy are many.
func (a *App) handshake(addr netip.Addr) bool {
	g := a.current()
	if isTrusted(g.trusted, addr) {
		return true
	}
	state, err := a.limiter.Take("listener\x00handshakes\x00address\x00address\x00"+limit.AddressKey(addr), g.handshakes, 1)
	return err == nil && state.Allowed
}

// loaded says how full the gateway is.
func (a *App) loaded() admin.Load {
	l := admin.Load{Shed: map[string]int{}}
	l.UnderWay, l.Places = a.load.Taken()
	for _, p := range []limit.Priority{limit.Low, limit.Anonymous, limit.Normal, limit.High} {
		l.Shed[p.String()] = a.load.Shed(p)
	}
	return l
}

// quotaOf finds how much a quota of a configuration allows, by its name; 0: there is none.
func quotaOf(f *config.File) func(name string) int {
	return func(name string) int {
		resolved, _ := f.Resolve() // a configuration that was loaded resolves
		for _, e := range resolved {
			for _, q := range e.Quotas {
				if q.Name == name {
					return q.Count
				}
			}
		}
		return 0
	}
}
