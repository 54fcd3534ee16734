package app

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
	"pavise.dev/pavise/internal/config"
	"pavise.dev/pavise/internal/notify"
)

// toldSuffix ends the names of the files in which notifiers remember what they told.
const toldSuffix = ".told.json"

// erase takes a person out of what is kept beside the log: silences, and alerts that are open.
func (s *alerts) erase(e *audit.Erasure) (erased int, err error) {
	add := func(n int, fault error) {
		erased += n
		err = errors.Join(err, fault)
	}
	add(s.silences.Erase(e))
	if watch := s.app.detecting.watch.Load(); watch != nil {
		add(watch.Erase(e))
	} else {
		add(alert.EraseRemembered(filepath.Join(s.app.installed.State.Folder, learnedFile), e))
	}
	var running []string
	for _, d := range s.desks {
		running = append(running, d.name)
		add(d.Erase(e))
	}
	add(eraseTold(s.app.installed, e, running))
	return erased, err
}

// eraseResting does so while no gateway runs.
func eraseResting(f *config.File, now clock, e *audit.Erasure) (erased int, err error) {
	silences, err := alert.OpenSilences(filepath.Join(f.State.Folder, silencesFile), now)
	if err != nil {
		return 0, err
	}
	a, err1 := silences.Erase(e)
	b, err2 := alert.EraseRemembered(filepath.Join(f.State.Folder, learnedFile), e)
	c, err3 := eraseTold(f, e, nil)
	return a + b + c, errors.Join(err1, err2, err3)
}

// eraseTold takes a person out of what notifiers remember that do not run, be it that the
// configuration no longer has them.
func eraseTold(f *config.File, e *audit.Erasure, running []string) (erased int, err error) {
	files, err := filepath.Glob(filepath.Join(f.State.Folder, notifyFolder, "*"+toldSuffix))
	if err != nil {
		return 0, fmt.Errorf("list what notifiers remember: %w", err)
	}
	for _, file := range files {
		if slices.Contains(running, strings.TrimSuffix(filepath.Base(file), toldSuffix)) {
			continue
		}
		n, fault := notify.EraseTold(file, e)
		erased += n
		err = errors.Join(err, fault)
	}
	return erased, err
}
