package alert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
)

// Settings are what a watch needs.
type Settings struct {
	Log    string // folder of the event log
	File   string // what is remembered
	Kinds  []Kind
	Silent func(detection string, s Subject, at time.Time) bool // nil: nobody is silenced
	Record func(*audit.Event) error                             // keeps what was found in the log
	Now    func() time.Time
	Wake   <-chan time.Time // now and then: incidents end, what was learned is kept; nil: a ticker
	Warn   func(error)
}

// Times and sizes of the loop.
const (
	idle   = time.Second // between looks at the clock where no event comes
	keep   = time.Minute // between two savings of what was learned
	pieces = 1000        // events read at once
)

// Watch runs detections over the log while it is written. It is given each event as it was
// written ([Watch.Offer]), and reads from the log what it was not given: what was there before
// it began, and what there was no room for.
type Watch struct {
	s      Settings
	queue  *queue
	warned time.Time
	told   map[string]bool // ids of what is in the log behind what is remembered

	mu     sync.Mutex // of what follows: Open is asked from elsewhere
	engine *Engine
	at     uint64
	saved  time.Time
	unsaid []Incident // that the log would not take, the oldest first
}

// maxUnsaid bounds what waits for the log. It is away for moments, or everything is refused.
const maxUnsaid = 1000

// memory is what is remembered over a restart.
type memory struct {
	At     uint64
	Swept  time.Time
	Open   []Incident
	Unsaid []Incident
	States map[string][]byte
}

// NewWatch makes a watch that goes on where it was; without anything remembered it begins with
// the newest event.
func NewWatch(s Settings) (*Watch, error) {
	w := &Watch{s: s, saved: s.Now(), queue: newQueue()}
	w.engine = NewEngine(s.Kinds, w.record, s.Silent)
	if err := w.load(); err != nil {
		return nil, fmt.Errorf("detections: %w", err)
	}
	return w, w.learnTold()
}

// Offer gives an event that was just written, with its number. It does not wait; it is what
// [audit.Options.Written] calls.
func (w *Watch) Offer(seq uint64, e *audit.Event) { w.queue.offer(seq, e) }

// Run watches until the context ends, and then looks at what is left. Its owner waits for it.
func (w *Watch) Run(ctx context.Context) {
	wake := w.s.Wake
	if wake == nil {
		ticker := time.NewTicker(idle)
		defer ticker.Stop()
		wake = ticker.C
	}
	newest, err := audit.Newest(w.s.Log)
	w.complain(err)
	w.catchUp(ctx, newest)
	var spare []numbered
	for ended := false; !ended; {
		select {
		case <-ctx.Done():
			ended = true
		case <-wake:
			w.pass()
		case <-w.queue.bell:
		}
		spare = w.look(ctx, spare)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keep()
}

// look sees what was offered, and reads what is missing before and behind it.
func (w *Watch) look(ctx context.Context, spare []numbered) []numbered {
	given, newest := w.queue.take(spare)
	for i := range given {
		g := &given[i]
		if g.seq > w.at+1 {
			w.catchUp(ctx, g.seq-1)
		}
		if g.seq == w.at+1 {
			w.see(g.seq, &g.event)
		}
	}
	w.catchUp(ctx, newest)
	return given
}

// catchUp reads the log up to a number.
func (w *Watch) catchUp(ctx context.Context, to uint64) {
	if to <= w.at {
		return
	}
	reader := audit.NewReader(w.s.Log, w.at, audit.Query{})
	for w.at < to && ctx.Err() == nil {
		from := w.at
		piece, err := reader.Read(ctx, int(min(to-w.at, pieces)))
		w.complain(err)
		for i := range piece.Events {
			w.see(piece.Events[i].Seq, &piece.Events[i].Event)
		}
		if _, isFault := errors.AsType[*audit.Fault](err); piece.Last == from && !isFault {
			return // what stands there cannot be read now; behind a bad line the reader goes on
		}
		w.at = piece.Last
	}
}

func (w *Watch) see(seq uint64, e *audit.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.engine.See(e)
	w.at = seq
}

// pass lets incidents end, and keeps what was learned.
func (w *Watch) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.s.Now()
	waiting := w.unsaid
	w.unsaid = nil
	for _, i := range waiting {
		w.record(i)
	}
	w.engine.Pass(now)
	if now.Sub(w.saved) >= keep {
		w.keep()
	}
}

// complain tells of a fault, now and then.
func (w *Watch) complain(err error) {
	if err != nil && w.s.Now().Sub(w.warned) >= keep && !errors.Is(err, context.Canceled) {
		w.warned = w.s.Now()
		w.s.Warn(fmt.Errorf("detections: %w", err))
	}
}

// Open returns the incidents that have not ended.
func (w *Watch) Open() []Incident {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.engine.Open()
}

// record keeps an incident in the log, once: after a crash events are seen again that were seen
// before, and what they raise has the same id. What the log does not take now, since it is full
// or its disk is, is tried again: it may be full because of what was found.
func (w *Watch) record(i Incident) {
	e := i.AsEvent()
	if w.told[e.ID] {
		delete(w.told, e.ID)
		return
	}
	if len(w.unsaid) == 0 {
		err := w.s.Record(&e)
		if err == nil {
			return
		}
		w.complain(fmt.Errorf("record %s, which is tried again: %w", i.Detection, err))
	}
	if len(w.unsaid) < maxUnsaid {
		w.unsaid = append(w.unsaid, i)
	}
}

// AsEvent is an incident as it stands in the log.
func (i *Incident) AsEvent() audit.Event {
	e := audit.Event{
		ID: i.id(), Class: audit.Detection, Decision: audit.Noted, Time: i.Last, Code: i.Detection, Target: i.Subject.String(),
		Warning: string(i.Severity), Detail: i.What, Action: "began", Change: i.Event, Count: i.Count,
	}
	if i.Ended {
		e.Action = "ended"
	}
	return e
}

func (i *Incident) id() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%t", i.Detection, i.Subject, i.Event, i.Began.UnixMicro(), i.Ended))
	return base32.HexEncoding.EncodeToString(sum[:10])
}

// learnTold finds what was recorded behind what is remembered.
func (w *Watch) learnTold() error {
	w.told = map[string]bool{}
	newest, err := audit.Newest(w.s.Log)
	if err != nil {
		return fmt.Errorf("detections: %w", err)
	}
	r := audit.NewReader(w.s.Log, w.at, audit.Query{Class: audit.Detection})
	for at := w.at; at < newest; {
		p, err := r.Read(context.Background(), pieces)
		if _, isFault := errors.AsType[*audit.Fault](err); err != nil && !isFault {
			return fmt.Errorf("detections: %w", err)
		}
		for _, f := range p.Events {
			w.told[f.Event.ID] = true
		}
		if p.Last == at && err == nil {
			break
		}
		at = p.Last
	}
	return nil
}

// Remembered returns the incidents that a watch that does not run has left open.
func Remembered(file string) ([]Incident, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was learned: %w", err)
	}
	var m memory
	err = m.read(file, text)
	return m.Open, err
}

func (m *memory) read(file string, text []byte) error {
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(m); err != nil {
		return fmt.Errorf("read what was learned: %s is damaged; remove it to begin anew: %w", file, err)
	}
	return nil
}

// load reads what is remembered. What a detection of another version has learned is forgotten.
func (w *Watch) load() error {
	text, err := os.ReadFile(w.s.File)
	if errors.Is(err, fs.ErrNotExist) {
		w.at, err = audit.Newest(w.s.Log)
		return err
	}
	if err != nil {
		return fmt.Errorf("read what was learned: %w", err)
	}
	var m memory
	if err := m.read(w.s.File, text); err != nil {
		return err
	}
	if w.at, err = audit.Resume(w.s.Log, m.At, ""); err != nil {
		return err
	}
	w.engine.swept, w.unsaid = m.Swept, m.Unsaid
	for _, i := range m.Open {
		w.engine.open[key{i.Detection, i.Subject}] = &i
	}
	for _, r := range w.engine.running {
		learned, state := m.States[r.kind.Name], r.detection.State()
		if state == nil || learned == nil {
			continue
		}
		if err := gob.NewDecoder(bytes.NewReader(learned)).Decode(state); err != nil {
			w.s.Warn(fmt.Errorf("detections: %s learns anew: %w", r.kind.Name, err))
		}
	}
	return nil
}

// keep saves, and tells of what cannot be.
func (w *Watch) keep() {
	if err := w.save(); err != nil {
		w.s.Warn(fmt.Errorf("detections: %w", err))
	}
}

// save replaces what is remembered in one step.
func (w *Watch) save() error {
	w.saved = w.s.Now()
	m := memory{At: w.at, Swept: w.engine.swept, Open: w.engine.Open(), Unsaid: w.unsaid, States: map[string][]byte{}}
	for _, r := range w.engine.running {
		var learned bytes.Buffer
		if state := r.detection.State(); state != nil {
			if err := gob.NewEncoder(&learned).Encode(state); err != nil {
				w.s.Warn(fmt.Errorf("detections: keep what %s has learned: %w", r.kind.Name, err))
				continue
			}
			m.States[r.kind.Name] = learned.Bytes()
		}
	}
	return m.write(w.s.File)
}

// Replay runs detections over what a log holds since a time, from nothing learned.
func Replay(ctx context.Context, log string, since time.Time, kinds []Kind, tell func(Incident)) error {
	engine := NewEngine(kinds, tell, nil)
	return audit.Each(ctx, log, audit.Query{Since: since}, func(f audit.Found) error {
		engine.See(&f.Event)
		return nil
	})
}
