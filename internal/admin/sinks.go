package admin

import (
	"context"
	"net/http"

	"pavise.dev/pavise/internal/sink"
)

func (s *Service) sinks(*http.Request) (any, error) {
	if s.Sinks == nil {
		return []sink.Status{}, nil
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	all, err := s.Sinks()
	if err != nil {
		return nil, wrapped("log_unreadable", err, "see how far the sinks are")
	}
	return all, nil
}

// Sinks says how far other places to which events go are.
func (c *Client) Sinks(ctx context.Context) (all []sink.Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/sinks", nil, &all)
	return all, err
}
