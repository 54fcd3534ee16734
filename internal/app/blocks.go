package app

import (
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise"
)

// blocks are the networks that are kept out, as the snapshot knows them.
func (a *App) blocks() pavise.Blocks {
	if a.State == nil {
		return nil // a configuration is only checked
	}
	return a.State.View
}

// holds are the credentials and people of whom more is demanded, as the snapshot knows them.
func (a *App) holds() pavise.Holds {
	if a.State == nil {
		return nil // a configuration is only checked
	}
	return a.State.View
}

// blockedBut says who is kept out where nobody says whom a proxy speaks for: a trusted proxy
// itself is not, with everybody behind it.
func (a *App) blockedBut(trusted []netip.Prefix) func(netip.Addr) (until time.Time, blocked bool) {
	blocks := a.blocks()
	if blocks == nil {
		return nil
	}
	return func(addr netip.Addr) (time.Time, bool) {
		if slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return time.Time{}, false
		}
		return blocks.Blocked(addr)
	}
}
