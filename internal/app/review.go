package app

import (
	"fmt"
	"os"
	"time"

	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/review"
)

// Tried lists what a configuration has on trial, endpoint by endpoint, and when the files
// that say so were last written.
func Tried(f *config.File) (all []review.Tried, written time.Time, err error) {
	resolved, err := f.Resolve()
	if err != nil {
		return nil, written, err
	}
	names := append([]string{}, f.Paths...)
	for _, e := range resolved {
		add := func(layer, until string) {
			all = append(all, review.Tried{API: e.API, Endpoint: e.Pattern, Layer: layer, Until: until})
		}
		known := map[string]bool{}
		for _, t := range e.Trials {
			if known[t.What] || t.What == config.TrialContract && e.OpenAPI == nil {
				continue // the endpoint's own comes first; and there is nothing to try
			}
			known[t.What] = true
			add(t.What, t.Until)
		}
		if e.OpenAPI != nil {
			names = append(names, f.Abs(e.OpenAPI.File))
		}
		if c := e.Candidate; c != nil {
			if len(c.Scopes) > 0 && c.Scopes[0] != "any" {
				add("candidate-scopes", c.Until)
			}
			if c.OpenAPI != nil {
				names = append(names, f.Abs(c.OpenAPI.File))
				add("candidate-contract", c.Until)
			}
			if c.When != "" {
				add("candidate-when", c.Until)
			}
		}
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, written, fmt.Errorf("see when what is tried was written: %w", err)
		}
		if info.ModTime().After(written) {
			written = info.ModTime()
		}
	}
	return all, written, nil
}
