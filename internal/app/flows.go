package app

import (
	"context"
	"path/filepath"

	"pavise.dev/pavise"
	"pavise.dev/pavise/flow"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/limit"
)

// flow is what an endpoint demands of retries and of the order of steps, nil if nothing.
func (a *App) flow(from config.Resolved) (pavise.Flow, error) {
	if from.Idempotency == nil && from.Step == nil {
		return nil, nil
	}
	store, err := a.flows()
	if err != nil {
		return nil, err
	}
	s := flow.Settings{API: from.API, Pattern: from.Pattern, MaxBody: from.MaxBody, Limiter: a.limiter}
	if k := from.Idempotency; k != nil {
		s.Idempotency = &flow.Idempotency{Required: k.Required, Keep: k.Keep.Duration, MaxAnswer: int64(k.MaxAnswer)}
	}
	if step := from.Step; step != nil {
		of := step.Flow
		s.Step = &flow.Step{
			Of: &flow.Sequence{
				Name: step.Name, Steps: len(of.Steps), Within: of.Within.Duration, Pace: of.Pace.Duration,
				Per: limit.Subject(of.Per), Once: of.Once, Open: of.Open, Limits: step.Limits,
			},
			Index: step.Index, Key: flow.Place{In: step.In, Name: step.Key},
		}
	}
	return flow.New(store, s)
}

// flows is the store of keys and sequences; nil for an installation of which nothing is
// opened, and which is never asked. One that is simulated has a store for the time.
func (a *App) flows() (*flow.Store, error) {
	if a.State == nil {
		return a.tried, nil
	}
	return a.State.Flows(a.life, flow.Options{
		Now: a.now, Warn: a.warn, MaxKeys: a.installed.State.Keys, MaxBytes: int64(a.installed.State.Answers),
	})
}

// Flows opens the store of keys and sequences when the first configuration asks for it; it
// lives as long as the state.
func (s *State) Flows(ctx context.Context, o flow.Options) (*flow.Store, error) {
	s.opened.Lock()
	defer s.opened.Unlock()
	if s.flows != nil {
		return s.flows, nil
	}
	key, err := s.Registry.Secret(ctx, "flows", 32)
	if err != nil {
		return nil, err
	}
	o.Dir, o.Key = filepath.Join(s.folder, "flows"), key
	s.flows, err = flow.Open(o)
	return s.flows, err
}
