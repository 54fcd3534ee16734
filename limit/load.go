package limit

import (
	"fmt"
	"strconv"
	"sync/atomic"
)

// Priority says how long requests are served while a gateway fills up.
type Priority int

// The priorities. What is of normal priority and carries no credential goes before what
// carries one: it stands between low and normal.
const (
	Normal Priority = iota
	Low
	High
	Anonymous
)

// lines are how many hundredths of all places may be taken before the priority is shed.
func (p Priority) line() int {
	switch p {
	case Low:
		return 70
	case Anonymous:
		return 80
	case High:
		return 100
	}
	return 90
}

// String returns the word for p in the configuration and in events.
func (p Priority) String() string {
	switch p {
	case Normal:
		return "normal"
	case Low:
		return "low"
	case High:
		return "high"
	case Anonymous:
		return "anonymous"
	}
	return "priority " + strconv.Itoa(int(p))
}

// ParsePriority reads "low", "normal" or "high"; nothing is normal. Errors are
// [*SyntaxError].
func ParsePriority(text string) (Priority, error) {
	switch text {
	case "", "normal":
		return Normal, nil
	case "low":
		return Low, nil
	case "high":
		return High, nil
	}
	return Normal, wrong("low, normal or high", "%q is no priority", text)
}

// Load bounds how many requests are under way in all, and sheds what is lost most
// cheaply first: low priority when 70 of 100 places are taken, what carries no credential
// from 80 on, all else from 90 on, so that the last tenth is there for high priority. It is exact
// and safe for concurrent use; nobody waits for a lock.
type Load struct {
	lines [4]int64 // by priority
	taken atomic.Int64
	_     [56]byte // counts that are rarely written stay off the line of taken
	shed  [4]atomic.Int64
}

// NewLoad returns a Load of so many places.
func NewLoad(places int) (*Load, error) {
	if places < 1 {
		return nil, fmt.Errorf("%d requests under way: want at least 1", places)
	}
	l := &Load{}
	for _, p := range []Priority{Normal, Low, High, Anonymous} {
		l.lines[p] = int64(max(places/100*p.line()+places%100*p.line()/100, 1))
	}
	return l, nil
}

// Enter takes a place for a request of priority p, which gives it back with Leave. False:
// it is shed, and took nothing.
func (l *Load) Enter(p Priority) bool {
	for {
		n := l.taken.Load()
		if n >= l.lines[p] {
			l.shed[p].Add(1)
			return false
		}
		if l.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Leave gives back what Enter took.
func (l *Load) Leave() { l.taken.Add(-1) }

// Taken returns how many requests are under way, and of how many.
func (l *Load) Taken() (taken, places int) { return int(l.taken.Load()), int(l.lines[High]) }

// Shed returns how many requests of priority p were shed since the start.
func (l *Load) Shed(p Priority) int { return int(l.shed[p].Load()) }
