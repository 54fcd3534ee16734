package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// cursor is what a feed remembers.
type cursor struct {
	Delivered uint64 `json:"delivered"`
	Lost      uint64 `json:"lost"`
	Rejected  uint64 `json:"rejected"`
}

// readCursor reads the file; ok is false where there is none.
func readCursor(path string) (c cursor, ok bool, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read how far events were delivered: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, false, fmt.Errorf("read how far events were delivered: %s holds no position; remove it to begin with the newest event: %w", path, err)
	}
	return c, true, nil
}

// write replaces the file in one step. It is not synced: after a power cut some events are
// sent again, which they may be.
func (c cursor) write(path string) error {
	text, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("remember how far events were delivered: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("remember how far events were delivered: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember how far events were delivered: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("remember how far events were delivered: %w", err)
	}
	return nil
}
