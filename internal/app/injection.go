package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/waf"
)

// injection is the layer that looks for injections, nil if none are looked for. Of a description
// that is only on trial nothing is taken for confined.
func (g *generation) injection(from config.Resolved, contract pavise.Layer) (pavise.Layer, error) {
	s := from.Injection
	if s == nil {
		return nil, nil
	}
	o := waf.Options{Detectors: s.Detectors, Level: waf.Level(s.Level), MaxText: int64(s.MaxText)}
	for _, e := range s.Except {
		in, pointer := e.Field()
		o.Except = append(o.Except, waf.Exception{In: in, Pointer: pointer, Detectors: e.Detectors})
	}
	if described, ok := contract.(waf.Described); ok {
		o.Described = described
	}
	layer, err := waf.New(o)
	if err != nil {
		return nil, fmt.Errorf("injection: %w", err)
	}
	return tried(&from, config.TrialInjection, layer), nil
}
