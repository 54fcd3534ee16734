package app

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
)

// intruder asked for a honeypot whose configuration says for how long his network stays out.
type intruder struct {
	path string
	addr netip.Addr
	life time.Duration
}

// Bounds of what happens by itself.
const (
	maxIntruders = 256    // that wait for their block; more leave their event alone
	maxAutomatic = 10_000 // blocks, of which operators need the rest
)

// honeypots are those of a configuration. Only a gateway that runs keeps anybody out.
func (a *App) honeypots(f *config.File) pavise.Honeypots {
	h := pavise.Honeypots{Paths: f.Traps()}
	life := f.Honeypots.Block.Duration
	if life == 0 || a.intruders == nil {
		return h
	}
	h.Caught = func(path string, addr netip.Addr) {
		select {
		case a.intruders <- intruder{path, addr, life}:
		default: // the next request of his will do
		}
	}
	return h
}

// keepOut blocks the networks of intruders, beside the requests, until the installation is
// closed.
func (a *App) keepOut() {
	told := ""
	for {
		select {
		case <-a.life.Done():
			return
		case i := <-a.intruders:
			err := a.blockIntruder(i)
			if err != nil && err.Error() != told {
				a.note("honeypot_block_failed", i.addr.String(), err.Error())
			}
			if told = ""; err != nil {
				told = err.Error()
			}
		}
	}
}

// blockIntruder keeps the network of one out, unless somebody did already: perhaps for longer.
func (a *App) blockIntruder(i intruder) error {
	network, ok := networkOf(i.addr, a.current().trusted)
	if !ok {
		return nil
	}
	if _, blocked := a.State.View.Blocked(i.addr); blocked {
		return nil
	}
	known, err := a.State.Registry.Blocks(a.life)
	if err != nil {
		return err
	}
	if len(known) >= maxAutomatic {
		return fmt.Errorf("%d networks are blocked already; the rest is left to operators", len(known))
	}
	change, err := a.State.Registry.Block(a.life, network, i.life, "honeypot "+i.path)
	if err != nil {
		return err
	}
	if err := a.State.View.Refresh(a.life); err != nil {
		return fmt.Errorf("the block is kept, but not yet in force: %w", err)
	}
	a.record(&audit.Event{
		Class: audit.Admin, Decision: audit.Accepted, Actor: "honeypots", Action: change.Action, Target: change.Target, Change: change.Text,
	})
	return nil
}

// networkOf is what is kept out with an address: itself, or its /64 of IPv6, if no trusted proxy
// lives there too. Never a proxy itself, nor this machine: behind both may be everybody.
func networkOf(addr netip.Addr, trusted []netip.Prefix) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() || isTrusted(trusted, addr) {
		return netip.Prefix{}, false
	}
	if addr.Is6() {
		network := netip.PrefixFrom(addr, 64).Masked()
		if !slices.ContainsFunc(trusted, network.Overlaps) {
			return network, true
		}
	}
	return netip.PrefixFrom(addr, addr.BitLen()), true
}

func isTrusted(trusted []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
