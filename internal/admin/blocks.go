package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"pavise.dev/pavise/internal/client"
)

// NewBlock asks to keep a network out for a time.
type NewBlock struct {
	Network netip.Prefix  `json:"network"`
	Life    time.Duration `json:"life"` // nanoseconds
	Reason  string        `json:"reason,omitempty"`
}

func (s *Service) blocks(r *http.Request) (any, error) { return s.Registry.Blocks(r.Context()) }

func (s *Service) block(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "network.block"}
	var n NewBlock
	if err := decode(r, &n); err != nil {
		return nil, change, err
	}
	change, err := s.Registry.Block(r.Context(), n.Network, n.Life, n.Reason)
	return Done{change.Text}, change, err
}

func (s *Service) unblock(r *http.Request) (any, client.Change, error) {
	change := client.Change{Action: "network.unblock", Target: r.PathValue("network")}
	if err := decode(r, &struct{}{}); err != nil {
		return nil, change, err
	}
	network, err := netip.ParsePrefix(r.PathValue("network"))
	if err != nil {
		return nil, change, problem(http.StatusBadRequest, "malformed", "%.80q is no network: write 203.0.113.0/24", r.PathValue("network"))
	}
	change, err = s.Registry.Unblock(r.Context(), network)
	return Done{change.Text}, change, err
}

// Blocks returns the networks that are kept out.
func (c *Client) Blocks(ctx context.Context) (all []client.Block, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/blocks", nil, &all)
	return all, err
}

// Block keeps a network out.
func (c *Client) Block(ctx context.Context, n NewBlock) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/blocks", n, &done)
	return done, err
}

// Unblock lets a network in again.
func (c *Client) Unblock(ctx context.Context, network netip.Prefix) (done Done, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/blocks/"+url.PathEscape(network.String())+"/lift", struct{}{}, &done)
	return done, err
}
