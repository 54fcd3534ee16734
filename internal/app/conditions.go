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
	decider, err := cedar.New(s)
	if err != nil {
		return nil, err
	}
	return &condition{Decider: decider, reads: readsOf(decider)}, nil
}

// condition is a decider that says what it looks at.
type condition struct {
	*cedar.Decider

	reads pavise.Reads
}

// Reads implements pavise.Reader.
func (c *condition) Reads() pavise.Reads { return c.reads }

func readsOf(d *cedar.Decider) (reads pavise.Reads) {
	body, query, address, attributes := d.Names()
	for part, named := range map[pavise.Reads]bool{
		pavise.ReadsBody: body, pavise.ReadsQuery: query, pavise.ReadsAddress: address, pavise.ReadsToken: attributes,
	} {
		if named {
			reads |= part
		}
	}
	return reads
}
