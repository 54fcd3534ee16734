package alert

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/replace"
)

// What detections have learned is kept under hashes, but incidents that are open name whom they are
// about: in the file of the watch until they end, and then in the event that says so.

// Names reports whether an incident names a person whose data is erased.
func (i *Incident) Names(e *audit.Erasure) bool {
	told := i.AsEvent()
	return e.Matches(&told) || e.Names(i.What)
}

// Erase forgets the incidents that name a person, and returns how many those were. No event says
// that they ended: it would name him.
func (w *Watch) Erase(e *audit.Erasure) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	erased := 0
	for at, i := range w.engine.open {
		if i.Names(e) {
			delete(w.engine.open, at)
			erased++
		}
	}
	said := len(w.unsaid)
	w.unsaid = slices.DeleteFunc(w.unsaid, func(i Incident) bool { return i.Names(e) })
	if erased += said - len(w.unsaid); erased == 0 {
		return 0, nil
	}
	return erased, w.save()
}

// EraseRemembered does so in the file of a watch that does not run.
func EraseRemembered(file string, e *audit.Erasure) (int, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read what was learned: %w", err)
	}
	var m memory
	if err := m.read(file, text); err != nil {
		return 0, err
	}
	names := func(i Incident) bool { return i.Names(e) }
	before := len(m.Open) + len(m.Unsaid)
	m.Open, m.Unsaid = slices.DeleteFunc(m.Open, names), slices.DeleteFunc(m.Unsaid, names)
	erased := before - len(m.Open) - len(m.Unsaid)
	if erased == 0 {
		return 0, nil
	}
	return erased, m.write(file)
}

// write replaces what is remembered in one step.
func (m *memory) write(file string) error {
	var text bytes.Buffer
	err := gob.NewEncoder(&text).Encode(m)
	if err == nil {
		err = replace.File(file, text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("keep what was learned: %w", err)
	}
	return nil
}
