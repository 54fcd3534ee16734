package limit

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// LockoutOptions are the settings of a [Lockout]. Zero fields have the defaults
// that stand beside them.
type LockoutOptions struct {
	// Network is how many wrong tries of one network cost nothing; the default
	// is 20 a minute. Pair is the same for one credential from one network; 5 in
	// 15 minutes.
	Network, Pair Rate

	First   time.Duration // the first delay; each further wrong try doubles it. Default 1 s
	Longest time.Duration // no delay is longer: the lock-out. Default 15 min
	Forget  time.Duration // without a wrong try for so long, delays begin anew. Default 1 h

	// Trusted are proxies in front of Pavise: what is wrong with requests from
	// there is somebody else's fault, and their addresses are never blocked.
	Trusted []netip.Prefix

	// MaxEntries bounds networks and pairs, each; 0 means 100,000. When so many
	// are under a delay at once, further ones are not counted until some end,
	// and [Lockout.Uncounted] rises.
	MaxEntries int

	Now func() time.Time // as in [MemoryOptions]
}

// Lockout slows down guessing. It counts wrong tries for each network, and for
// each pair of a credential and a network; never for a credential as such. So
// whoever knows the public id of a credential can shut out nobody but callers of
// his own network, and its owner goes on from everywhere else (invariant 10).
//
// Tries beyond the free ones are followed by a delay, and each doubles the next,
// up to the longest: a lock-out that ends by itself. It counts apart from every
// quota: wrong tries use up nobody's requests. It is safe for concurrent use and
// bounded in memory.
type Lockout struct {
	network, pair   gcra
	first, longest  int64
	forget          int64
	trusted         atomic.Pointer[[]netip.Prefix]
	seed            maphash.Seed
	active          atomic.Int64 // entries there ever were: zero means nobody was ever wrong
	uncounted       atomic.Int64
	networks, pairs [lockoutShards]suspects
}

const lockoutShards = 16

type suspects struct {
	mu    sync.Mutex
	clock clock
	table *table[suspect, record]
	_     [32]byte
}

// suspect is a network, or a credential from a network.
type suspect struct {
	credential string
	network    Network
}

// record is what is known of a suspect, in nanoseconds of the shard's clock.
type record struct {
	full    int64 // when the free tries are all there again
	blocked int64 // until when
	strikes int   // wrong tries beyond the free ones
	clean   int64 // when the strikes are forgotten
}

func (r record) over() int64 { return max(r.full, r.blocked, r.clean) }

// NewLockout returns a Lockout that blocks nobody yet.
func NewLockout(o LockoutOptions) (*Lockout, error) {
	o.setDefaults()
	if o.First < 0 || o.Longest < o.First || o.Forget < o.Longest || o.MaxEntries < 0 {
		return nil, fmt.Errorf("delays from %s to %s, forgotten after %s: want them in rising order", o.First, o.Longest, o.Forget)
	}
	l := &Lockout{
		first: int64(o.First), longest: int64(o.Longest), forget: int64(o.Forget),
		seed: maphash.MakeSeed(),
	}
	l.Trust(o.Trusted)
	var err error
	if l.network, err = newGCRA(o.Network, 1); err != nil {
		return nil, fmt.Errorf("free wrong tries of a network: %w", err)
	}
	if l.pair, err = newGCRA(o.Pair, 1); err != nil {
		return nil, fmt.Errorf("free wrong tries of a credential: %w", err)
	}
	for i := range lockoutShards {
		for _, s := range []*suspects{&l.networks[i], &l.pairs[i]} {
			s.clock = newClock(o.Now)
			s.table = newTable[suspect, record]((o.MaxEntries + lockoutShards - 1) / lockoutShards)
		}
	}
	return l, nil
}

func (o *LockoutOptions) setDefaults() {
	if o.Network == (Rate{}) {
		o.Network = Rate{Count: 20, Per: time.Minute}
	}
	if o.Pair == (Rate{}) {
		o.Pair = Rate{Count: 5, Per: 15 * time.Minute}
	}
	if o.First == 0 {
		o.First = time.Second
	}
	if o.Longest == 0 {
		o.Longest = 15 * time.Minute
	}
	if o.Forget == 0 {
		o.Forget = max(time.Hour, o.Longest)
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 100_000
	}
}

// Trust replaces [LockoutOptions.Trusted]. What was counted against a proxy that is
// trusted from now on is of no effect; one that is no longer trusted begins anew.
func (l *Lockout) Trust(proxies []netip.Prefix) {
	trusted := unmapped(proxies)
	l.trusted.Store(&trusted)
}

// Blocked returns how long a caller from addr has to wait: if credentialID is
// empty, whoever he is; otherwise with this credential. 0: not at all.
func (l *Lockout) Blocked(credentialID string, addr netip.Addr) time.Duration {
	if l.active.Load() == 0 || l.isTrusted(addr) {
		return 0
	}
	who := suspect{network: NetworkOf(addr)}
	group := &l.networks
	if credentialID != "" {
		who.credential, group = credentialID, &l.pairs
	}
	s := &group[l.shard(who)]
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.table.get(who)
	if kept == nil {
		return 0
	}
	return max(0, time.Duration(kept.blocked-s.clock.read()))
}

// Wrong counts a wrong try from addr, and against the credential from there if
// it was named. It has no effect on the credential from any other network.
func (l *Lockout) Wrong(credentialID string, addr netip.Addr) {
	if l.isTrusted(addr) {
		return
	}
	who := suspect{network: NetworkOf(addr)}
	l.count(&l.networks[l.shard(who)], who, l.network)
	if credentialID != "" && len(credentialID) <= maxKey {
		who.credential = credentialID
		l.count(&l.pairs[l.shard(who)], who, l.pair)
	}
}

// Right forgets the wrong tries with the credential from addr, because its
// owner proved himself from there. The network's own count stays.
func (l *Lockout) Right(credentialID string, addr netip.Addr) {
	if credentialID == "" || l.active.Load() == 0 {
		return
	}
	who := suspect{credentialID, NetworkOf(addr)}
	s := &l.pairs[l.shard(who)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept := s.table.get(who); kept != nil {
		*kept = record{}
	}
}

// Uncounted returns how many wrong tries were not counted because all entries
// were taken by suspects under a delay. It should stay zero.
func (l *Lockout) Uncounted() int64 { return l.uncounted.Load() }

func (l *Lockout) count(s *suspects, who suspect, free gcra) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.read()
	kept := s.table.get(who)
	if kept == nil {
		fresh := record{}
		l.strike(&fresh, free, now)
		if !s.table.add(who, fresh, now) {
			l.uncounted.Add(1)
			return
		}
		l.active.Add(1)
		return
	}
	l.strike(kept, free, now)
}

// strike counts one wrong try at the moment now.
func (l *Lockout) strike(r *record, free gcra, now int64) {
	if now >= r.clean {
		r.strikes = 0
	}
	full, state := free.take(now, r.full)
	r.full = full
	if state.Allowed {
		return
	}
	// While the delay lasts no free tries come back: the next one after it is
	// a strike again.
	r.blocked = now + l.delay(r.strikes)
	r.full = r.blocked + free.depth
	r.strikes++
	r.clean = r.blocked + l.forget
}

func (l *Lockout) delay(strikes int) int64 {
	if strikes >= 32 {
		return l.longest
	}
	d := l.first << strikes
	if d>>strikes != l.first {
		return l.longest
	}
	return min(d, l.longest)
}

func (l *Lockout) shard(who suspect) uint64 {
	return maphash.Comparable(l.seed, who) % lockoutShards
}

// unmapped writes IPv4 networks as such, as addresses are when they are compared.
func unmapped(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p)
	}
	return out
}

func (l *Lockout) isTrusted(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, prefix := range *l.trusted.Load() {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
