package admin

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"

	"pavise.dev/pavise/internal/client"
)

// PublicKeys are what others need to verify what this installation says.
type PublicKeys struct {
	Identity    json.RawMessage `json:"identity"`    // JWK Set (RFC 7517): tokens in Pavise-Identity
	Checkpoints string          `json:"checkpoints"` // PEM, Ed25519 (RFC 8410): checkpoints of the event log
}

func (s *Service) publicKeys(*http.Request) (any, error) {
	der, err := x509.MarshalPKIXPublicKey(s.Public)
	if err != nil {
		return nil, fmt.Errorf("encode the key of checkpoints: %w", err)
	}
	return PublicKeys{
		Identity: s.Identity, Checkpoints: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}, nil
}

// ChainKey is the secret key of the event log's chain, in hexadecimal. Whoever has it
// can verify the chain by himself, and make records up; not checkpoints.
type ChainKey struct {
	Chain string `json:"chain"`
}

// chainKey hands the secret out, which leaves an event.
func (s *Service) chainKey(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "log.export_chain_key", Target: "event-chain"}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	if len(s.ChainKey) == 0 {
		return nil, change, errors.New("the log has no chain key")
	}
	return ChainKey{hex.EncodeToString(s.ChainKey)}, change, nil
}

// rotateStore seals everything in the store again under new data keys.
func (s *Service) rotateStore(r *http.Request) (any, client.Change, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, client.Change{Action: "keys.rotate", Target: "data keys"}, err
	}
	change, err := s.Registry.RotateKeys(r.Context())
	return Done{change.Text}, change, err
}
