package pavise

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"

	"pavise.dev/pavise/shield"
)

type presentedFunc = func(*http.Request) ([]*x509.Certificate, bool, error)

// proxies are the networks whose word about the caller's address counts.
type proxies []netip.Prefix

func (p proxies) trusts(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// resolveCaller finds the address and the certificate of whoever called, behind
// trusted proxies too. The exchange's copy of the request then names him.
func (x *exchange) resolveCaller() error {
	if x.guard.presented != nil {
		if err := x.resolveCertificate(); err != nil {
			return err
		}
	}
	if len(x.guard.proxies) == 0 || !x.guard.proxies.trusts(x.event.Peer.Addr()) {
		return nil
	}
	forwarded := x.request.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return nil
	}
	addr, err := x.guard.proxies.caller(strings.Join(forwarded, ","), x.event.Peer.Addr())
	if err != nil {
		return err
	}
	x.event.Remote = netip.AddrPortFrom(addr, 0)
	x.request.RemoteAddr = x.event.Remote.String()
	return nil
}

// maxHops is how many entries of X-Forwarded-For are read, from the right.
const maxHops = 32

// caller reads X-Forwarded-For from the right: each trusted proxy vouches for
// the entry to its left, and the first address that is no proxy is the caller.
func (p proxies) caller(forwarded string, peer netip.Addr) (netip.Addr, error) {
	addr := peer
	for range maxHops {
		rest, last, more := cutLast(forwarded)
		parsed, err := netip.ParseAddr(strings.TrimSpace(last))
		if err != nil {
			return addr, shield.Refuse(shield.BadHeader, "X-Forwarded-For from a trusted proxy holds what is no address")
		}
		addr = parsed.Unmap()
		if !p.trusts(addr) || !more {
			return addr, nil
		}
		forwarded = rest
	}
	return addr, shield.Refuse(shield.BadHeader, "X-Forwarded-For has more than %d proxies", maxHops)
}

func cutLast(list string) (rest, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// resolveCertificate puts the certificate that a terminator vouches for where
// shields look for it.
func (x *exchange) resolveCertificate() error {
	chain, ok, err := x.guard.presented(x.request)
	if err != nil || !ok {
		return err
	}
	state := &tls.ConnectionState{PeerCertificates: chain}
	if x.request.TLS != nil {
		copied := *x.request.TLS
		copied.PeerCertificates = chain
		state = &copied
	}
	x.request.TLS, x.vouched = state, true
	return nil
}

func addrPort(s string) netip.AddrPort {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func tlsVersion(v uint16) string {
	switch v {
	case tls.VersionTLS13:
		return "1.3"
	case tls.VersionTLS12:
		return "1.2"
	}
	return "other"
}
