package alert

import "time"

// Detections count by the time of day: in the present hour, the last five minutes. When a clock that
// was ahead is put back, what they counted stands in a time that has not come, and would go on
// being the present until it comes: every window would grow without an end. So what was counted
// there is forgotten then, and what was learned stays.
//
// Where the clock is put back by less than farBack, nothing is forgotten: events come late, too, by
// as much as a request lasts, and nobody may empty a window by ending one.

// farBack is by how much a clock must be put back for what was counted to be forgotten.
const farBack = time.Hour

// rewinder is a detection that counts by the time of day.
type rewinder interface {
	// rewind forgets what was counted after now.
	rewind(now time.Time)
}

// rewind forgets what was counted after now.
func (e *Engine) rewind(now time.Time) {
	if e.who != nil {
		e.who.rewind(now)
	}
	for i := range e.running {
		if r, ok := e.running[i].detection.(rewinder); ok {
			r.rewind(now)
		}
	}
}

// back clamps a number of a time that has not come to the present one, and reports whether it was
// such.
func back[N int64 | uint32 | uint16](at *N, now N) bool {
	if *at <= now {
		return false
	}
	*at = now
	return true
}

// each calls f for every value that is kept.
func (t *Table[T]) each(f func(*T)) {
	for _, half := range []*Half[T]{&t.Young, &t.Old} {
		for _, page := range half.Pages {
			for i := range page.Values {
				f(&page.Values[i])
			}
		}
	}
}

func (c *counter) rewind(now time.Time) {
	c.seen.each(func(at *tally) {
		if at.N.Slot > slotOf(now, c.rule.Over) {
			at.N = Window{}
		}
		if at.Different.Period > periodOf(now, c.rule.Over) {
			at.Different = Sketch{}
		}
	})
}

func (f *failures) rewind(now time.Time) {
	f.seen.each(func(at *endpointErrors) {
		if back(&at.Window, now.Unix()/int64(errorsWindow/time.Second)) {
			at.N, at.Bad, at.Since = 0, 0, 0
		}
	})
}

func (d *reading) rewind(now time.Time) {
	d.seen.each(func(at *day) {
		if today := now.Unix() / 86400; at.Number > today {
			*at = day{Number: today}
		}
	})
}

func (p *probing) rewind(now time.Time) {
	back(&p.seen.First, now.Unix())
	p.seen.Misses.each(func(at *misses) {
		if back(&at.Period, now.Unix()/int64(missesOver/time.Second)) {
			at.Now = Bitmap{}
		}
	})
}

func (s *spread) rewind(now time.Time) {
	s.seen.each(func(at *networks) {
		if back(&at.Period, now.Unix()/int64(stuffingOver/time.Second)) {
			at.Now = Bitmap{}
		}
	})
}

func (s *sinks) rewind(now time.Time) {
	for name, since := range s.Failing {
		if since.After(now) {
			s.Failing[name] = now
		}
	}
}

// rewind forgets what identities did in a time that has not come. The days and networks that are
// usual for them stay.
func (p *profiles) rewind(now time.Time) {
	hour := uint32(now.Unix() / 3600)
	today := uint16(hour / 24)
	p.all.each(func(at *profile) {
		if back(&at.Hour, hour) {
			at.N, at.HasToldHour = 0, false
		}
		if back(&at.Day, today) {
			at.Today = 0
		}
		back(&at.First, today)
		if back(&at.Places.Period, uint32(now.Unix()/int64(manyPeriod/time.Second))) {
			at.Places.Now = Bitmap{}
		}
		h := &at.Habit
		back(&h.First, today)
		back(&h.Roams, today)
		back(&h.Last, hour)
		for i := range h.Days {
			back(&h.Days[i], today)
		}
	})
}
