package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/luikyv/go-oidc/pkg/goidc"

	"pavise.dev/pavise/internal/strictjson"
	"pavise.dev/pavise/shield"
)

// Introspect implements [shield.Introspector] for the endpoints of this installation, which
// ask in-process: what POST /introspect answers about an access token. A refresh token is
// not active here.
func (s *Server) Introspect(ctx context.Context, token string) (map[string]any, error) {
	if !strings.HasPrefix(token, opaquePrefix) && strings.Count(token, ".") != 2 {
		return nil, shield.ErrInactive
	}
	info, err := s.provider.Introspect(ctx, token)
	if errors.Is(err, goidc.ErrNotFound) || err == nil && !info.IsActive {
		return nil, shield.ErrInactive
	}
	if err != nil {
		return nil, fmt.Errorf("look up an access token: %w", err)
	}
	stands, err := s.stands(ctx, info)
	if err != nil {
		return nil, err
	}
	if !stands {
		return nil, shield.ErrInactive
	}
	text, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("write what is known of a token: %w", err)
	}
	return strictjson.Object(text)
}
