package own

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The gateway slows down who sends wrong credentials: by network, and by credential and network.
// The test sends hundreds. On the gateway's own machine each few of them leave from another address of
// 127.0.0.0/8, all within one /24 that is drawn anew for each run. From elsewhere there is one, which others have,
// too: the test sends half of the wrong tries that are free there, and goes on with four fifths of those that come back
// in a minute, so that neither the test nor a neighbour with a broken key is locked out by it. Nothing is switched off.

// perAddress is how many wrong credentials leave from one address: a pair of credential and
// network has five.
const perAddress = 4

// sources say from where requests leave.
type sources struct {
	network netip.Prefix  // to which credentials are bound
	budget  int           // wrong tries of one address
	pause   time.Duration // after each wrong try beyond, where there is one address
	turns   bool          // there are many addresses

	mu    sync.Mutex
	now   netip.Addr
	spent int
	held  bool
	ready int // wrong tries that may still leave at once, where there is one address
}

func newSources(ctx context.Context, g *Gateway) (*sources, error) {
	tries := max(g.File.Limits.WrongTries, 1)
	s := &sources{budget: max(1, min(perAddress, tries-1)), pause: time.Minute / time.Duration(tries) * 5 / 4, ready: tries / 2}
	own, err := localAddress(ctx, g.Address)
	if err != nil {
		return nil, err
	}
	switch {
	case g.From.IsValid():
		s.network = g.From.Masked()
	case own.Is4() && own.IsLoopback() && s.draw():
		s.turns = true
	default:
		s.network = netip.PrefixFrom(own, own.BitLen())
	}
	return s, nil
}

// localAddress is that from which the gateway is reached; nothing is sent.
func localAddress(ctx context.Context, address string) (netip.Addr, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", address)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the way to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the way to %s: %w", address, err)
	}
	return from.Addr().Unmap().WithZone(""), nil
}

// draw chooses a /24 of this machine, where the system has them all.
func (s *sources) draw() bool {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	first := netip.AddrFrom4([4]byte{127, 1 + b[0]%254, b[1], 1})
	l, err := net.Listen("tcp", netip.AddrPortFrom(first, 0).String())
	if err != nil {
		return false // of a system that has 127.0.0.1 alone
	}
	_ = l.Close()
	s.network, s.now = netip.PrefixFrom(first, 24).Masked(), first
	return true
}

// from is the address for the next connection; not valid: the system chooses.
func (s *sources) from() netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// wrong says that a wrong credential was sent, and returns how long to wait before the next.
func (s *sources) wrong() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.turns {
		if s.ready--; s.ready >= 0 {
			return 0
		}
		return s.pause
	}
	if s.spent++; s.spent >= s.budget && !s.held {
		s.turn()
	}
	return 0
}

// shutOut says that the address is kept waiting. It reports whether there is another.
func (s *sources) shutOut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns {
		s.turn()
	}
	return s.turns
}

// hold keeps to one address, whatever is sent from there.
func (s *sources) hold(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = on
}

// turn goes to the next address of the network.
func (s *sources) turn() {
	s.spent = 0
	if s.now = s.now.Next(); !s.network.Contains(s.now.Next()) { // the last one is not used
		s.now = s.network.Addr().Next()
	}
}
