package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
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

// TestSignsOfWhatIsOpenAreCounted: while nothing runs, too.
func TestSignsOfWhatIsOpenAreCounted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pavise.yaml")
	if code, _, errs := pavise(t, "init", "--upstream", "http://127.0.0.1:3000", "--out", name); code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	file, err := app.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), file, app.Options{Library: true, Flood: audit.Flood{Rate: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		e := audit.Event{
			ID: fmt.Sprint("r", i), Time: time.Now(), Class: audit.Request, Decision: audit.Refused, Code: "invalid_credential", Status: 401,
			Remote: netip.MustParseAddrPort("192.0.2.7:1000"),
		}
		if err := audit.Record(a.State.Log, &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	code, out, errs := pavise(t, "log", "alerts", "--open", "--json", "-c", name)
	var found struct {
		Incidents []alert.Recorded `json:"incidents"`
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 {
		t.Fatalf("%d %s%s: %v", code, out, errs, err)
	}
	if len(found.Incidents) != 1 || found.Incidents[0].Detection != "guessing" || found.Incidents[0].Count < 20 {
		t.Errorf("%+v", found.Incidents)
	}
}
