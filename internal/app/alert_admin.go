package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/admin"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink"
)

// Times of tests.
const (
	testWait = 20 * time.Second // until it is said that a test has not arrived
)

// administered is what administration needs of alerts while the gateway runs.
func (s *alerts) administered() *admin.Alerts {
	return &admin.Alerts{Silences: s.silences, Known: func() []string { return append(detectionNames(s.app.current().file), s.app.scheduleRules()...) }, Notifiers: s.status, Test: s.test, Open: func() ([]alert.Incident, error) { return s.open(), nil }}
}

func detectionNames(f *config.File) (names []string) {
	for _, k := range kindsOf(f) {
		names = append(names, k.Name)
	}
	return names
}

// test writes an alert that is a test into the log, and waits until the feeds have brought it
// to the notifiers, as they bring every alert.
func (s *alerts) test(ctx context.Context, name, by string) ([]admin.Tested, error) {
	e := testEvent(name, by)
	e.ID, e.Time = newID(s.app.rand), s.app.now()
	wanted := slices.DeleteFunc(slices.Clone(s.desks), func(d *desk) bool { return name != notify.Everybody && name != d.name })
	waiting := make([]<-chan error, len(wanted))
	for i, d := range wanted {
		waiting[i] = d.Expect(e.ID)
		defer d.Forget(e.ID)
	}
	if err := audit.Record(s.app.sink, &e); err != nil {
		return nil, fmt.Errorf("record the test: %w", err)
	}
	if err := s.app.State.Log.Flush(); err != nil {
		return nil, fmt.Errorf("record the test: %w", err)
	}
	for _, d := range wanted {
		d.hurry()
	}
	ctx, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	all := make([]admin.Tested, 0, len(wanted))
	for i, d := range wanted {
		all = append(all, awaited(ctx, d, waiting[i]))
	}
	return all, nil
}

// awaited says how a test went.
func awaited(ctx context.Context, d *desk, outcome <-chan error) admin.Tested {
	t := admin.Tested{Notifier: d.name}
	select {
	case err := <-outcome:
		if t.Arrived = err == nil; err != nil {
			t.Error = err.Error()
		}
	case <-ctx.Done():
		t.Error = fmt.Sprintf("it has not arrived within %s", testWait)
	}
	return t
}

// testEvent is a test as it stands in the log.
func testEvent(name, by string) audit.Event {
	return audit.Event{
		Class: audit.Detection, Decision: audit.Noted, Code: notify.TestCode, Action: notify.TestCode, Target: notify.TestTarget(name),
		Warning: string(alert.Info), Detail: "This is a test, which " + by + " asked for.", Actor: by,
	}
}

// restingAlerts is what administration needs of alerts while no gateway runs.
func restingAlerts(f *config.File, s *State, now clock) (*admin.Alerts, error) {
	silences, err := alert.OpenSilences(filepath.Join(f.State.Folder, silencesFile), now)
	if err != nil {
		return nil, err
	}
	return &admin.Alerts{
		Silences: silences, Known: func() []string { return append(detectionNames(f), (&App{}).scheduleRules()...) },
		Open: func() ([]alert.Incident, error) {
			return alert.Remembered(filepath.Join(f.State.Folder, learnedFile))
		},
		Notifiers: func() (all []sink.Status, err error) {
			for _, name := range slices.Sorted(maps.Keys(f.Alerts.Notify)) {
				status, fault := sink.Resting(noticeFeed(f, name))
				err = errors.Join(err, fault)
				status.Name = name
				all = append(all, status)
			}
			return all, err
		},
		Test: func(ctx context.Context, name, by string) ([]admin.Tested, error) {
			return testDirectly(ctx, f, s, now, name, by)
		},
	}, nil
}

// testDirectly tells notifiers without a feed, since none runs.
func testDirectly(ctx context.Context, f *config.File, s *State, now clock, name, by string) (all []admin.Tested, err error) {
	a := resting(ctx, s, now)
	e := testEvent(name, by)
	e.ID, e.Time, e.Note = newID(a.rand), now(), notify.Direct
	if err := audit.Record(s.Log, &e); err != nil {
		return nil, fmt.Errorf("record the test: %w", err)
	}
	for _, each := range slices.Sorted(maps.Keys(f.Alerts.Notify)) {
		if name != notify.Everybody && name != each {
			continue
		}
		settings := f.Alerts.Notify[each]
		t := admin.Tested{Notifier: each}
		if err := a.tellDirectly(ctx, f, &settings, e.Detail); err != nil {
			t.Error = err.Error()
		} else {
			t.Arrived = true
		}
		all = append(all, t)
	}
	return all, nil
}

func (a *App) tellDirectly(ctx context.Context, f *config.File, n *config.Notifier, text string) error {
	teller, err := a.notifier(f, n)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.Timeout.Duration)
	defer cancel()
	err = teller.Tell(ctx, &notify.Notice{Node: nodeName(), Time: a.now(), Test: text})
	return errors.Join(err, teller.Close())
}
