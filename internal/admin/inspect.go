package admin

import (
	"context"
	"net/http"

	"pavise.dev/pavise/internal/client"
)

type (
	Inspection struct{ Token string }
	Inspected  struct{}
)

func (s *Service) inspect(r *http.Request) (any, client.Change, error) {
	return nil, client.Change{}, nil
}

var _ = context.Background
