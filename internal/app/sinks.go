package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pavise.dev/pavise"
	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/sink"
	"pavise.dev/pavise/shield"
)

// sinks are the feeds of an installation. They run from its start to its end.
type sinks struct {
	app     *App
	feeds   []*sink.Feed
	spools  []uint64               // of each; 0: no endpoint refuses because of it
	full    atomic.Pointer[string] // names the sink because of which APIs with audit: required refuse; nil: none
	told    bool                   // of the goroutine that watches
	ctx     context.Context        // of the feeds
	end     context.CancelFunc
	running sync.WaitGroup
}

// Times of sinks.
const (
	watchSinks = time.Second     // how often it is asked how far they are
	drainSinks = 3 * time.Second // they have at the end for what is left
	drainLook  = 20 * time.Millisecond
)

// openSinks makes the feeds, which begin with startSinks.
func (a *App) openSinks(f *config.File) (_ *sinks, err error) {
	s := &sinks{app: a}
	s.ctx, s.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(f.Log.Sinks)) {
		settings := f.Log.Sinks[name]
		feed := feedSettings(f, name)
		if feed.Destination, err = a.destination(f, name, &settings); err != nil {
			return nil, fmt.Errorf("log.sinks.%s: %w", name, err)
		}
		feed.Only, feed.Batch, feed.Timeout, feed.Now = only(settings.Only), settings.Batch, settings.Timeout.Duration, a.now
		if settings.Traces != nil {
			traced(&feed)
		}
		feed.Note = func(code, detail string) { a.note(code, name, detail) }
		made, err := sink.New(feed)
		if err != nil {
			return nil, errors.Join(err, feed.Destination.Close())
		}
		s.feeds, s.spools = append(s.feeds, made), append(s.spools, spoolOf(&settings))
	}
	return s, nil
}

// spoolOf is how many events may wait for a sink; 0: as many as the log keeps. Spans are no
// record of anything: that they cannot be delivered is no reason to refuse.
func spoolOf(s *config.Sink) uint64 {
	if s.Traces != nil {
		return 0
	}
	return uint64(s.Spool)
}

// feedSettings says where a feed reads, and where it remembers how far it is.
func feedSettings(f *config.File, name string) sink.Settings {
	settings := f.Log.Sinks[name]
	return sink.Settings{
		Name: name, Kind: settings.Kind(), Log: f.Log.Folder, Cursor: filepath.Join(f.State.Folder, "sinks", name+".json"),
	}
}

// only is the filter of a sink; nil: all is sent.
func only(o config.SinkOnly) func(*audit.Found) bool {
	if len(o.Classes)+len(o.Decisions)+len(o.APIs) == 0 && o.Sample <= 1 {
		return nil
	}
	return func(f *audit.Found) bool {
		e := &f.Event
		switch {
		case len(o.Classes) > 0 && !slices.Contains(o.Classes, string(e.Class)),
			len(o.Decisions) > 0 && !slices.Contains(o.Decisions, string(e.Decision)),
			len(o.APIs) > 0 && e.Class == audit.Request && !slices.Contains(o.APIs, e.API):
			return false
		}
		return o.Sample <= 1 || !isHarmless(e) || f.Seq%uint64(o.Sample) == 0
	}
}

// isHarmless reports whether an event may be sampled: a request that was accepted, answered
// well, and about which nothing is remarkable.
func isHarmless(e *audit.Event) bool {
	return e.Class == audit.Request && e.Decision == audit.Accepted && e.Status < http.StatusBadRequest && !e.Exposed && e.Warning == "" &&
		e.Would == "" && e.Note == "" && e.Code == ""
}

func (s *sinks) start() {
	for _, feed := range s.feeds {
		s.running.Go(func() { feed.Run(s.ctx) })
	}
	if len(s.feeds) > 0 {
		s.running.Go(s.watch)
	}
}

// close lets the feeds deliver what is left, for a moment, and ends them. What they do not
// deliver by then is delivered after the next start.
func (s *sinks) close() {
	if s == nil {
		return
	}
	drain(s.ctx, s.feeds)
	s.end()
	s.running.Wait()
}

// drain waits a moment until feeds that work have delivered what there is.
func drain(ctx context.Context, feeds []*sink.Feed) {
	ctx, cancel := context.WithTimeout(ctx, drainSinks)
	defer cancel()
	ticker := time.NewTicker(drainLook)
	defer ticker.Stop()
	for slices.ContainsFunc(feeds, func(f *sink.Feed) bool {
		status, err := f.Status()
		return err == nil && status.Failing == "" && status.Lag > 0
	}) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watch looks every second whether some sink has no room for more.
func (s *sinks) watch() {
	ticker := time.NewTicker(watchSinks)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			s.look()
		}
	}
}

// look finds the first sink that is full, and tells when that begins and ends.
func (s *sinks) look() {
	var full *string
	all, _ := s.status() // what cannot be read is told by the feed itself
	for i := range all {
		if all[i].Full {
			full = &all[i].Name
			break
		}
	}
	s.full.Store(full)
	switch {
	case full != nil && !s.told:
		s.app.note(sink.Full, *full, "APIs with audit: required refuse until the sink delivers again")
	case full == nil && s.told:
		s.app.note(sink.Recovered, "", "APIs with audit: required serve again")
	}
	s.told = full != nil
}

// status says how far each is.
func (s *sinks) status() (all []sink.Status, err error) {
	all = make([]sink.Status, 0, len(s.feeds))
	for i, feed := range s.feeds {
		status, fault := feed.Status()
		err = errors.Join(err, fault)
		status.Spool = s.spools[i]
		status.Full = status.Spool > 0 && (status.Overrun || status.Failing != "" && status.Lag >= status.Spool)
		all = append(all, status)
	}
	return all, err
}

// restingSinks says how far the sinks of a configuration are while no gateway runs.
func restingSinks(f *config.File) (all []sink.Status, err error) {
	all = make([]sink.Status, 0, len(f.Log.Sinks))
	for _, name := range slices.Sorted(maps.Keys(f.Log.Sinks)) {
		status, fault := sink.Resting(feedSettings(f, name))
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("sink %s: %w", name, fault))
			continue
		}
		settings := f.Log.Sinks[name]
		status.Spool = spoolOf(&settings)
		all = append(all, status)
	}
	return all, err
}

// recorded makes an endpoint of an API with audit: required refuse while some sink is full:
// before anything is used up, and before the upstream has seen the request.
func (a *App) recorded(from *config.Resolved, layer pavise.Layer) pavise.Layer {
	if from.Audit != "required" || a.sinks == nil {
		return layer
	}
	return &recorded{layer, a.sinks}
}

type recorded struct {
	layer pavise.Layer // behind it; may be nil
	sinks *sinks
}

// Check implements pavise.Layer.
func (r *recorded) Check(q *http.Request, id *shield.Identity) error {
	if name := r.sinks.full.Load(); name != nil {
		return shield.Refuse(shield.Unrecorded, "the sink %s takes no events, and as many wait as may", *name)
	}
	if r.layer == nil {
		return nil
	}
	return r.layer.Check(q, id)
}

// Reads says what the layer behind it looks at.
func (r *recorded) Reads() pavise.Reads {
	if r.layer == nil {
		return 0
	}
	return readsOf(r.layer)
}

// Body implements pavise.BodyReader.
func (r *recorded) Body() int64 {
	if reader, ok := r.layer.(pavise.BodyReader); ok {
		return reader.Body()
	}
	return 0
}
