package app

import (
	"fmt"

	"pavise.dev/pavise"
	"pavise.dev/pavise/graphql"
	"pavise.dev/pavise/internal/config"
)

// graphql adds the layer that holds requests in GraphQL to bounds, behind the contract.
func (g *generation) graphql(from config.Resolved, contract pavise.Layer) (pavise.Layer, error) {
	if from.GraphQL == nil {
		return contract, nil
	}
	layer, err := g.openGraphQL(from.GraphQL)
	if err != nil {
		return nil, fmt.Errorf("graphql (%s:%d): %w", from.GraphQL.Pos.File, from.GraphQL.Pos.Line, err)
	}
	judged := tried(&from, config.TrialGraphQL, layer)
	if contract == nil {
		return judged, nil
	}
	return pavise.Layers{contract, judged}, nil
}

func (g *generation) openGraphQL(from *config.GraphQL) (_ *graphql.Layer, err error) {
	s := graphql.Settings{
		Depth: from.Depth, Fields: from.Fields, Aliases: from.Aliases, Directives: from.Directives, Deferred: from.Deferred,
		Cost: from.Cost, Batch: from.Batch, Tokens: from.Tokens, Bytes: int(from.Bytes), Variables: int(from.Variables),
		ListSize: from.ListSize, Introspection: from.Introspection, Operations: from.Operations,
	}
	if len(from.Scopes) > 0 {
		s.Scopes = map[string][]string{}
		for name, words := range from.Scopes {
			s.Scopes[name] = words
		}
	}
	if from.Schema != "" {
		if s.Schema, err = g.files.Read(from.Schema); err != nil {
			return nil, err
		}
	}
	if from.Persisted != "" {
		if s.Persisted, err = g.files.Read(from.Persisted); err != nil {
			return nil, err
		}
	}
	return graphql.New(s)
}
