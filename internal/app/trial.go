package app

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
)

// tried is a layer, on trial if the configuration says so.
func tried(from *config.Resolved, what string, layer pavise.Layer) pavise.Layer {
	until, ok := from.Trial(what)
	if !ok || layer == nil {
		return layer
	}
	return &pavise.Trial{Name: what, Layer: layer, Until: until}
}

// candidates are the layers of a policy that is tried beside the one in force.
func (a *App) candidates(f *config.File, g *generation, from config.Resolved, credentials []string) (all []*pavise.Trial, err error) {
	c := from.Candidate
	if c == nil {
		return nil, nil
	}
	if until := c.Ends(); !a.now().Before(until) {
		return nil, fmt.Errorf("the candidate was to be tried until %s: adopt it, take it away, or give it another day", c.Until)
	}
	add := func(what string, layer pavise.Layer) {
		if layer != nil {
			all = append(all, &pavise.Trial{Name: "candidate-" + what, Layer: layer, Until: endless()})
		}
	}
	if len(c.Scopes) > 0 && c.Scopes[0] != "any" {
		add("scopes", demands(c.Scopes))
	}
	described := from
	described.OpenAPI = c.OpenAPI
	layer, err := g.described(described, credentials)
	if err != nil {
		return nil, fmt.Errorf("candidate: %w", err)
	}
	add("contract", layer)
	if c.When != "" {
		from.When = c.When
		if layer, err = a.conditions(f, g, from); err != nil {
			return nil, fmt.Errorf("candidate: %w", err)
		}
		add("when", layer)
	}
	return all, nil
}

// endless is for trials that never refuse: a candidate that is past its day stops the next
// start, not the requests.
func endless() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// demands is a layer that demands scopes.
type demands shield.Scopes

// Reads says that scopes are looked at.
func (d demands) Reads() pavise.Reads { return shield.ReadsToken }

// Check implements pavise.Layer.
func (d demands) Check(_ *http.Request, id *shield.Identity) error {
	if missing := id.Scopes.Missing(shield.Scopes(d)); len(missing) > 0 {
		return shield.Refuse(shield.InsufficientScope, "missing %s", strings.Join(missing, " "))
	}
	return nil
}
