package app

import (
	"fmt"
	"path/filepath"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
)

// learnedFile is what detections remember, in the data folder.
const learnedFile = "detections"

// watchLog runs the detections over the log while it is written, if that is wanted.
func (a *App) watchLog(f *config.File) error {
	if !f.Log.Detections {
		return nil
	}
	watch, err := alert.NewWatch(alert.Settings{
		Log: f.Log.Folder, File: filepath.Join(f.State.Folder, learnedFile), Kinds: alert.Detections(), Now: a.now,
		Record: func(e *audit.Event) error { return audit.Record(a.sink, e) }, Warn: a.warn,
	})
	if err != nil {
		return fmt.Errorf("log.detections: %w", err)
	}
	a.State.events.add(watch.Offer)
	a.retiring.Go(func() { watch.Run(a.life) })
	return nil
}
