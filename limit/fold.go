package limit

import (
	"strings"
	"sync"
	"sync/atomic"
)

// family is what shares a table: the keys of one limit that stand for addresses,
// or all its others. Anybody may have many addresses; a client or a user was
// authenticated, and no stranger may take its place.
type family struct {
	limit   string
	address bool
}

// addressWord stands before the bytes of [AddressKey], in the keys of the guard.
const addressWord = "address\x00"

// familyOf reads a key as the guard writes it: the names of API and limit and the
// subject, each ended by a zero byte, and then whom it counts for; or an address
// alone. Other keys have a family of their own together.
func familyOf(key string) family {
	if strings.HasPrefix(key, addressWord) && isAddress(key[len(addressWord):]) {
		return family{address: true}
	}
	end := 0
	for range 3 {
		n := strings.IndexByte(key[end:], 0)
		if n < 0 {
			return family{}
		}
		end += n + 1
	}
	subject, ok := strings.CutPrefix(key[end:], addressWord)
	return family{key[:end], ok && isAddress(subject)}
}

// isAddress reports whether s is what [AddressKey] returns.
func isAddress(s string) bool {
	return len(s) == 5 && s[0] == 4 || len(s) == 9 && s[0] == 6 || len(s) == 1 && s[0] == 0
}

// folds are how many bytes of an address are left on each level: an IPv6 network
// counts as its /56, /48, /32 and at last as all of IPv6, one of IPv4 as its /24,
// /16, /8 and all.
var folds = [...]struct{ four, six int }{{3, 7}, {2, 6}, {1, 4}, {0, 0}}

// folded counts the networks for which the table of a limit has no room, together
// with their neighbours. Whoever fills the table has many networks next to each
// other, and shares one quota with himself from then on. It is safe for
// concurrent use.
type folded struct {
	kept atomic.Int64 // so that nobody waits for the lock while nothing is folded

	mu     sync.Mutex
	clock  clock
	levels [len(folds)]*table[string, bucket]
}

func newFolded(o MemoryOptions) *folded {
	f := &folded{clock: newClock(o.Now)}
	for i := range f.levels {
		f.levels[i] = newTable[string, bucket](max(o.MaxKeys>>(i+1), 2))
	}
	// The last level is never full: it has one key for each kind of address.
	f.levels[len(folds)-1].limit = 3
	return f
}

// take takes from the narrowest network around key that is being counted.
// If there is none it counts a new one where there is room, or, unless it is to
// add one, reports that the key has to be counted by itself. A network that is
// counted stays so until its bucket is full again: nobody gets a second quota by
// being counted by itself in between.
func (f *folded) take(key string, of family, g gcra, add bool) (State, bool) {
	if !add && f.kept.Load() == 0 {
		return State{}, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { f.kept.Store(int64(f.count())) }()
	now := f.clock.read()
	for i, level := range f.levels {
		level.expire(now, 2)
		if kept := level.get(fold(key, of, i)); kept != nil && kept.full > now {
			full, state := g.take(now, kept.full)
			kept.full = full
			return state, true
		}
	}
	if !add {
		return State{}, false
	}
	full, state := g.take(now, now)
	for i, level := range f.levels {
		name := fold(key, of, i)
		if kept := level.get(name); kept != nil {
			kept.full = full // it was over, and not yet forgotten
			break
		}
		if level.add(strings.Clone(name), bucket{full}, now) {
			break
		}
	}
	return state, true
}

// fold returns the bytes of an address that are left on a level: its kind first.
func fold(key string, of family, level int) string {
	address := key[len(of.limit)+len(addressWord):]
	switch address[0] {
	case 4:
		return address[:1+folds[level].four]
	case 6:
		return address[:1+folds[level].six]
	}
	return address
}

func (f *folded) count() int {
	n := 0
	for _, level := range f.levels {
		n += len(level.index)
	}
	return n
}

func (f *folded) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count()
}
