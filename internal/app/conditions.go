package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
)

// conditions compiles an endpoint's Cedar condition and the policy files.
func (a *App) conditions(f *config.File, api, pattern string) (pavise.Layer, error) {
	if f.APIs[api].Endpoints[pattern].When == "" && len(f.Policies) == 0 {
		return nil, nil
	}
	return nil, fmt.Errorf("conditions are compiled by access/cedar")
}
