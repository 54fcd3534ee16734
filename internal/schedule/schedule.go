// Package schedule looks again and again: it runs check, attack and review at their times, keeps
// what they found, and tells of what is new.
//
// A [Scheduler] has [Task]s, each with a [Job] that returns a report. When a task is due it runs,
// one at a time, and what its report holds is laid over what was known: a finding that was not
// there is told once, one that is gone has ended, one that comes back begins anew. All of that,
// with the events that tell of it, is kept in one file that is replaced in one step; so wherever
// the program ends, nothing is lost, and nothing is told twice.
//
//	schedule.go  the loop, and who may run when
//	when.go      "daily 03:00", in a zone whose clocks change
//	due.go       what is due now: missed runs, clocks that were set
//	run.go       one run
//	put.go       runs that are put off, and runs that do not end
//	table.go     findings over time: new, still there, mended, back
//	tell.go      events that are decided, until they are in the log
//	book.go      what is kept, and for how long
//	trend.go     how many there were, day by day
//	html.go      the same as a page
//
// What it does not do: it knows no check. Jobs are injected by the application.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/finding"
)

// Job looks, and reports what it found. It ends soon after its context; one that does not is left
// behind. Moment is the one of the plan for which it runs; zero: somebody asked. [NotNow] and
// [Elsewhere] are errors that are no failures.
type Job func(ctx context.Context, moment time.Time) (*finding.Report, error)

// NotNow is the error of a job that cannot look now, and says why: somebody else is at it. A run of
// the plan is put off for a while; nothing was missed.
type NotNow struct{ Why string }

// Error says why.
func (e *NotNow) Error() string { return e.Why }

// Elsewhere is the error of a job that another gateway has done for this moment of the plan: once is
// enough for all that share a store.
type Elsewhere struct{ Why string }

// Error says who did, and when.
func (e *Elsewhere) Error() string { return e.Why }

// Task is a job with its times.
type Task struct {
	Name    string // check, attack, review
	When    When   // zero: it runs when somebody asks
	Timeout time.Duration
	Job     Job
}

// Plan is what is run, and what is told. It may be replaced while a [Scheduler] runs.
type Plan struct {
	Tasks  []Task
	Zone   *time.Location // of their times; nil: UTC
	Jitter time.Duration  // a run begins up to so much later, so that not all gateways do at once
	Keep   time.Duration  // how long reports, and findings that are mended, are kept
	Least  finding.Severity
}

// Settings are what a [Scheduler] needs.
type Settings struct {
	Folder string
	Plan   Plan
	Now    func() time.Time
	Rand   io.Reader
	Record func(*audit.Event) error // keeps an event in the log

	// Recorded says which of some events, by their ids, are in the log; none is older than since.
	Recorded func(ctx context.Context, ids map[string]bool, since time.Time) (map[string]bool, error)
	Warn     func(error)
	Wake     <-chan time.Time // when it is looked whether something is due; nil: a ticker
}

// Scheduler runs tasks. It is safe for concurrent use.
type Scheduler struct {
	s     Settings
	store store
	bell  chan struct{}  // something has changed: look now
	own   sync.WaitGroup // runs that somebody asked for

	mu       sync.Mutex
	plan     Plan
	book     *book
	busy     string // the task that runs; "": none
	since    time.Time
	verified bool // it is known which of the events that wait are in the log
	life     context.Context
	put      map[string]put           // off, by task
	left     map[string]<-chan looked // runs behind which nobody waits any more, by task
	unkept   bool                     // the book could not be written
	warned   time.Time
}

// ErrBusy says that another run is under way.
var ErrBusy = errors.New("a run is under way")

// ErrUnknown says that there is no task of a name.
var ErrUnknown = errors.New("there is no such task")

// Open makes a scheduler that goes on where it was. Nothing runs before [Scheduler.Run].
func Open(s Settings) (*Scheduler, error) {
	k := &Scheduler{s: s, store: store{s.Folder}, bell: make(chan struct{}, 1), life: context.Background(), put: map[string]put{}, left: map[string]<-chan looked{}}
	var err error
	if k.book, err = k.store.read(); err != nil {
		return nil, err
	}
	k.verified = len(k.book.Waiting) == 0
	if k.book.Seed == "" {
		seed := make([]byte, 16)
		if _, err := io.ReadFull(s.Rand, seed); err != nil {
			return nil, fmt.Errorf("schedule: %w", err)
		}
		k.book.Seed = fmt.Sprintf("%x", seed)
	}
	k.closeAsked()
	k.Set(s.Plan)
	return k, nil
}

// closeAsked ends the runs that somebody asked for, and during which the program ended: nobody
// waits for them.
func (k *Scheduler) closeAsked() {
	for _, name := range slices.Sorted(maps.Keys(k.book.Tasks)) {
		m := k.book.Tasks[name]
		if r := m.Running; r != nil && r.By != "" {
			m.Running = nil
			k.book.ended(m, Run{Task: name, By: r.By, Began: r.Began, Ended: k.s.Now(), Outcome: BrokenOff, Why: "the program ended"})
		}
	}
}

// Set puts another plan in force. A run that is under way ends as it began.
func (k *Scheduler) Set(p Plan) {
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	k.mu.Lock()
	k.plan = p
	k.mu.Unlock()
	k.ring()
}

func (k *Scheduler) ring() {
	select {
	case k.bell <- struct{}{}:
	default: // it will
	}
}

// lookEvery is how often it is looked whether something is due. Clocks may be set in between.
const lookEvery = 30 * time.Second

// Live says until when runs live that somebody asks for; [Scheduler.Run] says it, too.
func (k *Scheduler) Live(ctx context.Context) {
	k.mu.Lock()
	k.life = ctx
	k.mu.Unlock()
}

// Run runs what is due until the context ends; its owner waits for it. A run that is under way
// then is broken off, and made up after the next start.
func (k *Scheduler) Run(ctx context.Context) {
	k.Live(ctx)
	wake := k.s.Wake
	if wake == nil {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		wake = ticker.C
	}
	for {
		k.Pass(ctx)
		select {
		case <-ctx.Done():
			k.own.Wait()
			return
		case <-wake:
		case <-k.bell:
		}
	}
}

// Pass runs what is due now, one after the other, and tells what is to be told.
func (k *Scheduler) Pass(ctx context.Context) {
	k.deliver(ctx)
	for ctx.Err() == nil {
		t, d, ok := k.next()
		if !ok {
			return
		}
		k.run(ctx, &t, d)
	}
}

// next takes the task that is due, if none runs. The one that is due for longest comes first.
func (k *Scheduler) next() (t Task, d due, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy != "" {
		return t, d, false
	}
	now := k.s.Now()
	for _, each := range k.plan.Tasks {
		if k.isOff(each.Name, now) {
			continue
		}
		if found, is := k.dueOf(&each, now); is && (!ok || found.at.Before(d.at)) {
			t, d, ok = each, found, true
		}
	}
	if ok {
		k.busy, k.since = t.Name, now
	}
	return t, d, ok
}

// Start begins a run that somebody asked for. It returns how many runs of the task had ended
// before, so that whoever waits sees when there is one more.
func (k *Scheduler) Start(name, by string) (before int, err error) {
	t, life, before, err := k.take(name)
	if err != nil {
		return 0, err
	}
	k.own.Go(func() {
		k.run(life, &t, due{by: by})
		k.ring()
	})
	return before, nil
}

// RunNow runs a task for somebody, and returns when it has ended.
func (k *Scheduler) RunNow(ctx context.Context, name, by string) (before int, err error) {
	t, _, before, err := k.take(name)
	if err != nil {
		return 0, err
	}
	k.run(ctx, &t, due{by: by})
	k.deliver(ctx)
	return before, nil
}

func (k *Scheduler) take(name string) (t Task, life context.Context, before int, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.plan.Tasks, func(t Task) bool { return t.Name == name })
	switch {
	case i < 0:
		return t, nil, 0, fmt.Errorf("%.40q: %w; there are: %s", name, ErrUnknown, strings.Join(k.names(), ", "))
	case k.busy != "":
		return t, nil, 0, fmt.Errorf("%s, since %s: %w", k.busy, k.since.UTC().Format(time.RFC3339), ErrBusy)
	case k.life.Err() != nil:
		return t, nil, 0, fmt.Errorf("the gateway ends: %w", k.life.Err())
	}
	k.busy, k.since = name, k.s.Now()
	return k.plan.Tasks[i], k.life, k.book.task(name).Ended, nil
}

// Node tells this gateway's schedule from those of others.
func (k *Scheduler) Node() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.book.Seed
}

func (k *Scheduler) names() (all []string) {
	for _, t := range k.plan.Tasks {
		all = append(all, t.Name)
	}
	return all
}

// Open are the incidents of findings that were told and are not mended.
func (k *Scheduler) Open() (all []alert.Incident) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.book.Findings {
		if f.Told {
			all = append(all, f.incident())
		}
	}
	return all
}

// Explain says what a rule means of which something was found, and what to do.
func (k *Scheduler) Explain(rule string) (means, do string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.book.Findings {
		if f.Rule == rule {
			return strings.TrimPrefix(f.Title+": "+f.Why, ": "), f.Mend
		}
	}
	return "", ""
}

// Rules are those of which something was found, sorted.
func (k *Scheduler) Rules() (all []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range k.book.Findings {
		all = append(all, f.Rule)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// complain tells of a fault, once a minute.
func (k *Scheduler) complain(err error) {
	if now := k.s.Now(); err != nil && (now.Sub(k.warned) >= time.Minute || now.Before(k.warned)) {
		k.warned = now
		k.s.Warn(fmt.Errorf("schedule: %w", err))
	}
}
