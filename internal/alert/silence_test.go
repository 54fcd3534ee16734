package alert_test

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

func TestSilencesHoldForATimeAndSurviveARestart(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "data", "silences.json")
	open := func() *alert.Silences {
		t.Helper()
		s, err := alert.OpenSilences(path, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	add := func(detection, subject string, life time.Duration) {
		t.Helper()
		if _, err := s.Add(alert.Silence{Detection: detection, Subject: subject, Until: now.Add(life), Reason: "a penetration test", By: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	add("guessing", "203.0.113.0/24", time.Hour)
	add("mass_reading", "", 2*time.Hour)
	add(alert.AllDetections, "client shop", time.Hour)
	s = open()
	for _, each := range []struct {
		detection, kind, name string
		want                  bool
	}{
		{"guessing", "network", "203.0.113.7", true},
		{"guessing", "network", "203.0.113.0/25", true},
		{"guessing", "network", "203.0.0.0/16", false}, // wider than what is silenced
		{"guessing", "network", "203.0.114.7", false},
		{"scanning", "network", "203.0.113.7", false},
		{"mass_reading", "user", "ann", true},
		{"replays", "client", "shop", true},
		{"replays", "user", "shop", false},
	} {
		if got := s.Silent(each.detection, alert.Subject{Kind: each.kind, Name: each.name}); got != each.want {
			t.Errorf("%+v: %v", each, got)
		}
	}
	if all := s.All(); len(all) != 3 || all[2].Detection != "mass_reading" || all[0].By != "ann" {
		t.Errorf("%+v", all)
	}
	if err := s.Remove("mass_reading", ""); err != nil {
		t.Error(err)
	}
	if err := s.Remove("mass_reading", ""); !errors.Is(err, alert.ErrNotSilenced) {
		t.Error(err)
	}
	now = now.Add(61 * time.Minute)
	if s.Silent("guessing", alert.Subject{Kind: "network", Name: "203.0.113.7"}) || len(s.All()) != 0 {
		t.Error("it does not end")
	}
}

func TestASilenceWithoutEndOrReasonIsRefused(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	s, err := alert.OpenSilences(filepath.Join(t.TempDir(), "silences.json"), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	hour := now.Add(time.Hour)
	for name, n := range map[string]alert.Silence{
		"without end":      {Detection: "guessing", Reason: "a test"},
		"too long":         {Detection: "guessing", Reason: "a test", Until: now.Add(31 * 24 * time.Hour)},
		"without a reason": {Detection: "guessing", Reason: " ", Until: hour},
		"of everything":    {Detection: alert.AllDetections, Reason: "a test", Until: hour},
		"of the internet":  {Detection: alert.AllDetections, Subject: "network 0.0.0.0/0", Reason: "a test", Until: hour},
		"of IPv6":          {Detection: alert.AllDetections, Subject: "::/0", Reason: "a test", Until: hour},
		"of nothing":       {Reason: "a test", Until: hour},
		"with controls":    {Detection: "guessing", Subject: "a\x1b[2J", Reason: "a test", Until: hour},
	} {
		if _, err := s.Add(n); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := s.Add(alert.Silence{Detection: "guessing", Reason: "a test", Until: now.Add(30 * 24 * time.Hour)}); err != nil {
		t.Error(err)
	}
}

func TestADamagedFileOfSilencesIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "silences.json")
	for _, text := range []string{"", "{}", `[{"detection": 1}]`, `[{"unknown": "x"}]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := alert.OpenSilences(path, time.Now); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestHistoryTellsOfIncidentsAsTheLogDoes(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	log, err := audit.Open(audit.Options{Dir: dir, Node: "n", Key: make([]byte, 32), Sign: ed25519.NewKeyFromSeed(make([]byte, 32)), Slots: 64, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for i, incident := range []alert.Incident{
		{Detection: "guessing", Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: "192.0.2.7"}, Event: "r1", What: "many", Count: 1, Last: now, Began: now},
		{Detection: "mass_reading", Severity: alert.High, Subject: alert.Subject{Kind: "user", Name: "ann of sales"}, Event: "r2", What: "more", Count: 1, Last: now, Began: now},
		{Detection: "guessing", Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: "192.0.2.7"}, Event: "r1", Count: 9, Last: now.Add(time.Minute), Began: now, Ended: true},
	} {
		e := incident.AsEvent()
		if i == 1 {
			e.Note = alert.Silenced
		}
		if err := audit.Record(log, &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	all, err := alert.History(t.Context(), dir, now.Add(-time.Hour))
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	if g := all[0]; !g.Ended || g.Count != 9 || g.What != "many" || g.ID == "" || g.Silenced || !g.Last.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", g)
	}
	if m := all[1]; m.Ended || !m.Silenced || m.Subject.Name != "ann of sales" {
		t.Errorf("%+v", m)
	}
}
