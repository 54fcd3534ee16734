package admin_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/sink"
)

func TestSignsOfWhatIsOpenAreCounted(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Truncate(time.Microsecond)
	incident := func(name, event string) alert.Incident {
		return alert.Incident{
			Detection: "guessing", Severity: alert.High, Subject: alert.Subject{Kind: "network", Name: name}, Began: now, Last: now, Count: 1, What: "many", Event: event,
		}
	}
	ended, open, long := incident("192.0.2.7", "r1"), incident("192.0.2.8", "r2"), incident(strings.Repeat("x", 500), "r3")
	end := ended
	end.Ended, end.Count = true, 12
	for _, i := range []alert.Incident{ended, open, long, end} {
		e := i.AsEvent()
		must(t, audit.Record(w.log, &e))
	}
	silences, err := alert.OpenSilences(filepath.Join(t.TempDir(), "silences"), time.Now)
	must(t, err)
	open.Count, open.Last, long.Count = 50, now.Add(time.Minute), 7
	known := &admin.Alerts{
		Silences: silences, Notifiers: func() ([]sink.Status, error) { return nil, nil },
		Open: func() ([]alert.Incident, error) { return []alert.Incident{open, long}, nil },
	}
	w.service.Alerts = func() (*admin.Alerts, error) { return known, nil }
	counts := func() (all []int) {
		t.Helper()
		found, err := w.client().Alerts(t.Context(), now.Add(-time.Hour))
		must(t, err)
		for _, i := range found.Incidents {
			all = append(all, i.Count)
		}
		return all
	}
	if got := counts(); len(got) != 3 || got[0] != 12 || got[1] != 50 || got[2] != 7 {
		t.Errorf("signs: %v", got)
	}
	known.Open = nil // nobody knows: the log says of each that it was one
	if got := counts(); len(got) != 3 || got[0] != 12 || got[1] != 1 {
		t.Errorf("signs: %v", got)
	}
}
