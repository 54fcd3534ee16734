package limit

import "time"

// clock counts nanoseconds since it was made and never runs backwards. With
// times that carry a monotonic reading, as time.Now's do, steps of the wall clock
// do not exist for it. With others, a step back makes it go on from where it was:
// what was counted stays counted, and time passes on from there.
//
// It is not safe for concurrent use: reading it under the lock of what it is
// for keeps its readings in order.
type clock struct {
	now   func() time.Time
	start time.Time
	last  time.Duration // since start, as the source had it
	shift time.Duration // what steps back have taken away so far
}

func newClock(now func() time.Time) clock {
	if now == nil {
		now = time.Now
	}
	return clock{now: now, start: now()}
}

func (c *clock) read() int64 {
	since := c.now().Sub(c.start)
	if since < c.last {
		c.shift += c.last - since
	}
	c.last = since
	return int64(since + c.shift)
}
