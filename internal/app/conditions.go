package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/access/cedar"
	"pavise.dev/pavise/internal/config"
)

// conditions compiles an endpoint's Cedar condition and the policy files.
func (a *App) conditions(f *config.File, g *generation, from config.Resolved) (pavise.Layer, error) {
	if from.When == "" && len(f.Policies) == 0 {
		return nil, nil
	}
	s := cedar.Settings{API: from.API, Endpoint: from.Pattern, Condition: from.When, Now: a.now}
	for _, name := range f.Policies {
		text, err := g.files.Read(name)
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		s.Policies = append(s.Policies, cedar.File{Name: name, Text: string(text)})
	}
	return cedar.New(s)
}
