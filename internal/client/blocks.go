package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Block keeps the requests of a network out for a time. An operator makes it in an incident;
// it ends by itself.
type Block struct {
	Network netip.Prefix `json:"network"`
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until"`
	Reason  string       `json:"reason,omitempty"`
}

// Bounds of blocks.
const (
	maxBlocks    = 100_000
	maxBlockLife = 90 * 24 * time.Hour
	widest4      = 8  // bits: wider networks are not blocked by a slip of the hand
	widest6      = 20 // bits
)

// Validate refuses blocks that no incident wants.
func (b *Block) Validate() error {
	widest := widest4
	if b.Network.Addr().Is6() {
		widest = widest6
	}
	switch life := b.Until.Sub(b.Since); {
	case !b.Network.IsValid() || b.Network != b.Network.Masked() || b.Network.Addr().Is4In6():
		return fmt.Errorf("network %s: write an address or a network, like 203.0.113.0/24", quote(b.Network.String()))
	case b.Network.Bits() < widest:
		return fmt.Errorf("network %s is wider than /%d: it would shut out a good part of everybody", b.Network, widest)
	case life < time.Second || life > maxBlockLife:
		return fmt.Errorf("a block of %s: want up to 90d", life)
	}
	return checkTexts(map[string]string{"reason": b.Reason})
}

// Block puts a network out. One that is blocked already is blocked as this says.
func (r *Registry) Block(ctx context.Context, network netip.Prefix, life time.Duration, reason string) (Change, error) {
	now := r.now().UTC()
	b := Block{Network: network, Since: now, Until: now.Add(life), Reason: reason}
	change := Change{Action: "network.block", Target: network.String()}
	if err := b.Validate(); err != nil {
		return change, err
	}
	known, err := r.Blocks(ctx)
	if err != nil {
		return change, err
	}
	if len(known) >= maxBlocks {
		return change, fmt.Errorf("%d networks are blocked already", len(known))
	}
	err = r.retry(func() error {
		row, err := r.rows.read(ctx, tableBlock, network.String(), &Block{})
		if err != nil {
			return err
		}
		return r.rows.write(ctx, entry{tableBlock, network.String(), row.Version, b})
	})
	change.Text = fmt.Sprintf("requests from %s are refused until %s%s", network, b.Until.Format(time.RFC3339), because(reason))
	return change, err
}

// Unblock lets a network in again; [ErrNotBlocked] if it is not blocked.
func (r *Registry) Unblock(ctx context.Context, network netip.Prefix) (Change, error) {
	change := Change{Action: "network.unblock", Target: network.String()}
	err := r.retry(func() error {
		row, err := r.rows.read(ctx, tableBlock, network.String(), &Block{})
		switch {
		case err != nil:
			return err
		case row.Body == nil:
			return fmt.Errorf("network %s: %w", network, ErrNotBlocked)
		}
		return r.rows.write(ctx, entry{tableBlock, network.String(), row.Version, nil})
	})
	if err == nil {
		change.Text = "requests from " + network.String() + " are judged again"
	}
	return change, err
}

// ErrNotBlocked says that a network is not blocked.
var ErrNotBlocked = errors.New("it is not blocked")

// Blocks returns what is blocked now, the soonest to end first.
func (r *Registry) Blocks(ctx context.Context) ([]Block, error) {
	known, err := all[Block](ctx, r.rows, tableBlock, nil)
	now := r.now()
	known = slices.DeleteFunc(known, func(b Block) bool { return !now.Before(b.Until) })
	slices.SortFunc(known, func(a, b Block) int { return a.Until.Compare(b.Until) })
	return known, err
}

// blocks are the blocked networks as requests ask for them: one look-up for each length of
// prefix that there is. Immutable.
type blocks struct {
	lengths4, lengths6 []int
	terms              map[netip.Prefix]term
}

// newBlocks arranges networks with the terms of their blocks.
func newBlocks(terms map[netip.Prefix]term) *blocks {
	b := &blocks{terms: terms}
	for p := range terms {
		lengths := &b.lengths4
		if p.Addr().Is6() {
			lengths = &b.lengths6
		}
		if !slices.Contains(*lengths, p.Bits()) {
			*lengths = append(*lengths, p.Bits())
		}
	}
	return b
}

func (b *blocks) find(addr netip.Addr, now, turned time.Time) (until time.Time, blocked bool) {
	lengths := b.lengths4
	if addr.Is6() {
		lengths = b.lengths6
	}
	for _, bits := range lengths {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		t, ok := b.terms[p]
		if end := t.in(now, turned).until; ok && now.Before(end) && end.After(until) {
			until, blocked = end, true
		}
	}
	return until, blocked
}

// Blocked reports whether requests from an address are refused, and until when.
func (v *View) Blocked(addr netip.Addr) (until time.Time, blocked bool) {
	b := v.blocked.Load()
	if b == nil || len(b.terms) == 0 {
		return time.Time{}, false
	}
	return b.find(addr.Unmap().WithZone(""), v.now(), *v.turned.Load())
}

// block takes in a row.
func (a *applying) block(row Row) error {
	var b Block
	there, err := a.decode(row, &b)
	if err != nil {
		return err
	}
	network, err := netip.ParsePrefix(row.ID)
	if err != nil || there && b.Network != network {
		return fmt.Errorf("%s/%s: it names itself %s: %w", row.Table, row.ID, b.Network, ErrCorrupt)
	}
	if a.blocks == nil {
		a.blocks = map[netip.Prefix]term{}
		if known := a.view.blocked.Load(); known != nil {
			for p, t := range known.terms {
				a.blocks[p] = t
			}
		}
	}
	if delete(a.blocks, network); there {
		a.blocks[network] = term{b.Since, b.Until}
	}
	return nil
}

// collectBlocks forgets blocks that have ended.
func (v *View) collectBlocks(ctx context.Context) error {
	known := v.blocked.Load()
	if known == nil {
		return nil
	}
	now := v.now()
	for network, t := range known.terms {
		if now.Before(t.until) {
			continue
		}
		var kept Block
		row, err := v.ledger.read(ctx, tableBlock, network.String(), &kept)
		if err == nil && row.Body != nil && !now.Before(kept.Until) {
			err = v.ledger.write(ctx, entry{tableBlock, network.String(), row.Version, nil})
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("forget blocks that have ended: %w", err)
		}
	}
	return nil
}
