package alert

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"pavise.dev/pavise/audit"
)

// Thresholds of a first use.
const (
	firstDays   = 7  // for which a credential is only learned
	firstUses   = 50 // and so many times it must have been used
	firstForget = 45 // days after which a network is forgotten
	firstBoth   = 24 // hours within which both networks are in use: else the owner travels, or has moved
	firstKnown  = 4  // networks and programs that are remembered; who has more roams, and is not judged
)

// firstUse notices a credential that is used from where it never was, while its owner goes on.
func firstUse(thresholds) Kind {
	return Kind{
		Name: "first_use", Severity: Low, Quiet: 24 * time.Hour, About: perIdentity.subjects(audit.Request),
		Means: "a credential that always came from the same few networks is used from another one as well: by another kind of program, or within a day of its use where it always was",
		Do:    "ask its owner whether he uses it there (pavise log search --credential ID, or --client NAME); if not, revoke it. Who moves or travels is not told of",
		New:   func() Detection { return &habits{} },
	}
}

type habits struct{ sharer }

// habit is from where and with what a credential is used. Days are counted since 1970.
type habit struct {
	Networks [firstKnown]uint32
	Days     [firstKnown]uint16 // when each was seen last
	Programs [firstKnown]uint32
	First    uint16
	Roams    uint16 // the day on which there was no room for another network
	Uses     uint32
	Pending  uint32 // a network that is new
	Last     uint32 // hour in which it was used last
}

// See implements Detection.
func (h *habits) See(e *audit.Event, raise func(Alert)) {
	if h.who.now == nil || !e.Remote.Addr().IsValid() {
		return
	}
	network, program := regionOf(e.Remote.Addr()), programOf(e.UserAgent)
	hour := uint32(e.Time.Unix() / 3600)
	today := uint16(hour / 24)
	at := &h.who.now.Habit
	at.Uses++
	if at.First == 0 {
		at.First = today
	}
	isNewProgram := at.learnProgram(program)
	switch {
	case at.knows(network, today):
		pending := at.Pending
		if pending == 0 {
			return
		}
		at.learnNetwork(pending, today)
		if at.Pending = 0; hour <= at.Last+firstBoth {
			raise(Alert{Subject: holderOf(e), What: fmt.Sprintf("used from %s for the first time, while it goes on being used from %s", regionName(pending), regionName(network))})
		}
	case network == at.Pending:
		at.Last = hour
	case today < at.First+firstDays || at.Uses < firstUses || at.Roams != 0 && today < at.Roams+firstForget:
		at.learnNetwork(network, today)
	case isNewProgram:
		at.learnNetwork(network, today)
		raise(Alert{Subject: holderOf(e), What: fmt.Sprintf("used from %s for the first time, and by another kind of program: %.60q", regionName(network), kindOf(e.UserAgent))})
	default:
		if at.Pending != 0 { // he goes from one new network to the next
			at.learnNetwork(at.Pending, today)
		}
		at.Pending, at.Last = network, hour
	}
}

// knows reports whether a network was seen before, and remembers that it was seen now.
func (at *habit) knows(network uint32, today uint16) bool {
	for i := range at.Networks {
		if at.Networks[i] == network {
			at.Days[i] = today
			return true
		}
	}
	return false
}

// learnNetwork takes the place of the one that was not seen for longest. If that was not long
// ago, the credential roams.
func (at *habit) learnNetwork(network uint32, today uint16) {
	oldest := 0
	for i := range at.Days {
		if at.Days[i] < at.Days[oldest] {
			oldest = i
		}
	}
	if at.Networks[oldest] != 0 && today < at.Days[oldest]+firstForget {
		at.Roams = today
	}
	at.Networks[oldest], at.Days[oldest] = network, today
}

func (at *habit) learnProgram(program uint32) bool {
	for i := range at.Programs {
		switch at.Programs[i] {
		case program:
			return false
		case 0:
			at.Programs[i] = program
			return true
		}
	}
	copy(at.Programs[:], at.Programs[1:])
	at.Programs[firstKnown-1] = program
	return true
}

// regionOf is what one provider or carrier has about an address, in four bytes that are not zero:
// of IPv4 the /16, of IPv6 the /32.
func regionOf(addr netip.Addr) uint32 {
	addr = addr.Unmap()
	if addr.Is4() {
		b := addr.As4()
		return 1<<16 | uint32(b[0])<<8 | uint32(b[1])
	}
	b := addr.As16()
	return max(uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]), 1)
}

func regionName(region uint32) string {
	if region>>16 == 1 {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(region >> 8), byte(region)}), 16).String()
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(region >> 24), byte(region >> 16), byte(region >> 8), byte(region)}), 32).String()
}

// programOf is what kind of program says that it called: "curl" of "curl/8.5.0".
func programOf(agent string) uint32 { return uint32(hash(0, kindOf(agent))) | 1 }

func kindOf(agent string) string {
	kind, _, _ := strings.Cut(agent, "/")
	return kind
}
