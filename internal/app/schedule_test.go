package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/finding"
	"pavise.dev/pavise/internal/schedule"
)

func openDoor() finding.Finding {
	return finding.Rule{ID: "open-door", Severity: finding.High, Title: "A door that is open", Why: "anybody comes in", Mend: "close it"}.At(finding.Place{Path: "GET /v1/orders"}, "it was open")
}

// attacked is an installation that attacks itself, and finds what stands in found.
func attacked(t *testing.T, dir, settings string, found *[]finding.Finding) *App {
	t.Helper()
	a, err := Open(t.Context(), write(t, dir, minimal+settings), Options{Library: true, Jobs: map[string]schedule.Job{
		"attack": func(context.Context, time.Time) (*finding.Report, error) {
			return &finding.Report{Tool: "pavise attack", Findings: slices.Clone(*found)}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func runNow(t *testing.T, a *App, task string) schedule.Run {
	t.Helper()
	if _, err := a.schedule.RunNow(t.Context(), task, "ann"); err != nil {
		t.Fatal(err)
	}
	for _, each := range a.schedule.Status(1).Tasks {
		if each.Name == task {
			return each.Last[0]
		}
	}
	t.Fatalf("there is no task %s", task)
	return schedule.Run{}
}

func TestANewFindingIsAnAlertOfAllNotifiersOnceOverRestarts(t *testing.T) {
	address, got := receiver(t)
	dir, found := t.TempDir(), []finding.Finding{openDoor()}
	settings := "\nalerts: {group: 0s, notify: {hook: {webhook: {url: " + address + "}}}}\n"
	a := attacked(t, dir, settings, &found)
	if r := runNow(t, a, "attack"); r.Outcome != schedule.Done || r.New != 1 {
		t.Errorf("%+v", r)
	}
	if m := <-got; len(m.Began) != 1 || m.Began[0].Detection != "open-door" || m.Began[0].Subject.String() != "attack GET /v1/orders" || !strings.Contains(m.Began[0].Means, "anybody comes in") || m.Began[0].Do != "close it" {
		t.Errorf("%+v", m)
	}
	if open := a.alerts.open(); len(open) != 1 || open[0].Detection != "open-door" {
		t.Errorf("notifiers are to forget %+v", open)
	}
	shut(t, a)
	a = attacked(t, dir, settings, &found)
	defer func() { shut(t, a) }()
	if r := runNow(t, a, "attack"); r.New != 0 || r.Open["high"] != 1 {
		t.Errorf("%+v", r)
	}
	found = nil
	if r := runNow(t, a, "attack"); r.Mended != 1 {
		t.Errorf("%+v", r)
	}
	if m := <-got; len(m.Began) != 0 || len(m.Ended) != 1 {
		t.Errorf("%+v", m)
	}
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := alert.History(t.Context(), a.installed.Log.Folder, time.Now().Add(-time.Hour))
	if err != nil || len(all) != 1 || !all[0].Ended {
		t.Errorf("%+v, %v", all, err)
	}
}

// An attack that is broken off by the end of the gateway must not see it end: what it does not find any more
// would be mended.
func TestTheScheduleEndsBeforeTheGateway(t *testing.T) {
	began, reached := make(chan struct{}), make(chan error, 1)
	var address string
	a, err := Open(t.Context(), write(t, t.TempDir(), "listen: {https: \"127.0.0.1:0\"}\n"+minimal), Options{Jobs: map[string]schedule.Job{
		"attack": func(ctx context.Context, _ time.Time) (*finding.Report, error) {
			close(began)
			<-ctx.Done()
			conn, err := net.DialTimeout("tcp", address, time.Second)
			if err == nil {
				err = conn.Close()
			}
			reached <- err
			return nil, ctx.Err()
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address = r.HTTPS()
	if _, err := a.schedule.Start("attack", "ann"); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := r.Close(time.Second); err != nil {
		t.Error(err)
	}
	if err := <-reached; err != nil {
		t.Errorf("the gateway did not listen any more: %v", err)
	}
}

// What another configuration makes of the demands of the one before is no finding.
func TestAReloadDuringAnAttackIsNoFinding(t *testing.T) {
	var a *App
	var next *config.File
	var mu sync.Mutex
	asked := 0
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "pavise-attack" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 1 {
			if err := a.Reload(next); err != nil {
				t.Error(err)
			}
		}
	}))
	defer service.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("listen: {https: %q}\n", l.Addr()) + strings.Replace(minimal, "http://127.0.0.1:9", service.URL, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	next = write(t, dir, strings.Replace(text, "GET /v1/orders", "GET /v1/others", 1))
	if a, err = Open(t.Context(), write(t, dir, text), Options{}); err != nil {
		t.Fatal(err)
	}
	r, err := a.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(time.Second); err != nil {
			t.Error(err)
		}
	}()
	report, err := a.attackItself(t.Context(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("%s at %s: %s", f.Rule, f.Where, f.What)
	}
	if mu.Lock(); asked != 2 {
		t.Errorf("it attacked %d times", asked)
	}
	mu.Unlock()
}

func TestWhatIsScheduledAndCannotBeRunIsRefused(t *testing.T) {
	const settings = "\nschedule: {attack: \"weekly sun 04:00\"}\n"
	f := write(t, t.TempDir(), minimal+settings)
	if _, has := (&App{}).jobs()["attack"]; !has {
		if err := Check(f); err == nil || !strings.Contains(err.Error(), "schedule.attack: this program has no attack to run by itself") {
			t.Errorf("check: %v", err)
		}
		if a, err := Open(t.Context(), f, Options{Library: true}); err == nil {
			shut(t, a)
			t.Error("it starts")
		}
	}
	found := []finding.Finding{}
	dir := t.TempDir()
	a := attacked(t, dir, settings, &found)
	defer shut(t, a)
	if s := a.schedule.Status(1).Tasks[1]; s.Name != "attack" || s.When != "weekly sun 04:00" || s.Next.IsZero() {
		t.Errorf("%+v", s)
	}
	if err := a.Reload(write(t, dir, minimal)); err != nil {
		t.Fatal(err)
	}
	if s := a.schedule.Status(1).Tasks[1]; s.When != "" || !s.Next.IsZero() {
		t.Errorf("after the reload %+v", s)
	}
}

func TestTheGatewayChecksAndReviewsItself(t *testing.T) {
	found := []finding.Finding{}
	dir := t.TempDir()
	a := attacked(t, dir, "", &found)
	defer shut(t, a)
	if r := runNow(t, a, "check"); r.Outcome != schedule.Done || !strings.Contains(r.About, "endpoints") || r.New == 0 {
		t.Errorf("%+v", r)
	}
	if r := runNow(t, a, "review"); r.Outcome != schedule.Done || r.Open["low"] == 0 {
		t.Errorf("%+v", r)
	}
	// A reload reads the file by another name; nothing of it is new.
	if err := a.Reload(write(t, dir, minimal+"\n# changed\n")); err != nil {
		t.Fatal(err)
	}
	for _, task := range []string{"check", "review"} {
		if r := runNow(t, a, task); r.New != 0 || r.Mended != 0 {
			t.Errorf("%s again: %+v", task, r)
		}
	}
	for _, f := range a.schedule.Trend(schedule.Query{}).Findings {
		if strings.Contains(f.Where.File, dir) {
			t.Errorf("%s stands in %s", f.Rule, f.Where.File)
		}
	}
}

// A waiver of the configuration is for what any task finds: there, for a reason, and until a day.
func TestFindingsOfAllTasksAreWaived(t *testing.T) {
	found := []finding.Finding{openDoor()}
	dir := t.TempDir()
	until := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	waiver := func(rule, where, until string) string {
		return fmt.Sprintf("  - {rule: %s, where: %q, reason: it is meant to be so, until: %q}\n", rule, where, until)
	}
	a := attacked(t, dir, "", &found)
	defer shut(t, a)
	if r := runNow(t, a, "attack"); r.New != 1 {
		t.Fatalf("%+v", r)
	}
	runNow(t, a, "review")
	for _, c := range []struct {
		name, waivers string
		open          int
		unowned       bool
	}{
		{"elsewhere", waiver("open-door", "GET /v1/order", until), 1, true},
		{"over", waiver("open-door", "GET /v1/orders", "2024-01-31"), 1, true},
		{"there", waiver("open-door", "GET /v1/orders", until) + waiver("api-without-owner", "apis.orders", until), 0, false},
	} {
		if err := a.Reload(write(t, dir, minimal+"waivers:\n"+c.waivers)); err != nil {
			t.Fatal(err)
		}
		if r := runNow(t, a, "attack"); r.Open["high"] != c.open {
			t.Errorf("%s: %+v", c.name, r)
		}
		runNow(t, a, "review")
		unowned := false
		for _, f := range a.schedule.Trend(schedule.Query{Open: true}).Findings {
			unowned = unowned || f.Rule == "api-without-owner"
		}
		if unowned != c.unowned {
			t.Errorf("%s: the review's finding is open: %t", c.name, unowned)
		}
	}
	ended := a.schedule.Trend(schedule.Query{Mended: true}).Findings
	for _, rule := range []string{"open-door", "api-without-owner"} {
		if !slices.ContainsFunc(ended, func(f *schedule.Finding) bool {
			return f.Rule == rule && f.Reason == schedule.Waived && f.Waived.Reason == "it is meant to be so" && f.Waived.Until == until
		}) {
			t.Errorf("%s: %+v", rule, ended)
		}
	}
}

// What was decided is in the log before the program ends, or behind the next start: not in both.
func TestEventsOfTheScheduleAreFoundInTheLog(t *testing.T) {
	found := []finding.Finding{openDoor()}
	a := attacked(t, t.TempDir(), "", &found)
	defer shut(t, a)
	runNow(t, a, "attack")
	if err := a.State.Log.Flush(); err != nil {
		t.Fatal(err)
	}
	all, err := audit.Search(t.Context(), a.installed.Log.Folder, audit.Query{Class: audit.Detection})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v", all, err)
	}
	id := all[0].Event.ID
	there, err := a.inLog(t.Context(), a.installed.Log.Folder, map[string]bool{id: true, "OTHER": true}, all[0].Event.Time)
	if err != nil || !there[id] || len(there) != 1 {
		t.Errorf("%v, %v", there, err)
	}
}

func TestTheAdministrationRunsTasksAndTellsOfFindings(t *testing.T) {
	found := []finding.Finding{openDoor()}
	a := attacked(t, t.TempDir(), "", &found)
	defer shut(t, a)
	service := Administration(a.installed, a.State, a.now)
	a.live(service)
	c := admin.Connect(admin.InProcess(service))
	if _, err := c.RunScheduled(t.Context(), "guess"); err == nil || !strings.Contains(err.Error(), "no such task") {
		t.Errorf("an unknown task: %v", err)
	}
	started, err := c.RunScheduled(t.Context(), "attack")
	if err != nil {
		t.Fatal(err)
	}
	var last schedule.TaskStatus
	for last.Ended <= started.Before {
		s, err := c.Schedule(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		last = s.Tasks[1]
	}
	if last.Open != 1 || last.Last[0].By == "" {
		t.Errorf("%+v", last)
	}
	trend, err := c.Findings(t.Context(), schedule.Query{Since: time.Now().Add(-time.Hour), Open: true})
	if err != nil || len(trend.Findings) != 1 || trend.Findings[0].Rule != "open-door" || trend.Findings[0].Severity != finding.High {
		t.Errorf("%+v, %v", trend, err)
	}
	report, err := c.Report(t.Context(), last.Last[0].Report)
	if err != nil || len(report.Findings) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := c.Report(t.Context(), "../book.json"); err == nil {
		t.Error("any file can be read")
	}
	if _, err := c.Silence(t.Context(), admin.NewSilence{Detection: "open-door", Life: time.Hour, Reason: "it is being mended"}); err != nil {
		t.Errorf("what was found cannot be silenced: %v", err)
	}
}
