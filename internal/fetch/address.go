package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// allowance is the operator's list of exceptions, compiled.
type allowance struct {
	prefixes []netip.Prefix
	hosts    map[string]bool // may lie in private networks
	plain    map[string]bool // hosts, or host:port, that may be asked without TLS
}

// newAllowance reads entries of four forms: a network (10.1.0.0/16), an address
// (127.0.0.1), a host (login.internal), and any of the last two behind http://
// (http://127.0.0.1:9999), which also allows them without TLS.
func newAllowance(entries []string) (*allowance, error) {
	a := &allowance{hosts: map[string]bool{}, plain: map[string]bool{}}
	for _, entry := range entries {
		if err := a.add(entry); err != nil {
			return nil, fmt.Errorf("allow %q: %w", entry, err)
		}
	}
	return a, nil
}

func (a *allowance) add(entry string) error {
	host := entry
	if strings.HasPrefix(entry, "http://") {
		u, err := url.Parse(entry)
		if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("behind http:// stands a host, with a port or without, and nothing else")
		}
		host = u.Hostname()
		if u.Port() == "" {
			a.plain[strings.ToLower(host)] = true
		} else {
			a.plain[strings.ToLower(u.Host)] = true
		}
	} else if prefix, err := netip.ParsePrefix(host); err == nil {
		if prefix != prefix.Masked() {
			return fmt.Errorf("the network starts at %s", prefix.Masked().Addr())
		}
		a.prefixes = append(a.prefixes, prefix)
		return nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		a.prefixes = append(a.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	if !isHostName(host) {
		return errors.New("neither a network, an address nor a host name; write 10.1.0.0/16, 127.0.0.1 or login.internal, with http:// in front to do without TLS")
	}
	a.hosts[strings.ToLower(host)] = true
	return nil
}

func isHostName(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for _, c := range []byte(strings.ToLower(host)) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// withoutTLS reports whether hostport (or its host) may be asked over http.
func (a *allowance) withoutTLS(host, hostport string) bool {
	return a.plain[strings.ToLower(host)] || a.plain[strings.ToLower(hostport)]
}

// dial decides about one address that a name resolved to, when it is about to
// be dialled: later than any look-up that an attacker could have answered twice.
func (a *allowance) dial(host string, addr netip.Addr) error {
	addr = addr.Unmap()
	for _, prefix := range a.prefixes {
		if prefix.Contains(addr) {
			return nil
		}
	}
	switch reserved, inside := classify(addr); {
	case !reserved:
		return nil
	case inside && a.hosts[strings.ToLower(host)]:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrAddress, addr)
}

// classify says whether addr is anything but a public unicast address, and
// whether it is of the kind that an allowed host name may lie in: private,
// shared or loopback. Link-local addresses (metadata services of clouds),
// multicast and translated addresses are not; they take an explicit network.
func classify(addr netip.Addr) (reserved, inside bool) {
	if !addr.IsValid() || addr.Zone() != "" {
		return true, false
	}
	for _, prefix := range insideNetworks {
		if prefix.Contains(addr) {
			return true, true
		}
	}
	if addr.Is6() && !globalUnicast6.Contains(addr) {
		return true, false
	}
	for _, prefix := range reservedNetworks {
		if prefix.Contains(addr) {
			return true, false
		}
	}
	return false, false
}

// The IANA special-purpose registries (RFC 6890 and its successors).
var (
	globalUnicast6 = netip.MustParsePrefix("2000::/3")

	insideNetworks = prefixes(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // private, RFC 1918
		"100.64.0.0/10", // shared, RFC 6598
		"127.0.0.0/8", "::1/128",
		"fc00::/7", // unique local, RFC 4193
	)
	reservedNetworks = prefixes(
		"0.0.0.0/8",
		"169.254.0.0/16",                                    // link-local, metadata services
		"192.0.0.0/24",                                      // protocol assignments
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", // documentation
		"192.88.99.0/24", // 6to4 relays
		"198.18.0.0/15",  // benchmarks
		"224.0.0.0/4",    // multicast
		"240.0.0.0/4",    // reserved, broadcast
		"2001::/23",      // Teredo, ORCHID and other protocol assignments
		"2001:db8::/32",  // documentation
		"2002::/16",      // 6to4: an IPv4 address inside
		"3fff::/20",      // documentation
		// Outside 2000::/3 and so refused without a line of their own: ::, NAT64
		// (64:ff9b::/96, 64:ff9b:1::/48), 100::/64, fe80::/10, fec0::/10, ff00::/8.
	)
)

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}
