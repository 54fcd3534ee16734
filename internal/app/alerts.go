package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
	"pavise.dev/pavise/internal/sink"
)

// alerts tell of what detections have found, and do what was asked for. They run from the
// start of an installation to its end.
type alerts struct {
	app      *App
	silences *alert.Silences
	desks    []*desk
	respond  *sink.Feed // nil: nothing is done by itself
	ctx      context.Context
	end      context.CancelFunc
	closing  chan struct{} // nothing waits for more to go with it
	running  sync.WaitGroup
}

// desk is a notifier with its feed.
type desk struct {
	*notify.Desk

	name  string
	feed  *sink.Feed
	nudge chan struct{} // it tries now
}

// Files in the data folder.
const (
	silencesFile = "silences.json"
	notifyFolder = "notify"
)

// noticeBatch is how many alerts go into one message at most.
const noticeBatch = 10_000

// openAlerts makes the notifiers, which begin with start.
func (a *App) openAlerts(f *config.File) (_ *alerts, err error) {
	s := &alerts{app: a, closing: make(chan struct{})}
	s.ctx, s.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	if s.silences, err = alert.OpenSilences(filepath.Join(f.State.Folder, silencesFile), a.now); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(f.Alerts.Notify)) {
		d, err := s.desk(f, name)
		if err != nil {
			return nil, fmt.Errorf("alerts.notify.%s: %w", name, err)
		}
		s.desks = append(s.desks, d)
	}
	if s.respond, err = s.responses(f); err != nil {
		return nil, err
	}
	return s, nil
}

// open are the incidents that detections hold open, and the findings that are not mended.
func (s *alerts) open() []alert.Incident {
	all := s.app.schedule.open()
	if watch := s.app.detecting.watch.Load(); watch != nil {
		all = append(all, watch.Open()...)
	}
	return all
}

func (s *alerts) desk(f *config.File, name string) (*desk, error) {
	a, settings := s.app, f.Alerts.Notify[name]
	teller, err := a.notifier(f, &settings)
	if err != nil {
		return nil, err
	}
	d := &desk{name: name, nudge: make(chan struct{}, 1)}
	d.Desk, err = notify.New(notify.Settings{
		Name: name, Node: nodeName(), Notifier: teller, File: filepath.Join(f.State.Folder, notifyFolder, name+toldSuffix),
		Least: alert.Severity(cmp.Or(settings.MinSeverity, f.Alerts.MinSeverity)), Recovery: settings.Recovery,
		Silent: s.silences.Silent, Open: s.open, Explain: a.schedule.explain(explain(kindsOf(f))), Now: a.now,
	})
	if err != nil {
		return nil, errors.Join(err, teller.Close())
	}
	feed := noticeFeed(f, name)
	feed.Destination, feed.Only, feed.Now = d.Desk, d.Wants, a.now
	feed.Batch, feed.Timeout = noticeBatch, settings.Timeout.Duration
	feed.Gather, feed.Wait = s.gather(f, &settings, d), d.wait
	feed.Note = func(code, detail string) { a.note(code, feed.Name, detail) }
	if d.feed, err = sink.New(feed); err != nil {
		return nil, errors.Join(err, teller.Close())
	}
	return d, nil
}

// noticeFeed says where the feed of a notifier reads, and where it remembers how far it is.
func noticeFeed(f *config.File, name string) sink.Settings {
	settings := f.Alerts.Notify[name]
	return sink.Settings{
		Name: "alerts.notify." + name, Kind: settings.Kind(), Log: f.Log.Folder,
		Cursor: filepath.Join(f.State.Folder, notifyFolder, name+".json"), Query: audit.Query{Class: audit.Detection},
	}
}

// kindsOf are the detections of a configuration: those that there are, and its own.
func kindsOf(f *config.File) []alert.Kind { return f.Alerts.Kinds() }

// explain looks up what detections mean.
func explain(kinds []alert.Kind) func(string) (means, do string) {
	known := map[string]alert.Kind{}
	for _, k := range kinds {
		known[k.Name] = k
	}
	return func(name string) (string, string) { return known[name].Means, known[name].Do }
}

// errHurry ends a wait for what is to go into the same message.
var errHurry = errors.New("send now")

// gather waits for what goes into the same message. A test waits for nothing.
func (s *alerts) gather(f *config.File, n *config.Notifier, d *desk) func(context.Context, []audit.Found) error {
	p := &notify.Pace{
		Group: cmp.Or(n.Group.Duration, f.Alerts.Group.Duration), PerHour: n.PerHour, Now: s.app.now,
		Wait: func(ctx context.Context, long time.Duration) error {
			timer := time.NewTimer(long)
			defer timer.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.closing:
				return errHurry
			case <-d.nudge:
				return errHurry
			case <-timer.C:
				return nil
			}
		},
	}
	if n.Alertmanager != nil {
		p.Group, p.PerHour = cmp.Or(n.Group.Duration, time.Second), 0
	}
	return func(ctx context.Context, first []audit.Found) error {
		if notify.IsTest(first) {
			return nil
		}
		if err := p.Gather(ctx); !errors.Is(err, errHurry) {
			return err
		}
		return nil
	}
}

// wait is that of a feed, between two looks or tries.
func (d *desk) wait(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-d.nudge:
	case <-timer.C:
	}
	return nil
}

func (d *desk) hurry() {
	select {
	case d.nudge <- struct{}{}:
	default: // it will
	}
}

func (s *alerts) start() {
	for _, d := range s.desks {
		s.running.Go(func() { d.feed.Run(s.ctx) })
	}
	if s.respond != nil {
		s.running.Go(func() { s.respond.Run(s.ctx) })
	}
}

// close lets notifiers tell what is left, for a moment. What they do not tell by then is told
// after the next start.
func (s *alerts) close() {
	if s == nil {
		return
	}
	close(s.closing)
	feeds := make([]*sink.Feed, 0, len(s.desks))
	for _, d := range s.desks {
		feeds = append(feeds, d.feed)
	}
	drain(s.ctx, feeds)
	s.end()
	s.running.Wait()
}

// record keeps an incident in the log, and says there whether somebody silenced it.
func (s *alerts) record(e *audit.Event) error {
	if i, ok := alert.FromEvent(e); ok && !i.Ended && s.silences.Silent(i.Detection, i.Subject) {
		e.Note = alert.Silenced
	}
	return audit.Record(s.app.sink, e)
}

// status says how far each notifier is.
func (s *alerts) status() (all []sink.Status, err error) {
	all = make([]sink.Status, 0, len(s.desks))
	for _, d := range s.desks {
		status, fault := d.feed.Status()
		err = errors.Join(err, fault)
		status.Name = d.name
		all = append(all, status)
	}
	return all, err
}
