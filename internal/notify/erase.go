package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"pavise.dev/pavise/audit"
	"pavise.dev/pavise/internal/alert"
)

// Erase forgets the incidents that name a person, and returns how many those were. Their receiver,
// which has them already, is not told of their ends. It is safe while a feed runs.
func (d *Desk) Erase(e *audit.Erasure) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erased = append(d.erased, e)
	next := maps.Clone(d.known)
	erased := erase(next, e)
	if erased == 0 {
		return 0, nil
	}
	d.known = next
	return erased, d.write()
}

// EraseTold does so in the file of a desk that does not run.
func EraseTold(file string, e *audit.Erasure) (int, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read what was told: %w", err)
	}
	all, err := read(file, text)
	if err != nil {
		return 0, err
	}
	erased := erase(all, e)
	if erased == 0 {
		return 0, nil
	}
	return erased, write(file, all)
}

func erase(all map[alert.Key]*known, e *audit.Erasure) int {
	before := len(all)
	maps.DeleteFunc(all, func(_ alert.Key, k *known) bool { return k.Incident.Names(e) })
	return before - len(all)
}
