package app

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
)

// learnedFile is what detections remember, in the data folder.
const learnedFile = "detections"

// detecting is the watch over the log. Another configuration makes another watch, which goes on
// where the one before has stopped, with what that has learned.
type detecting struct {
	watch atomic.Pointer[alert.Watch]

	of   config.Detecting // what it was made of
	end  context.CancelFunc
	done sync.WaitGroup
}

// watchLog runs the detections over the log while it is written, unless they are switched off.
func (a *App) watchLog(f *config.File) error {
	a.State.events.add(func(seq uint64, e *audit.Event) {
		if watch := a.detecting.watch.Load(); watch != nil {
			watch.Offer(seq, e)
		}
	})
	return a.startDetecting(f)
}

// watchAnew puts another configuration in force; a.mu is held. What cannot be is told of, and
// the gateway serves on.
func (a *App) watchAnew(f *config.File) {
	if reflect.DeepEqual(f.Alerts.Detecting, a.detecting.of) {
		return
	}
	a.detecting.stop()
	if err := a.startDetecting(f); err != nil {
		a.warn(err)
	}
}

func (a *App) startDetecting(f *config.File) error {
	d := &a.detecting
	d.of = f.Alerts.Detecting
	kinds := d.of.Kinds()
	if len(kinds) == 0 {
		return nil
	}
	watch, err := alert.NewWatch(alert.Settings{
		Log: a.installed.Log.Folder, File: filepath.Join(a.installed.State.Folder, learnedFile), Kinds: kinds, Now: a.now,
		Record: a.alerts.record, Warn: a.warn,
	})
	if err != nil {
		return fmt.Errorf("alerts: %w", err)
	}
	d.watch.Store(watch)
	ctx, end := context.WithCancel(a.life)
	d.end = end
	d.done.Go(func() { watch.Run(ctx) })
	return nil
}

// stop lets the watch look at what is left, keep what it has learned, and end.
func (d *detecting) stop() {
	if d.watch.Swap(nil) == nil {
		return
	}
	d.end()
	d.done.Wait()
}
