package inventory

import (
	"fmt"
	"net"
	"net/netip"

	"pavise.dev/pavise/internal/config"
)

// Exposures, from the widest to the narrowest.
const (
	Public   = "public"   // whoever reaches the network may call, or may become one who may
	Partner  = "partner"  // machines alone that prove themselves with a certificate or a signature
	Internal = "internal" // it is reached from this machine, or from a private network
)

// wider reports whether one exposure lets more in than another.
func wider(is, stated string) bool {
	rank := map[string]int{Internal: 0, Partner: 1, Public: 2}
	return rank[is] > rank[stated]
}

// exposureOf says for whom an API is open, and from what that follows.
func exposureOf(f *config.File, all []config.Resolved, name string) (exposure, why string) {
	if where := private(f); where != "" {
		return Internal, where
	}
	open, machines := "", true
	for i := range all {
		e := &all[i]
		if e.API != name {
			continue
		}
		if isPublic(e.Shield) {
			open = e.Pattern
		}
		machines = machines && forMachines(e.Shield)
	}
	switch {
	case open != "":
		return Public, "anybody may call " + open
	case machines:
		return Partner, "each endpoint demands a client certificate or a signature"
	}
	return Public, fmt.Sprintf("keys and tokens are taken from everywhere at %s", f.Listen.HTTPS)
}

// private says why the gateway is not reached from elsewhere; "" if it is, or may be: whoever
// trusts a proxy stands behind one.
func private(f *config.File) string {
	if len(f.Proxies.Addresses)+len(f.Proxies.Terminators) > 0 {
		return ""
	}
	host, _, err := net.SplitHostPort(f.Listen.HTTPS)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "localhost", err == nil && addr.Unmap().IsLoopback():
		return "the gateway listens on this machine alone"
	case err == nil && addr.Unmap().IsPrivate():
		return "the gateway listens at " + host + ", on a private network"
	}
	return ""
}

// forMachines reports whether each way to satisfy a shield has a proof that no browser and no
// person carries.
func forMachines(s *config.Shield) bool {
	switch {
	case len(s.Any) > 0:
		for i := range s.Any {
			if !forMachines(&s.Any[i]) {
				return false
			}
		}
		return true
	case len(s.All) > 0:
		for i := range s.All {
			if forMachines(&s.All[i].Shield) {
				return true
			}
		}
		return false
	}
	return s.Kind == "mtls" || s.Kind == "hmac"
}
