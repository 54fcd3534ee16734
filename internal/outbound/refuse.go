package outbound

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"pavise.dev/pavise/shield"
)

// hosts are the names that a request to a door may have in its Host: those that no web page
// can make its own. A page from elsewhere whose name was pointed at this machine (DNS
// rebinding) still says its own name.
type hosts struct {
	port        string // of the door; empty: a socket, which no browser reaches
	anyAddress  bool   // the door is not on loopback: it has addresses that are not known here
	destination string
}

// answersFor says where the call is reached.
func (c *call) answersFor(at net.Addr) {
	c.hosts = hosts{destination: c.authority}
	if tcp, ok := at.(*net.TCPAddr); ok {
		addr := tcp.AddrPort()
		_, c.hosts.port, _ = net.SplitHostPort(addr.String())
		c.hosts.anyAddress = !addr.Addr().IsLoopback()
	}
}

func (h *hosts) has(host string) bool {
	host = strings.ToLower(host)
	if h.port == "" || host == h.destination || host == strings.TrimSuffix(h.destination, ":443") {
		return true
	}
	if h.port == "80" && host == "localhost" {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil && h.port == "80" {
		name, port = strings.Trim(host, "[]"), "80"
	}
	if port != h.port {
		return false
	}
	addr, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && (addr.IsLoopback() || h.anyAddress)
}

// admit refuses what a browser has sent: a web page must not call with this machine's
// credentials. Services send neither of these headers.
func (c *call) admit(r *http.Request) *shield.Refusal {
	for name := range r.Header {
		if name == "Origin" || strings.HasPrefix(name, "Sec-Fetch-") {
			return shield.Refuse(shield.ForeignOrigin, "a browser has sent it: it has the header %s", name)
		}
	}
	if !c.hosts.has(r.Host) {
		refusal := shield.Refuse(shield.UnknownHost, "Host is %.100q, and neither this address nor %s: a web page may have pointed its name here", r.Host, c.authority)
		refusal.Status = http.StatusForbidden
		return refusal
	}
	return nil
}
