package edge

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Limits bounds what one peer can make the edge keep, wait for or work on. A
// zero field takes the value in parentheses; nothing can be unlimited.
type Limits struct {
	http10 bool // HTTP/1.0 is read too: Config.HTTP10

	Connections int // open at once, in all (16384)
	PerAddress  int // open at once from one IPv4 address or one IPv6 /64 (1024)

	RequestLine int // bytes of method, target and version (8192)
	Head        int // bytes of request line and header fields (32768)
	Fields      int // number of header fields (100)

	Streams int // concurrent streams of one HTTP/2 connection (128)

	Handshake time.Duration // for the whole TLS handshake (10 s)
	Header    time.Duration // for a whole head, from its first byte (10 s)
	Idle      time.Duration // between requests (90 s)

	// Stall is how long a body may make the server wait in all, in either direction, at a
	// rate below Rate (30 s); Rate is bytes per second (512). Each byte earns 1/Rate of
	// waiting back, never more than Stall. A handler that expects a slower peer sets a read
	// or write deadline of its own through http.ResponseController, which replaces this one.
	Stall time.Duration
	Rate  int
}

// The longest trailer section. net/http refuses what does not fit its buffer of
// 4096 bytes, without an event; the edge must be stricter.
const (
	maxTrailer       = 2048
	maxTrailerFields = 32
	maxDeclared      = 512 // bytes of the Trailer field
	maxMethod        = 32
	maxChunkDigits   = 15 // so that a size fits an int64
	maxLength        = 18 // digits of Content-Length, likewise
)

func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		name     string
		value    *int
		def, min int
	}{
		{"connections", &l.Connections, 16384, 1},
		{"connections per address", &l.PerAddress, 1024, 1},
		{"request line", &l.RequestLine, 8192, 64},
		{"head", &l.Head, 32768, 256},
		{"fields", &l.Fields, 100, 1},
		{"streams", &l.Streams, 128, 1},
		{"rate", &l.Rate, 512, 1},
	} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < f.min {
			return l, fmt.Errorf("edge limit %s: %d is below %d", f.name, *f.value, f.min)
		}
	}
	for _, f := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"handshake", &l.Handshake, 10 * time.Second},
		{"header", &l.Header, 10 * time.Second},
		{"idle", &l.Idle, 90 * time.Second},
		{"stall", &l.Stall, 30 * time.Second},
	} {
		if *f.value == 0 {
			*f.value = f.def
		}
		if *f.value < time.Millisecond {
			return l, fmt.Errorf("edge limit %s: %s is below 1ms", f.name, *f.value)
		}
	}
	if l.RequestLine > l.Head {
		return l, fmt.Errorf("edge limit request line: %d bytes are more than the head's %d", l.RequestLine, l.Head)
	}
	return l, nil
}

// census counts open connections, in all and by network.
type census struct {
	mu         sync.Mutex
	all        int
	by         map[netip.Prefix]int
	limit, per int
}

// enter counts one more connection, or says which limit it would break.
func (c *census) enter(a netip.Addr) *reject {
	key := network(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.limit {
		return &reject{TooManyConnections, 0, fmt.Sprintf("%d connections are open", c.all)}
	}
	if n := c.by[key]; n >= c.per {
		return &reject{TooManyConnections, 0, fmt.Sprintf("%d connections are open from %s", n, key)}
	}
	c.all++
	c.by[key]++
	return nil
}

func (c *census) leave(a netip.Addr) {
	key := network(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.by[key]--; c.by[key] <= 0 {
		delete(c.by, key)
	}
}

// network is what counts as one address: an IPv4 address, or an IPv6 /64, which
// is what one customer holds.
func network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP address (a Unix socket, a test's pipe): all of them are one
	}
	return p
}

// pace is a bucket of patience. Waiting empties it, bytes fill it.
type pace struct {
	left, full time.Duration
	perByte    time.Duration
}

func newPace(l *Limits) pace {
	return pace{left: l.Stall, full: l.Stall, perByte: time.Second / time.Duration(l.Rate)}
}

// spent accounts for n bytes that took d.
func (p *pace) spent(n int, d time.Duration) {
	p.left = min(p.left-d+time.Duration(n)*p.perByte, p.full)
}
