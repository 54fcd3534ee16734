package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/waf"
	"pavise.dev/pavise/waf/crs"
)

// injection is the layer that looks for injections, nil if none are looked for. Of a description
// that is only on trial nothing is taken for confined. What is recorded is tried beside, nil if nothing is.
func (g *generation) injection(from config.Resolved, contract pavise.Layer, credentials []string) (_ pavise.Layer, recorded *pavise.Trial, _ error) {
	s := from.Injection
	if s == nil {
		return nil, nil, nil
	}
	o := waf.Options{Detectors: s.Detectors, Level: waf.Level(s.Level), MaxText: int64(s.MaxText)}
	for _, e := range s.Except {
		in, pointer := e.Field()
		o.Except = append(o.Except, waf.Exception{In: in, Pointer: pointer, Detectors: e.Detectors})
	}
	if described, ok := contract.(waf.Described); ok {
		o.Described = described
	}
	own, err := waf.New(o)
	if err != nil {
		return nil, nil, fmt.Errorf("injection: %w", err)
	}
	layer, recorded, err := g.withRuleSet(own, s.CRS, crs.Endpoint{Pattern: from.Pattern, Credentials: credentials, Described: o.Described})
	if err != nil {
		return nil, nil, fmt.Errorf("injection: %w", err)
	}
	return tried(&from, config.TrialInjection, layer), recorded, nil
}
