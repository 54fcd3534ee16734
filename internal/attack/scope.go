package attack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Scope says where requests may go: to one origin, at the addresses that its name had when the
// run began. A name that points elsewhere later is not followed.
type Scope struct {
	base      *url.URL
	host      string // with its port
	addresses []netip.Addr
	from      func() netip.Addr // nil: the system chooses
}

// ErrOutside is the error of a request that would leave the scope.
var ErrOutside = errors.New("it is not in scope: only the target itself is asked")

// NewScope reads the target's address: https://api.example.com, with a path below which all
// requests go, if there is one. lookup finds the addresses of a name; nil: the system does.
func NewScope(ctx context.Context, target string, lookup func(ctx context.Context, host string) ([]netip.Addr, error)) (*Scope, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%.100q is no address of an API: write https://api.example.com", target)
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the address names a user, a query or a fragment: give only scheme, host, port and the path of the API")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addresses, err := addressesOf(ctx, u.Hostname(), lookup)
	if err != nil {
		return nil, err
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return &Scope{base: u, host: net.JoinHostPort(strings.ToLower(u.Hostname()), port), addresses: addresses}, nil
}

func addressesOf(ctx context.Context, host string, lookup func(context.Context, string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	found, err := lookup(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("find the address of %s: %w", host, err)
	}
	var addresses []netip.Addr
	for _, addr := range found {
		if addr = addr.Unmap(); isOfTheMachine(addr) || isOfTheMachine(within(addr)) {
			return nil, fmt.Errorf("%s has the address %s, where no API is but what clouds tell their machines: give the address itself if you mean it", host, addr)
		}
		addresses = append(addresses, addr)
	}
	if len(addresses) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return addresses, nil
}

// isOfTheMachine reports whether at an address there is no API, but what clouds tell their machines.
func isOfTheMachine(addr netip.Addr) bool {
	switch addr.WithZone("").String() {
	case "fd00:ec2::254", "fd20:ce::254", "100.100.100.200":
		return true
	}
	return addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()
}

// within is the address of IPv4 that one of IPv6 leads to (RFC 6052 §2.1, RFC 8215, RFC 3056 §2, RFC 4291
// §2.5.5.1); the zero address: none.
func within(addr netip.Addr) (inner netip.Addr) {
	bytes := addr.As16()
	switch {
	case !addr.Is6():
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr), netip.MustParsePrefix("64:ff9b:1::/48").Contains(addr), netip.MustParsePrefix("::/96").Contains(addr) && !addr.IsLoopback():
		return netip.AddrFrom4([4]byte(bytes[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	}
	return inner
}

// Base is the address below which the target is.
func (s *Scope) Base() *url.URL { u := *s.base; return &u }

// Allows reports whether a request to the address stays in scope.
func (s *Scope) Allows(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme == s.base.Scheme && u.User == nil && net.JoinHostPort(strings.ToLower(u.Hostname()), port) == s.host
}

// dial connects to the target's addresses alone, whatever was asked for.
func (s *Scope) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if !strings.EqualFold(address, s.host) {
		return nil, fmt.Errorf("connect to %s: %w", address, ErrOutside)
	}
	_, port, err := net.SplitHostPort(s.host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return s.dialPort(ctx, network, port)
}

// dialPlain connects to where the target would answer without TLS.
func (s *Scope) dialPlain(ctx context.Context) (conn net.Conn, port string, err error) {
	if _, port, err = net.SplitHostPort(s.host); err != nil {
		return nil, "", fmt.Errorf("connect to %s: %w", s.host, err)
	}
	if port == "443" {
		port = "80"
	}
	conn, err = s.dialPort(ctx, "tcp", port)
	return conn, port, err
}

func (s *Scope) dialPort(ctx context.Context, network, port string) (net.Conn, error) {
	var dialer net.Dialer
	if s.from != nil {
		if from := s.from(); from.IsValid() {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	var faults []error
	for _, addr := range slices.Clone(s.addresses) {
		conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}
