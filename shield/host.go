package shield

import (
	"net/netip"
	"strconv"
	"strings"
)

// HostName returns the name in a Host header or an :authority: in lower case,
// without brackets and port, so that one host has one name however a caller
// spells it. ok is false for what is no "name", "name:port" or "[address]:port"
// (RFC 9110 §7.2): brackets around anything but an IPv6 address, a bare IPv6
// address, a port that is not a number from 1 to 65535 without leading zeros.
//
// Guard, policies and whoever else decides by the host use this name. Signatures
// cover what was sent.
func HostName(authority string) (name string, ok bool) {
	name, rest := authority, ""
	if inside, found := strings.CutPrefix(authority, "["); found {
		if name, rest, found = strings.Cut(inside, "]"); !found {
			return "", false
		}
		if addr, err := netip.ParseAddr(name); err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", false
		}
	} else if i := strings.IndexByte(authority, ':'); i >= 0 {
		name, rest = authority[:i], authority[i:]
	}
	if name == "" || strings.ContainsAny(name, "[]") || rest != "" && !isPort(rest) {
		return "", false
	}
	return strings.ToLower(name), true
}

// isPort reads ":" and a port.
func isPort(s string) bool {
	if len(s) < 2 || len(s) > 6 || s[0] != ':' || s[1] < '1' || s[1] > '9' {
		return false
	}
	n, err := strconv.ParseUint(s[1:], 10, 16)
	return err == nil && n > 0
}
