package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
)

// Settings are what a feed needs.
type Settings struct {
	Name, Kind  string
	Log         string // folder of the event log
	Cursor      string // file that remembers how far it is
	Query       audit.Query
	Only        func(*audit.Found) bool // what is sent, of what the query selects; nil: all
	Destination Destination
	Batch       int              // events sent at once; 0: 500
	Timeout     time.Duration    // of one Send; 0: 30 s
	Now         func() time.Time // nil: the real clock

	// Gather waits, when there is something to send, for what is to go with it: what came
	// meanwhile is sent with it, as far as it fits into a batch. It fails with its context
	// alone. nil: nothing is waited for.
	Gather func(ctx context.Context, first []audit.Found) error
	// Wait waits, or ends early with the context; nil: on the real clock.
	Wait func(ctx context.Context, d time.Duration) error
	// Note is told what the operator must know: that the destination is away, is back, that
	// events were lost or rejected. It must not block.
	Note func(code, detail string)
}

// Codes of what a feed notes.
const (
	Failing   = "sink_failing"   // nothing can be delivered; the log keeps the events
	Recovered = "sink_recovered" // what was kept is being delivered
	Lost      = "sink_lost"      // retention took events before they were delivered
	Rejected  = "sink_rejected"  // the destination refused events for good
	Full      = "sink_full"      // so many wait that APIs with audit: required refuse
)

// Times of the loop.
const (
	idle       = 200 * time.Millisecond // between looks at a log where nothing is new
	firstRetry = 500 * time.Millisecond // doubles up to
	lastRetry  = 30 * time.Second
	longest    = 5 * time.Minute // that a destination may ask for
)

// Feed brings events of the log to one destination.
type Feed struct {
	s      Settings
	reader *audit.Reader

	teller teller // of the loop

	mu      sync.Mutex
	at      cursor
	kept    bool // at is in its file
	failing string
}

// New makes a feed that goes on where it was, or begins with the newest event.
func New(s Settings) (*Feed, error) {
	if s.Batch == 0 {
		s.Batch = 500
	}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	if s.Wait == nil {
		s.Wait = wait
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	at, known, err := s.position()
	if err == nil && !known {
		err = at.write(s.Cursor)
	}
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", s.Name, err)
	}
	return &Feed{s: s, at: at, teller: newTeller(s), reader: audit.NewReader(s.Log, at.Delivered, s.Query)}, nil
}

// position is where a feed goes on: where it was, as far as the log is still the one that it
// read, or with the newest event if it was nowhere yet.
func (s *Settings) position() (at cursor, known bool, err error) {
	at, known, err = readCursor(s.Cursor)
	if err != nil {
		return at, known, err
	}
	if !known {
		at.Delivered, err = audit.Newest(s.Log)
		return at, false, err
	}
	from, err := audit.Resume(s.Log, at.Delivered, at.Mark)
	if from != at.Delivered {
		at.Delivered, at.Mark = from, ""
	}
	return at, true, err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Run delivers until the context ends, and closes the destination. Its owner waits for it.
func (f *Feed) Run(ctx context.Context) {
	defer func() { _ = f.s.Destination.Close() }() // what it has was answered for
	for ctx.Err() == nil {
		if f.step(ctx) {
			continue
		}
		if f.s.Wait(ctx, idle) != nil {
			return
		}
	}
}

// step reads a piece and delivers it. It reports whether there may be more at once.
func (f *Feed) step(ctx context.Context) bool {
	piece, err := f.reader.Read(ctx, f.s.Batch)
	selected := f.selected(piece.Events)
	if f.s.Gather != nil && len(selected) > 0 && err == nil {
		if f.s.Gather(ctx, selected) != nil {
			return false // what was read is read again after the next start
		}
		piece, selected, err = f.gather(ctx, piece, selected)
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		f.fails(err) // the next read goes on behind it
	}
	if piece.Lost > 0 {
		f.teller.lost(piece.Lost)
	}
	rejected, ok := f.deliver(ctx, selected)
	if !ok {
		return false
	}
	fault := f.move(piece, rejected)
	if len(piece.Events) == 0 && err == nil {
		err = f.settle(ctx)
	}
	if err = cmp.Or(err, fault); err != nil {
		f.fails(err)
	} else {
		f.works()
	}
	return len(piece.Events) > 0
}

// gather reads what came meanwhile.
func (f *Feed) gather(ctx context.Context, p audit.Piece, selected []audit.Found) (audit.Piece, []audit.Found, error) {
	for len(selected) < f.s.Batch {
		more, err := f.reader.Read(ctx, f.s.Batch-len(selected))
		if p.Lost += more.Lost; more.Last > p.Last {
			p.Last, p.Mark = more.Last, more.Mark
		}
		selected = append(selected, f.selected(more.Events)...)
		if err != nil || len(more.Events) == 0 {
			return p, selected, err
		}
	}
	return p, selected, nil
}

// selected are the events that are to be sent.
func (f *Feed) selected(events []audit.Found) []audit.Found {
	if f.s.Only == nil {
		return events
	}
	return slices.DeleteFunc(events, func(found audit.Found) bool { return !f.s.Only(&found) })
}

// settle lets a destination send again what it found out late to be missing.
func (f *Feed) settle(ctx context.Context) error {
	late, ok := f.s.Destination.(Settler)
	if !ok {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, f.s.Timeout)
	defer cancel()
	if err := late.Settle(limited); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// deliver sends events until the destination has them. It returns how many it refused for
// good; ok is false if the context ended before.
func (f *Feed) deliver(ctx context.Context, events []audit.Found) (rejected uint64, ok bool) {
	for pause := firstRetry; len(events) > 0; pause = min(2*pause, lastRetry) {
		err := f.send(ctx, events)
		if err == nil {
			return rejected, true
		}
		if _, final := errors.AsType[*Rejection](err); final {
			return f.divide(ctx, events, err)
		}
		f.fails(err)
		if later, ok := errors.AsType[*Later](err); ok {
			pause = min(max(pause, later.After), longest)
		}
		if f.s.Wait(ctx, pause) != nil {
			return rejected, false
		}
	}
	return rejected, true
}

// divide finds the events that are rejected among those that are not.
func (f *Feed) divide(ctx context.Context, events []audit.Found, why error) (rejected uint64, ok bool) {
	if len(events) == 1 {
		f.teller.rejected(events[0], why)
		return 1, true
	}
	half := len(events) / 2
	first, ok := f.deliver(ctx, events[:half])
	if !ok {
		return first, false
	}
	second, ok := f.deliver(ctx, events[half:])
	return first + second, ok
}

func (f *Feed) send(ctx context.Context, events []audit.Found) error {
	ctx, cancel := context.WithTimeout(ctx, f.s.Timeout)
	defer cancel()
	return f.s.Destination.Send(ctx, events)
}

// move remembers how far the destination is. What could not be kept is told: it is sent again
// after a restart.
func (f *Feed) move(p audit.Piece, rejected uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Last == f.at.Delivered && f.kept {
		return nil
	}
	if p.Last != f.at.Delivered {
		f.at.Delivered, f.at.Mark = p.Last, p.Mark
	}
	f.at.Lost += p.Lost
	f.at.Rejected += rejected
	err := f.at.write(f.s.Cursor)
	f.kept = err == nil
	return err
}

func (f *Feed) fails(err error) {
	f.mu.Lock()
	f.failing = err.Error()
	f.mu.Unlock()
	f.teller.fails(err)
}

func (f *Feed) works() {
	f.mu.Lock()
	f.failing = ""
	f.mu.Unlock()
	f.teller.works()
}

// Status returns how far the feed is.
func (f *Feed) Status() (Status, error) {
	f.mu.Lock()
	at, failing := f.at, f.failing
	f.mu.Unlock()
	return f.s.status(at, failing)
}

// Resting returns how far a feed is that does not run: what it remembers.
func Resting(s Settings) (Status, error) {
	at, _, err := s.position()
	if err != nil {
		return Status{}, err
	}
	return s.status(at, "")
}

func (s *Settings) status(at cursor, failing string) (Status, error) {
	newest, err := audit.Newest(s.Log)
	oldest, fault := audit.Oldest(s.Log)
	err = errors.Join(err, fault)
	status := Status{Name: s.Name, Kind: s.Kind, Delivered: at.Delivered, Lost: at.Lost, Rejected: at.Rejected, Failing: failing}
	if newest > at.Delivered {
		status.Lag = newest - at.Delivered
	}
	if oldest > at.Delivered+1 { // removed, and not yet counted
		status.Lost += oldest - at.Delivered - 1
		status.Overrun = true
	}
	return status, err
}
