package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"pavise.dev/pavise/internal/config"
)

// Running is an installation that serves: the gateway and its administration.
type Running struct {
	app    *App
	server *Server
	admin  stopper

	// Notice is how long /readyz says that the gateway ends before it closes listeners, so that
	// whoever spreads requests sends them elsewhere.
	Notice time.Duration
}

// stopper is something that serves until it is stopped.
type stopper interface {
	Shutdown(ctx context.Context) error
}

// Start opens an installation and listens.
func Start(ctx context.Context, f *config.File, o Options) (*Running, error) {
	a, err := Open(ctx, f, o)
	if err != nil {
		return nil, err
	}
	return a.Serve(ctx)
}

// Serve lets an installation listen that was opened: to callers, and to its administration.
// What comes back closes it; so does a failure.
func (a *App) Serve(ctx context.Context) (_ *Running, err error) {
	r := &Running{app: a}
	if r.admin, err = a.administer(a.current().file); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if r.server, err = a.Listen(); err != nil {
		return nil, errors.Join(err, r.admin.Shutdown(ctx), a.Close())
	}
	a.startSchedule()
	return r, nil
}

// App is what runs.
func (r *Running) App() *App { return r.app }

// Created reports whether this start made the data folder.
func (r *Running) Created() bool { return r.app.State.Created }

// HTTPS is the address of the TLS listener.
func (r *Running) HTTPS() string { return r.server.HTTPS.String() }

// Metrics is the address of the listener for those who watch; "": there is none.
func (r *Running) Metrics() string {
	if r.server.Metrics == nil {
		return ""
	}
	return r.server.Metrics.String()
}

// Until serves until the context or a signal ends it, reads the configuration
// again when it changes or a signal asks, and then drains and closes everything.
func (r *Running) Until(ctx context.Context, stop, again <-chan os.Signal, drain time.Duration) error {
	file := r.app.current().file
	changes := &files{}
	changed := make(chan struct{}, 1)
	r.watch(changes, file, changed)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var failed error
	for failed == nil {
		select {
		case <-ctx.Done():
			return r.Close(drain)
		case <-stop:
			return r.Close(drain)
		case <-ticker.C:
			changes.look()
		case <-again:
			r.reload(changes, changed)
		case <-changed:
			r.reload(changes, changed)
		case failed = <-r.server.Failed():
		}
	}
	return errors.Join(failed, r.Close(drain))
}

// watch asks to be told when any file of the configuration changes.
func (r *Running) watch(changes *files, f *config.File, changed chan<- struct{}) {
	changes.mu.Lock()
	changes.watched = nil
	changes.mu.Unlock()
	for _, name := range f.Paths {
		changes.Watch(name, func() {
			select {
			case changed <- struct{}{}:
			default: // one is enough
			}
		})
	}
}

// reload reads the configuration again. What is wrong with it is told and recorded,
// and the old one stays in force.
func (r *Running) reload(changes *files, changed chan<- struct{}) {
	path := r.app.current().file.Path
	next, err := Load(path)
	if err != nil {
		r.app.noteChange("reload_refused", path, err.Error())
	} else {
		r.watch(changes, next, changed)
		err = r.app.Reload(next)
	}
	if err != nil {
		r.app.warn(fmt.Errorf("the configuration stays as it was: %w", err))
	}
}

// Close drains requests under way and closes everything. What the schedule runs is broken off first: an
// attack on a gateway that does not listen any more would find nothing.
func (r *Running) Close(drain time.Duration) error {
	r.giveNotice()
	r.app.stopSchedule()
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return errors.Join(r.admin.Shutdown(ctx), r.server.Shutdown(ctx), r.app.Close())
}
