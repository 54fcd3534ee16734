package foreign

import (
	"errors"
	"fmt"
	"time"

	"pavise.dev/pavise/internal/attack"
)

// delays makes the service wait where a value becomes part of a query or a command of which nothing is
// answered: only where that is allowed, since each try holds a connection of the service, and one of its
// database, for some seconds.
func (p *planner) delays() {
	for _, family := range []struct {
		rule   string
		frames []func(value string, seconds int) string
	}{{"sql-injection", queriesThatWait()}, {"command-injection", commandsThatWait()}} {
		for _, o := range p.w.ops {
			if o.method == "DELETE" || len(o.parameters)+len(o.media) == 0 {
				continue
			}
			p.add(family.rule, "by delay "+o.String(), demand(o)|attack.Delays, func(t *try) error {
				g, err := t.good(o, t.w.caller())
				if err != nil {
					return t.orUntried(err)
				}
				return t.delayed(o, g, family.frames)
			})
		}
	}
}

// queriesThatWait wait once, whatever the query finds: in a subquery of their own. They are only added with
// AND, or to the value, so that nothing else is found or written than without them.
func queriesThatWait() (all []func(string, int) string) {
	for _, form := range []string{
		"%s' AND 71=(SELECT 71 FROM PG_SLEEP(%d)) AND '71'='71", "%s AND 71=(SELECT 71 FROM PG_SLEEP(%d))", "%s'||(SELECT '' FROM PG_SLEEP(%d))||'", // PostgreSQL
		"%s' AND (SELECT 71 FROM (SELECT(SLEEP(%d)))pavise) AND '71'='71", "%s AND (SELECT 71 FROM (SELECT(SLEEP(%d)))pavise)", "%s'+(SELECT 0 FROM (SELECT(SLEEP(%d)))pavise)+'", // MySQL
		"%s';WAITFOR DELAY '0:0:%d'-- ", "%s;WAITFOR DELAY '0:0:%d'-- ", // SQL Server
		"%s' AND 1=(SELECT DBMS_PIPE.RECEIVE_MESSAGE('pavise',%d) FROM DUAL) AND '71'='71", // Oracle
	} {
		all = append(all, func(value string, seconds int) string { return fmt.Sprintf(form, value, seconds) })
	}
	return all
}

func commandsThatWait() (all []func(string, int) string) {
	for _, form := range []string{"%s;sleep %d;", "%s|sleep %d", "%s$(sleep %d)", "%s`sleep %d`", "%s\nsleep %d\n", "%s&&sleep %d", "%s';sleep %d;'", "%s\";sleep %d;\""} {
		all = append(all, func(value string, seconds int) string { return fmt.Sprintf(form, value, seconds) })
	}
	return append(all, func(value string, seconds int) string {
		return fmt.Sprintf("%s&ping -n %d 127.0.0.1&", value, seconds+1)
	}) // Windows has no sleep
}

// The delays that are asked for, and what is no delay.
const (
	shortDelay = 2
	longDelay  = 4
	atOnce     = time.Second
)

// errSlow is the error of a service whose answers take as long as a delay.
var errSlow = errors.New("it answers too slowly for a delay to tell anything")

// delayed asks each value for a delay.
func (t *try) delayed(o *operation, g *good, frames []func(string, int) string) error {
	slow := false
	err := t.everySlot(o, g, func(t *try, o *operation, g *good, s slot) (bool, error) {
		for range 3 {
			quiet, err := t.with(g, s, s.value)
			if err != nil {
				return false, err
			}
			if slow = slow || quiet.Took >= atOnce; quiet.Took >= atOnce {
				return false, nil
			}
		}
		for _, frame := range frames {
			found, err := t.waits(o, g, s, frame)
			if found || err != nil && (t.ctx.Err() != nil || t.refused != nil) {
				return found, err
			}
		}
		return false, nil
	})
	if err == nil && slow {
		return errSlow
	}
	return err
}

// waits reports whether a value makes the service wait as long as it says: the shorter delay, the longer one
// and none, each more than once and one between the others, so that an answer that is slow by itself
// shows nothing.
func (t *try) waits(o *operation, g *good, s slot, frame func(string, int) string) (bool, error) {
	first, err := t.with(g, s, frame(s.value, shortDelay))
	if err != nil || first.Took < shortDelay*time.Second {
		return false, err
	}
	var shown *attack.Answer
	for _, seconds := range []int{0, longDelay, 0, shortDelay, longDelay, 0} {
		a, err := t.with(g, s, frame(s.value, seconds))
		if err != nil {
			return false, err
		}
		asked := time.Duration(seconds) * time.Second
		if a.Took < asked || a.Took >= asked+max(asked/2, atOnce) {
			return false, nil
		}
		if seconds == longDelay {
			shown = a
		}
	}
	t.found(o, shown, "it answers %d after %d seconds where %s asks for %d, after %d where it asks for %d, and at once where for none",
		shown.Status, longDelay, s, longDelay, shortDelay, shortDelay)
	return true, nil
}
