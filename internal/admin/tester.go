package admin

import (
	"context"
	"net/http"

	"pavise.dev/pavise/internal/client"
)

// OpenTester asks for a client of `pavise attack`.
type OpenTester struct {
	ID     string   `json:"id"` // one of client.TesterA …
	Scopes []string `json:"scopes"`
}

func (s *Service) openTester(r *http.Request) (any, client.Change, error) {
	var n OpenTester
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.OpenTester(r.Context(), n.ID, n.Scopes)
	return Done{change.Text}, change, err
}

func (s *Service) closeTester(r *http.Request) (any, client.Change, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, client.Change{}, err
	}
	change, err := s.Registry.CloseTester(r.Context(), r.PathValue("id"))
	return Done{change.Text}, change, err
}

// OpenTester makes or wakes a client of `pavise attack`.
func (c *Client) OpenTester(ctx context.Context, n OpenTester) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/testers", n, &d)
	return d, err
}

// CloseTester ends all that it holds, and puts it to rest.
func (c *Client) CloseTester(ctx context.Context, id string) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/testers/"+id+"/close", struct{}{}, &d)
	return d, err
}
