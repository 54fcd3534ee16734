package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// waiting is an event that is decided. It stays in the book until it is in the log, so that an
// end of the program in between neither loses nor repeats it.
type waiting struct {
	ID       string         `json:"id"`
	Time     time.Time      `json:"time"`
	Class    audit.Class    `json:"class"`
	Code     string         `json:"code"`
	Target   string         `json:"target"`
	Detail   string         `json:"detail"`
	Severity string         `json:"severity,omitempty"`
	Action   string         `json:"action,omitempty"`
	Change   string         `json:"change,omitempty"`
	Count    int            `json:"count,omitempty"`
	Decision audit.Decision `json:"decision"`
}

func asWaiting(i *alert.Incident) waiting {
	e := i.AsEvent()
	return waiting{
		ID: e.ID, Time: e.Time, Class: e.Class, Code: e.Code, Target: e.Target, Detail: e.Detail, Severity: e.Warning, Action: e.Action,
		Change: e.Change, Count: e.Count, Decision: e.Decision,
	}
}

func (w *waiting) event() *audit.Event {
	return &audit.Event{
		ID: w.ID, Time: w.Time, Class: w.Class, Code: w.Code, Target: w.Target, Detail: w.Detail, Warning: w.Severity, Action: w.Action,
		Change: w.Change, Count: w.Count, Decision: w.Decision,
	}
}

// note decides an event of the system itself.
func (b *book) note(code, target string, now time.Time, detail string) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", code, target, now.UnixNano(), detail))
	b.Waiting = append(b.Waiting, waiting{
		ID: base32.HexEncoding.EncodeToString(sum[:10]), Time: now, Class: audit.System, Decision: audit.Noted, Code: code,
		Target: "schedule " + target, Detail: printable(shorten(detail, maxWhy)),
	})
}

// deliver writes the events that wait into the log. What cannot be written waits on.
func (k *Scheduler) deliver(ctx context.Context) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.book.Waiting) == 0 {
		return
	}
	if k.unkept { // what is told before it is kept would be told again after the next start
		k.keep()
	}
	if k.unkept || !k.verify(ctx) {
		return
	}
	for i := range k.book.Waiting {
		if err := k.s.Record(k.book.Waiting[i].event()); err != nil {
			k.complain(fmt.Errorf("record %s: %w", k.book.Waiting[i].Code, err))
			k.book.Waiting = k.book.Waiting[i:]
			return
		}
	}
	k.book.Waiting = nil
	k.save()
}

// verify leaves out what is in the log already: the program may have ended after it was written,
// and before that was noted. It asks once, after the start.
func (k *Scheduler) verify(ctx context.Context) bool {
	if k.verified {
		return true
	}
	ids, since := map[string]bool{}, k.book.Waiting[0].Time
	for i := range k.book.Waiting {
		w := &k.book.Waiting[i]
		ids[w.ID] = true
		if w.Time.Before(since) {
			since = w.Time
		}
	}
	there, err := k.s.Recorded(ctx, ids, since)
	if err != nil {
		k.complain(fmt.Errorf("see what is in the log already: %w", err))
		return false
	}
	left := k.book.Waiting[:0]
	for _, w := range k.book.Waiting {
		if !there[w.ID] {
			left = append(left, w)
		}
	}
	k.book.Waiting, k.verified = left, true
	return true
}
