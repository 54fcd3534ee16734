package alert

import (
	"fmt"
	"net/netip"
	"time"

	"pavise.dev/pavise/audit"
)

// guessing notices networks that send many wrong credentials.
func guessing() Kind {
	return Kind{
		Name: "guessing", Severity: High, Quiet: 15 * time.Minute,
		Means: "a network sends many credentials that are wrong: somebody guesses keys, or a client of yours has an old one",
		Do:    "look whose requests they are (pavise log search --code invalid_credential --address NETWORK); if they are nobody's, pavise block NETWORK --for 24h",
		New:   func() Detection { return &guesses{Wrong: Table[Decaying]{Max: 100_000}} },
	}
}

// Thresholds of guessing.
const (
	guessesMost = 30 // wrong credentials of one network
	guessesOver = 5 * time.Minute
)

type guesses struct{ Wrong Table[Decaying] }

// State implements Detection.
func (g *guesses) State() any { return g }

// See implements Detection.
func (g *guesses) See(e *audit.Event, raise func(Alert)) {
	if e.Class != audit.Request || !isWrongCredential(e.Code) {
		return
	}
	network := networkOf(e.Remote.Addr())
	if n := g.Wrong.At(network).Add(float64(max(e.Count, 1)), e.Time, guessesOver); n >= guessesMost {
		raise(Alert{Subject: Subject{"network", network}, What: fmt.Sprintf("%.0f wrong credentials within some %s", n, guessesOver)})
	}
}

// isWrongCredential reports whether a code says that a credential was there and wrong.
func isWrongCredential(code string) bool {
	switch code {
	case "invalid_credential", "invalid_signature", "malformed_credential":
		return true
	}
	return false
}

// networkOf is the network by which an address is counted, as `pavise block` takes it: of IPv4
// the address itself, of IPv6 the /64 (RFC 7421).
func networkOf(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}
