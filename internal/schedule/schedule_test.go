package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

// world is a gateway's data folder and log, a clock, and what there is to find.
type world struct {
	t      testing.TB
	folder string
	now    time.Time
	log    []audit.Event
	faults []error // of the log, taken one by one
	warned []string
	plan   schedule.Plan
	*schedule.Scheduler

	wrong   map[string][]finding.Finding // what each task finds
	partial string
	unsure  []string // cases without a verdict
	broken  error    // jobs fail with it
	runs    map[string]int
	during  func(where string) // is called in the middle of things
}

func rule(id string, severity finding.Severity) finding.Rule {
	return finding.Rule{ID: id, Severity: severity, Title: "Title of " + id, Why: "why", Mend: "mend it"}
}

func fault(id string, severity finding.Severity, path string) finding.Finding {
	return rule(id, severity).At(finding.Place{File: "pavise.yaml", Line: 3, Path: path}, "seen at %s", path)
}

func when(t testing.TB, text string) schedule.When {
	t.Helper()
	w, err := schedule.ParseWhen(text)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorld(t testing.TB, times map[string]string) *world {
	t.Helper()
	w := &world{
		t: t, folder: t.TempDir(), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), wrong: map[string][]finding.Finding{}, runs: map[string]int{},
		during: func(string) {},
	}
	w.plan = schedule.Plan{Zone: time.UTC, Keep: 400 * 24 * time.Hour, Least: finding.Low}
	for _, name := range []string{"check", "attack", "review"} {
		task := schedule.Task{Name: name, Timeout: time.Minute, Job: w.job(name)}
		if text := times[name]; text != "" {
			task.When = when(t, text)
		}
		w.plan.Tasks = append(w.plan.Tasks, task)
	}
	w.start()
	return w
}

func (w *world) job(name string) schedule.Job {
	return func(context.Context, time.Time) (*finding.Report, error) {
		w.during("job")
		w.runs[name]++
		if w.broken != nil {
			return nil, w.broken
		}
		return &finding.Report{Tool: "pavise " + name, Subject: "pavise.yaml", Time: w.now, Findings: slices.Clone(w.wrong[name]), Partial: w.partial, Unjudged: w.unsure}, nil
	}
}

// start opens the scheduler, as a start of the program does.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.Scheduler, err = schedule.Open(schedule.Settings{
		Folder: w.folder, Plan: w.plan, Now: func() time.Time { return w.now }, Rand: strings.NewReader(strings.Repeat("seed", 8)),
		Record: w.record, Recorded: w.recorded, Warn: func(err error) { w.warned = append(w.warned, err.Error()) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) record(e *audit.Event) error {
	w.during("before an event")
	if len(w.faults) > 0 {
		err := w.faults[0]
		w.faults = w.faults[1:]
		if err != nil {
			return err
		}
	}
	w.log = append(w.log, *e)
	w.during("behind an event")
	return nil
}

func (w *world) recorded(_ context.Context, ids map[string]bool, since time.Time) (map[string]bool, error) {
	there := map[string]bool{}
	for i := range w.log {
		if e := &w.log[i]; ids[e.ID] {
			if e.Time.Before(since) {
				w.t.Errorf("%s is older than %s", e.ID, since)
			}
			there[e.ID] = true
		}
	}
	return there, nil
}

func (w *world) pass() { w.Pass(w.t.Context()) }

// live lets time go on, and looks every half hour whether something is due.
func (w *world) live(long time.Duration) {
	for end := w.now.Add(long); w.now.Before(end); {
		w.now = w.now.Add(30 * time.Minute)
		w.pass()
	}
}

// told lists what the log tells of findings: "+rule path" where one began, "-rule path" where it
// ended, and "!code task" for what the system said.
func (w *world) told() (all []string) {
	for i := range w.log {
		e := &w.log[i]
		incident, ok := alert.FromEvent(e)
		switch {
		case !ok:
			all = append(all, "!"+e.Code+" "+strings.TrimPrefix(e.Target, "schedule "))
		case incident.Ended:
			all = append(all, "-"+incident.Detection+" "+incident.Subject.Name)
		default:
			all = append(all, "+"+incident.Detection+" "+incident.Subject.Name)
		}
	}
	return all
}

func (w *world) want(words ...string) {
	w.t.Helper()
	if got := w.told(); !slices.Equal(got, words) {
		w.t.Errorf("told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(words, "\n  "))
	}
}

func TestANewFindingIsToldOnceAndAMendedOneEnds(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.live(24 * time.Hour)
	w.want()
	w.wrong["check"] = []finding.Finding{fault("plain-sink", finding.High, "log.sinks.siem")}
	w.live(72 * time.Hour)
	w.want("+plain-sink log.sinks.siem")
	e := w.log[0]
	if e.Class != audit.Detection || e.Code != "plain-sink" || e.Warning != "high" || e.Target != "check log.sinks.siem" || e.Action != alert.Began || e.Detail == "" {
		t.Errorf("event %+v", e)
	}
	if open := w.Open(); len(open) != 1 || open[0].Detection != "plain-sink" {
		t.Errorf("open %+v", open)
	}
	if means, do := w.Explain("plain-sink"); !strings.Contains(means, "why") || do != "mend it" {
		t.Errorf("explained as %q, %q", means, do)
	}
	w.wrong["check"] = nil
	w.live(48 * time.Hour)
	w.want("+plain-sink log.sinks.siem", "-plain-sink log.sinks.siem")
	if len(w.Open()) != 0 {
		t.Error("it is open still")
	}
	began, _ := alert.FromEvent(&w.log[0])
	ended, _ := alert.FromEvent(&w.log[1])
	if began.Key() != ended.Key() {
		t.Errorf("the end of %+v is that of %+v", began, ended)
	}
	w.wrong["check"] = []finding.Finding{fault("plain-sink", finding.High, "log.sinks.siem")}
	w.live(48 * time.Hour)
	w.want("+plain-sink log.sinks.siem", "-plain-sink log.sinks.siem", "+plain-sink log.sinks.siem")
	again, _ := alert.FromEvent(&w.log[2])
	if again.Key() == began.Key() {
		t.Error("what came back is taken for what had ended")
	}
	found := w.Trend(schedule.Query{}).Findings
	if len(found) != 1 || found[0].Times != 2 || !found[0].IsOpen() || !found[0].First.Before(found[0].Opened) {
		t.Errorf("found %+v", found)
	}
}

func TestWhatIsNotNewIsNotTold(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	one := fault("old-key", finding.Medium, "key k1")
	w.wrong["check"] = []finding.Finding{one, fault("hint", finding.Info, "key k1")}
	w.live(24 * time.Hour)
	w.want("+old-key key k1") // a hint is below what is told
	one.Where.Line, one.What = 99, "it moved, and says something else"
	w.wrong["check"] = []finding.Finding{one}
	w.live(24 * time.Hour)
	w.want("+old-key key k1")
	one.Severity = finding.Critical
	w.wrong["check"] = []finding.Finding{one, one}
	w.live(24 * time.Hour)
	w.want("+old-key key k1", "-old-key key k1", "+old-key key k1", "+old-key key k1") // worse, and a second one at the same place
	w.wrong["check"] = []finding.Finding{one}
	w.live(24 * time.Hour)
	if told := w.told(); told[len(told)-1] != "-old-key key k1" || len(w.Open()) != 1 {
		t.Errorf("told %q, open %v", told, w.Open())
	}
}

func TestWaivedFindingsEndAndComeBackWhenTheWaiverIsOver(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	one := fault("old-key", finding.Medium, "key k1")
	waived := one
	waived.Waived = &finding.Waived{Reason: "for a while", Until: "2026-02-01"}
	never := fault("plain-sink", finding.High, "log.sinks.b")
	never.Waived = waived.Waived
	w.wrong["check"] = []finding.Finding{one, never}
	w.live(24 * time.Hour)
	w.want("+old-key key k1")
	w.wrong["check"] = []finding.Finding{waived, never}
	w.live(48 * time.Hour)
	w.want("+old-key key k1", "-old-key key k1")
	for name, q := range map[string]schedule.Query{"all": {Mended: true}, "of the last day": {Mended: true, Since: w.now.Add(-25 * time.Hour)}} {
		found := w.Trend(q).Findings
		if len(found) != 2 {
			t.Fatalf("%s: found %+v", name, found)
		}
		for _, f := range found { // what was accepted before it was known, too: no waiver is a silence
			if f.Reason != schedule.Waived || f.Waived == nil || !strings.HasSuffix(f.State(), " until 2026-02-01: for a while") {
				t.Errorf("%s: found %+v", name, f)
			}
		}
	}
	if r := w.Status(1).Tasks[0].Last[0]; r.Waived != 2 || r.New != 0 || r.Mended != 0 || len(r.Open) != 0 {
		t.Errorf("the run says %+v", r)
	}
	w.wrong["check"] = []finding.Finding{one}
	w.live(48 * time.Hour)
	w.want("+old-key key k1", "-old-key key k1", "+old-key key k1")
}

func TestWhatWasNotLookedAtIsNotMended(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.wrong["check"] = []finding.Finding{fault("old-key", finding.Medium, "key k1")}
	w.live(24 * time.Hour)
	w.wrong["check"], w.partial = []finding.Finding{fault("new-key", finding.Medium, "key k2")}, "it was broken off after 3 of 9 cases"
	w.live(24 * time.Hour)
	w.want("+old-key key k1", "+new-key key k2")
	w.broken = errors.New("the store does not answer")
	w.live(24 * time.Hour)
	w.want("+old-key key k1", "+new-key key k2", "!schedule_failed check")
	if e := w.log[2]; e.Class != audit.System || e.Detail != "the store does not answer" {
		t.Errorf("event %+v", e)
	}
	w.broken, w.partial, w.wrong["check"] = nil, "", nil
	w.live(24 * time.Hour)
	w.want("+old-key key k1", "+new-key key k2", "!schedule_failed check", "-old-key key k1", "-new-key key k2")
}

// What an attack found is mended when the case that found it says so.
func TestACaseWithoutAVerdictMendsNothing(t *testing.T) {
	w := newWorld(t, map[string]string{"attack": "daily 04:00"})
	door, window := fault("open-door", finding.High, "GET /v1/x"), fault("open-door", finding.High, "GET /v1/x")
	door.Case, window.Case = "open-door GET /v1/x, by the door", "open-door GET /v1/x, by the window"
	w.wrong["attack"] = []finding.Finding{door, window}
	w.live(24 * time.Hour)
	w.want("+open-door GET /v1/x", "+open-door GET /v1/x")
	w.wrong["attack"], w.unsure = []finding.Finding{window}, []string{door.Case}
	w.live(72 * time.Hour)
	w.want("+open-door GET /v1/x", "+open-door GET /v1/x")
	if len(w.Open()) != 2 {
		t.Errorf("open %+v", w.Open())
	}
	w.wrong["attack"], w.unsure, w.partial = nil, nil, "another case was not let try"
	w.live(48 * time.Hour)
	w.want("+open-door GET /v1/x", "+open-door GET /v1/x", "-open-door GET /v1/x", "-open-door GET /v1/x")
	for i := range w.log {
		if e := &w.log[i]; e.Action == alert.Ended && e.Time.Day() != w.log[3].Time.Day() {
			t.Errorf("%s ended at %s", e.Target, e.Time)
		}
	}
	w.wrong["attack"], w.unsure = []finding.Finding{door}, []string{window.Case}
	w.live(24 * time.Hour)
	if told := w.told(); len(told) != 5 || told[4] != "+open-door GET /v1/x" {
		t.Errorf("what came back: %q", told)
	}
}

func TestOneTasksRunMendsNothingOfAnother(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00", "attack": "daily 04:00"})
	same := fault("open-door", finding.High, "GET /v1/x")
	w.wrong["check"], w.wrong["attack"] = []finding.Finding{same}, []finding.Finding{same}
	w.live(24 * time.Hour)
	w.want("+open-door GET /v1/x", "+open-door GET /v1/x")
	w.wrong["attack"] = nil
	w.live(24 * time.Hour)
	if w.log[2].Target != "attack GET /v1/x" || w.log[2].Action != alert.Ended || len(w.Open()) != 1 {
		t.Errorf("told %q", w.told())
	}
}

// A year with restarts of the program in between: each day has its check, in a zone whose clocks
// change twice; what is wrong for some days is told once, and ends once.
func TestAYearOfTheSchedule(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 02:30", "attack": "weekly sun 04:00", "review": "monthly 1 05:00"})
	w.plan.Zone, w.plan.Jitter = zone(t, "Europe/Berlin"), 10*time.Minute
	w.Set(w.plan)
	var want []string
	dice := rand.New(rand.NewPCG(7, 146))
	for day := range 365 {
		switch {
		case day%30 == 10:
			path := fmt.Sprintf("apis.a%d", day)
			w.wrong["check"] = append(w.wrong["check"], fault("plain-upstream", finding.High, path))
			want = append(want, "+plain-upstream "+path)
		case day%30 == 20 && day > 30:
			path := w.wrong["check"][0].Where.Path
			w.wrong["check"] = w.wrong["check"][1:]
			want = append(want, "-plain-upstream "+path)
		}
		w.live(24 * time.Hour)
		if dice.IntN(4) == 0 {
			w.start()
		}
	}
	w.want(want...)
	if w.runs["check"] != 365 || w.runs["attack"] != 52 || w.runs["review"] != 12 {
		t.Errorf("runs %v", w.runs)
	}
	if days := w.Trend(schedule.Query{Since: w.now.AddDate(-1, 0, 2)}).Days; len(days) < 360 || len(days) > 366 {
		t.Errorf("the trend has %d days", len(days))
	}
	if len(w.warned) > 0 {
		t.Errorf("warned %q", w.warned)
	}
}

func copyFolder(t testing.TB, from string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(from, path)
		all[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func putFolder(t testing.TB, into string, all map[string]string) {
	t.Helper()
	if err := os.RemoveAll(into); err != nil {
		t.Fatal(err)
	}
	for name, text := range all {
		path := filepath.Join(into, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The program is killed at any moment: while a job runs, before an event is in the log, and after
// that, before it was noted. What the disk and the log hold at that moment is all that the next
// start has. Nothing is lost then, and nothing is told twice.
func TestAKillAtAnyMomentLosesNothingAndRepeatsNothing(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, map[string]string{"check": "daily 02:30", "attack": "weekly sun 04:00"})
		dice, kills := rand.New(rand.NewPCG(seed, 1)), 0
		for range 60 {
			if dice.IntN(3) == 0 {
				path := fmt.Sprintf("apis.a%d", dice.IntN(6))
				at := slices.IndexFunc(w.wrong["check"], func(f finding.Finding) bool { return f.Where.Path == path })
				if at >= 0 {
					w.wrong["check"] = slices.Delete(slices.Clone(w.wrong["check"]), at, at+1)
				} else {
					w.wrong["check"] = append(w.wrong["check"], fault("plain-upstream", finding.High, path))
				}
			}
			var disk map[string]string
			var log []audit.Event
			countdown := 1 + dice.IntN(4)
			w.during = func(string) {
				if countdown--; countdown == 0 {
					disk, log = copyFolder(t, w.folder), slices.Clone(w.log)
				}
			}
			w.live(24 * time.Hour)
			w.during = func(string) {}
			if disk != nil {
				kills++
				putFolder(t, w.folder, disk)
				w.log = log
				w.start()
				w.pass()
			}
		}
		w.live(24 * time.Hour)
		open, ids := map[string]bool{}, map[string]bool{}
		for i := range w.log {
			e := &w.log[i]
			if ids[e.ID] {
				t.Errorf("seed %d: %s is told twice", seed, e.Target)
			}
			ids[e.ID] = true
			incident, ok := alert.FromEvent(e)
			if !ok {
				continue
			}
			if open[e.Target] == !incident.Ended {
				t.Errorf("seed %d: %s of %s follows another", seed, e.Action, e.Target)
			}
			open[e.Target] = !incident.Ended
		}
		maps.DeleteFunc(open, func(_ string, is bool) bool { return !is })
		if len(open) != len(w.wrong["check"]) || len(w.Open()) != len(open) {
			t.Errorf("seed %d: told %v as open, and %d are wrong", seed, open, len(w.wrong["check"]))
		}
		if kills < 20 {
			t.Errorf("seed %d: only %d kills", seed, kills)
		}
	}
}

func TestAMissedRunIsMadeUpOnce(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.live(24 * time.Hour)
	if w.runs["check"] != 1 {
		t.Fatalf("%d runs", w.runs["check"])
	}
	w.now = w.now.Add(5*24*time.Hour + 4*time.Hour) // the machine was off
	w.start()
	w.pass()
	w.pass()
	if w.runs["check"] != 2 {
		t.Errorf("%d runs, want one that makes up for all", w.runs["check"])
	}
	w.want("!schedule_missed check")
	if d := w.log[0].Detail; !strings.Contains(d, "5 runs before it were missed") {
		t.Errorf("said %q", d)
	}
	w.live(24 * time.Hour)
	if w.runs["check"] != 3 {
		t.Errorf("%d runs: the day after has its own", w.runs["check"])
	}
}

func TestAnotherPlanMakesUpNothing(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "weekly sun 03:00"})
	w.live(36 * time.Hour)
	w.plan.Tasks[0].When = when(t, "daily 03:00")
	w.Set(w.plan)
	w.pass()
	if w.runs["check"] != 0 {
		t.Error("what nobody had planned was made up")
	}
	w.live(24 * time.Hour)
	if w.runs["check"] != 1 {
		t.Errorf("%d runs", w.runs["check"])
	}
}

func TestClocksThatAreSet(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.live(28 * time.Hour)
	w.now = w.now.Add(-3 * time.Hour)
	w.live(3 * time.Hour)
	if w.runs["check"] != 2 {
		t.Errorf("%d runs: a clock that goes back repeats none", w.runs["check"])
	}
	w.now = w.now.AddDate(1, 0, 0)
	w.pass()
	if w.runs["check"] != 3 {
		t.Errorf("%d runs: a clock that goes forward makes one up", w.runs["check"])
	}
	w.now = w.now.AddDate(-1, 0, 0)
	w.live(48 * time.Hour)
	if w.runs["check"] != 5 {
		t.Errorf("%d runs: it goes on after a clock that was wrong", w.runs["check"])
	}
	w.want("!schedule_missed check", "!schedule_clock check")
}

func TestAJobThatEndsTheProgramIsGivenUp(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	var disk map[string]string
	w.during = func(string) { disk = copyFolder(t, w.folder) }
	w.live(4 * time.Hour)
	for range 5 {
		putFolder(t, w.folder, disk)
		w.start()
		w.pass()
	}
	if told := w.told(); !slices.Contains(told, "!schedule_failed check") || w.runs["check"] != 3 {
		t.Errorf("%d runs, told %q", w.runs["check"], told)
	}
}

func TestALogThatTakesNothingIsWaitedFor(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.wrong["check"] = []finding.Finding{fault("a", finding.High, "x"), fault("b", finding.High, "y"), fault("c", finding.High, "z")}
	w.faults = []error{nil, errors.New("the disk is full"), errors.New("the disk is full")}
	w.live(4 * time.Hour)
	w.want("+a x", "+b y", "+c z")
	if len(w.warned) == 0 || !strings.Contains(w.warned[0], "the disk is full") {
		t.Errorf("warned %q", w.warned)
	}
}

func TestWhatCannotBeKeptIsNotToldYet(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.live(time.Hour)
	w.wrong["check"] = []finding.Finding{fault("a", finding.High, "x")}
	book := filepath.Join(w.folder, "book.json.new")
	if err := os.MkdirAll(filepath.Join(book, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.live(4 * time.Hour)
	w.want()
	if len(w.warned) == 0 || !strings.Contains(w.warned[0], "keep what was found") {
		t.Errorf("warned %q", w.warned)
	}
	if err := os.RemoveAll(book); err != nil {
		t.Fatal(err)
	}
	w.live(time.Hour)
	w.want("+a x")
}

func TestOfMoreThanAnybodyReadsOnlyTheWorstAreToldOneByOne(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 700 {
		severity := finding.Low
		if i > 650 {
			severity = finding.High
		}
		w.wrong["check"] = append(w.wrong["check"], fault("many", severity, fmt.Sprintf("apis.a%d", i)))
	}
	if _, err := w.RunNow(t.Context(), "check", "ann"); err != nil {
		t.Fatal(err)
	}
	if n := len(w.log); n != 501 || w.log[0].Warning != "high" || w.log[500].Code != "schedule_findings" || !strings.Contains(w.log[500].Detail, "200 more") {
		t.Errorf("%d events, the last %+v", n, w.log[n-1])
	}
	w.wrong["check"] = nil
	if _, err := w.RunNow(t.Context(), "check", "ann"); err != nil {
		t.Fatal(err)
	}
	if n := len(w.log); n != 1001 || len(w.Open()) != 0 {
		t.Errorf("%d events: what was told ends, and nothing else", n)
	}
}

func TestRunsThatSomebodyAsksFor(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "daily 03:00"})
	w.live(time.Hour)
	before, err := w.RunNow(t.Context(), "check", "ann")
	if err != nil || before != 0 {
		t.Fatalf("before %d, %v", before, err)
	}
	s := w.Status(5)
	if c := s.Tasks[0]; c.Ended != 1 || c.Last[0].By != "ann" || c.Last[0].Outcome != schedule.Done || !c.Next.Equal(time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC)) {
		t.Errorf("status %+v", c)
	}
	if r := s.Tasks[2]; r.When != "" || !r.Next.IsZero() || len(r.Last) != 0 {
		t.Errorf("status of what nobody planned %+v", r)
	}
	if _, err := w.RunNow(t.Context(), "guess", "ann"); !errors.Is(err, schedule.ErrUnknown) {
		t.Errorf("an unknown task: %v", err)
	}
	w.during = func(string) {
		if _, err := w.Start("attack", "bob"); !errors.Is(err, schedule.ErrBusy) {
			t.Errorf("two at once: %v", err)
		}
	}
	if _, err := w.RunNow(t.Context(), "check", "ann"); err != nil {
		t.Error(err)
	}
	w.during = func(string) {}
	w.live(3 * time.Hour)
	if w.runs["check"] != 3 {
		t.Errorf("%d runs: the plan's own is not moved", w.runs["check"])
	}
}

func TestReportsAreKeptForATimeAndInBounds(t *testing.T) {
	w := newWorld(t, map[string]string{"check": "hourly :15"})
	w.plan.Keep = 7 * 24 * time.Hour
	w.Set(w.plan)
	w.wrong["check"] = []finding.Finding{fault("old-key", finding.Medium, "key k1")}
	w.live(24 * time.Hour)
	w.wrong["check"] = nil
	name := w.Status(1).Tasks[0].Last[0].Report
	report, err := w.Report(name)
	if err != nil || len(report.Findings) != 1 {
		t.Fatalf("report %q: %+v, %v", name, report, err)
	}
	for _, bad := range []string{"", "../book.json", "check-1.json", name + "/../" + name} {
		if _, err := w.Report(bad); err == nil {
			t.Errorf("there is a report %q", bad)
		}
	}
	w.live(10 * 24 * time.Hour)
	files, err := os.ReadDir(filepath.Join(w.folder, "reports"))
	if err != nil || len(files) < 160 || len(files) > 170 {
		t.Errorf("%d reports, %v", len(files), err)
	}
	if _, err := w.Report(name); err == nil {
		t.Error("a report is kept for longer than it should be")
	}
	if found := w.Trend(schedule.Query{}).Findings; len(found) != 0 {
		t.Errorf("what was mended long ago is kept: %+v", found)
	}
}

func TestABookThatCannotBeReadIsNotTakenForEmpty(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.RunNow(t.Context(), "check", "ann"); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(w.folder, "book.json")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", `{"version":9,"tasks":{}}`, `{"version":1,"tasks":{"check":null}}`, `{"version":1,"tasks":{},"findings":[null]}`, strings.Replace(string(good), `"seed"`, `"sead"`, 1)} {
		if err := os.WriteFile(name, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := schedule.Open(schedule.Settings{Folder: w.folder, Plan: w.plan, Now: time.Now, Rand: strings.NewReader(strings.Repeat("x", 16))})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%.30q: %v", bad, err)
		}
	}
}

// The book has room for all findings, however long what an attack says of each.
func TestTextsOfFindingsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	short, long := fault("a", finding.High, "GET /a"), fault("b", finding.High, "GET /b")
	short.Proof, long.Proof, long.What = "curl -i 'https://127.0.0.1/a'", strings.Repeat("p", 1<<20), strings.Repeat("w", 1<<20)
	w.wrong["attack"] = []finding.Finding{short, long}
	if _, err := w.RunNow(t.Context(), "attack", "ann"); err != nil {
		t.Fatal(err)
	}
	all := w.Trend(schedule.Query{}).Findings
	if len(all) != 2 || all[0].Proof != short.Proof || all[1].Proof != "" || len(all[1].What) > 1100 {
		t.Errorf("%d findings", len(all))
	}
	report, err := w.Report(w.Trend(schedule.Query{}).Runs[0].Report)
	if err != nil || len(report.Findings) != 2 || report.Findings[1].Proof != long.Proof {
		t.Errorf("the report has %d findings, %v", len(report.Findings), err)
	}
}
