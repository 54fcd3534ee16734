package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/access/cedar"
	"pavise.dev/pavise/internal/config"
)

// conditions compiles an endpoint's Cedar condition and the policy files.
func (a *App) conditions(f *config.File, g *generation, api, pattern string) (pavise.Layer, error) {
	condition := f.APIs[api].Endpoints[pattern].When
	if condition == "" && len(f.Policies) == 0 {
		return nil, nil
	}
	s := cedar.Settings{API: api, Endpoint: pattern, Condition: condition, Now: a.now}
	for _, name := range f.Policies {
		text, err := g.files.Read(name)
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		s.Policies = append(s.Policies, cedar.File{Name: name, Text: string(text)})
	}
	return cedar.New(s)
}
