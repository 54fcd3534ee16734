package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/replace"
	"pavise.dev/pavise/internal/sink"
)

// TestCode is the code of events that only test whether notifiers work, and their action.
const TestCode = "test"

// Everybody is the name in a test that goes to all notifiers.
const Everybody = "all"

// TestTarget is whom a test is about: a notifier by name, or [Everybody].
func TestTarget(name string) string { return "notifier " + name }

// testLife is how long a test is worth delivering.
const testLife = 10 * time.Minute

// Direct is the note of a test that was sent while no gateway ran: no feed sends it again.
const Direct = "sent directly"

// maxKnown bounds the incidents that a desk remembers; ends of more are not told.
const maxKnown = 20_000

// Settings are what a [Desk] needs.
type Settings struct {
	Name     string
	Node     string
	Notifier Notifier
	File     string // what is remembered
	Least    alert.Severity
	Recovery bool // ends are told, too

	Silent  func(detection string, about alert.Subject) bool // at present; nil: nobody is
	Explain func(detection string) (means, do string)        // nil: nothing is explained

	// Open is what detections hold open now. What they have forgotten, since what they had
	// learned was lost or they were switched off, would never end. nil: nobody knows.
	Open func() []alert.Incident
	Now  func() time.Time
}

// Desk implements sink.Destination and sink.Settler over a [Notifier].
type Desk struct {
	s     Settings
	known map[alert.Key]*known    // open incidents; guarded by mu, and replaced as a whole
	kept  time.Time               // when the receiver was last reminded
	lost  map[alert.Key]time.Time // since when detections do not know it

	mu      sync.Mutex
	erased  []*audit.Erasure        // since the feed last looked at what is known
	waiting map[string][]chan error // by the id of a test
}

// known is an incident that is open.
type known struct {
	Incident alert.Incident `json:"incident"`
	ID       string         `json:"id"`
	Told     bool           `json:"told"` // false: it was silenced when it began
}

// New makes a desk that remembers what was told.
func New(s Settings) (*Desk, error) {
	d := &Desk{s: s, known: map[alert.Key]*known{}, waiting: map[string][]chan error{}}
	text, err := os.ReadFile(s.File)
	if errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was told: %w", err)
	}
	if d.known, err = read(s.File, text); err != nil {
		return nil, err
	}
	return d, nil
}

func read(file string, text []byte) (map[alert.Key]*known, error) {
	var all []*known
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&all); err != nil {
		return nil, fmt.Errorf("read what was told: %s is damaged; remove it, and ends of what is open are not told: %w", file, err)
	}
	found := map[alert.Key]*known{}
	for _, k := range all {
		found[k.Incident.Key()] = k
	}
	return found, nil
}

// Wants reports whether an event is for this notifier. It is the filter of its feed.
func (d *Desk) Wants(f *audit.Found) bool {
	e := &f.Event
	if e.Code == TestCode && e.Action == TestCode {
		return (e.Target == TestTarget(Everybody) || e.Target == TestTarget(d.s.Name)) && e.Note != Direct && d.s.Now().Sub(e.Time) < testLife
	}
	return (e.Action == alert.Began || e.Action == alert.Ended) && alert.Severity(e.Warning).AtLeast(d.s.Least)
}

// IsTest reports whether a test is among events: it waits for nothing else.
func IsTest(events []audit.Found) bool {
	return slices.ContainsFunc(events, func(f audit.Found) bool { return f.Event.Action == TestCode })
}

// Send implements sink.Destination.
func (d *Desk) Send(ctx context.Context, events []audit.Found) error {
	expected := d.expected()
	err := d.send(ctx, events)
	d.answer(expected, events, err)
	return err
}

func (d *Desk) send(ctx context.Context, events []audit.Found) error {
	for i := range events {
		if e := &events[i].Event; e.Action == TestCode {
			if err := d.deliver(ctx, &Notice{Node: d.s.Node, Time: d.s.Now(), Test: e.Detail}); err != nil {
				return err
			}
		}
	}
	n, next := d.fold(events)
	return d.tell(ctx, n, next)
}

// tell delivers a notice, and then remembers.
func (d *Desk) tell(ctx context.Context, n *Notice, next map[alert.Key]*known) error {
	if len(n.Began)+len(n.Ended) > 0 {
		sortItems(n.Began)
		sortItems(n.Ended)
		if err := d.deliver(ctx, n); err != nil {
			return err
		}
		d.kept = d.s.Now()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.erased { // while it was told
		erase(next, e)
	}
	d.erased = nil
	changed := !maps.Equal(d.known, next)
	d.known = next
	if !changed {
		return nil
	}
	return d.write()
}

// present is what is known now.
func (d *Desk) present() map[alert.Key]*known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known
}

// deliver tells a notice, and its numbers alone if the receiver does not take its words. One
// that does not take these either is set up wrongly: it is tried again, as one that is away.
func (d *Desk) deliver(ctx context.Context, n *Notice) error {
	err := d.s.Notifier.Tell(ctx, n)
	if _, final := errors.AsType[*sink.Rejection](err); !final {
		return err
	}
	if err := d.s.Notifier.Tell(ctx, n.brief()); err != nil {
		return fmt.Errorf("%s: %w", d.s.Name, errors.New(err.Error()))
	}
	return nil
}

// fold makes a notice of events, and says what is known after it was told.
func (d *Desk) fold(events []audit.Found) (*Notice, map[alert.Key]*known) {
	n, next := d.notice(), maps.Clone(d.present())
	begun := map[alert.Key]int{} // places in n.Began
	for i := range events {
		f := &events[i]
		incident, ok := alert.FromEvent(&f.Event)
		if !ok {
			continue
		}
		key := incident.Key()
		before := next[key]
		switch {
		case !incident.Ended && before == nil && len(next) < maxKnown:
			k := &known{Incident: incident, ID: f.Event.ID, Told: f.Event.Note != alert.Silenced && !d.silent(&incident)}
			if next[key] = k; k.Told {
				begun[key] = len(n.Began)
				n.Began = append(n.Began, d.item(k))
			}
		case incident.Ended && before != nil:
			delete(next, key)
			ended := d.item(&known{Incident: incident, ID: before.ID})
			ended.Began, ended.What = before.Incident.Began, before.Incident.What
			if at, ok := begun[key]; ok {
				n.Began[at] = ended
			} else if before.Told && d.s.Recovery {
				n.Ended = append(n.Ended, ended)
			}
		}
	}
	n.Open = told(next)
	return n, next
}

func (d *Desk) notice() *Notice { return &Notice{Node: d.s.Node, Time: d.s.Now()} }

func (d *Desk) silent(i *alert.Incident) bool {
	return d.s.Silent != nil && d.s.Silent(i.Detection, i.Subject)
}

func (d *Desk) item(k *known) Item {
	i := Item{Incident: k.Incident, ID: k.ID}
	if d.s.Explain != nil {
		i.Means, i.Do = d.s.Explain(k.Incident.Detection)
	}
	return i
}

func told(all map[alert.Key]*known) (n int) {
	for _, k := range all {
		if k.Told {
			n++
		}
	}
	return n
}

// settleEvery is how often it is looked whether a silence has ended.
const settleEvery = 10 * time.Second

// Settle implements sink.Settler: what began in a silence that is over, and goes on, is told;
// and a receiver that forgets is reminded.
func (d *Desk) Settle(ctx context.Context) error {
	now := d.s.Now()
	keeper, forgets := d.s.Notifier.(Keeper)
	every := settleEvery
	if forgets {
		every = keeper.Every()
	}
	if len(d.present()) == 0 || now.Sub(d.kept) < every {
		return nil
	}
	d.kept = now
	n, next := d.notice(), maps.Clone(d.present())
	var open []Item
	forgotten := d.forgotten(now)
	for key, k := range next {
		silent := d.silent(&k.Incident)
		switch {
		case forgotten[key]:
			delete(next, key)
			if ended := d.item(k); k.Told && d.s.Recovery {
				ended.Ended, ended.Last = true, now
				n.Ended = append(n.Ended, ended)
			}
		case !k.Told && !silent:
			late := *k
			late.Told = true
			next[key] = &late
			n.Began = append(n.Began, d.item(&late))
		case k.Told && !silent:
			open = append(open, d.item(k))
		}
	}
	n.Open = told(next)
	err := d.tell(ctx, n, next)
	if forgets && len(open) > 0 && err == nil {
		slices.SortFunc(open, func(a, b Item) int { return a.Began.Compare(b.Began) })
		err = keeper.Keep(ctx, open)
	}
	if err != nil {
		d.kept = time.Time{} // it is tried again
	}
	return err
}

// forgetAfter is how long detections must not have known an incident until it is taken for
// ended: its end may be on its way here.
const forgetAfter = 10 * time.Minute

// forgotten are the incidents that no detection knows any more.
func (d *Desk) forgotten(now time.Time) map[alert.Key]bool {
	if d.s.Open == nil {
		return nil
	}
	open := map[alert.Key]bool{}
	for _, i := range d.s.Open() {
		open[i.Key()] = true
	}
	lost, gone := map[alert.Key]time.Time{}, map[alert.Key]bool{}
	for key := range d.present() {
		if open[key] {
			continue
		}
		lost[key] = now
		if since, ok := d.lost[key]; ok {
			lost[key] = since
			gone[key] = now.Sub(since) >= forgetAfter
		}
	}
	d.lost = lost
	return gone
}

// write keeps what is known in one step. After a crash before it an alert may be told twice.
func (d *Desk) write() error { return write(d.s.File, d.known) }

func write(file string, what map[alert.Key]*known) error {
	all := slices.SortedFunc(maps.Values(what), func(a, b *known) int { return strings.Compare(a.ID, b.ID) })
	text, err := json.Marshal(all)
	if err == nil {
		err = replace.File(file, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("remember what was told: %w", err)
	}
	return nil
}

// Close implements sink.Destination.
func (d *Desk) Close() error { return d.s.Notifier.Close() }

// Expect returns how the delivery of a test goes: nil, or the first error of an attempt that
// began after this call. It is safe while a feed runs.
func (d *Desk) Expect(test string) <-chan error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan error, 1)
	d.waiting[test] = append(d.waiting[test], c)
	return c
}

// Forget ends an Expect whose caller waits no more.
func (d *Desk) Forget(test string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, test)
}

// expected are the tests that are waited for as an attempt begins.
func (d *Desk) expected() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.waiting))
}

// answer tells those who wait: of a failure all, of a success those whose test was in it.
func (d *Desk) answer(expected []string, events []audit.Found, err error) {
	if len(expected) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range expected {
		if err == nil && !slices.ContainsFunc(events, func(f audit.Found) bool { return f.Event.ID == id }) {
			continue
		}
		for _, c := range d.waiting[id] {
			c <- err
		}
		delete(d.waiting, id)
	}
}
