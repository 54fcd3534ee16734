package pavise

import "pavise.dev/pavise/audit"

// lap ends a part of the path: the event says how long each took.
func (x *exchange) lap(p audit.Part) {
	now := x.guard.now()
	x.event.Took[p] += now.Sub(x.lapped)
	x.lapped = now
}

// does reports whether a part of the path is worth looking at the clock for. The time of one
// that is not is counted with the next.
func (x *exchange) does(p audit.Part) bool {
	e := x.endpoint
	switch p {
	case audit.Input:
		return e.Sanitise != nil || e.Validate != nil
	case audit.Conditions:
		return e.Policy != nil
	case audit.Last:
		return e.Harm != nil || e.Flow != nil || len(e.Candidates) > 0
	}
	return true
}
