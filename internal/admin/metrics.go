package admin

import (
	"context"
	"net/http"
	"strings"
)

// Numbers are what a gateway counts, in the text format of Prometheus.
type Numbers struct {
	Text string `json:"text"`
}

func (s *Service) metrics(*http.Request) (any, error) {
	if s.Metrics == nil {
		return nil, problem(http.StatusConflict, "not_running", "no gateway runs that could have counted anything")
	}
	var b strings.Builder
	if err := s.Metrics(&b); err != nil {
		return nil, err
	}
	return Numbers{b.String()}, nil
}

// Metrics returns what the gateway counts.
func (c *Client) Metrics(ctx context.Context) (n Numbers, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/metrics", nil, &n)
	return n, err
}
