package audit

import (
	"cmp"
	"net/netip"
	"sync"
	"time"
)

// Flood says when refusals of strangers are counted instead of written one by one:
// beyond Rate per second for one class, code and network (IPv4 address, IPv6 /64).
// Never what proved a credential. What exposed one and proved none, which anybody can write into
// a request, is counted apart. The count is kept in the ring, so that it survives the death of the
// process like every other event.
type Flood struct {
	Rate   int           // per second; 0: 20
	Window time.Duration // after which the count is written; 0: 10 s
	Keys   int           // networks and codes watched at once, the rest counts as one network; 0: 4096
}

// flood takes a lock, but only for refusals of strangers.
type flood struct {
	Flood
	ring    *ring
	most    int // slots that counts may hold
	mu      sync.Mutex
	watched map[floodKey]*floodCount
	open    int // slots that counts hold
}

type floodKey struct {
	class   Class
	code    string
	exposed bool
	network netip.Prefix // invalid: all that are not watched on their own
}

type floodCount struct {
	second  int64  // of the event's time, Unix
	written int    // in that second
	event   *Event // the counted one, begun in the ring; nil: none
	slot    uint32 // where it is
}

// late is by how many seconds an event may be older than the one before it, as a slow request
// is: it counts as of now. One that is older still says that the clock was put back.
const late = 60

func newFlood(f Flood, r *ring) *flood {
	f.Rate = cmp.Or(max(f.Rate, 0), 20)
	f.Window = cmp.Or(max(f.Window, 0), 10*time.Second)
	f.Keys = cmp.Or(max(f.Keys, 0), 4096)
	return &flood{Flood: f, ring: r, most: int(r.slots / 4), watched: map[floodKey]*floodCount{}}
}

// applies reports whether the rule is about such events at all.
func (f *flood) applies(e *Event) bool {
	return e.Decision == Refused && !e.Proved && (e.Class == Request || e.Class == Connection)
}

// count reports whether the event is counted, and does it. When a count cannot be
// kept the error says why.
func (f *flood) count(e *Event) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, c := f.find(floodKey{e.Class, e.Code, e.Exposed, networkOf(e.Remote.Addr())})
	if second := e.Time.Unix(); second > c.second || c.second-second > late {
		c.second, c.written = second, 0
	}
	if c.written < f.Rate {
		c.written++
		return false, nil
	}
	if c.event == nil && f.open >= f.most && k.network.IsValid() {
		k, c = f.shared(k)
	}
	if c.event != nil {
		f.ring.count(c.slot).Add(1)
		return true, nil
	}
	slot, err := f.ring.claim()
	if err != nil {
		return false, err
	}
	c.event, c.slot = k.event(e), slot
	c.event.Handle = f.ring.begin(slot, c.event)
	f.ring.count(slot).Store(1)
	f.open++
	return true, nil
}

// find returns what is known of a key; when too many are watched, of all others
// with its code.
func (f *flood) find(k floodKey) (floodKey, *floodCount) {
	if c := f.watched[k]; c != nil {
		return k, c
	}
	if len(f.watched) >= f.Keys && k.network.IsValid() {
		return f.shared(k)
	}
	c := &floodCount{}
	f.watched[k] = c
	return k, c
}

func (f *flood) shared(k floodKey) (floodKey, *floodCount) {
	k.network = netip.Prefix{}
	return f.find(k)
}

// event is the counted event: of the first one it has what all share.
func (k floodKey) event(first *Event) *Event {
	e := &Event{
		ID: first.ID, Time: first.Time, Class: k.class, Decision: Refused, Code: k.code, Step: first.Step,
		Status: first.Status, Exposed: k.exposed, Note: noteCounted, Detail: "more refusals like this, from many networks",
	}
	if k.network.IsValid() {
		e.Remote = netip.AddrPortFrom(k.network.Addr(), 0)
		e.Detail = "more refusals like this, from " + k.network.String()
	}
	e.Peer = e.Remote
	return e
}

// close completes the counts whose window is over, or all, and forgets quiet
// networks.
func (f *flood) close(now time.Time, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, c := range f.watched {
		if c.event == nil {
			if quiet := now.Unix() - c.second; quiet > int64(f.Window/time.Second) || quiet < 0 {
				delete(f.watched, k)
			}
			continue
		}
		age := now.Sub(c.event.Time)
		if !all && age >= 0 && age < f.Window {
			continue
		}
		c.event.Count, c.event.Duration = int(f.ring.count(c.slot).Load()), max(age, 0)
		f.ring.complete(c.event.Handle, c.event)
		c.event = nil
		f.open--
	}
}

// networkOf is what one stranger can easily have to himself.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Unmap().Is4() {
		addr, bits = addr.Unmap(), 32
	}
	prefix, err := addr.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
