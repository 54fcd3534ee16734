package app

import (
	"fmt"
	"net/http"

	"pavise.dev/pavise"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/shield"
	"pavise.dev/pavise/waf/crs"
)

// inOrder is a layer that asks others, one after another.
type inOrder []pavise.Layer

// Check implements pavise.Layer.
func (o inOrder) Check(r *http.Request, id *shield.Identity) error {
	for _, layer := range o {
		if err := layer.Check(r, id); err != nil {
			return err
		}
	}
	return nil
}

// Reads says what any of them looks at.
func (o inOrder) Reads() (reads pavise.Reads) {
	for _, layer := range o {
		reads |= readsOf(layer)
	}
	return reads
}

// readsOf says what a layer looks at; of one that does not say, everything.
func readsOf(layer pavise.Layer) pavise.Reads {
	if reader, ok := layer.(interface{ Reads() pavise.Reads }); ok {
		return reader.Reads()
	}
	return shield.ReadsAll
}

// Body implements pavise.BodyReader.
func (o inOrder) Body() (most int64) {
	for _, layer := range o {
		if reader, ok := layer.(pavise.BodyReader); ok {
			most = max(most, reader.Body())
		}
	}
	return most
}

// withRuleSet asks the OWASP Core Rule Set after the detectors, if an endpoint's settings say so; recorded is the higher
// level of which refusals are only recorded, nil if there is none.
func (g *generation) withRuleSet(own pavise.Layer, s *config.CRS, at crs.Endpoint) (layer pavise.Layer, recorded *pavise.Trial, err error) {
	if s == nil || s.Off != "" {
		return own, nil, nil
	}
	settings := crs.Settings{Paranoia: s.Paranoia, Threshold: s.Threshold, MaxBody: int64(s.MaxText), MaxFields: s.MaxFields}
	if s.Higher != nil {
		settings.Threshold = s.Higher.Score
	}
	for i := range s.Exclude {
		e := &s.Exclude[i]
		settings.Except = append(settings.Except, crs.Exception{Rules: e.Numbers(), Field: e.What})
	}
	rules, err := g.rules(settings)
	if err != nil {
		return nil, nil, fmt.Errorf("crs: %w", err)
	}
	layer = inOrder{own, rules.Layer(at)}
	if s.Detect <= s.Paranoia {
		return layer, nil, nil
	}
	settings.Paranoia = s.Detect
	if rules, err = g.rules(settings); err != nil {
		return nil, nil, fmt.Errorf("crs: %w", err)
	}
	return layer, &pavise.Trial{Name: "crs", Layer: rules.Layer(at), Until: endless()}, nil
}

// rules compiles the rule set, once for all endpoints that ask it alike, now and after a reload.
func (g *generation) rules(s crs.Settings) (*crs.Rules, error) {
	key := fmt.Sprintf("%+v", s)
	known := g.ruleSets[key]
	if known == nil {
		known = g.earlier[key]
	}
	if known == nil {
		var err error
		if known, err = crs.New(s); err != nil {
			return nil, err
		}
	}
	if g.ruleSets == nil {
		g.ruleSets = map[string]*crs.Rules{}
	}
	g.ruleSets[key] = known
	return known, nil
}
