package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/attack/own"
	"pavise.dev/pavise/internal/check"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/inventory"
	"pavise.dev/pavise/internal/review"
	"pavise.dev/pavise/internal/schedule"
	"pavise.dev/pavise/schema"
)

// scheduleFolder is what the schedule keeps, in the data folder.
const scheduleFolder = "schedule"

// The tasks of a schedule.
const (
	checkTask  = "check"
	attackTask = "attack"
	reviewTask = "review"
)

// jobs are what the schedule can run, by name.
func (a *App) jobs() map[string]schedule.Job {
	all := map[string]schedule.Job{checkTask: always(a.checkItself), attackTask: a.attackItself, reviewTask: always(a.reviewItself)}
	maps.Copy(all, a.more)
	return all
}

// waiving is a job with what the configuration in force accepts of its findings, whatever they are of.
func (a *App) waiving(job schedule.Job) schedule.Job {
	return func(ctx context.Context, moment time.Time) (*finding.Report, error) {
		report, err := job(ctx, moment)
		if report != nil {
			waiveIn(a.current().file, nil, report.Findings, a.now())
		}
		return report, err
	}
}

// always is a job that is the same whoever asks for it, and when.
func always(look func(context.Context) (*finding.Report, error)) schedule.Job {
	return func(ctx context.Context, _ time.Time) (*finding.Report, error) { return look(ctx) }
}

// planOf is the plan of a configuration. What is scheduled and cannot be run is an error, so
// that nobody waits for it.
func (a *App) planOf(f *config.File) (schedule.Plan, error) {
	s := &f.Schedule
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return schedule.Plan{}, fmt.Errorf("schedule.zone: %w", err)
	}
	least, err := finding.ParseSeverity(s.Tell)
	if err != nil {
		return schedule.Plan{}, fmt.Errorf("schedule.tell: %w", err)
	}
	plan := schedule.Plan{Zone: zone, Jitter: s.Jitter.Duration, Keep: s.Keep.Duration, Least: least}
	times, jobs := s.Times(), a.jobs()
	for _, name := range []string{checkTask, attackTask, reviewTask} {
		at, planned := times[name]
		job := jobs[name]
		if job == nil && planned {
			return plan, fmt.Errorf("schedule.%s: this program has no %s to run by itself; take it out of the schedule, and run `pavise %s` from elsewhere", name, name, name)
		}
		if job == nil {
			continue
		}
		t := schedule.Task{Name: name, Job: a.waiving(job), Timeout: config.DefaultTimeout}
		if planned {
			t.Timeout = at.Timeout.Duration
			if t.When, err = schedule.ParseWhen(at.At); err != nil {
				return plan, fmt.Errorf("schedule.%s: %w; %s", name, err, schedule.Hint)
			}
		}
		plan.Tasks = append(plan.Tasks, t)
	}
	return plan, nil
}

// scheduled is the schedule of an installation that runs.
type scheduled struct {
	*schedule.Scheduler

	life    context.Context // of what it runs
	end     context.CancelFunc
	running sync.WaitGroup
}

// open are the incidents of findings that were told.
func (s *scheduled) open() []alert.Incident {
	if s.Scheduler == nil {
		return nil
	}
	return s.Open()
}

// explain adds to what is known of detections what rules mean of which something was found.
func (s *scheduled) explain(detections func(string) (means, do string)) func(string) (means, do string) {
	return func(name string) (means, do string) {
		if means, do = detections(name); means == "" && s.Scheduler != nil {
			return s.Explain(name)
		}
		return means, do
	}
}

// openSchedule reads what was found before. Nothing runs yet.
func (a *App) openSchedule(f *config.File, record func(*audit.Event) error) (*schedule.Scheduler, error) {
	plan, err := a.planOf(f)
	if err != nil {
		return nil, err
	}
	return schedule.Open(schedule.Settings{
		Folder: filepath.Join(f.State.Folder, scheduleFolder), Plan: plan, Now: a.now, Rand: a.rand, Record: record, Warn: a.warn,
		Recorded: func(ctx context.Context, ids map[string]bool, since time.Time) (map[string]bool, error) {
			return a.inLog(ctx, f.Log.Folder, ids, since)
		},
	})
}

// inLog finds which of some events are in the log.
func (a *App) inLog(ctx context.Context, log string, ids map[string]bool, since time.Time) (map[string]bool, error) {
	if err := a.State.Log.Flush(); err != nil {
		return nil, err
	}
	there := map[string]bool{}
	err := audit.Each(ctx, log, audit.Query{Since: since.Add(-time.Hour)}, func(f audit.Found) error {
		if ids[f.Event.ID] {
			there[f.Event.ID] = true
		}
		return nil
	})
	if _, damaged := errors.AsType[*audit.Fault](err); damaged {
		err = nil // it was told when the log was opened; what can be read counts
	}
	return there, err
}

// beginSchedule gives what the schedule runs its life: somebody may ask for a run before it starts.
func (a *App) beginSchedule() {
	a.schedule.life, a.schedule.end = context.WithCancel(a.life)
	a.schedule.Live(a.schedule.life)
}

// startSchedule runs what is due, from now until stopSchedule.
func (a *App) startSchedule() {
	a.schedule.running.Go(func() { a.schedule.Run(a.schedule.life) })
}

// stopSchedule breaks off what runs; it is made up after the next start.
func (a *App) stopSchedule() {
	if a.schedule.end != nil {
		a.schedule.end()
	}
	a.schedule.running.Wait()
}

// onSchedule is what administration needs of the schedule while the gateway runs.
func (a *App) onSchedule() *admin.Schedule {
	s := a.schedule.Scheduler
	return &admin.Schedule{
		Status: s.Status, Trend: s.Trend, Report: s.Report,
		Start: func(_ context.Context, task, by string) (int, error) { return s.Start(task, by) },
	}
}

// restingSchedule is the same while none runs: a task runs in this process.
func restingSchedule(ctx context.Context, f *config.File, s *State, now clock) (*admin.Schedule, error) {
	a := resting(ctx, s, now)
	a.installed = f
	a.generation.Store(&generation{file: f})
	k, err := a.openSchedule(f, func(e *audit.Event) error { return audit.Record(s.Log, e) })
	if err != nil {
		return nil, err
	}
	a.schedule.Scheduler = k
	return &admin.Schedule{Status: k.Status, Trend: k.Trend, Report: k.Report, Start: k.RunNow}, nil
}

// checkItself audits the configuration in force, and what the store holds.
func (a *App) checkItself(ctx context.Context) (*finding.Report, error) {
	f := a.current().file
	held, err := Holdings(ctx, admin.Connect(admin.InProcess(Administration(f, a.State, a.now))))
	if err != nil {
		return nil, fmt.Errorf("read what the store holds: %w", err)
	}
	endpoints, err := f.Resolve()
	if err != nil {
		return nil, err
	}
	report, err := Audit(check.Subject{File: f, Held: held, Now: a.now()})
	if err != nil {
		return nil, err
	}
	report.About = fmt.Sprintf("%d endpoints", len(endpoints))
	steady(f, report)
	return report, nil
}

// reviewItself reads the event log: what trials would refuse, which APIs are in use, and what was
// granted and not used.
func (a *App) reviewItself(ctx context.Context) (*finding.Report, error) {
	f, now := a.current().file, a.now()
	window := config.DefaultWindow
	if r := f.Schedule.Review; r != nil {
		window = r.Window.Duration
	}
	o := review.Options{Since: now.Add(-window), Until: now}
	var err error
	if o.Tried, o.Changed, err = Tried(f); err != nil {
		return nil, err
	}
	block := review.NewBlock(o)
	listed, err := a.inventory(ctx, f, now.Add(-window), block.Add)
	if err != nil {
		return nil, err
	}
	report := listed.Report(f)
	report.Tool = "pavise review"
	would := block.Summary()
	report.Rules = append(report.Rules, review.TrialRules()...)
	report.Findings = append(report.Findings, would.Findings()...)
	if err := a.addUnused(ctx, f, review.Window{Since: o.Since, Until: o.Until}, report); err != nil {
		return nil, err
	}
	report.Sort()
	steady(f, report)
	return report, nil
}

// addUnused adds what was granted and not used in a window.
func (a *App) addUnused(ctx context.Context, f *config.File, w review.Window, report *finding.Report) error {
	held, err := GrantsOf(ctx, f, admin.Connect(admin.InProcess(Administration(f, a.State, a.now))), a.now())
	if err != nil {
		return fmt.Errorf("read what is granted: %w", err)
	}
	used, err := review.Read(ctx, []string{f.Log.Folder}, held.Granted, w)
	if err != nil {
		return fmt.Errorf("read what was used: %w", err)
	}
	unused := used.Report(f.Where("").File, review.Aim{Now: w.Until, Settle: min(review.DefaultSettle, w.Until.Sub(w.Since))})
	report.Rules = append(report.Rules, unused.Rules...)
	report.Findings = append(report.Findings, unused.Findings...)
	report.Notes = append(report.Notes, unused.Notes...)
	return nil
}

// inventory lists the APIs of a configuration with what the log tells of them since a time; also
// is told of each event.
func (a *App) inventory(ctx context.Context, f *config.File, since time.Time, also func(*audit.Event)) (*inventory.Inventory, error) {
	if err := a.State.Log.Flush(); err != nil {
		return nil, err
	}
	l := Look{Since: since, Now: a.now(), Also: also}
	if a.schedule.Scheduler != nil {
		s := a.schedule.Status(0)
		l.Audited, l.Attacked = LastLooks(&s)
	}
	return Inventory(ctx, f, l)
}

// LastLooks are when the schedule last checked and attacked; zero: never.
func LastLooks(s *schedule.Status) (audited, attacked time.Time) {
	for _, t := range s.Tasks {
		switch t.Name {
		case checkTask:
			audited = t.Sound
		case attackTask:
			attacked = t.Sound
		}
	}
	return audited, attacked
}

// InventoryReport says what is wrong with an inventory, with what the configuration waives.
func InventoryReport(f *config.File, v *inventory.Inventory) *finding.Report {
	report := v.Report(f)
	Waive(f, report)
	return report
}

// Look says how an inventory is made.
type Look struct {
	Since, Now        time.Time
	Audited, Attacked time.Time
	Also              func(*audit.Event) // is told of each event; nil: nobody is
}

// Inventory lists the APIs of a configuration with what its event log tells of them.
func Inventory(ctx context.Context, f *config.File, l Look) (*inventory.Inventory, error) {
	traffic := inventory.NewTraffic(l.Since)
	err := audit.Each(ctx, f.Log.Folder, audit.Query{Since: l.Since}, func(found audit.Found) error {
		traffic.Add(&found.Event)
		if l.Also != nil {
			l.Also(&found.Event)
		}
		return nil
	})
	if fault, damaged := errors.AsType[*audit.Fault](err); damaged {
		traffic.Damaged(fault.Error())
	} else if err != nil {
		return nil, err
	}
	since, err := EndpointsSince(f, l.Now)
	if err != nil {
		return nil, err
	}
	g := &generation{file: f, files: &files{dir: f.Dir}, now: func() time.Time { return l.Now }}
	return inventory.Make(inventory.Sources{File: f, Now: l.Now, Traffic: traffic, Audited: l.Audited, Attacked: l.Attacked, Since: since, Describe: g.describe})
}

// describe tells what a description says of its version, and of the ends of operations.
func (g *generation) describe(from *config.OpenAPI) (version string, ends func(string) inventory.Ending, err error) {
	document, err := g.document(from)
	if err != nil {
		return "", nil, err
	}
	if about, ok := document.Root()["info"].(map[string]any); ok {
		version, _ = about["version"].(string)
	}
	return version, func(pattern string) (e inventory.Ending) {
		operation, err := document.Operation(pattern)
		if err != nil {
			return e // it is not described
		}
		return endingOf(operation)
	}, nil
}

func endingOf(o *schema.Operation) (e inventory.Ending) {
	since, over, deprecated := o.Sunset()
	e.Sunset = over
	switch {
	case deprecated && !since.IsZero():
		e.Deprecated = "since " + since.UTC().Format(time.DateOnly)
	case deprecated:
		e.Deprecated = "yes"
	}
	return e
}

// scheduleRules are the rules of what the schedule can find, so that they can be silenced.
func (a *App) scheduleRules() []string {
	var all []string
	for _, r := range slices.Concat(check.Rules(), own.Rules(), inventory.Rules(), review.TrialRules(), review.Rules()) {
		all = append(all, r.ID)
	}
	if a.schedule.Scheduler != nil {
		all = append(all, a.schedule.Rules()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
