package learn

import (
	"math"
	"strconv"
	"time"
)

// minutes counts how many requests one caller made within a minute, for every minute and caller
// with at least one. It keeps how often each number was seen, exactly up to 64 and then within a
// tenth.
type minutes struct {
	seen  [160]int
	total int
}

const exactly = 64

func (m *minutes) add(n int) {
	m.seen[bucketOf(n)]++
	m.total++
}

func bucketOf(n int) int {
	if n < exactly {
		return max(n, 0)
	}
	return min(exactly+int(math.Log(float64(n)/exactly)/math.Log(1.1)), len(minutes{}.seen)-1)
}

// most is the number that as many of a hundred minutes stayed within.
func (m *minutes) most(percent int) int {
	want, so := (m.total*percent+99)/100, 0
	for i, n := range m.seen {
		if so += n; so >= want && n > 0 {
			if i < exactly {
				return i
			}
			return int(math.Ceil(exactly * math.Pow(1.1, float64(i-exactly+1))))
		}
	}
	return 0
}

func (m *minutes) take(o *minutes) {
	for i, n := range o.seen {
		m.seen[i] += n
	}
	m.total += o.total
}

// enough is how many minutes make a rate.
const enough = 20

// rate is what is proposed: twice what 99 of 100 minutes had, rounded up to a number that people
// write, and never less than ten; empty: too little was seen.
func (m *minutes) rate() string {
	if m.total < enough {
		return ""
	}
	return strconv.Itoa(roundUp(max(2*m.most(99), 10))) + "/minute"
}

// roundUp goes to the next of 10, 12, 15, 20, 30, 40, 50, 60, 80, 100, 120, …
func roundUp(n int) int {
	for scale := 1; ; scale *= 10 {
		for _, step := range []int{10, 12, 15, 20, 30, 40, 50, 60, 80} {
			if step*scale >= n {
				return step * scale
			}
		}
	}
}

// counting is the minute that is going on.
type counting struct {
	minute time.Time
	now    map[counted]int
	lost   int // requests of callers beyond the bound
}

// counted is whom requests are counted for.
type counted struct {
	calls   *calls
	subject string
}

// maxCounted bounds how many callers are counted within one minute.
const maxCounted = 100_000

func (c *counting) add(at time.Time, to *calls, subject string) {
	if minute := at.Truncate(time.Minute); !minute.Equal(c.minute) {
		c.flush()
		c.minute = minute
	}
	key := counted{to, subject}
	if _, known := c.now[key]; !known && len(c.now) >= maxCounted {
		c.lost++
		return
	}
	c.now[key]++
}

// flush ends the minute.
func (c *counting) flush() {
	for key, n := range c.now {
		key.calls.minutes.add(n)
	}
	c.now = map[counted]int{}
}
