package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Introspect implements [shield.Introspector] for the endpoints of this installation, which
// ask in-process: what POST /introspect answers about an access token. A refresh token is
// not active here.
func (s *Server) Introspect(ctx context.Context, token string) (map[string]any, error) {
	info, err := s.active(ctx, token)
	if errors.Is(err, goidc.ErrNotFound) {
		return nil, shield.ErrInactive
	}
	if err != nil {
		return nil, fmt.Errorf("look up an access token: %w", err)
	}
	text, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("write what is known of a token: %w", err)
	}
	return strictjson.Object(text)
}
