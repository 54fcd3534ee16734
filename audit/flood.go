package audit

import (
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Flood says when refusals of strangers are counted instead of written one by one:
// beyond Rate per second for one code and one network (IPv4 address, IPv6 /64).
// Never what proved or exposed a credential. A crash loses at most the count of
// the window that was under way; the events before it are written.
type Flood struct {
	Rate   int           // per second; 0: 20
	Window time.Duration // after which the count is written; 0: 10 s
	Keys   int           // networks and codes watched at once, the rest counts as one; 0: 4096
}

type flood struct {
	Flood
	mu      sync.Mutex
	watched map[floodKey]*floodCount
}

type floodKey struct {
	code    string
	network netip.Prefix
}

type floodCount struct {
	second  int64 // of the event's time, Unix
	written int   // in that second
	counted int
	since   time.Time
}

func newFlood(f Flood) *flood {
	if f.Rate == 0 {
		f.Rate = 20
	}
	if f.Window == 0 {
		f.Window = 10 * time.Second
	}
	if f.Keys == 0 {
		f.Keys = 4096
	}
	return &flood{Flood: f, watched: map[floodKey]*floodCount{}}
}

// counts reports whether the event is only counted.
func (f *flood) counts(e *Event) bool {
	if e.Decision != Refused || e.Proved || e.Exposed || (e.Class != Request && e.Class != Connection) {
		return false
	}
	k := floodKey{e.Code, networkOf(e.Remote.Addr())}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.watched[k]
	if c == nil {
		if len(f.watched) >= f.Keys {
			k = floodKey{e.Code, netip.Prefix{}} // all the others of this code together
			c = f.watched[k]
		}
		if c == nil {
			c = &floodCount{}
			f.watched[k] = c
		}
	}
	if second := e.Time.Unix(); c.second != second {
		c.second, c.written = second, 0
	}
	if c.written < f.Rate {
		c.written++
		return false
	}
	if c.counted == 0 {
		c.since = e.Time
	}
	c.counted++
	return true
}

// report hands out the counts whose window is over, and forgets quiet networks.
func (f *flood) report(now time.Time, write func(*Event)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, c := range f.watched {
		switch {
		case c.counted > 0 && now.Sub(c.since) >= f.Window:
			write(k.event(c, now))
			c.counted = 0
		case c.counted == 0 && now.Unix()-c.second > int64(f.Window/time.Second):
			delete(f.watched, k)
		}
	}
}

func (k floodKey) event(c *floodCount, now time.Time) *Event {
	where := "many networks"
	if k.network.IsValid() {
		where = k.network.String()
	}
	return &Event{
		ID: "flood", Time: now, Class: Request, Decision: Refused, Code: k.code, Count: c.counted,
		Remote: netip.AddrPortFrom(k.network.Addr(), 0),
		Detail: fmt.Sprintf("%d more like this from %s since %s", c.counted, where, c.since.UTC().Format(time.RFC3339)),
	}
}

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
