package foreign

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"pavise.dev/pavise/internal/attack"
)

// A target may ask for a pause before the next request (RFC 9110 §10.2.3), and is given it: so long,
// so often one behind the other, and in a whole run so long where it helps, and where it does not.
const (
	maxPatience = 65 * time.Second
	maxPauses   = 3
	maxWaited   = 5 * time.Minute
	maxVain     = 10 * time.Minute
)

// refusing is how many operations refuse at the same time where it is the caller that is refused,
// and not what was asked for.
const refusing = 3

// patience is what a run has given of it.
type patience struct {
	waited, vain time.Duration
	refuses      map[string]bool // operations that asked for more, and have not answered since
}

// send sends a draft as a user; nil: as nobody. A target that asks for a pause is given it; where
// that does not help its refusal is an error, since it says nothing of what is tried.
func (t *try) send(u *attack.User, d *draft) (*attack.Answer, error) {
	place, given := d.method+" "+d.op.path, time.Duration(0)
	for pauses := 0; ; pauses++ {
		r, err := t.w.request(t.ctx, t.s, d)
		if err != nil {
			return nil, err
		}
		a, err := t.s.Send(u, r)
		if err != nil {
			return nil, t.unanswered(err)
		}
		wish, asked := pauseOf(a)
		if !asked {
			delete(t.w.patience.refuses, place)
			t.w.patience.waited += given
			if pauses > 0 {
				t.s.Prober().Slower()
			}
			return a, nil
		}
		if t.refused = t.w.patience.enough(place, wish, given, pauses, len(t.w.ops)); t.refused != nil {
			t.refused = fmt.Errorf("%s answers %d: %w", place, a.Status, t.refused)
			return nil, t.refused
		}
		given += wish
		if err := t.s.Prober().Pause(t.ctx, wish); err != nil {
			return nil, err
		}
	}
}

// unanswered remembers what became of a request that was not answered: a value that breaks one connection
// is nothing, but a target that is gone, and a run that has sent all that it may, hold no case.
func (t *try) unanswered(err error) error {
	switch _, asked := errors.AsType[*url.Error](err); {
	case errors.Is(err, attack.ErrEnough):
		t.over = err
	case asked && t.ctx.Err() == nil:
		t.lost = err
		if t.misses++; t.misses%manyMisses == 0 && t.over == nil {
			t.over = t.gone()
		}
	}
	return err
}

// manyMisses is how many requests of a case are not answered before the target is asked whether it is there.
const manyMisses = 5

// gone is the error of a case at a target that answers nothing any more; nil: it does. It is asked as
// often as there are pauses.
func (t *try) gone() error {
	if t.lost == nil {
		return nil
	}
	for _, pause := range []time.Duration{0, 2 * time.Second, 10 * time.Second} {
		if err := t.s.Prober().Pause(t.ctx, pause); err != nil {
			return err
		}
		if err := Reach(t.ctx, t.s.Prober()); err == nil || errors.Is(err, attack.ErrEnough) {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", attack.ErrGone, t.lost)
}

// enough is the error of a pause that is not given.
func (p *patience) enough(place string, wish, given time.Duration, pauses, operations int) error {
	waited := p.waited + min(wish, maxPatience)
	if wish <= maxPatience && pauses < maxPauses && !p.refuses[place] && waited <= maxWaited {
		return nil
	}
	if p.refuses == nil {
		p.refuses = map[string]bool{}
	}
	p.refuses[place] = true
	p.vain += given
	kind := attack.ErrRefused
	if waited > maxWaited || p.vain > maxVain || len(p.refuses) >= min(refusing, max(operations, 1)) {
		kind = attack.ErrBlocked
	}
	return fmt.Errorf("it asks for a pause of %s, after %s in all: %w", wish, p.waited+p.vain, kind)
}

// pauseOf is how long an answer asks to wait. 429 says so by itself; other refusals by Retry-After.
func pauseOf(a *attack.Answer) (wish time.Duration, asked bool) {
	after := a.Header.Get("Retry-After")
	switch {
	case a.Status == http.StatusTooManyRequests:
	case (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusForbidden) && after != "":
	default:
		return 0, false
	}
	if seconds, err := strconv.Atoi(after); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 1<<20)) * time.Second, true
	}
	until, err := http.ParseTime(after)
	now, fault := http.ParseTime(a.Header.Get("Date"))
	if err == nil && fault == nil && until.After(now) {
		return until.Sub(now), true
	}
	return 2 * time.Second, true
}
