package admin

import (
	"context"
	"encoding/hex"
	"net/http"

	"pavise.dev/pavise/internal/client"
)

// Narrow takes scopes away from a credential.
type Narrow struct {
	Kind   string   `json:"kind,omitempty"` // empty: the only kind that has the id
	ID     string   `json:"id"`
	Scopes []string `json:"scopes"` // that it keeps
}

func (s *Service) narrow(r *http.Request) (any, client.Change, error) {
	var n Narrow
	if err := decode(r, &n); err != nil {
		return nil, client.Change{}, err
	}
	change := client.Change{Action: "credential.narrow", Target: n.ID}
	c, err := s.find(r, n.Kind, n.ID)
	if err != nil {
		return nil, change, err
	}
	change, err = s.Registry.NarrowCredential(r.Context(), c.Kind, c.ID, n.Scopes)
	return Done{change.Text}, change, err
}

// Sealing asks to put a report's digest into the log, so that a checkpoint signs it.
type Sealing struct {
	Target string `json:"target"` // what the report is about
	SHA256 string `json:"sha256"` // of the report's file, hexadecimal
}

// Sealed is a signed checkpoint, and the id of the event that it covers.
type Sealed struct {
	Note
	Event string `json:"event"`
}

// sealReport records the digest of a report, and signs the log up to there.
func (s *Service) sealReport(r *http.Request) (any, error) {
	if fault := s.ready(); fault != nil {
		return nil, fault
	}
	var q Sealing
	if err := decode(r, &q); err != nil {
		return nil, err
	}
	if sum, err := hex.DecodeString(q.SHA256); err != nil || len(sum) != 32 || len(q.Target) > maxReason {
		return nil, problem(http.StatusBadRequest, "malformed", "want what the report is about, and its SHA-256 in hexadecimal")
	}
	id, err := s.noteAs(r, "review.seal", q.Target, "report sha256:"+q.SHA256)
	if err != nil {
		return nil, wrapped("unrecorded", err, "record the report")
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	n, err := s.signed()
	return Sealed{n, id}, err
}

// Narrow takes scopes away from a credential.
func (c *Client) Narrow(ctx context.Context, n Narrow) (d Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/credentials/narrow", n, &d)
	return d, err
}

// SealReport puts a report's digest into the log.
func (c *Client) SealReport(ctx context.Context, q Sealing) (s Sealed, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/reports", q, &s)
	return s, err
}
