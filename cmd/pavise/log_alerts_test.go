package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/app"
)

// TestWhatIsOpenIsShownWheneverItBegan: an incident that goes on for weeks is not out of sight.
func TestWhatIsOpenIsShownWheneverItBegan(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if code, _, errs := pavise(t, "init", "--upstream", "http://127.0.0.1:3000", "--out", name); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	file, err := app.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	state, err := app.OpenState(t.Context(), file, app.StateOptions{Now: time.Now, Warn: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	i := alert.Incident{Detection: "certificate_ending", Severity: alert.Medium, Subject: alert.Subject{Kind: "certificate", Name: "api"}, Began: time.Now().AddDate(0, 0, -20), Count: 1, What: "it ends soon", Event: "e1"}
	i.Last = i.Began
	e := i.AsEvent()
	erased := e
	erased.ID, erased.Target, erased.Detail, erased.Change, erased.Note = "e2", "", "", "", "erased"
	for _, each := range []*audit.Event{&e, &erased} {
		if err := audit.Record(state.Log, each); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Close(); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]bool{"log alerts --open": true, "log alerts --open --since 7d": false, "log alerts": false, "log alerts --since 30d": true} {
		code, out, errs := pavise(t, append(strings.Fields(args), "-c", name)...)
		if code != 0 || strings.Contains(out, "certificate api") != want || strings.Contains(out, "(erased)") != want {
			t.Errorf("%s: %d %s%s", args, code, out, errs)
		}
	}
	if code, out, errs := pavise(t, "log", "sinks", "-c", name); code != 0 || !strings.Contains(out, "no log.sinks") {
		t.Errorf("without sinks: %d %s%s", code, out, errs)
	}
}
